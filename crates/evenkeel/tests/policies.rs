//! What operators have requests go through, through the real program and over both versions of HTTP: redirects,
//! headers, whom a request is for by host, path and listener, and what keeps it from replicas: networks, rates
//! and sizes of bodies. Right, wrong and hostile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

#[allow(dead_code, reason = "this file needs a client")]
#[path = "http2/speak.rs"]
mod speak;

mod policies {
    mod bodies;
    mod canary;
    mod compression;
    mod files;
    mod forward_auth;
    mod headers;
    mod mirror;
    mod networks;
    mod pages;
    mod passwords;
    mod rates;
    mod redirects;
    mod rewrite;
    mod routes;
}

use std::net::SocketAddr;

use rig::backend::{Backend, answer};
use rig::client::{Answer, raw};

/// A backend that says its name and the path that it got.
fn named(name: &'static str) -> Backend {
    Backend::start(move |request, stream| {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        answer(stream, "200 OK", &format!("{name} {path}"))
    })
}

/// A static service in front of a backend.
fn service(name: &str, lines: &str, backend: &Backend) -> String {
    // Its tables come last.
    let (keys, tables) =
        lines.split_at(lines.find('[').filter(|at| lines[..*at].ends_with('\n')).unwrap_or(lines.len()));
    let address = backend.address;
    format!(
        "[[service]]\nname = \"{name}\"\ndriver = \"static\"\naddresses = [\"{address}\"]\n{keys}\n{tables}\n"
    )
}

/// One GET over HTTP/1.1, for this host.
fn ask(address: SocketAddr, host: &str, target: &str) -> Answer {
    let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    raw(address, text.as_bytes()).unwrap_or_else(|error| panic!("{host} {target}: {error}"))
}

/// The same over HTTP/2.
fn ask_http2(address: SocketAddr, host: &str, target: &str) -> Answer {
    told_http2(address, http::Request::get(format!("http://{host}{target}")).body(()).unwrap())
}

fn told_http2(address: SocketAddr, request: http::Request<()>) -> Answer {
    let answered = speak::run(async { speak::Client::to(address).await.ask(request).await.unwrap() });
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = answered.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = String::from_utf8_lossy(&answered.body).into_owned();
    Answer { status: answered.status, headers, body }
}

/// One GET over HTTP/1.1 with these headers.
fn ask_with(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n");
    raw(address, text.as_bytes()).unwrap_or_else(|error| panic!("{target}: {error}"))
}

/// The same over both versions, the older one first.
fn both(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> [(&'static str, Answer); 2] {
    let mut request = http::Request::get(format!("http://h{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    [("1.1", ask_with(address, target, headers)), ("2", told_http2(address, request.body(()).unwrap()))]
}

/// All values of a header.
fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}
