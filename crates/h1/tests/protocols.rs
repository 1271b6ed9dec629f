//! The same request in both protocols: both pass and mean the same, or both are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use fastrand::Rng;
use h1::{BadHead, HeadEnd, HeadLimits, Http2Head, RequestHead};

/// What a request says, in no protocol's words.
#[derive(Debug)]
struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    host: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

const METHODS: &[&[u8]] = &[b"GET", b"POST", b"get", b"M-SEARCH", b"GET?", b"G(T", b"", b"OPTIONS", b"TRACE"];
const TARGETS: &[&[u8]] =
    &[b"/", b"/a?b", b"*", b"", b"a", b"http://h/", b"/a#b", b"//", b"/%zz", b"/?{\"a\":<1>}`"];
const HOSTS: &[&[u8]] = &[b"h", b"H:80", b"", b"u@h", b"[::1]:8", b"a b", b"h:x", b"h:65536", b"%41", b"h/"];
const NAMES: &[&[u8]] = &[
    b"x-a",
    b"content-length",
    b"expect",
    b"x_b",
    b"x a",
    b"",
    b"cookie",
    b"x\xc3\xa9",
    b"te",
    b"date",
    b"x(",
    b"via",
];
const VALUES: &[&[u8]] = &[
    b"a",
    b"",
    b" a\t",
    b"5",
    b"05",
    b"+5",
    b"5, 5",
    b"100-continue",
    b"100-Continue",
    b"trailers",
    b"\xff\xfe",
    b"a\tb",
];

fn pick(random: &mut Rng, from: &[&[u8]]) -> Vec<u8> {
    let mut chosen = from[random.usize(..from.len())].to_vec();
    if random.u8(..8) == 0 {
        // Whatever byte, but for those that only one of the protocols ends something with.
        let byte = random.u8(..);
        if !b"\r\n\t: ".contains(&byte) && !byte.is_ascii_uppercase() {
            chosen.insert(random.usize(..=chosen.len()), byte);
        }
    }
    chosen
}

fn request(random: &mut Rng) -> Request {
    let fields = (0..random.usize(..4)).map(|_| {
        let name = pick(random, NAMES);
        let mut value = pick(random, VALUES);
        if name == b"te" {
            // HTTP/2 has one value for it.
            value = b"trailers".to_vec();
        }
        (name, value)
    });
    let fields = fields.collect();
    let usual = random.bool();
    Request {
        method: if usual { b"GET".to_vec() } else { pick(random, METHODS) },
        target: if random.bool() { b"/".to_vec() } else { pick(random, TARGETS) },
        host: if usual { b"h".to_vec() } else { pick(random, HOSTS) },
        fields,
    }
}

fn over_http1(request: &Request, limits: &HeadLimits) -> Result<RequestHead, BadHead> {
    let mut text =
        [&request.method[..], b" ", &request.target, b" HTTP/1.1\r\nhost: ", &request.host].concat();
    for (name, value) in &request.fields {
        text.extend([b"\r\n", &name[..], b": ", value].concat());
    }
    text.extend(b"\r\n\r\n");
    let end = HeadEnd::default().find(&text, limits)?.expect("it is whole");
    let mut head = RequestHead::default();
    head.parse(&text[..end], limits).map(|()| head)
}

fn over_http2(request: &Request, limits: &HeadLimits) -> Result<RequestHead, BadHead> {
    let mut head = RequestHead::default();
    let mut reader = Http2Head::new(&mut head, limits, 64 << 10);
    for (name, value) in [
        (":method", &request.method[..]),
        (":scheme", b"http"),
        (":path", &request.target),
        (":authority", &request.host),
    ] {
        reader.take(name.as_bytes(), value);
    }
    request.fields.iter().for_each(|(name, value)| reader.take(name, value));
    reader.finish(false).map(|()| head)
}

/// Method, target, host and fields.
type Meaning = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// What a head says that both protocols say: its cookies are one field in one of them.
fn meaning(head: &RequestHead) -> Meaning {
    let mut origin = Vec::new();
    head.write_origin(&mut origin);
    let mut fields: Vec<_> =
        head.fields().iter().map(|it| (it.name_bytes.to_vec(), it.value.to_vec())).collect();
    fields.retain(|(name, _)| name != b"host" && name != b"cookie");
    (head.method_name().to_vec(), origin, head.host().unwrap_or_default().to_vec(), fields)
}

#[test]
fn both_protocols_judge_alike() {
    let limits = HeadLimits::default();
    let mut random = Rng::with_seed(9113);
    let (mut passed, mut refused) = (0, 0);
    for round in 0..200_000 {
        let request = request(&mut random);
        // An absolute target has its place in HTTP/1 alone.
        if request.target.starts_with(b"http") {
            assert!(over_http2(&request, &limits).is_err());
            continue;
        }
        match (over_http1(&request, &limits), over_http2(&request, &limits)) {
            (Ok(one), Ok(other)) => {
                assert_eq!(meaning(&one), meaning(&other), "round {round}: {request:?}");
                passed += 1;
            }
            (Err(one), Err(other)) => {
                // Which of several faults is named may differ.
                assert_eq!(one.status() / 100, other.status() / 100, "{round}: {request:?}: {one} {other}");
                refused += 1;
            }
            (one, other) => panic!("round {round}: {request:?}: {:?} {:?}", one.err(), other.err()),
        }
    }
    assert!(passed > 20_000 && refused > 20_000, "{passed} {refused}");
}
