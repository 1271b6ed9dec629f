//! The way of a request, through the real program, in front of backends that misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rig::backend::{Backend, answer};
use rig::client::{Answer, raw, send};
use rig::{Balancer, Rig, eventually};

/// A balancer in front of fixed addresses.
fn in_front_of(backends: &[&Backend], more: &str) -> Balancer {
    let addresses: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [{}]\n{more}\n\
         [service.heartbeat]\nevery = \"100ms\"\ntimeout = \"100ms\"\n",
        addresses.join(", ")
    );
    let balancer = Rig::new().config(&config).up();
    eventually("the backends are in the table", || balancer.service()["ready"] == backends.len());
    balancer
}

fn request(balancer: &Balancer, text: &str) -> Answer {
    raw(balancer.address, text.as_bytes()).unwrap()
}

#[test]
fn heads_arrive_without_hop_by_hop_headers_and_with_forwarding_ones() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&[&backend], "");
    let answer = request(
        &balancer,
        "GET /a//b?q=%20&x HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\
         Keep-Alive: timeout=9\r\nX-Forwarded-For: 6.6.6.6\r\nX-Kept: yes\r\n\r\n",
    );
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    let got = &backend.received()[0];
    assert_eq!(got.line, "GET /a/b?q=%20&x HTTP/1.1");
    assert_eq!(got.header("host"), ["shop.example"]);
    assert_eq!(got.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(got.header("x-forwarded-proto"), ["http"]);
    assert_eq!(got.header("x-forwarded-host"), ["shop.example"]);
    assert_eq!(got.header("x-kept"), ["yes"]);
    for gone in ["connection", "keep-alive", "x-secret"] {
        assert!(got.header(gone).is_empty(), "{gone}: {got:?}");
    }
}

#[test]
fn bodies_pass_whole_both_ways_with_a_length_and_without() {
    let backend = Backend::start(|request, stream| {
        let echo = String::from_utf8_lossy(&request.body).into_owned();
        if request.line.contains("chunked") {
            let text = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{echo}\r\n0\r\n\r\n",
                echo.len()
            );
            return stream.write_all(text.as_bytes()).is_ok();
        }
        answer(stream, "200 OK", &echo)
    });
    let balancer = in_front_of(&[&backend], "");
    let large = "0123456789abcdef".repeat(1 << 16);
    for method in ["POST", "PUT"] {
        for body in ["x", &"y".repeat(70_000), &large] {
            let answer = send(balancer.address, method, "/echo", body);
            assert!(answer.status == 200 && answer.body == *body, "{method}, {} bytes", body.len());
        }
    }
    let chunked = "POST /chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    let answer = request(&balancer, chunked);
    assert!(answer.status == 200 && answer.body.contains("hello world"), "{answer:?}");
    let got = backend.received().into_iter().last().unwrap();
    assert_eq!((got.body.as_slice(), got.header("content-length").len()), (&b"hello world"[..], 0));
}

#[test]
fn an_empty_post_has_a_length_and_a_broken_body_is_the_clients_fault() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&[&backend], "");
    request(&balancer, "POST /empty HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(backend.received()[0].header("content-length"), ["0"]);
    let chunked = "GET /chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(request(&balancer, chunked).status, 200);
    assert_eq!(backend.received()[1].body, b"abc", "whatever the method");
    let broken = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\n";
    assert_eq!(request(&balancer, broken).status, 400);
    assert_eq!(balancer.service()["ready"], 1, "the replica is not blamed");
}

#[test]
fn unwanted_answers_do_not_cost_their_connection() {
    let backend = Backend::start(|_, stream| answer(stream, "404 Not Found", "a page that nobody reads"));
    let config = format!(
        "contract = true\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n[service.heartbeat]\nevery = \"100ms\"\ntimeout = \"100ms\"\n",
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    eventually("the backend is in the table", || balancer.service()["ready"] == 1);
    for _ in 0..50 {
        assert_eq!(balancer.get("/nowhere").status, 400);
    }
    assert!(backend.connections() <= 8, "{} connections for 50 requests", backend.connections());
}

#[test]
fn fixed_addresses_are_those_of_the_file_also_after_a_restart() {
    let [a, b] = ["a", "b"].map(Backend::saying);
    let folder = tempfile::tempdir().unwrap();
    let config = |addresses: &[&Backend]| {
        let addresses: Vec<String> =
            addresses.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
        let (folder, addresses) = (folder.path(), addresses.join(","));
        format!(
            "state_dir = {folder:?}\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [{addresses}]\n"
        )
    };
    for backends in [&[&a][..], &[&a, &b], &[&b]] {
        let balancer = Rig::new().config(&config(backends)).up();
        eventually("all of them are in the table", || balancer.service()["ready"] == backends.len());
    }
}

#[test]
fn an_answer_streams_while_the_backend_still_writes_it() {
    let may_end = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&may_end);
    let backend = Backend::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
        eventually("the client has read the first half", || gate.load(Ordering::Relaxed));
        stream.write_all(b"later").is_ok()
    });
    let balancer = in_front_of(&[&backend], "");
    let mut stream = TcpStream::connect(balancer.address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"first") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        got.push(byte[0]);
    }
    may_end.store(true, Ordering::Relaxed);
    let mut rest = [0; 5];
    stream.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"later");
}

#[test]
fn an_idempotent_request_is_sent_again_and_a_post_never_twice() {
    let breaks = Backend::start(|_, _| false);
    let works = Backend::saying("fine");
    // It is to be asked however often it breaks off.
    let balancer = in_front_of(&[&breaks, &works], "[service.responses]\nfailures = 0");
    let (mut lost_posts, count) = (0, 40);
    for number in 0..count {
        assert_eq!(send(balancer.address, "GET", &format!("/get/{number}"), "").body, "fine");
        assert_eq!(send(balancer.address, "PUT", &format!("/put/{number}"), "body").body, "fine");
        let post = send(balancer.address, "POST", &format!("/post/{number}"), "body");
        match post.status {
            200 => assert_eq!(post.body, "fine"),
            status => {
                assert_eq!(status, 502, "{post:?}");
                lost_posts += 1;
            }
        }
    }
    let seen: Vec<String> =
        breaks.received().into_iter().chain(works.received()).map(|got| got.line).collect();
    for number in 0..count {
        let times = seen.iter().filter(|line| line.starts_with(&format!("POST /post/{number} "))).count();
        assert_eq!(times, 1, "POST {number} reached backends {times} times");
    }
    assert!(lost_posts > 0, "the broken backend was never asked");
    let bodies =
        works.received().into_iter().filter(|got| got.line.starts_with("PUT")).all(|got| got.body == b"body");
    assert!(bodies, "a body that is sent again is whole");
}

#[test]
fn a_post_goes_to_the_next_when_nothing_was_sent() {
    let works = Backend::saying("fine");
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let refusing = silent.local_addr().unwrap().as_socket().unwrap();
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{refusing}\", \"{}\"]\n",
        works.address
    );
    let balancer = Rig::new().config(&config).up();
    eventually("one of the two is in the table", || balancer.service()["ready"] == 1);
    for number in 0..20 {
        assert_eq!(send(balancer.address, "POST", &format!("/{number}"), "body").status, 200);
    }
}

#[test]
fn a_kept_connection_that_the_replica_closed_is_invisible() {
    let backend = Backend::start(|_, stream| {
        answer(stream, "200 OK", "once");
        false
    });
    let balancer = in_front_of(&[&backend], "");
    for _ in 0..200 {
        assert_eq!(balancer.get("/").body, "once");
    }
}

#[test]
fn connections_to_a_replica_are_kept() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&[&backend], "");
    for _ in 0..100 {
        assert_eq!(balancer.get("/").status, 200);
    }
    // One for each worker, and one more where a connection was not back in time.
    assert!(backend.connections() <= 8, "{} connections for 100 requests", backend.connections());
}

#[test]
fn requests_wait_for_the_first_replica_and_then_go_through() {
    // Only the heartbeat path works at first, and it works after a while.
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let backend = Backend::start(move |request, stream| match request.line.contains("/well") {
        true if !is_well.load(Ordering::Relaxed) => answer(stream, "503 Service Unavailable", ""),
        _ => answer(stream, "200 OK", "at last"),
    });
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n[service.heartbeat]\npath = \"/well\"\nevery = \"50ms\"\ntimeout = \"50ms\"\n",
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let address = balancer.address;
            std::thread::spawn(move || send(address, "POST", "/work", "body"))
        })
        .collect();
    let waits = || {
        send(balancer.admin, "GET", "/metrics", "").body.contains("evenkeel_waits_total{service=\"web\"} 20")
    };
    eventually("all of them wait", waits);
    well.store(true, Ordering::Relaxed);
    for thread in waiting {
        assert_eq!(thread.join().unwrap().body, "at last");
    }
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    let backend = Backend::start(move |request, stream| {
        if request.line.contains("/hold") {
            count.fetch_add(1, Ordering::Relaxed);
            // Until the balancer hangs up.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
            let gone = stream.read(&mut [0]);
            count.fetch_sub(1, Ordering::Relaxed);
            return gone.is_err();
        }
        answer(stream, "200 OK", "ok")
    });
    let balancer = in_front_of(&[&backend], "");
    let mut client = TcpStream::connect(balancer.address).unwrap();
    client.write_all(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    eventually("the backend holds it", || held.load(Ordering::Relaxed) == 1);
    drop(client);
    eventually("the backend is free again", || held.load(Ordering::Relaxed) == 0);
}

#[test]
fn services_are_chosen_by_host_and_by_the_longest_path() {
    let [any, shop, api, wild] = ["any", "shop", "api", "wild"].map(Backend::saying);
    let services = [
        ("any", "*", "/", &any),
        ("shop", "shop.example", "/", &shop),
        ("api", "shop.example", "/api", &api),
        ("wild", "*.example", "/", &wild),
    ];
    let config: String = services
        .iter()
        .map(|(name, host, path, backend)| {
            format!(
                "[[service]]\nname = \"{name}\"\nhost = \"{host}\"\npath = \"{path}\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
                backend.address
            )
        })
        .collect();
    let balancer = Rig::new().config(&config).up();
    let cases = [
        ("other", "/", "any"),
        ("shop.example", "/", "shop"),
        ("SHOP.example:8080", "/apis", "shop"),
        ("shop.example", "/api", "api"),
        ("shop.example", "/api/x?y", "api"),
        ("a.example", "/api", "wild"),
        ("example", "/", "any"),
    ];
    for (host, path, expected) in cases {
        let answer =
            request(&balancer, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert_eq!(answer.body, expected, "{host}{path}");
    }
}

#[test]
fn keys_stick_to_their_replica() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::saying);
    let rules = [
        ("header:x-user", "GET / HTTP/1.1\r\nX-User: KEY\r\n"),
        ("cookie:session", "GET / HTTP/1.1\r\nCookie: a=b; session=KEY\r\n"),
        ("query:user", "GET /?user=KEY HTTP/1.1\r\n"),
        ("path", "GET /KEY HTTP/1.1\r\n"),
    ];
    for (rule, head) in rules {
        let balancer = in_front_of(&[&a, &b, &c], &format!("key = \"{rule}\""));
        let place = |key: u32| {
            let head = head.replace("KEY", &key.to_string());
            request(&balancer, &format!("{head}Host: h\r\nConnection: close\r\n\r\n")).body
        };
        let places: Vec<String> = (0..30).map(place).collect();
        assert_eq!((0..30).map(place).collect::<Vec<_>>(), places, "{rule}");
        for backend in ["a", "b", "c"] {
            assert!(places.iter().any(|place| place == backend), "{rule}: nothing for {backend}");
        }
    }
}

#[test]
fn what_is_no_request_for_us_is_refused() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&[&backend], "host = \"only.example\"");
    assert_eq!(balancer.get("/").status, 404);
    assert_eq!(
        request(&balancer, "TRACE / HTTP/1.1\r\nHost: only.example\r\nConnection: close\r\n\r\n").status,
        405
    );
    assert_eq!(request(&balancer, "what is this\r\n\r\n").status, 400);
    let two_hosts = "GET / HTTP/1.1\r\nHost: only.example\r\nHost: other\r\nConnection: close\r\n\r\n";
    assert_eq!(request(&balancer, two_hosts).status, 400);
    assert!(backend.received().is_empty());
}

#[test]
fn a_replica_whose_answer_is_no_http_is_named_with_the_rule_that_it_breaks() {
    let backend = Backend::start(|request, stream| {
        let answer = match &request.line {
            line if line.contains("/status") => "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let balancer = in_front_of(&[&backend], "");
    for path in ["/status", "/status", "/lengths"] {
        assert_eq!(balancer.get(path).status, 502);
    }
    let said = balancer.says(|line| line.contains("was not valid HTTP")).unwrap();
    for part in ["web", "replica=web_1", "the status line is malformed"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    balancer.signal("-TERM");
    let (_, rest) = balancer.ended();
    assert!(!rest.contains("was not valid HTTP"), "once a minute: {rest}");
}
