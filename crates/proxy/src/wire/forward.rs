//! Heads on their way through: what concerns one connection only is taken off, what the next one must
//! know is put on. Framing is written, never copied. Paths, queries and bodies are not touched.

use std::net::IpAddr;

use h1::{BodyLength, FieldName, RequestHead, ResponseHead, Version};
use h1::{write_decimal, write_field};

use crate::clients::origin::Origin;
use crate::policies::Policies;
use crate::policies::headers::FieldEdits;
use crate::policies::vouched::Vouched;
use crate::travel::cookies;

/// Which prefix of the path was taken off on the way.
const PREFIX_NAME: &[u8] = b"x-forwarded-prefix";

/// What a request carries beyond what its client has sent.
pub(crate) struct Passage<'a> {
    pub(crate) origin: &'a Origin,
    /// Whose it is, behind all proxies that are trusted.
    pub(crate) client: IpAddr,
    /// The request's name in every log on its way, if it has one.
    pub(crate) request_id: Option<&'a [u8]>,
    /// What an operator has made of its path and its fields.
    pub(crate) policies: &'a Policies,
    /// The name of a cookie that is ours alone.
    pub(crate) hidden_cookie: Option<&'a str>,
    /// What we know of who has sent it.
    pub(crate) vouched: Option<&'a Vouched>,
}

impl<'a> Passage<'a> {
    /// The host that a replica is told. One who named none gets the name that every host has.
    pub(crate) fn host(&self, head: &'a RequestHead) -> &'a [u8] {
        let edits = self.policies.request_headers.as_ref();
        let host = edits.and_then(FieldEdits::host).or(head.host());
        host.filter(|host| !host.is_empty()).unwrap_or(b"localhost")
    }

    /// Path and query as a replica gets them.
    pub(crate) fn write_target(&self, head: &RequestHead, out: &mut Vec<u8>) {
        match &self.policies.rewrite {
            Some(rewrite) => rewrite.write(head, out),
            None => head.write_origin(out),
        }
    }

    /// The prefix that was taken off the path.
    fn stripped(&self, head: &RequestHead) -> Option<&'a str> {
        self.policies.rewrite.as_ref()?.stripped(head.path())
    }
}

/// Calls back with each field that a replica gets, but for those that frame the body.
pub(crate) fn request_fields(head: &RequestHead, passage: &Passage<'_>, mut put: impl FnMut(&[u8], &[u8])) {
    let (origin, edits) = (passage.origin, passage.policies.request_headers.as_ref());
    let stripped = passage.stripped(head);
    for field in head.fields().iter() {
        let is_passed = match field.name {
            // These are ours to write.
            FieldName::Host | FieldName::ContentLength | FieldName::XRequestId => false,
            // It is for nobody behind us, whoever sent it.
            FieldName::Proxy => false,
            FieldName::Via => !passage.policies.hides_via,
            // It is written anew, with what was there before.
            FieldName::Forwarding if stripped.is_some() && is_prefix(field.name_bytes) => false,
            // Anybody could have written these; only those whom the operator trusts are believed.
            FieldName::Forwarded | FieldName::Forwarding => origin.is_trusted,
            FieldName::XForwardedFor | FieldName::XRealIp => origin.is_trusted,
            FieldName::XForwardedHost | FieldName::XForwardedProto => origin.is_trusted,
            FieldName::Expect => head.expects_continue(),
            name if name.is_hop_by_hop() => false,
            FieldName::Other => !head.is_named_by_connection(field.name_bytes),
            _ => true,
        };
        let is_passed = is_passed
            && edits.is_none_or(|edits| !edits.drops(field.name_bytes))
            && passage.vouched.is_none_or(|vouched| !vouched.is_ours(field.name_bytes));
        if is_passed && field.name != FieldName::XForwardedFor {
            match passage.hidden_cookie {
                None => put(field.name_bytes, field.value),
                Some(hidden) => {
                    let left = cookies::without(field.name_bytes, field.value, hidden);
                    left.into_iter().for_each(|left| put(field.name_bytes, &left));
                }
            }
        }
    }
    put_forwarding(head, passage, &mut put);
    if let Some(prefix) = stripped {
        put_prefix(head, passage, &mut put, prefix);
    }
    if let Some(vouched) = passage.vouched {
        vouched.put(|name, value| {
            if edits.is_none_or(|edits| !edits.drops(name)) {
                put(name, value);
            }
        });
    }
    if let Some(edits) = edits {
        edits.put(put);
    }
}

/// Whether a field says which prefix was taken off; an underscore is a hyphen for many.
fn is_prefix(name: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.iter().map(fold).eq(PREFIX_NAME.iter().copied())
}

/// A proxy in front that is trusted may have taken one off before.
fn put_prefix(head: &RequestHead, passage: &Passage<'_>, put: &mut impl FnMut(&[u8], &[u8]), prefix: &str) {
    let given = head.fields().all_named(PREFIX_NAME).next().filter(|_| passage.origin.is_trusted);
    let given = given.filter(|given| given.starts_with(b"/")).map(<[u8]>::trim_ascii_end).unwrap_or_default();
    put(PREFIX_NAME, &[given.strip_suffix(b"/").unwrap_or(given), prefix.as_bytes()].concat());
}

fn put_forwarding(head: &RequestHead, passage: &Passage<'_>, put: &mut impl FnMut(&[u8], &[u8])) {
    let origin = passage.origin;
    let is_given = |name: FieldName| origin.is_trusted && head.fields().all(name).next().is_some();
    let address = origin.address_text();
    if is_given(FieldName::XForwardedFor) {
        let mut chain = Vec::new();
        for value in head.fields().all(FieldName::XForwardedFor) {
            chain.extend_from_slice(value);
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(address);
        put(b"x-forwarded-for", &chain);
    } else {
        put(b"x-forwarded-for", address);
    }
    if !is_given(FieldName::XRealIp) {
        match passage.client {
            client if client == origin.address.ip().to_canonical() => put(b"x-real-ip", address),
            client => put(b"x-real-ip", client.to_string().as_bytes()),
        }
    }
    if !is_given(FieldName::XForwardedProto) {
        put(b"x-forwarded-proto", if origin.is_tls { b"https" } else { b"http" });
    }
    if let Some(host) = head.host().filter(|_| !is_given(FieldName::XForwardedHost)) {
        put(b"x-forwarded-host", host);
    }
    if !passage.policies.hides_via {
        put(b"via", via(head.version()));
    }
    if let Some(id) = passage.request_id {
        put(b"x-request-id", id);
    }
}

fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 evenkeel",
        Version::Http11 => b"1.1 evenkeel",
        Version::Http2 => b"2.0 evenkeel",
    }
}

/// The whole head of a request for a replica that speaks HTTP/1.
pub(crate) fn write_request(out: &mut Vec<u8>, head: &RequestHead, passage: &Passage<'_>) {
    out.extend_from_slice(head.method_name());
    out.push(b' ');
    passage.write_target(head, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // First, as RFC 9110, 7.2 would have it.
    write_field(out, b"host", passage.host(head));
    request_fields(head, passage, |name, value| write_field(out, name, value));
    let mut protocols = head.upgrades();
    if let Some(first) = protocols.next() {
        out.extend_from_slice(b"upgrade: ");
        out.extend_from_slice(first);
        for other in protocols {
            out.extend_from_slice(b", ");
            out.extend_from_slice(other);
        }
        out.extend_from_slice(b"\r\n");
        write_field(out, b"connection", b"upgrade");
        let has_key = head.fields().all_named(b"sec-websocket-key").next().is_some();
        if head.is_tunnel() && !has_key {
            // HTTP/2 does without it, HTTP/1 does not: RFC 8441, 5; RFC 6455, 4.1.
            write_field(out, b"sec-websocket-key", &websocket_key());
        }
    }
    write_length(out, request_length(head));
    out.extend_from_slice(b"\r\n");
}

/// Sixteen bytes drawn by lot, in base 64.
fn websocket_key() -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut key = [b'='; 24];
    for digit in &mut key[..21] {
        *digit = DIGITS[fastrand::usize(..64)];
    }
    // The last one has two bits only.
    key[21] = DIGITS[fastrand::usize(..4) << 4];
    key
}

/// How long the body of a request is said to be. Where one would be usual, it is said that there is none: RFC
/// 9110, 8.6.
pub(crate) fn request_length(head: &RequestHead) -> BodyLength {
    match head.body() {
        BodyLength::None if matches!(head.method_name(), b"POST" | b"PUT" | b"PATCH") => BodyLength::Exact(0),
        length => length,
    }
}

/// Calls back with each field of a response that a client gets, but for those that frame the body.
pub(crate) fn response_fields(head: &ResponseHead, mut put: impl FnMut(&[u8], &[u8])) {
    for field in head.fields().iter() {
        let is_passed = match field.name {
            FieldName::ContentLength => false,
            name if name.is_hop_by_hop() => false,
            FieldName::Other => !head.is_named_by_connection(field.name_bytes),
            _ => true,
        };
        if is_passed {
            put(field.name_bytes, field.value);
        }
    }
}

/// Writes how long a body is, where a head must say so.
pub(crate) fn write_length(out: &mut Vec<u8>, length: BodyLength) {
    match length {
        BodyLength::None | BodyLength::UntilClose => {}
        BodyLength::Exact(length) => {
            out.extend_from_slice(b"content-length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => write_field(out, b"transfer-encoding", b"chunked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use h1::HeadLimits;

    fn forwarded(head: &str, is_trusted: bool) -> String {
        let mut request = RequestHead::default();
        request.parse(head.as_bytes(), &HeadLimits::default()).unwrap();
        let origin = Origin::new("10.1.2.3:99".parse().unwrap(), false, is_trusted);
        let mut out = Vec::new();
        let client = origin.client(&request, &["10.0.0.0/8".parse().unwrap()]);
        let passage = Passage {
            origin: &origin,
            client,
            request_id: Some(b"r1"),
            policies: &Policies::default(),
            hidden_cookie: None,
            vouched: None,
        };
        write_request(&mut out, &request, &passage);
        String::from_utf8(out).unwrap()
    }

    const OURS: &str = "x-forwarded-for: 10.1.2.3\r\nx-real-ip: 10.1.2.3\r\nx-forwarded-proto: http\r\nx-forwarded-host: h\r\nvia: 1.1 evenkeel\r\nx-request-id: r1\r\n";

    #[test]
    fn hop_by_hop_fields_go_and_so_do_those_that_connection_names() {
        let head = "GET /a//../b?c=%2F&& HTTP/1.1\r\nHost: h\r\n\
            Connection: close, X-Private , host, x-forwarded-for, content-length\r\nX-Private: 1\r\n\
            Keep-Alive: timeout=5\r\nUpgrade: websocket\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n\
            X-Kept: 2\r\nContent-Length: 0\r\n\r\n";
        let expected = format!(
            "GET /a//../b?c=%2F&& HTTP/1.1\r\nhost: h\r\nX-Kept: 2\r\n{OURS}content-length: 0\r\n\r\n"
        );
        assert_eq!(forwarded(head, false), expected);
    }

    #[test]
    fn what_a_stranger_claims_about_forwarding_is_replaced_and_who_is_trusted_is_extended() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\n\
            X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
            X-Forwarded-Port: 444\r\nX-Original-URL: /admin\r\nX-SSL-Client-Verify: SUCCESS\r\nProxy: evil\r\n\r\n";
        assert_eq!(forwarded(head, false), format!("GET / HTTP/1.1\r\nhost: h\r\n{OURS}\r\n"));
        let trusted = forwarded(head, true);
        for line in [
            "x-forwarded-for: 6.6.6.6, 7.7.7.7, 10.1.2.3\r\n",
            "X-Forwarded-Proto: https\r\n",
            "X-Forwarded-Host: shop\r\n",
            "Forwarded: for=6.6.6.6\r\n",
            "X-Real-IP: 6.6.6.6\r\n",
            "X-Forwarded-Port: 444\r\n",
            "X-Original-URL: /admin\r\n",
            "X-SSL-Client-Verify: SUCCESS\r\n",
        ] {
            assert_eq!(trusted.matches(line).count(), 1, "{line}{trusted}");
        }
        assert_eq!(trusted.to_ascii_lowercase().matches("x-forwarded-").count(), 4, "{trusted}");
        assert!(!trusted.contains("Proxy:"), "{trusted}");
    }

    #[test]
    fn the_real_address_is_that_behind_all_trusted_proxies() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.9.9.9\r\n\r\n";
        assert!(forwarded(head, true).contains("\r\nx-real-ip: 192.0.2.7\r\n"));
        assert!(forwarded(head, false).contains("\r\nx-real-ip: 10.1.2.3\r\n"));
    }

    #[test]
    fn an_upgrade_passes_only_when_it_is_one() {
        let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(forwarded(ask, false).contains("upgrade: websocket\r\nconnection: upgrade\r\n"));
        let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nUpgrade: foo\r\n\r\n";
        assert!(forwarded(ask, false).contains("upgrade: websocket, foo\r\nconnection: upgrade\r\n"));
        let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
        assert_eq!(forwarded(ask, false), format!("GET / HTTP/1.1\r\nhost: h\r\n{OURS}\r\n"));
    }
}
