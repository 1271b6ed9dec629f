//! The policy once more, written down a second time and slowly, to be compared with what h1 does.

use crate::tally::Class;

/// A field of the other reader.
pub(crate) type Header<'a> = (&'a [u8], &'a [u8]);

pub(crate) fn has_bare_line_feed(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

pub(crate) fn values<'a>(headers: &[Header<'a>], name: &str) -> Vec<&'a [u8]> {
    let named = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| *value).collect()
}

/// Whether a head is larger than the limits that a reader has who was told of none.
pub(crate) fn is_over_limits(head: &[u8], headers: &[Header<'_>]) -> bool {
    let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let first = lines.iter().find(|line| !line.is_empty() && **line != b"\r");
    let options: usize = values(headers, "connection").iter().map(|value| value.len()).sum();
    head.len() > 64 << 10
        || lines.iter().filter(|line| line.len() > 1).count() > 101
        || first.is_some_and(|line| line.len() > (16 << 10) + 1)
        || options > 1024
}

/// What is wrong with the length of the body.
pub(crate) fn wrong_lengths(headers: &[Header<'_>], is_http10: bool) -> Vec<Class> {
    let lengths = values(headers, "content-length");
    let codings = values(headers, "transfer-encoding");
    let is_number =
        |text: &str| text.chars().all(|char| char.is_ascii_digit()) && text.parse::<i64>().is_ok();
    let mut wrong = Vec::new();
    if !lengths.is_empty() && !codings.is_empty() {
        wrong.push(Class::TwoLengths);
    } else if !codings.is_empty() && is_http10 {
        wrong.push(Class::CodingInHttp10);
    } else if !codings.is_empty() && (codings.len() > 1 || !codings[0].eq_ignore_ascii_case(b"chunked")) {
        wrong.push(Class::Coding);
    } else if lengths.len() > 1
        || lengths.iter().any(|value| !std::str::from_utf8(value).is_ok_and(is_number))
    {
        wrong.push(Class::ContentLength);
    }
    wrong
}

/// What is wrong with a request, as to its target and its fields.
pub(crate) fn wrong_request(
    method: &str,
    target: &[u8],
    is_http10: bool,
    headers: &[Header<'_>],
) -> Vec<Class> {
    let mut wrong = wrong_lengths(headers, is_http10);
    if !is_target(method, target) {
        wrong.push(Class::Target);
    }
    let hosts = values(headers, "host");
    if hosts.len() > 1 || (hosts.is_empty() && !is_http10) || hosts.iter().any(|host| !is_host(host)) {
        wrong.push(Class::Host);
    }
    let authority = split_absolute(target).filter(|_| method != "CONNECT").map(|(authority, _)| authority);
    if let (Some(authority), [host]) = (authority, &hosts[..])
        && !are_same_host(authority, host, if target[4] == b':' { "80" } else { "443" })
    {
        wrong.push(Class::HostDisagrees);
    }
    let is_unknown = |value: &&[u8]| !value.eq_ignore_ascii_case(b"100-continue");
    if !is_http10 && values(headers, "expect").iter().any(is_unknown) {
        wrong.push(Class::Expectation);
    }
    wrong
}

fn is_target(method: &str, target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_plain =
        target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') && !path.contains(&b'\\');
    let has_form = match split_absolute(target) {
        Some((authority, _)) => !authority.is_empty() && is_host(authority),
        None => target.starts_with(b"/") || (target == b"*" && method == "OPTIONS"),
    };
    is_plain && (has_form || method == "CONNECT")
}

/// Authority and the rest of an absolute target.
pub(crate) fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let lower = target.to_ascii_lowercase();
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| lower.starts_with(scheme))?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    Some(rest.split_at(end))
}

fn are_same_host(one: &[u8], other: &[u8], port: &str) -> bool {
    let whole = |host: &[u8]| {
        let text = String::from_utf8_lossy(host).to_ascii_lowercase();
        let has_port = text.rfind(':').is_some_and(|colon| !text[colon..].contains(']'));
        let text = if has_port { text } else { format!("{text}:") };
        let (name, given) = text.rsplit_once(':').unwrap_or_default();
        format!("{name}:{}", if given.is_empty() { port } else { given }.parse::<u16>().unwrap_or_default())
    };
    // Invalid ones are at fault for another reason.
    is_host(one) && is_host(other) && whole(one) == whole(other)
}

/// RFC 3986, 3.2.2 and 3.2.3, without the addresses of the future.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let is_port = |port: &str| {
        port.chars().all(|char| char.is_ascii_digit()) && port.len() <= 5 && {
            port.is_empty() || port.parse::<u16>().is_ok()
        }
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        return is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    text.is_empty() || (!name.is_empty() && is_registered_name(name) && is_port(port))
}

fn is_registered_name(name: &str) -> bool {
    let mut rest = name.chars();
    while let Some(char) = rest.next() {
        let fits = match char {
            '%' => (0..2).all(|_| rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            char => char.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(char),
        };
        if !fits {
            return false;
        }
    }
    true
}
