//! Another service that is asked whether requests may pass: what it hears, what its word does, and that without a clear
//! word nothing passes.

use std::io::Write;
use std::time::Duration;

use crate::rig::backend::{Backend, answer};
use crate::rig::client::Talk;
use crate::rig::{Balancer, Rig};
use crate::{both, named, service, values};

/// Longer than what is kept of an answer.
const LONG: usize = 200_000;

/// Knows who somebody is by a cookie, and answers what that says.
fn judge() -> Backend {
    Backend::start(|request, stream| {
        let cookie = request.header("cookie").concat();
        let say = |stream: &mut std::net::TcpStream, head: &str, body: &str| {
            let length = body.len();
            write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}").is_ok()
        };
        match cookie.strip_prefix("who=").unwrap_or_default() {
            "alice" => {
                let fields = "X-User: alice\r\nX-Groups: a\r\nX-Groups: b\r\nX-Secret: s\r\nX-Forwarded-User: alice@example";
                say(stream, &format!("200 OK\r\n{fields}"), "fine")
            }
            "nobody" => say(stream, "204 No Content", ""),
            "long" => say(stream, "200 OK\r\nX-User: long", &"x".repeat(LONG)),
            "401" => say(
                stream,
                "401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nKeep-Alive: 5\r\nX-Why: none",
                "who are you?",
            ),
            "403" => answer(stream, "403 Forbidden", "not you"),
            "403 long" => say(stream, "403 Forbidden", &"x".repeat(LONG)),
            "cut" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-User: cut\r\nContent-Length: 9\r\n\r\n");
                false
            }
            "silent" => {
                std::thread::sleep(Duration::from_secs(3));
                false
            }
            "" => say(stream, "302 Found\r\nLocation: https://login.example/?to=x\r\nSet-Cookie: s=1", ""),
            status => answer(stream, status, "an error"),
        }
    })
}

/// A service whose requests are judged by another one.
fn judged(web: &Backend, judge: &Backend, tables: &str) -> Balancer {
    let asks = "[service.forward_auth]\nservice = \"judge\"\npath = \"/verify?by=cookie\"\n\
                copy = [\"X-User\", \"x-groups\", \"X-Forwarded-User\"]\ntimeout = \"500ms\"\n";
    let web = service("web", &format!("retries = 0\n{asks}{tables}"), web);
    let judge = service("judge", "internal = true\nretries = 0\n", judge);
    Rig::new().config(&format!("trusted_proxies = [\"127.0.0.1\"]\n{web}{judge}")).up()
}

#[test]
fn who_is_let_pass_is_known_to_replicas_by_what_was_said_and_by_nothing_else() {
    let (web, judge) = (named("web"), judge());
    let balancer = judged(&web, &judge, "");
    let claims = [
        ("Cookie", "who=alice"),
        ("X-User", "root"),
        ("X_User", "root"),
        ("x-groups", "root"),
        ("X-Forwarded-User", "root"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-Method", "HEAD"),
        ("X-Mine", "1"),
        ("Range", "bytes=0-1"),
    ];
    for (version, answer) in both(balancer.address, "//a/./b?c=d", &claims) {
        assert_eq!((answer.status, &*answer.body), (200, "web /a/b?c=d"), "HTTP/{version}");
    }
    let asked = judge.received();
    assert_eq!(asked.len(), 2, "one question each");
    for question in &asked {
        assert_eq!(question.line, "GET /verify?by=cookie HTTP/1.1");
        for (name, value) in [
            ("host", "h"),
            ("cookie", "who=alice"),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/a/b?c=d"),
            ("x-forwarded-host", "h"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-mine", "1"),
        ] {
            assert_eq!(question.header(name), [value], "{name}");
        }
        assert!(question.header("range").is_empty());
        for name in ["x-user", "x_user", "x-groups", "x-forwarded-user"] {
            assert!(question.header(name).is_empty(), "nobody has said {name} yet");
        }
    }
    for request in &web.received() {
        assert_eq!(request.header("x-user"), ["alice"]);
        assert_eq!(request.header("x-groups"), ["a", "b"]);
        assert_eq!(request.header("x-forwarded-user"), ["alice@example"]);
        assert!(request.header("x_user").is_empty() && request.header("x-secret").is_empty());
        assert_eq!(request.header("range"), ["bytes=0-1"]);
    }
    for (version, answer) in both(balancer.address, "/", &[("Cookie", "who=nobody"), ("X-User", "root")]) {
        assert_eq!(answer.status, 200, "HTTP/{version}");
    }
    assert!(web.received()[2..].iter().all(|request| request.header("x-user").is_empty()));
    for (version, answer) in both(balancer.address, "/", &[("Cookie", "who=long")]) {
        assert_eq!(answer.status, 200, "HTTP/{version}: its body is nobody's");
    }
    let said =
        String::from_utf8_lossy(&balancer.command(&["explain", "--service", "web"]).stdout).into_owned();
    assert!(said.contains("forward_auth: asks service 'judge' for /verify?by=cookie"), "{said}");
}

#[test]
fn who_is_not_let_pass_gets_what_was_said() {
    let (web, judge) = (named("web"), judge());
    let balancer = judged(&web, &judge, "");
    for (version, answer) in both(balancer.address, "/", &[]) {
        assert_eq!(answer.status, 302, "HTTP/{version}");
        assert_eq!(values(&answer, "location"), ["https://login.example/?to=x"]);
        assert_eq!(values(&answer, "set-cookie"), ["s=1"]);
    }
    for (version, answer) in both(balancer.address, "/", &[("Cookie", "who=401")]) {
        assert_eq!((answer.status, &*answer.body), (401, "who are you?"), "HTTP/{version}");
        assert_eq!([values(&answer, "www-authenticate"), values(&answer, "x-why")], [["Bearer"], ["none"]]);
        assert!(values(&answer, "keep-alive").is_empty(), "that is about the other connection");
    }
    for (version, answer) in both(balancer.address, "/", &[("Cookie", "who=403")]) {
        assert_eq!((answer.status, &*answer.body), (403, "not you"), "HTTP/{version}");
    }
    assert!(web.received().is_empty());
    let name = "evenkeel_policies_total{service=\"web\",policy=\"forward_auth\",outcome=\"refused\"}";
    assert_eq!(balancer.figure(name), 6);
    let name = "evenkeel_responses_total{service=\"judge\",class=\"4xx\"}";
    assert_eq!(balancer.figure(name), 4);
}

#[test]
fn without_a_clear_word_nothing_passes() {
    let (web, judge) = (named("web"), judge());
    let balancer = judged(&web, &judge, "");
    let mut unanswered = 0;
    // After some errors its replica is not trusted, and its answers are others.
    for (who, statuses) in [
        ("304 Not Modified", [502, 502]),
        ("400 Bad Request", [502, 502]),
        ("404 Not Found", [502, 502]),
        ("403 long", [502, 502]),
        ("cut", [502, 503]),
        ("500 Internal Server Error", [502, 503]),
        ("503 Service Unavailable", [502, 503]),
        ("silent", [503, 503]),
    ] {
        let cookie = format!("who={who}");
        for (version, answer) in both(balancer.address, "/", &[("Cookie", &cookie)]) {
            assert!(statuses.contains(&answer.status), "{who} over HTTP/{version}: {answer:?}");
            assert!(answer.body.contains("could not be found out"), "{answer:?}");
            unanswered += 1;
        }
    }
    assert!(web.received().is_empty());
    let name = "evenkeel_policies_total{service=\"web\",policy=\"forward_auth\",outcome=\"unanswered\"}";
    assert_eq!(balancer.figure(name), unanswered);
}

#[test]
fn a_service_that_is_not_there_lets_nobody_pass_and_no_client_comes_to_an_internal_one() {
    let (web, judge) = (named("web"), judge());
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asks = |of: &str| format!("[service.forward_auth]\nservice = \"{of}\"\ntimeout = \"300ms\"\n");
    let shop = service("shop", &format!("path = \"/shop\"\n{}", asks("judge")), &web);
    let wiki = service("wiki", &format!("path = \"/wiki\"\n{}", asks("dead")), &web);
    let judge = service("judge", "internal = true\n", &judge);
    let dead = format!(
        "[[service]]\nname = \"dead\"\ninternal = true\ndriver = \"static\"\naddresses = [\"{dead}\"]\n"
    );
    let balancer = Rig::new().config(&format!("{shop}{wiki}{judge}{dead}")).early().up();
    let statuses = |path: &str| {
        both(balancer.address, path, &[("Cookie", "who=alice")]).map(|(_, answer)| answer.status)
    };
    crate::rig::eventually("they are up", || statuses("/shop") == [200; 2]);
    assert_eq!([statuses("/wiki"), statuses("/"), statuses("/judge")], [[503; 2], [404; 2], [404; 2]]);
    assert!(web.received().iter().all(|request| request.line.contains("/shop")));
}

#[test]
fn some_paths_ask_others_or_nobody_and_bodies_are_not_touched() {
    let (web, judge) = (named("web"), judge());
    let tables = "[[service.location]]\npath = \"/open\"\npublic = true\n[[service.location]]\npath = \"/api\"\n\
                  [service.location.forward_auth]\nservice = \"judge\"\npath = \"/tokens\"\n";
    let balancer = judged(&web, &judge, tables);
    for (path, status) in [("/open", 200), ("/open/../x", 302), ("/api", 302), ("/x", 302)] {
        for (version, answer) in both(balancer.address, path, &[]) {
            assert_eq!(answer.status, status, "{path} over HTTP/{version}");
        }
    }
    let asked = |path: &str| judge.received().iter().filter(|question| question.line.contains(path)).count();
    assert_eq!([asked("/tokens"), asked("/verify")], [2, 4]);
    let mut talk = Talk::to(balancer.address);
    for (who, status) in [("alice", 200), ("403", 403), ("alice", 200)] {
        talk.say(format!(
            "POST /x HTTP/1.1\r\nHost: h\r\nCookie: who={who}\r\nContent-Length: 5\r\n\r\nhello"
        ));
        assert_eq!(talk.answer().status, status, "{who}");
    }
    let bodies = web.received();
    assert!(bodies[bodies.len() - 2..].iter().all(|request| request.header("content-length") == ["5"]));
    assert!(judge.received().iter().all(|question| question.header("content-length").is_empty()));
}

/// Where nobody is asked, nobody is anybody.
#[test]
fn what_is_copied_is_nobodys_to_write_on_open_paths_either() {
    let (web, judge) = (named("web"), judge());
    let balancer = judged(&web, &judge, "[[service.location]]\npath = \"/open\"\npublic = true\n");
    let claims = [("X-User", "root"), ("X_Groups", "root"), ("X-Forwarded-User", "root"), ("X-Mine", "1")];
    for (version, answer) in both(balancer.address, "/open/x", &claims) {
        assert_eq!(answer.status, 200, "HTTP/{version}");
    }
    assert!(judge.received().is_empty());
    for request in &web.received() {
        for name in ["x-user", "x_groups", "x-groups", "x-forwarded-user"] {
            assert!(request.header(name).is_empty(), "{name}: {request:?}");
        }
        assert_eq!(request.header("x-mine"), ["1"]);
    }
}

/// The same where one location alone asks, and all others do not.
#[test]
fn what_is_copied_for_one_path_is_nobodys_to_write_for_others() {
    let (web, judge) = (named("web"), judge());
    let asks = "[[service.location]]\npath = \"/in\"\n[service.location.forward_auth]\nservice = \"judge\"\n\
                copy = [\"X-User\"]\n";
    let config = format!("{}{}", service("web", asks, &web), service("judge", "internal = true\n", &judge));
    let balancer = Rig::new().config(&config).up();
    for (version, answer) in both(balancer.address, "/out", &[("X-User", "root"), ("Cookie", "who=alice")]) {
        assert_eq!(answer.status, 200, "HTTP/{version}");
    }
    assert!(web.received().iter().all(|request| request.header("x-user").is_empty()));
}
