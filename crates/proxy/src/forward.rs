//! Heads on their way through: what concerns one connection only is taken off, what the next one
//! must know is put on. Paths, queries and bodies are not touched.

use std::net::SocketAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Uri, Version};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers about one connection. The coding of the body is one of them: it is chosen anew for the
/// next connection.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers of a request that are ours to write, or to leave out: the client's side has answered an
/// expectation already, and what stands in `Forwarded` anybody could have written.
const OURS: [HeaderName; 3] = [header::CONTENT_LENGTH, header::EXPECT, header::FORWARDED];

/// Headers that a `Connection` header cannot take off.
const PROTECTED: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
];

/// The client of a connection, with its address in the form that requests carry it.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    forwarded_for: HeaderValue,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let text = address.ip().to_canonical().to_string();
        let forwarded_for = HeaderValue::from_str(&text).expect("an address is made of visible characters");
        Self { address, forwarded_for }
    }
}

/// Makes a client's request head into the one that a replica gets. What the client claims about
/// whom it forwards for is replaced, not extended: anybody could write that.
pub(crate) fn prepare_request(head: &mut Parts, client: &Client) {
    let host = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let host = host.or_else(|| head.headers.get(header::HOST).cloned());
    head.uri = origin_form(&head.uri);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let headers = &mut head.headers;
    strip_hop_by_hop(headers);
    // The library writes a length for every body but an empty one, which some servers insist on.
    let is_empty_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    remove_all(headers, &OURS);
    if is_empty_body {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers.insert(X_FORWARDED_FOR, client.forwarded_for.clone());
    headers.insert(X_REAL_IP, client.forwarded_for.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match host {
        Some(host) => {
            headers.insert(header::HOST, host.clone());
            headers.insert(X_FORWARDED_HOST, host);
        }
        None => {
            headers.insert(header::HOST, HeaderValue::from_static("localhost"));
            headers.remove(X_FORWARDED_HOST);
        }
    }
}

/// Takes off what concerns only the connection that the head came on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    remove_all(headers, &HOP_BY_HOP);
}

// Most heads hold none of these, and to compare names costs less than to look for each by its hash.
fn remove_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    while let Some(name) = headers.keys().find(|name| names.contains(name)).cloned() {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    let tokens = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
    names.filter(|name| !PROTECTED.contains(name)).collect()
}

/// Path and query alone, byte for byte.
fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn prepared(request: hyper::http::request::Builder) -> Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        prepare_request(&mut head, &Client::new("10.1.2.3:99".parse().unwrap()));
        head
    }

    #[test]
    fn hop_by_hop_headers_go_and_so_do_those_that_connection_names() {
        let head = prepared(
            Request::get("/")
                .header("host", "h")
                .header("connection", "close, X-Private , host, x-forwarded-for")
                .header("x-private", "1")
                .header("keep-alive", "timeout=5")
                .header("upgrade", "websocket")
                .header("te", "trailers")
                .header("proxy-connection", "keep-alive")
                .header("x-kept", "2"),
        );
        let mut names: Vec<&str> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected =
            ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-kept", "x-real-ip"];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_a_client_claims_about_forwarding_is_replaced() {
        let head = prepared(
            Request::get("/")
                .header("host", "shop.example:8080")
                .header("x-forwarded-for", "6.6.6.6")
                .header("x-forwarded-for", "7.7.7.7")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "evil")
                .header("forwarded", "for=6.6.6.6"),
        );
        let all = |name: &str| -> Vec<&str> {
            head.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-forwarded-for"), ["10.1.2.3"]);
        assert_eq!(all("x-forwarded-proto"), ["http"]);
        assert_eq!(all("x-forwarded-host"), ["shop.example:8080"]);
        assert!(all("forwarded").is_empty());
    }

    #[test]
    fn path_and_query_stay_as_they_are() {
        for target in ["/", "/home?x=1", "/a//b/../c?q=%2F&&=", "/%zz"] {
            assert_eq!(prepared(Request::get(target)).uri.to_string(), target);
        }
        let absolute = prepared(Request::get("http://other.example/a?b").header("host", "h"));
        assert_eq!(
            (absolute.uri.to_string().as_str(), &absolute.headers["host"]),
            ("/a?b", &HeaderValue::from_static("other.example"))
        );
    }
}
