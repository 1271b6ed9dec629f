//! Heads on their way through: what concerns one connection only is taken off, what the next one must
//! know is put on. Framing is written, never copied. Paths, queries and bodies are not touched.

use h1::{BodyLength, FieldName, RequestHead, ResponseHead, Version};
use h1::{write_decimal, write_field};

use crate::clients::origin::Origin;

/// What a request carries beyond what its client has sent.
pub(crate) struct Passage<'a> {
    pub(crate) origin: &'a Origin,
    /// The request's name in every log on its way, if it has one.
    pub(crate) request_id: Option<&'a [u8]>,
}

/// Calls back with each field that a replica gets, but for those that frame the body.
pub(crate) fn request_fields(head: &RequestHead, passage: &Passage<'_>, mut put: impl FnMut(&[u8], &[u8])) {
    let origin = passage.origin;
    for field in head.fields().iter() {
        let is_passed = match field.name {
            // These are ours to write.
            FieldName::Host | FieldName::ContentLength | FieldName::XRequestId => false,
            // Anybody could have written these; only those whom the operator trusts are believed.
            FieldName::Forwarded | FieldName::XForwardedFor | FieldName::XRealIp => origin.is_trusted,
            FieldName::XForwardedHost | FieldName::XForwardedProto => origin.is_trusted,
            FieldName::Expect => head.expects_continue(),
            name if name.is_hop_by_hop() => false,
            FieldName::Other => !head.is_named_by_connection(field.name_bytes),
            _ => true,
        };
        if is_passed && field.name != FieldName::XForwardedFor {
            put(field.name_bytes, field.value);
        }
    }
    put_forwarding(head, passage, &mut put);
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
        put(b"x-real-ip", address);
    }
    if !is_given(FieldName::XForwardedProto) {
        put(b"x-forwarded-proto", if origin.is_tls { b"https" } else { b"http" });
    }
    if let Some(host) = head.host().filter(|_| !is_given(FieldName::XForwardedHost)) {
        put(b"x-forwarded-host", host);
    }
    put(b"via", via(head.version()));
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
    head.write_origin(out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // First, as RFC 9110, 7.2 would have it. One who named no host gets the name that every host has.
    write_field(out, b"host", head.host().unwrap_or(b"localhost"));
    request_fields(head, passage, |name, value| write_field(out, name, value));
    if let Some(protocol) = head.upgrade() {
        write_field(out, b"upgrade", protocol);
        write_field(out, b"connection", b"upgrade");
    }
    write_length(out, head.body());
    out.extend_from_slice(b"\r\n");
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
        write_request(&mut out, &request, &Passage { origin: &origin, request_id: Some(b"r1") });
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
            X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n";
        assert_eq!(forwarded(head, false), format!("GET / HTTP/1.1\r\nhost: h\r\n{OURS}\r\n"));
        let trusted = forwarded(head, true);
        for line in [
            "x-forwarded-for: 6.6.6.6, 7.7.7.7, 10.1.2.3\r\n",
            "X-Forwarded-Proto: https\r\n",
            "X-Forwarded-Host: shop\r\n",
            "Forwarded: for=6.6.6.6\r\n",
            "X-Real-IP: 6.6.6.6\r\n",
        ] {
            assert_eq!(trusted.matches(line).count(), 1, "{line}{trusted}");
        }
        assert_eq!(trusted.to_ascii_lowercase().matches("x-forwarded-").count(), 3, "{trusted}");
    }

    #[test]
    fn an_upgrade_passes_only_when_it_is_one() {
        let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(forwarded(ask, false).contains("upgrade: websocket\r\nconnection: upgrade\r\n"));
        let ask = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
        assert_eq!(forwarded(ask, false), format!("GET / HTTP/1.1\r\nhost: h\r\n{OURS}\r\n"));
    }
}
