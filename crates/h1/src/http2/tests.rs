//! Requests field by field: what passes, and why others do not.

use super::*;

const GET: [(&str, &[u8]); 4] =
    [(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), (":authority", b"h")];

fn read(fields: &[(&str, &[u8])], has_ended: bool, limits: &HeadLimits) -> Result<RequestHead, BadHead> {
    let mut head = RequestHead::default();
    let mut reader = Http2Head::new(&mut head, limits, 1000);
    fields.iter().for_each(|(name, value)| reader.take(name.as_bytes(), value));
    reader.finish(has_ended).map(|()| head)
}

fn fault(fields: &[(&str, &[u8])]) -> Option<BadHead> {
    read(fields, true, &HeadLimits::default()).err()
}

/// A request with other fields in the place of those of the same name, or behind all.
fn with(more: &[(&str, &[u8])]) -> Option<BadHead> {
    let mut fields: Vec<(&str, &[u8])> = GET.to_vec();
    for field in more {
        match fields.iter_mut().find(|(name, _)| *name == field.0 && name.starts_with(':')) {
            Some(known) => *known = *field,
            None => fields.push(*field),
        }
    }
    fault(&fields)
}

#[test]
fn what_passes_in_http1_passes() {
    let limits = HeadLimits::default();
    for path in ["/?filter={\"a\":1}", "/?<>", "/`", "/a|b^c", "/%zz", "/a//b/../c"] {
        assert_eq!(with(&[(":path", path.as_bytes())]), None, "{path}");
    }
    let fields = [&GET[..], &[("x-a", b" \xc3\xa9\tb "), ("te", b"Trailers"), ("host", b"H")]].concat();
    let head = read(&fields, true, &limits).unwrap();
    let all: Vec<_> = head.fields().iter().map(|field| (field.name_bytes, field.value)).collect();
    assert_eq!(all, [(&b"x-a"[..], &b"\xc3\xa9\tb"[..]), (b"te", b"Trailers")]);
    assert_eq!((head.body(), head.version()), (BodyLength::None, Version::Http2));
    let post = [&GET[..], &[("content-length", b"5")]].concat();
    assert_eq!(read(&post, false, &limits).unwrap().body(), BodyLength::Exact(5));
    assert_eq!(read(&GET, false, &limits).unwrap().body(), BodyLength::Chunked);
    assert_eq!(with(&[(":method", b"OPTIONS"), (":path", b"*")]), None);
    assert_eq!(fault(&[(":method", b"CONNECT"), (":authority", b"h:1")]), None);
    assert_eq!(fault(&[&GET[..3], &[("host", b"h")]].concat()), None);
    assert_eq!(with(&[("host", b"H:80")]), None);
    assert_eq!(with(&[("host", b"h:443")]), Some(BadHead::HostDisagrees));
    assert_eq!(with(&[(":scheme", b"https"), ("host", b"h:443")]), None);
    assert_eq!(with(&[(":path", b"/?p=C:\\x")]), None);
}

#[test]
fn a_connect_with_a_protocol_is_an_upgrade() {
    let [_, scheme, path, authority] = GET;
    let method = (":method", &b"CONNECT"[..]);
    let protocol = (":protocol", &b"websocket"[..]);
    let fields = [method, protocol, scheme, path, authority, ("x-a", b"b")];
    let head = read(&fields, false, &HeadLimits::default()).unwrap();
    assert_eq!((head.method_name(), head.path(), head.body()), (&b"GET"[..], &b"/"[..], BodyLength::None));
    assert_eq!((head.upgrades().collect::<Vec<_>>(), head.is_tunnel()), (vec![&b"websocket"[..]], true));
    assert!(!read(&GET, false, &HeadLimits::default()).unwrap().is_tunnel());
    for wrong in [
        &[method, protocol, authority][..],
        &[method, protocol, scheme, path],
        &[method, (":protocol", b""), scheme, path, authority],
        &[GET[0], protocol, scheme, path, authority],
    ] {
        assert_eq!(fault(wrong), Some(BadHead::PseudoFields), "{wrong:?}");
    }
}

#[test]
fn cookies_are_one_field() {
    let limits = HeadLimits { fields_max: 2, ..HeadLimits::default() };
    let cookies: [(&str, &[u8]); 3] = [("cookie", b"a=b"), ("cookie", b"c=d"), ("cookie", b"e=f")];
    let head = read(&[&GET[..], &cookies, &[("x-a", b"b")]].concat(), true, &limits).unwrap();
    assert_eq!(head.fields().all_named(b"cookie").collect::<Vec<_>>(), [b"a=b; c=d; e=f"]);
    let more: [(&str, &[u8]); 2] = [("x-a", b"b"), ("x-c", b"d")];
    let read = read(&[&GET[..], &cookies, &more].concat(), true, &limits);
    assert_eq!(read.err(), Some(BadHead::TooManyFields));
}

#[test]
fn what_does_not_pass_says_why() {
    for (more, expected) in [
        (("x-a", &b"a\x01b"[..]), BadHead::ControlCharacter),
        (("x-a", b"a\0b"), BadHead::ControlCharacter),
        (("x-a", b"a\rb"), BadHead::ControlCharacter),
        (("x-a", b"a\nb"), BadHead::ControlCharacter),
        (("x-a", b"a\x7fb"), BadHead::ControlCharacter),
        (("X-Up", b"a"), BadHead::FieldName),
        (("x a", b"a"), BadHead::FieldName),
        (("", b"a"), BadHead::FieldName),
        (("x\u{e9}", b"a"), BadHead::FieldName),
        (("connection", b"close"), BadHead::ConnectionField),
        (("transfer-encoding", b"chunked"), BadHead::ConnectionField),
        (("te", b"gzip"), BadHead::ConnectionField),
        (("content-length", b""), BadHead::ContentLength),
        (("content-length", b"+5"), BadHead::ContentLength),
        (("content-length", b"5"), BadHead::ContentLength),
        (("expect", b"wonders"), BadHead::Expectation),
        (("host", b"other"), BadHead::HostDisagrees),
        ((":authority", b"u@h"), BadHead::Host),
        ((":method", b"GET?"), BadHead::RequestLine),
        ((":method", b""), BadHead::RequestLine),
        ((":scheme", b""), BadHead::PseudoFields),
        ((":scheme", b"ftp"), BadHead::PseudoFields),
        ((":path", b""), BadHead::PseudoFields),
        ((":path", b"*"), BadHead::Target),
        ((":path", b"a"), BadHead::Target),
        ((":path", b"http://h/"), BadHead::Target),
        ((":path", b"/a#b"), BadHead::Target),
        ((":path", b"/\xff"), BadHead::Target),
        ((":path", b"/ "), BadHead::Target),
        ((":status", b"200"), BadHead::PseudoFields),
        ((":protocol", b"websocket"), BadHead::PseudoFields),
        (("x-large", &[b'a'; 1000]), BadHead::TooLarge),
    ] {
        assert_eq!(with(&[more]), Some(expected), "{more:?}");
    }
    for missing in 0..4 {
        let mut fields = GET.to_vec();
        fields.remove(missing);
        let expected = if missing == 3 { BadHead::Host } else { BadHead::PseudoFields };
        assert_eq!(fault(&fields), Some(expected), "{missing}");
    }
    let [method, scheme, path, authority] = GET;
    assert_eq!(fault(&[method, scheme, path, ("x-a", b"b"), authority]), Some(BadHead::PseudoFields));
    assert_eq!(fault(&[method, scheme, path, path, authority]), Some(BadHead::PseudoFields));
    assert_eq!(with(&[("host", b"h"), ("host", b"h")]), Some(BadHead::Host));
    assert_eq!(with(&[("content-length", b"0"), ("content-length", b"0")]), Some(BadHead::ContentLength));
    let long = [b"/".to_vec(), vec![b'a'; 500]].concat();
    let limits = HeadLimits { request_line_max: 400, ..HeadLimits::default() };
    let [method, scheme, _, authority] = GET;
    let read = read(&[method, scheme, (":path", &long), authority], true, &limits);
    assert_eq!(read.err(), Some(BadHead::RequestLineTooLong));
}

#[test]
fn what_was_refused_can_be_told() {
    let mut head = RequestHead::default();
    let limits = HeadLimits::default();
    let mut reader = Http2Head::new(&mut head, &limits, 1000);
    for (name, value) in [GET[0], GET[1], (":path", b"/a?b"), GET[3], ("x-a", b"\0"), ("x-b", b"c")] {
        reader.take(name.as_bytes(), value);
    }
    assert_eq!(reader.finish(true), Err(BadHead::ControlCharacter));
    assert_eq!((head.method_name(), head.path(), head.query()), (&b"GET"[..], &b"/a"[..], Some(&b"b"[..])));
    assert_eq!((head.host(), head.fields().len()), (Some(&b"h"[..]), 0));
}

#[test]
fn trailers_go_by_the_same_rules() {
    let limits = HeadLimits::default();
    let read = |fields: &[(&str, &[u8])]| {
        let mut reader = Http2Trailers::new(&limits, 200);
        fields.iter().for_each(|(name, value)| reader.take(name.as_bytes(), value));
        reader.finish().map(|fields| fields.len())
    };
    assert_eq!(read(&[("x-a", b"b"), ("x_c", b"d")]), Ok(1));
    assert_eq!(read(&[]), Ok(0));
    assert_eq!(read(&[("x-a", b"\n")]), Err(BadHead::ControlCharacter));
    assert_eq!(read(&[(":path", b"/")]), Err(BadHead::FieldName));
    assert_eq!(read(&[("X-A", b"b")]), Err(BadHead::FieldName));
    assert_eq!(read(&[("x-a", &[b'b'; 200])]), Err(BadHead::TooLarge));
}
