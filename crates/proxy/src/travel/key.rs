//! The key rules: what of a request decides where it goes.

use std::borrow::Cow;
use std::net::IpAddr;

use h1::RequestHead;
use http::HeaderName;
use placement::{Key, KeyHash};

use crate::travel::cookies;

/// What a service's requests are placed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// A new draw for each request.
    Random,
    /// The path, without the query.
    Path,
    /// The client's address as text, without the port.
    ClientIp,
    /// The value of this header.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(String),
    /// The value of this query parameter, as it is written in the query.
    Query(String),
}

impl KeyRule {
    /// The key of a request, hashed as its service's placement wants it, or nothing: one that lacks
    /// what the rule asks for is placed at random, as all are under [`KeyRule::Random`]. It goes
    /// somewhere, and not always to the same overloaded place.
    pub fn key(&self, head: &RequestHead, client: IpAddr, hash: KeyHash) -> Option<Key> {
        self.value(head, client).map(|value| hash.key(&value))
    }

    /// What of the request the key is made of.
    pub(crate) fn value<'a>(&'a self, head: &'a RequestHead, client: IpAddr) -> Option<Cow<'a, [u8]>> {
        let value = match self {
            Self::Random => return None,
            Self::ClientIp => return Some(client.to_canonical().to_string().into_bytes().into()),
            Self::Path => Some(head.path()),
            Self::Header(name) => head.fields().all_named(name.as_str().as_bytes()).next(),
            Self::Cookie(name) => cookies::values(head, name).next(),
            Self::Query(name) => query(head, name),
        };
        value.map(Cow::Borrowed)
    }
}

fn query<'a>(head: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    let value = |pair: &'a [u8]| match pair.strip_prefix(name.as_bytes())? {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    };
    head.query()?.split(|byte| *byte == b'&').find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rule: &KeyRule, head: &RequestHead) -> Option<Key> {
        rule.key(head, "10.1.2.3".parse().unwrap(), KeyHash::Xxh3)
    }

    fn request(target: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.start(b"GET", target.as_bytes(), None).unwrap();
        head
    }

    #[test]
    fn each_rule_looks_at_its_own_part_of_the_request() {
        let mut head = request("/a/b?users=6&user=7&x=1");
        head.push(b"X-User", b"alice");
        head.push(b"cookie", b"theme=dark; session=s9");
        let cases = [
            (KeyRule::Path, Key::of(b"/a/b")),
            (KeyRule::ClientIp, Key::of(b"10.1.2.3")),
            (KeyRule::Header(HeaderName::from_static("x-user")), Key::of(b"alice")),
            (KeyRule::Cookie("session".into()), Key::of(b"s9")),
            (KeyRule::Query("user".into()), Key::of(b"7")),
        ];
        for (rule, expected) in cases {
            assert_eq!(key(&rule, &head), Some(expected), "{rule:?}");
        }
    }

    #[test]
    fn a_request_without_the_part_has_no_key() {
        for rule in [KeyRule::Random, KeyRule::Cookie("session".into()), KeyRule::Query("user".into())] {
            assert_eq!(key(&rule, &request("/")), None, "{rule:?}");
        }
    }
}
