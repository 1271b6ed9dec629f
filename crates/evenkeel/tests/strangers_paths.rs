//! What strangers write into paths and fields: no spelling of a path leads round a rule about paths, and
//! nobody who is not trusted speaks for a proxy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use rig::Rig;
use rig::backend::{Backend, answer};
use rig::client::{Talk, send};

/// A backend that says its name and the path that it got.
fn named(name: &'static str) -> Backend {
    Backend::start(move |request, stream| {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        answer(stream, "200 OK", &format!("{name} {path}"))
    })
}

fn config(services: &[(&str, &str, &Backend)], top: &str) -> String {
    let mut text = top.to_owned();
    for (name, lines, backend) in services {
        text += &format!(
            "[[service]]\nname = \"{name}\"\n{lines}\ndriver = \"static\"\naddresses = [\"{}\"]\n",
            backend.address
        );
    }
    text
}

#[test]
fn no_spelling_of_a_path_leads_round_a_rule() {
    let (open, admin, raw) = (named("open"), named("admin"), named("raw"));
    let services = [
        ("open", "path = \"/\"", &open),
        ("admin", "path = \"/admin\"", &admin),
        ("raw", "path = \"/raw\"\npath_form = \"as-sent\"", &raw),
    ];
    let balancer = Rig::new().config(&config(&services, "")).up();
    let ask = |path: &str| {
        let answer = send(balancer.address, "GET", path, "");
        (answer.status, answer.body)
    };
    for path in
        ["/admin", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/x/%2e%2e/admin", "/raw/../admin"]
    {
        assert_eq!(ask(path), (200, "admin /admin".to_owned()), "{path}");
    }
    assert_eq!(ask("/admin/%2e%2e/open"), (200, "open /open".to_owned()));
    assert_eq!(ask("/a//b?c=//d"), (200, "open /a/b?c=//d".to_owned()));
    assert_eq!(ask("/raw/a%2Fb//c"), (200, "raw /raw/a%2Fb//c".to_owned()));
    for path in
        ["/admin%2fx", "/x%2f..%2fadmin", "/..;/admin", "/admin;a=b/x", "/raw/..%2fadmin", "/%c0%afadmin"]
    {
        let (status, body) = ask(path);
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body.contains("the path "), "{path}: {body}");
    }
    let received = open.received().into_iter().chain(raw.received());
    let astray: Vec<String> = received.map(|one| one.line).filter(|line| line.contains("admin")).collect();
    assert!(astray.is_empty(), "{astray:?}");
}

/// Fields that say who the client is, or how it came: nobody but a trusted proxy may.
const FAMILY: [&str; 16] = [
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Anything-New",
    "X-Real-Port",
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-Client-Cert",
    "X-SSL-Client-Verify",
    "Client-Cert",
    "X-Client-IP",
    "True-Client-IP",
    "Forwarded",
];

#[test]
fn strangers_do_not_speak_for_a_proxy_and_trusted_ones_do() {
    for (top, is_trusted) in [("", false), ("trusted_proxies = [\"127.0.0.1\"]\n", true)] {
        let backend = named("web");
        let balancer = Rig::new().config(&config(&[("web", "", &backend)], top)).up();
        let mut head = "GET / HTTP/1.1\r\nHost: h\r\nProxy: http://evil\r\nX-Kept: 1\r\n".to_owned();
        for name in FAMILY {
            head += &format!("{name}: evil\r\n");
        }
        let mut talk = Talk::to(balancer.address);
        talk.say(head + "\r\n");
        assert_eq!(talk.answer().status, 200);
        let received = backend.received();
        let got = received.last().unwrap();
        for name in FAMILY {
            let values = got.header(&name.to_ascii_lowercase());
            let expected: &[&str] = if is_trusted { &["evil"] } else { &[] };
            assert_eq!(values, expected, "{name}, trusted: {is_trusted}");
        }
        assert_eq!(got.header("proxy"), [""; 0]);
        assert_eq!(got.header("x-kept"), ["1"]);
    }
}
