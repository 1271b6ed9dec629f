//! Heads of requests, read and refused.

use super::*;
use crate::HeadEnd;

fn parse(text: &str) -> Result<RequestHead, BadHead> {
    let limits = HeadLimits::default();
    let end = HeadEnd::default().find(text.as_bytes(), &limits)?.expect("the head is whole");
    let mut head = RequestHead::default();
    head.parse(&text.as_bytes()[..end], &limits)?;
    Ok(head)
}

fn fault(text: &str) -> Option<BadHead> {
    parse(text).err()
}

#[test]
fn request_lines() {
    for line in [
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        "GET",
        "GET / HTTP/11",
        "GET / http/1.1",
    ] {
        assert_eq!(fault(&format!("{line}\r\nHost: h\r\n\r\n")), Some(BadHead::RequestLine), "{line}");
    }
    assert_eq!(fault("G(T / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::RequestLine));
    assert_eq!(fault("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), Some(BadHead::Version));
    assert_eq!(fault("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::ControlCharacter));
    assert_eq!(fault("GET /\rHTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::ControlCharacter));
    let head = parse("get /a?b HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(
        (head.method(), head.method_name(), head.version()),
        (Method::Other, &b"get"[..], Version::Http10)
    );
}

#[test]
fn hosts_are_one_and_agree() {
    let with = |target: &str, hosts: &str| fault(&format!("GET {target} HTTP/1.1\r\n{hosts}\r\n"));
    assert_eq!(with("/", "Host: h\r\n"), None);
    assert_eq!(with("/", "Host:\r\n"), None);
    assert_eq!(with("/", ""), Some(BadHead::Host));
    assert_eq!(with("/", "Host: h\r\nHost: h\r\n"), Some(BadHead::Host));
    assert_eq!(with("/", "Host: a b\r\n"), Some(BadHead::Host));
    assert_eq!(with("http://h:80/", "Host: H:80\r\n"), None);
    assert_eq!(with("http://h:80/", "Host: h\r\n"), None);
    assert_eq!(with("https://h:443/", "Host: h\r\n"), None);
    assert_eq!(with("https://h:80/", "Host: h\r\n"), Some(BadHead::HostDisagrees));
    assert_eq!(with("http://h:81/", "Host: h\r\n"), Some(BadHead::HostDisagrees));
}

#[test]
fn absolute_targets_become_origin_form() {
    let cases = [
        ("GET http://h", "/"),
        ("GET http://h?a", "/?a"),
        ("GET http://h/b?c", "/b?c"),
        ("OPTIONS http://h", "*"),
        ("OPTIONS *", "*"),
    ];
    for (line, origin) in cases {
        let head = parse(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
        let mut out = Vec::new();
        head.write_origin(&mut out);
        assert_eq!(out, origin.as_bytes());
    }
}

#[test]
fn a_path_is_replaced_and_nothing_else() {
    for (target, origin) in
        [("/a//b?c=//d", "/new?c=//d"), ("/a", "/new"), ("http://h/a?b", "/new?b"), ("http://h?b", "/new?b")]
    {
        let mut head = parse(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
        head.replace_path(b"/new");
        let mut out = Vec::new();
        head.write_origin(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), origin, "{target}");
        assert_eq!(
            (head.path(), head.method_name(), head.host()),
            (&b"/new"[..], &b"GET"[..], Some(&b"h"[..]))
        );
    }
}

#[test]
fn what_is_routed_is_what_is_written() {
    let cases = [
        ("OPTIONS *", "*"),
        ("OPTIONS http://h", "*"),
        ("OPTIONS http://h/", "/"),
        ("OPTIONS http://h?a", "/?a"),
        ("GET http://h", "/"),
        ("GET //b?", "//b?"),
    ];
    for (start, expected) in cases {
        let head = parse(&format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
        let mut written = Vec::new();
        head.write_origin(&mut written);
        let query = head.query().map_or(Vec::new(), |query| [b"?", query].concat());
        assert_eq!(written, expected.as_bytes(), "{start}");
        assert_eq!(written, [head.path(), &query].concat(), "{start}");
    }
}

#[test]
fn an_empty_line_before_a_request_is_passed_over_and_no_second_one() {
    assert_eq!(parse("\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().path(), b"/a");
    assert_eq!(fault("\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::RequestLine));
}

#[test]
fn a_head_that_failed_can_be_asked_and_holds_nothing_of_the_one_before() {
    let limits = HeadLimits::default();
    let wrong = [
        "GET /a/longer/path/than/before?q HTTP/1.1\r\nHost h\r\n\r\n",
        "GET http://longer.than.before HTTP/1.1\r\n\0\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    for text in wrong {
        let mut head = parse("POST /old HTTP/1.1\r\nHost: old\r\n\r\n").unwrap();
        assert!(head.parse(text.as_bytes(), &limits).is_err());
        let (host, mut origin) = (head.host(), Vec::new());
        head.write_origin(&mut origin);
        for part in [head.method_name(), head.path(), host.unwrap_or_default(), &origin] {
            assert!(!part.ends_with(b"old") && part != b"POST", "{text:?}");
        }
        assert_eq!(head.query().unwrap_or(b"q"), b"q");
    }
    let mut head = parse("GET /old HTTP/1.1\r\nHost: old\r\n\r\n").unwrap();
    assert!(head.start(b"GET", b"x", None).is_err());
    assert_eq!((head.path(), head.host()), (&b"/"[..], None));
}

#[test]
fn a_connection_field_that_would_take_long_to_search_is_refused() {
    let with = |names: &str| fault(&format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {names}\r\n\r\n"));
    assert_eq!(with(&"a,".repeat(500)), None);
    assert_eq!(with(&"a,".repeat(600)), Some(BadHead::TooLarge));
    let twice = format!("{0}\r\nConnection: {0}", "a".repeat(600));
    assert_eq!(with(&twice), Some(BadHead::TooLarge));
}

#[test]
fn connections_are_kept_as_versions_say() {
    let keeps = |version: &str, option: &str| {
        parse(&format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: {option}\r\n\r\n"))
            .unwrap()
            .keeps_alive()
    };
    assert!(keeps("1.1", "x") && !keeps("1.1", "x, CLOSE") && !keeps("1.1", "keep-alive, close"));
    assert!(!keeps("1.0", "x") && keeps("1.0", "Keep-Alive"));
}

#[test]
fn upgrades_are_asked_for_twice_and_never_to_http_2() {
    let wants = |lines: &str| {
        let head = parse(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).unwrap();
        String::from_utf8(head.upgrades().collect::<Vec<_>>().join(&b' ')).unwrap()
    };
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: websocket\r\n"), "websocket");
    assert_eq!(wants("Upgrade: websocket\r\n"), "");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: h2c\r\n"), "");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: websocket, foo\r\n"), "websocket foo");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: H2C, websocket,,h2\r\n"), "websocket");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n"), "a b");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n"), "TLS/1.3");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: a/b c\r\n"), "");
    assert_eq!(wants("Connection: Upgrade\r\nUpgrade: a/b/c, d\r\n"), "d");
}

#[test]
fn what_is_no_head_can_be_shown() {
    let sketch = |bytes: &[u8]| {
        let mut head = RequestHead::default();
        head.sketch(bytes, &HeadLimits { request_line_max: 20, ..HeadLimits::default() });
        let mut target = Vec::new();
        head.write_origin(&mut target);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(head.method_name()), text(&target), head.version())
    };
    let is = |method: &str, target: &str, version| (method.to_owned(), target.to_owned(), version);
    assert_eq!(sketch(b"HEAD /a HTTP/1.0\r\nHost: a b\r\n"), is("HEAD", "/a", Version::Http10));
    assert_eq!(sketch(b"\r\nGET  /#x HTTP/1.1"), is("GET", "/#x", Version::Http11));
    assert_eq!(sketch(b"GET /a b HTTP/3"), is("GET", "/a b HTTP/3", Version::Http11));
    assert_eq!(
        sketch(b"GET /123456789012345678901234567890"),
        is("GET", "/123456789012345", Version::Http11)
    );
    assert_eq!(sketch(b"\x16\x03\x01 x\n"), is("", "\x16\x03\x01 x", Version::Http11));
    assert_eq!(sketch(b""), is("", "/", Version::Http11));
}
