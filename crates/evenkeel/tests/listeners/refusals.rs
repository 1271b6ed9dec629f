//! What the log and the metrics say of requests that nobody was asked about, and of whom it says that they were.

use std::path::Path;

use serde_json::Value;

use crate::rig::backend::Backend;
use crate::rig::client::raw;
use crate::rig::{Rig, eventually};
use crate::{in_front_of, lines_of};

/// The lines of a log in which requests with this target are, as far as they are there.
fn told(file: &Path, target: &str) -> Vec<Value> {
    let lines = lines_of(file).into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["target"].as_str().unwrap().starts_with(target)).collect()
}

#[test]
fn what_is_refused_has_a_line_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let backend = Backend::saying("ok");
    let config = format!(
        "[access_log]\nto = \"{}\"\n[[service]]\nname = \"web\"\nhost = \"h\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
        file.display(),
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    let long = format!("GET /long?{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(20_000));
    let large = format!("GET /large HTTP/1.1\r\nHost: h\r\nX-A: {}\r\n\r\n", "a".repeat(70_000));
    let cases: [(&str, &str, u16, &str, &str); 10] = [
        ("GET /host HTTP/1.1\r\n\r\n", "/host", 400, "host", "Host"),
        ("GET /\x01\r\n\r\n", "/\u{1}", 400, "malformed", "control character"),
        ("GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", "/#a", 400, "target", "target is malformed"),
        (&long, "/long?aaa", 414, "target_too_long", "too long"),
        (&large, "/large", 431, "head_too_large", "head is too large"),
        ("GET /a/%2f HTTP/1.1\r\nHost: h\r\n\r\n", "/a/%2f", 400, "odd_path", ""),
        (
            "GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "/nobody",
            404,
            "no_service",
            "no service",
        ),
        ("TRACE /trace HTTP/1.1\r\nHost: h\r\n\r\n", "/trace", 405, "method", "not forwarded"),
        (
            "POST /code HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "/code",
            400,
            "length",
            "chunked",
        ),
        ("\u{16}\u{3}\u{1} x\r\n", "\u{16}", 400, "malformed", ""),
    ];
    for (ask, target, status, reason, words) in cases {
        let figure = format!("evenkeel_refused_requests_total{{reason=\"{reason}\"}}");
        let before = balancer.figure(&figure);
        assert_eq!(raw(balancer.address, ask.as_bytes()).unwrap().status, status, "{target}");
        assert_eq!(balancer.figure(&figure), before + 1, "{reason}");
        eventually("it has a line", || told(&file, target).len() == 1);
        let line = told(&file, target).remove(0);
        assert_eq!(line["status"], status, "{line}");
        assert!(line["failure"].as_str().unwrap().contains(words), "{line}");
        assert_eq!(line["client"], "127.0.0.1");
    }
    assert_eq!(balancer.get("/fine").status, 404, "no host is meant by it");
    raw(balancer.address, b"GET /good HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    eventually("what is fine is there, too", || told(&file, "/good").len() == 1);
    assert_eq!(told(&file, "/good")[0]["failure"], Value::Null);
}

#[test]
fn behind_a_trusted_proxy_the_client_is_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let backend = Backend::saying("ok");
    let lines = format!("[access_log]\nto = \"{}\"\n[limits]\n", file.display());
    let lines = format!("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n{lines}");
    let balancer = in_front_of(&backend, &lines);
    let ask = |path: &str, fields: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n");
        raw(balancer.address, text.as_bytes()).unwrap();
        eventually("it has a line", || told(&file, path).len() == 1);
        let line = told(&file, path).remove(0);
        let got = backend.received().into_iter().find(|got| got.line.contains(path)).unwrap();
        assert_eq!(got.header("x-real-ip"), [line["client"].as_str().unwrap()], "{line}");
        assert_eq!(line["peer"], "127.0.0.1");
        line
    };
    let line = ask("/chain", "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.9.9.9\r\n");
    assert_eq!((&line["client"], &line["client_port"]), (&"192.0.2.7".into(), &Value::Null));
    let line = ask("/direct", "");
    assert_eq!(line["client"], "127.0.0.1");
    assert!(line["client_port"].is_u64(), "{line}");
}
