//! The cookie itself: who gets it, with which words, who does not see it, and how long it is valid.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Request;

use crate::rig::backend::{Backend, answer};
use crate::rig::client::{Answer, Talk, raw};
use crate::rig::tls::Authority;
use crate::rig::{Balancer, Rig, eventually};
use crate::speak::{self, Client};

use crate::cookie_in;

/// A sticky service in front of these, with these lines in front of it and these in it.
pub(crate) fn config(lines: &str, backends: &[&Backend], keys: &str) -> String {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.to_string()).collect();
    format!(
        "{lines}\n[[service]]\nname = \"web\"\nsticky = \"seat\"\ndriver = \"static\"\naddresses = {addresses:?}\n{keys}\n\
         [service.heartbeat]\nevery = \"100ms\"\ntimeout = \"100ms\"\n"
    )
}

pub(crate) fn up(config: &str, ready: u64) -> Balancer {
    let balancer = Rig::new().config(config).up();
    eventually("all of them take traffic", || balancer.service()["ready"] == ready);
    balancer
}

/// What a request with these lines gets, on a connection of its own.
fn get(balancer: &Balancer, path: &str, lines: &str) -> Answer {
    let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n");
    raw(balancer.address, text.as_bytes()).unwrap()
}

#[test]
fn every_answer_of_a_replica_brings_it_and_no_answer_of_ours() {
    let backend = Backend::start(|request, stream| {
        let text: &[u8] = match request.line.split(' ').nth(1).unwrap() {
            "/missing" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "/broken" => b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
            "/same" => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
            "/own" => b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=1; Path=/x\r\nContent-Length: 0\r\n\r\n",
            "/early" => {
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            }
            "/chat" => {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            }
            _ => return false,
        };
        stream.write_all(text).is_ok()
    });
    let balancer = up(&config("", &[&backend], ""), 1);
    for (path, status) in [("/missing", 404), ("/broken", 500), ("/same", 304), ("/own", 200)] {
        let answer = get(&balancer, path, "");
        let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
        let ours = cookies.last().map(|(_, value)| value.starts_with("seat="));
        assert_eq!((answer.status, ours), (status, Some(true)), "{path}");
        let own = cookies.iter().filter(|(_, value)| value == "sid=1; Path=/x").count();
        assert_eq!(own, usize::from(path == "/own"), "the replica's own stays");
    }
    let mut talk = Talk::to(balancer.address);
    talk.say("GET /early HTTP/1.1\r\nHost: h\r\n\r\n");
    let (early, late) = (talk.head(), talk.head());
    assert_eq!((early.status, early.header("set-cookie")), (103, None));
    assert!(late.status == 200 && cookie_in(&late).is_some());
    let chat = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut talk = Talk::to(balancer.address);
    talk.say(chat);
    let head = talk.head();
    assert!(head.status == 101 && cookie_in(&head).is_some(), "{head:?}");
    for (path, status) in [("/gone", 502), ("/a%2fb", 400)] {
        let answer = get(&balancer, path, "");
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None), "{path}");
    }
}

#[test]
fn the_replica_gets_all_other_cookies_byte_for_byte() {
    let backend = Backend::saying("ok");
    let balancer = up(&config("", &[&backend], ""), 1);
    let own = cookie_in(&balancer.get("/")).unwrap();
    let got = || backend.received().pop().unwrap().header("cookie").join("|");
    for (lines, left) in [
        (format!("Cookie: {own}\r\n"), ""),
        (format!("Cookie: a=1; {own}; b=\"2\"\r\n"), "a=1; b=\"2\""),
        (format!("Cookie: {own};  a=1;b=2\r\nCookie: c; {own}\r\n"), "a=1;b=2|c"),
        ("Cookie: seat=forged; a==1;; b\r\n".to_owned(), "a==1;; b"),
        ("Cookie: seats=1; Seat=2; xseat=3\r\n".to_owned(), "seats=1; Seat=2; xseat=3"),
    ] {
        assert_eq!(get(&balancer, "/", &lines).status, 200);
        assert_eq!(got(), left, "{lines}");
    }
    speak::run(async {
        let mut client = Client::to(balancer.address).await;
        let request = Request::get("http://h/").header("cookie", "a=1").header("cookie", &own);
        let answer = client.ask(request.header("cookie", "b=2").body(()).unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
        let answer = client.get("/").await;
        assert!(answer.header("set-cookie").unwrap().starts_with("seat="), "{answer:?}");
    });
    assert_eq!(backend.received().iter().rev().nth(1).unwrap().header("cookie"), ["a=1; b=2"]);
}

#[test]
fn a_replica_that_speaks_http2_is_no_different() {
    let replica = speak::Replica::start(|request, mut respond| async move {
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
        let body = cookies.iter().map(|one| one.to_str().unwrap()).collect::<Vec<_>>().join("|");
        speak::say(&mut respond, 200, &format!("[{body}]"))
    });
    let config = format!(
        "[[service]]\nname = \"web\"\nsticky = \"seat\"\nprotocol = \"h2c\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
        replica.address
    );
    let balancer = up(&config, 1);
    let first = balancer.get("/");
    let own = cookie_in(&first).unwrap();
    assert!(first.body.contains("[]"), "{first:?}");
    let second = get(&balancer, "/", &format!("Cookie: a=1; {own}\r\n"));
    assert!(second.body.contains("[a=1]") && cookie_in(&second).is_none(), "{second:?}");
}

#[test]
fn it_is_for_secure_connections_alone_where_there_is_one() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let file = |ending: &str| folder.path().join(format!("shop.test.{ending}")).display().to_string();
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
         certificates = [{{ certificate = {:?}, key = {:?} }}]",
        file("pem"),
        file("key")
    );
    let backend = Backend::saying("ok");
    let attributes = |cookie: &str| cookie.split_once("; ").unwrap().1.to_owned();
    let said = |balancer: &Balancer, lines: &str| {
        attributes(get(balancer, "/", lines).header("set-cookie").unwrap())
    };
    let plain = "Path=/; HttpOnly; SameSite=Lax";
    let secure = "Path=/; HttpOnly; SameSite=Lax; Secure";
    let balancer = up(&config(&listener, &[&backend], ""), 1);
    let (answer, _) = authority.client(None).get(balancer.next_listener(), "shop.test").unwrap();
    assert_eq!(attributes(answer.header("set-cookie").unwrap()), secure);
    assert_eq!(said(&balancer, ""), plain);
    assert_eq!(said(&balancer, "X-Forwarded-Proto: https\r\n"), plain, "who says so is not trusted");
    let balancer = up(&config("trusted_proxies = [\"127.0.0.1\"]", &[&backend], ""), 1);
    assert_eq!(said(&balancer, "X-Forwarded-Proto: https\r\n"), secure);
    assert_eq!(said(&balancer, "X-Forwarded-Proto: http\r\n"), plain);
    let keys = "sticky_lifetime = \"2h\"\nsticky_same_site = \"strict\"";
    let balancer = up(&config("", &[&backend], keys), 1);
    assert_eq!(said(&balancer, ""), "Path=/; HttpOnly; SameSite=Strict; Max-Age=7200");
}

#[test]
fn it_is_valid_after_a_restart_where_there_is_a_state_directory() {
    let backend = Backend::saying("ok");
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    for (lines, is_valid) in [(format!("state_dir = {folder:?}"), true), (String::new(), false)] {
        let config = config(&lines, &[&backend], "");
        let cookie = cookie_in(&up(&config, 1).get("/")).unwrap();
        let balancer = up(&config, 1);
        let answer = get(&balancer, "/", &format!("Cookie: {cookie}\r\n"));
        assert_eq!(cookie_in(&answer).is_none(), is_valid, "{lines}");
    }
}

#[test]
fn a_session_is_in_one_place_however_many_requests_it_makes_at_once() {
    const AT_ONCE: usize = 12;
    for (load_factor, places) in [("", 1), ("load_factor = 1.25", 2)] {
        let inside = Arc::new(AtomicUsize::new(0));
        let backends = [0, 1].map(|_| {
            let inside = Arc::clone(&inside);
            Backend::start(move |request, stream| {
                if request.line.starts_with("GET /slow") {
                    inside.fetch_add(1, Ordering::Relaxed);
                    eventually("all of them are inside", || inside.load(Ordering::Relaxed) >= AT_ONCE);
                }
                answer(stream, "200 OK", "ok")
            })
        });
        let balancer = up(&config("", &backends.each_ref(), load_factor), 2);
        let own = cookie_in(&balancer.get("/")).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let answer = get(&balancer, "/slow", &format!("Cookie: {own}\r\n"));
                    assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "it comes back");
                });
            }
        });
        let is_slow = |backend: &&Backend| backend.received().iter().any(|one| one.line.contains("/slow"));
        assert_eq!(backends.iter().filter(is_slow).count(), places, "{load_factor}");
    }
}

#[test]
fn a_session_goes_elsewhere_while_its_replica_is_ill_and_comes_back() {
    let is_ill = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&is_ill);
    let moody = Backend::start(move |_, stream| match ill.load(Ordering::SeqCst) {
        true => answer(stream, "500 Oh", "moody"),
        false => answer(stream, "200 OK", "moody"),
    });
    let steady = Backend::saying("steady");
    let log = tempfile::tempdir().unwrap();
    let file = log.path().join("access.log");
    let lines = format!("[access_log]\nto = {file:?}\nformat = \"json\"");
    let responses = "[service.responses]\nfailures = 3\nejection = \"200ms\"";
    let balancer = up(&format!("{}{responses}\n", config(&lines, &[&moody, &steady], "")), 2);
    let mut visits = std::iter::repeat_with(|| get(&balancer, "/", ""));
    let cookie = cookie_in(&visits.find(|answer| answer.body == "moody").unwrap()).unwrap();
    let cookie = format!("Cookie: {cookie}\r\n");
    let visit = || {
        let answer = get(&balancer, "/", &cookie);
        assert_eq!(cookie_in(&answer), None, "it has one");
        answer.body
    };
    assert_eq!(visit(), "moody");
    is_ill.store(true, Ordering::SeqCst);
    eventually("it is ejected", || visit() == "steady");
    is_ill.store(false, Ordering::SeqCst);
    eventually("it is well again", || visit() == "moody");
    for what in ["begun", "kept", "away"] {
        let line = format!("\"policy\":\"sticky {what}\"");
        eventually("the log says so", || std::fs::read_to_string(&file).unwrap().contains(&line));
    }
}

#[test]
fn explain_says_where_a_session_is() {
    let backends = [Backend::saying("1"), Backend::saying("2")];
    let balancer = up(&config("", &backends.each_ref(), ""), 2);
    let answer = balancer.get("/");
    let cookie = cookie_in(&answer).unwrap();
    let explain = |arguments: &[&str]| {
        let output = balancer.command(&[&["explain", "--path=/"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let with = explain(&["--cookie", &cookie]);
    assert!(with.contains(&format!("its cookie 'seat' names seat {}", answer.body)), "{with}");
    assert!(!with.contains("at random"), "{with}");
    assert!(explain(&[]).contains("begins a session"));
    assert!(explain(&["--cookie", "seat=1"]).contains("begins a session"));
}
