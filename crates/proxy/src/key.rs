//! The key rules: what of a request decides where it goes.

use std::net::SocketAddr;

use hyper::header::{COOKIE, HeaderName};
use hyper::http::request::Parts;
use placement::Key;

/// What a service's requests are placed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// A new draw for each request.
    Random,
    /// The path, without the query.
    Path,
    /// The client's address, without the port.
    ClientIp,
    /// The value of this header.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(String),
    /// The value of this query parameter, as it is written in the query.
    Query(String),
}

impl KeyRule {
    /// The key of a request. One that lacks what the rule asks for gets a random key: it goes
    /// somewhere, and not always to the same overloaded place.
    pub(crate) fn key(&self, head: &Parts, peer: SocketAddr) -> Key {
        let found = match self {
            Self::Random => None,
            Self::Path => Some(Key::of(head.uri.path().as_bytes())),
            Self::ClientIp => Some(match peer.ip().to_canonical() {
                std::net::IpAddr::V4(address) => Key::of(&address.octets()),
                std::net::IpAddr::V6(address) => Key::of(&address.octets()),
            }),
            Self::Header(name) => head.headers.get(name).map(|value| Key::of(value.as_bytes())),
            Self::Cookie(name) => cookie(head, name).map(Key::of),
            Self::Query(name) => query(head, name).map(|value| Key::of(value.as_bytes())),
        };
        found.unwrap_or_else(|| Key::from_number(fastrand::u64(..)))
    }
}

fn cookie<'a>(head: &'a Parts, name: &str) -> Option<&'a [u8]> {
    let pairs =
        head.headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let value = |pair: &'a [u8]| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    pairs.filter_map(value).next()
}

fn query<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let value = |pair: &'a str| match pair.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name).then_some(""),
    };
    head.uri.query()?.split('&').find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn key(rule: &KeyRule, request: hyper::http::request::Builder) -> Key {
        let (head, ()) = request.body(()).unwrap().into_parts();
        rule.key(&head, "10.1.2.3:4567".parse().unwrap())
    }

    #[test]
    fn each_rule_looks_at_its_own_part_of_the_request() {
        let request = || {
            Request::get("http://h/a/b?user=7&x=1")
                .header("x-user", "alice")
                .header("cookie", "theme=dark; session=s9")
        };
        let cases = [
            (KeyRule::Path, Key::of(b"/a/b")),
            (KeyRule::ClientIp, Key::of(&[10, 1, 2, 3])),
            (KeyRule::Header(HeaderName::from_static("x-user")), Key::of(b"alice")),
            (KeyRule::Cookie("session".into()), Key::of(b"s9")),
            (KeyRule::Query("user".into()), Key::of(b"7")),
        ];
        for (rule, expected) in cases {
            assert_eq!(key(&rule, request()), expected, "{rule:?}");
        }
    }

    #[test]
    fn a_request_without_the_part_gets_a_new_key_each_time() {
        for rule in [KeyRule::Random, KeyRule::Cookie("session".into()), KeyRule::Query("user".into())] {
            assert_ne!(key(&rule, Request::get("/")), key(&rule, Request::get("/")), "{rule:?}");
        }
    }
}
