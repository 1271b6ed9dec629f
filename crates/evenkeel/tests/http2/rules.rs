//! The rules for targets, fields and lengths are those of HTTP/1, and what is wrong with one stream is nobody
//! else's matter.

use super::frames::Outcome::{GoneAway, Reset, Status};
use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, ask, fields, frame};
use crate::rig::backend::{Backend, answer};
use crate::rig::client;
use crate::rig::eventually;
use crate::rig::inside::{Inside, Set};

const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
const PROTOCOL_ERROR: u32 = 1;
const COMPRESSION_ERROR: u32 = 9;

/// Answers when it is asked for the second time, or at once.
fn backend() -> Backend {
    Backend::start(|request, stream| {
        if request.line.starts_with("GET /slow ") {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        answer(stream, "200 OK", "ok")
    })
}

fn in_front_of(backend: &Backend) -> Inside {
    Inside::new(&[backend.address], Set::default())
}

fn whole(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

#[test]
fn targets_pass_as_they_do_over_http1() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let targets = ["/?filter={\"a\":1}", "/?a=<b>", "/`", "/a|b^{}?`\"<>"];
    let mut frames = Frames::to(inside.address);
    for (stream, target) in (1..).step_by(2).zip(targets) {
        frames.say(&whole(stream, &ask("GET", target, &[])));
        assert_eq!(frames.outcome(stream), Status(200), "{target}");
    }
    let lines: Vec<String> = backend.received().into_iter().map(|request| request.line).collect();
    let expected = targets.map(|target| format!("GET {target} HTTP/1.1"));
    assert_eq!(lines, expected, "as they came");
}

#[test]
fn a_malformed_head_is_an_error_of_its_stream() {
    let backend = backend();
    let inside = in_front_of(&backend);
    let wrong: [(&str, &str, &str, &[u8]); 20] = [
        ("GET", "/", "x-a", b"a\x01b"),
        ("GET", "/", "x-a", b"a\0b"),
        ("GET", "/", "x-a", b"a\rb"),
        ("GET", "/", "x-a", b"a\nb"),
        ("GET", "/", "x-a", b"a\x7fb"),
        ("GET", "/", "X-Up", b"a"),
        ("GET", "/", "x a", b"a"),
        ("GET", "/", "", b"a"),
        ("GET", "/", "x\u{e9}", b"a"),
        ("GET", "/", "connection", b"close"),
        ("GET", "/", "te", b"gzip"),
        ("GET", "/", ":unknown", b"a"),
        ("GET", "/", "content-length", b""),
        ("GET", "/", "content-length", b"+1"),
        ("GET", "/", "transfer-encoding", b"chunked, gzip"),
        ("GET?", "/", "x-a", b"b"),
        ("", "/", "x-a", b"b"),
        ("GET", "/a#b", "x-a", b"b"),
        ("GET", "/a\u{e9}", "x-a", b"b"),
        ("GET", "/a b", "x-a", b"b"),
    ];
    let scheme: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b""), (":path", b"/"), (":authority", b"h")];
    let path: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":path", b"/\xff"), (":authority", b"h")];
    let mut blocks: Vec<Vec<u8>> =
        wrong.iter().map(|(method, path, name, value)| ask(method, path, &[(*name, *value)])).collect();
    blocks.extend([fields(&scheme), fields(&path)]);
    for block in blocks {
        let mut frames = Frames::to(inside.address);
        frames.say(&whole(1, &ask("GET", "/slow", &[])));
        frames.say(&whole(3, &block));
        frames.say(&frame(HEADERS, END_HEADERS, 5, &block));
        let (outcomes, shown) = (frames.outcomes(&[1, 3, 5]), block.escape_ascii());
        for outcome in &outcomes[1..] {
            let is_fine = matches!(outcome, Status(400 | 501) | Reset(PROTOCOL_ERROR));
            assert!(is_fine, "{shown}: {outcome:?}");
        }
        assert_eq!(outcomes[0], Status(200), "the innocent: {shown}");
        frames.say(&whole(7, &ask("GET", "/", &[])));
        assert_eq!(frames.outcome(7), Status(200), "the next: {}", block.escape_ascii());
    }
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn malformed_trailers_are_an_error_of_their_stream() {
    let backend = backend();
    let inside = in_front_of(&backend);
    let wrong: [(&str, &[u8]); 5] =
        [("x-a", b"a\nb"), ("X-Up", b"a"), (":path", b"/"), ("connection", b"close"), ("", b"a")];
    for field in wrong {
        let mut frames = Frames::to(inside.address);
        frames.say(&whole(1, &ask("GET", "/slow", &[])));
        frames.say(&frame(HEADERS, END_HEADERS, 3, &ask("POST", "/", &[])));
        frames.say(&frame(DATA, 0, 3, b"body"));
        frames.say(&whole(3, &fields(&[field])));
        let outcomes = frames.outcomes(&[1, 3]);
        assert_eq!(outcomes[0], Status(200), "the innocent: {field:?}");
        assert!(matches!(outcomes[1], Status(400) | Reset(_)), "{field:?}: {outcomes:?}");
    }
    let posts = backend.received().into_iter().filter(|request| request.line.starts_with("POST")).count();
    assert_eq!(posts, 0, "none of them was whole");
}

/// Blocks in every shape that frames have for them.
#[test]
fn heads_are_read_however_they_are_framed() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let mut frames = Frames::to(inside.address);
    // The first one fills the table that the others use: RFC 7541, C.4.
    let first = [
        0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    let second = [0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
    frames.say(&whole(1, &first));
    assert_eq!(frames.outcome(1), Status(200));
    let mut stream = 1;
    let mut check = |claim: &str, write: &dyn Fn(u32) -> Vec<u8>| {
        stream += 2;
        frames.say(&write(stream));
        assert_eq!(frames.outcome(stream), Status(200), "{claim}");
    };
    check("one frame", &|id| whole(id, &second));
    let third = [0x82, 0x87, 0x85, 0xbf, 0xbe];
    check("padding", &|id| {
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, id, &[&[3][..], &third, &[0; 3]].concat())
    });
    check("priority", &|id| {
        frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY, id, &[&[0, 0, 0, 0, 15][..], &third].concat())
    });
    check("both", &|id| {
        let payload = [&[2, 0, 0, 0, 0, 15][..], &third, &[0; 2]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITY, id, &payload)
    });
    check("pieces", &|id| {
        let mut pieces = frame(HEADERS, END_STREAM, id, &third[..1]);
        third[1..].iter().for_each(|byte| pieces.extend(frame(CONTINUATION, 0, id, &[*byte])));
        [pieces, frame(CONTINUATION, END_HEADERS, id, &[])].concat()
    });
    check("a smaller table", &|id| whole(id, &[&[0x20][..], &ask("GET", "/", &[])].concat()));
    let hosts: Vec<_> = backend.received().iter().map(|request| request.header("host").concat()).collect();
    assert_eq!(hosts, [&["www.example.com"; 6][..], &["h"]].concat());
    let cached =
        backend.received().iter().filter(|request| request.header("cache-control") == ["no-cache"]).count();
    assert_eq!(cached, 5);
}

/// Byte by byte, over a connection that does not hold anything back.
#[test]
fn heads_and_bodies_are_read_however_they_are_cut() {
    let backend =
        Backend::start(|request, stream| answer(stream, "200 OK", &String::from_utf8_lossy(&request.body)));
    let inside = in_front_of(&backend);
    let bytes = [
        frame(HEADERS, 0, 1, &ask("POST", "/", &[])),
        frame(CONTINUATION, END_HEADERS, 1, &fields(&[("x-a", b"b")])),
        frame(DATA, 0, 1, b"abc"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[("x-b", b"c")])),
        whole(3, &ask("GET", "/", &[])),
    ]
    .concat();
    for size in [1, 2, 5, 13, 40] {
        let mut frames = Frames::to(inside.address);
        for piece in bytes.chunks(size) {
            frames.say(piece);
            std::thread::yield_now();
        }
        assert_eq!(frames.outcomes(&[1, 3]), [Status(200), Status(200)], "{size}");
    }
    let posts = backend.received().into_iter().filter(|request| request.line.starts_with("POST"));
    assert!(posts.into_iter().all(|request| request.body == b"abc" && request.header("x-a") == ["b"]));
}

#[test]
fn what_breaks_the_connection_itself_ends_it() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let outcome = |bytes: &[u8]| {
        let mut frames = Frames::to(inside.address);
        frames.say(bytes);
        frames.outcome(u32::MAX)
    };
    let block = ask("GET", "/", &[]);
    assert_eq!(outcome(&whole(1, &[0x80])), GoneAway(COMPRESSION_ERROR));
    assert_eq!(outcome(&whole(1, &[0xff, 0xff, 0xff])), GoneAway(COMPRESSION_ERROR));
    assert_eq!(outcome(&whole(1, &block[..block.len() - 1])), GoneAway(COMPRESSION_ERROR));
    for bytes in [
        whole(2, &block),
        whole(0, &block),
        frame(CONTINUATION, END_HEADERS, 1, &block),
        [frame(HEADERS, END_STREAM, 1, &block), frame(6, 0, 0, &[0; 8])].concat(),
        [frame(HEADERS, END_STREAM, 1, &block), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        [frame(HEADERS, END_STREAM, 1, &block), whole(3, &block)].concat(),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[200, 0x82]),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[0; 4]),
    ] {
        let outcome = outcome(&bytes);
        assert!(matches!(outcome, GoneAway(_)), "{}: {outcome:?}", bytes.escape_ascii());
    }
    let large = frame(HEADERS, END_HEADERS | END_STREAM, 1, &vec![0; 20_000]);
    assert!(matches!(outcome(&large), GoneAway(_)));
    assert!(backend.received().is_empty());
}

#[test]
fn an_empty_body_is_none() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    for method in ["GET", "HEAD", "DELETE", "POST"] {
        let mut frames = Frames::to(inside.address);
        // Its end comes with its head; that it is waited for a moment is nothing for a busy machine.
        let head = frame(HEADERS, END_HEADERS, 1, &ask(method, "/", &[]));
        frames.say(&[head, frame(DATA, END_STREAM, 1, b"")].concat());
        assert_eq!(frames.outcome(1), Status(200), "{method}");
    }
    for request in backend.received() {
        assert!(request.header("transfer-encoding").is_empty(), "{request:?}");
        let expected: &[&str] = if request.line.starts_with("POST") { &["0"] } else { &[] };
        assert_eq!(request.header("content-length"), expected, "{request:?}");
    }
}

/// Both protocols give the same answer to the same request.
#[test]
fn what_is_refused_over_http1_is_refused_over_http2() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    for (target, lines) in [
        ("/a#b", ""),
        ("/", "Content-Length: \r\n"),
        ("/", "Content-Length: 1, 1\r\n"),
        ("/", "X-A: a\x01b\r\n"),
        ("/", "Expect: wonders\r\n"),
        ("/?a=<>\"`", "X-A: b\r\n"),
    ] {
        let mut talk = client::Talk::to(inside.address);
        talk.say(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
        let expected = talk.head().status;
        let more: Vec<(String, String)> = lines
            .split("\r\n")
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let more: Vec<(&str, &[u8])> =
            more.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let mut frames = Frames::to(inside.address);
        frames.say(&whole(1, &ask("GET", target, &more)));
        assert_eq!(frames.outcome(1), Status(expected), "{target} {lines:?}");
    }
}
