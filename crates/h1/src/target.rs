//! What a request asks for, and of which host.

use std::ops::Range;

use crate::characters::{is_host, is_target};
use crate::{BadHead, Method};

/// The parts of a target, by their places in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// From the path to the end of the query. Empty if an absolute target has neither.
    pub(crate) origin: Range<usize>,
    /// Where the path ends.
    pub(crate) path_end: usize,
    /// The host and port of an absolute target.
    pub(crate) authority: Option<Range<usize>>,
    /// The port of its scheme.
    pub(crate) scheme_port: u32,
}

/// Origin-form, absolute-form, and `*` with OPTIONS; CONNECT has the form of its own that is refused
/// later anyway. RFC 9112, 3.2.
pub(crate) fn parse(method: Method, target: &[u8]) -> Result<Target, BadHead> {
    if !target.iter().all(|byte| is_target(*byte)) {
        return Err(BadHead::Target);
    }
    let path_end = path_end(target, 0);
    if target[..path_end].contains(&b'\\') {
        return Err(BadHead::Target);
    }
    let origin_start = match target {
        [b'/', ..] => 0,
        b"*" if method == Method::Options => 0,
        _ if method == Method::Connect => 0,
        _ => return absolute(target),
    };
    Ok(Target { path_end, origin: origin_start..target.len(), authority: None, scheme_port: 80 })
}

fn absolute(target: &[u8]) -> Result<Target, BadHead> {
    let after = |scheme: &[u8]| {
        let (start, _) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    };
    let plain = after(b"http://").map(|start| (start, 80));
    let (start, scheme_port) = plain.or_else(|| Some((after(b"https://")?, 443))).ok_or(BadHead::Target)?;
    let length = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?'));
    let end = length.map_or(target.len(), |length| start + length);
    if start == end || !is_valid_host(&target[start..end]) {
        return Err(BadHead::Target);
    }
    let (path_end, origin) = (path_end(target, end), end..target.len());
    Ok(Target { path_end, origin, authority: Some(start..end), scheme_port })
}

fn path_end(target: &[u8], start: usize) -> usize {
    memchr::memchr(b'?', &target[start..]).map_or(target.len(), |length| start + length)
}

/// Whether two valid hosts are the same, by name and port. Where there is no port, it is that of the scheme.
pub(crate) fn are_same_host(one: &[u8], other: &[u8], scheme_port: u32) -> bool {
    let (one, other) = (split_port(one), split_port(other));
    one.name.eq_ignore_ascii_case(other.name)
        && one.port.unwrap_or(scheme_port) == other.port.unwrap_or(scheme_port)
}

struct HostParts<'a> {
    name: &'a [u8],
    port: Option<u32>,
}

fn split_port(host: &[u8]) -> HostParts<'_> {
    // The last colon of an address without a port is within its brackets.
    let colon = memchr::memrchr(b':', host).filter(|colon| !host[*colon..].contains(&b']'));
    let (name, port) = host.split_at(colon.unwrap_or(host.len()));
    let digits = port.strip_prefix(b":").unwrap_or_default();
    HostParts { name, port: (!digits.is_empty()).then(|| decimal(digits)) }
}

fn decimal(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// Whether a host is a name or an address with at most one port behind it, and no more: RFC 9110, 7.2.
/// One without any name passes, since clients whose target has none must send it so.
pub(crate) fn is_valid_host(host: &[u8]) -> bool {
    let (name_fits, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let address = std::str::from_utf8(&rest[..end]).ok();
            let is_address = address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
            (is_address, &rest[end + 1..])
        }
        _ => {
            let end = memchr::memchr(b':', host).unwrap_or(host.len());
            (is_name(&host[..end]), &host[end..])
        }
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits) && !host.starts_with(b":"),
        _ => false,
    };
    name_fits && port_fits
}

/// Whether two hexadecimal digits follow each percent sign, and all else may stand there.
fn is_name(name: &[u8]) -> bool {
    let mut escaped = name.split(|byte| *byte == b'%').skip(1);
    name.iter().all(|byte| is_host(*byte))
        && escaped.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

fn is_port(digits: &[u8]) -> bool {
    digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) && decimal(digits) <= 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_targets() {
        let parts = |method, target: &'static str| {
            let parsed = parse(method, target.as_bytes()).ok()?;
            let authority = parsed.authority.map(|place| &target[place]);
            Some((&target[parsed.origin.start..parsed.path_end], &target[parsed.origin], authority))
        };
        assert_eq!(parts(Method::Get, "/a?b=/?c"), Some(("/a", "/a?b=/?c", None)));
        assert_eq!(parts(Method::Options, "*"), Some(("*", "*", None)));
        assert_eq!(parts(Method::Get, "http://h:1/a?b"), Some(("/a", "/a?b", Some("h:1"))));
        assert_eq!(parts(Method::Get, r"/a?b=C:\c"), Some(("/a", r"/a?b=C:\c", None)));
        assert_eq!(parts(Method::Get, "HTTPS://h?b"), Some(("", "?b", Some("h"))));
        assert_eq!(parts(Method::Get, "http://h"), Some(("", "", Some("h"))));
        let wrong = [
            "*",
            "",
            "a",
            "http:///a",
            "http://",
            "http://u@h/",
            "ftp://h/",
            "/a#b",
            "/a\\b",
            "/a\\?b",
            "http://h\\a?b",
            "http://h\\?b",
            "/a b",
            "/\u{e9}",
            "/\x7f",
            "/\t",
            "http:/h/",
            "http://h:x/",
        ];
        for target in wrong {
            assert_eq!(parse(Method::Get, target.as_bytes()), Err(BadHead::Target), "{target:?}");
        }
    }

    #[test]
    fn hosts_are_the_same_by_name_and_port() {
        for (one, other, are_same) in [
            ("h", "H", true),
            ("h:80", "h", true),
            ("h", "h:", true),
            ("h:080", "h:80", true),
            ("[::1]:80", "[::1]", true),
            ("h:81", "h", false),
            ("h:0", "h", false),
            ("h:443", "h", false),
            ("h.", "h", false),
            ("[::1]", "[::2]", false),
        ] {
            assert_eq!(are_same_host(one.as_bytes(), other.as_bytes(), 80), are_same, "{one} {other}");
            assert_eq!(are_same_host(other.as_bytes(), one.as_bytes(), 80), are_same, "{other} {one}");
        }
    }

    #[test]
    fn hosts() {
        for host in
            ["", "a", "%c3%A9", "a.b:80", "127.0.0.1", "[::1]", "[::1]:8080", "a_b", "a:", "xn--a", "h:65535"]
        {
            assert!(is_valid_host(host.as_bytes()), "{host}");
        }
        let wrong = [
            "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[x]", "[::1]a", "::1", "h:65536", ":80", "a?b",
            "a#", "a\"", "<a>", "\u{e9}", "h:+1", "%", "a%2", "%zz", "%2:1",
        ];
        for host in wrong {
            assert!(!is_valid_host(host.as_bytes()), "{host}");
        }
    }
}
