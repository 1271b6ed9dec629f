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
}

/// Origin-form, absolute-form, and `*` with OPTIONS; CONNECT has the form of its own that is refused
/// later anyway. RFC 9112, 3.2.
pub(crate) fn parse(method: Method, target: &[u8]) -> Result<Target, BadHead> {
    if !target.iter().all(|byte| is_target(*byte)) {
        return Err(BadHead::Target);
    }
    let origin_start = match target {
        [b'/', ..] => 0,
        b"*" if method == Method::Options => 0,
        _ if method == Method::Connect => 0,
        _ => return absolute(target),
    };
    Ok(Target {
        path_end: path_end(target, origin_start),
        origin: origin_start..target.len(),
        authority: None,
    })
}

fn absolute(target: &[u8]) -> Result<Target, BadHead> {
    let after = |scheme: &[u8]| {
        let (start, _) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    };
    let start = after(b"http://").or_else(|| after(b"https://")).ok_or(BadHead::Target)?;
    let length = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?'));
    let end = length.map_or(target.len(), |length| start + length);
    if start == end || !is_valid_host(&target[start..end]) {
        return Err(BadHead::Target);
    }
    Ok(Target { path_end: path_end(target, end), origin: end..target.len(), authority: Some(start..end) })
}

fn path_end(target: &[u8], start: usize) -> usize {
    memchr::memchr(b'?', &target[start..]).map_or(target.len(), |length| start + length)
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
    digits.len() <= 5
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0_u32, |port, digit| port * 10 + u32::from(digit - b'0')) <= 65_535
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
