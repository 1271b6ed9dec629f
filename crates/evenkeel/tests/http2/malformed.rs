//! Clients that break the rules: each gets an answer, a reset or the end of its connection, and nobody
//! else notices.

use std::io::Write;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::frames::Outcome::{Ended, GoneAway, Reset, Status};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, ask, fields, frame, number,
};
use super::speak::{Client, request, run};
use crate::rig::backend::Backend;
use crate::rig::eventually;
use crate::rig::inside::{Inside, Set};

const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

fn in_front_of(backend: &Backend) -> Inside {
    Inside::new(&[backend.address], Set::default())
}

type Field<'a> = (&'a str, &'a [u8]);

/// The outcome of one request whose head is all there is.
fn outcome(inside: &Inside, block: &[u8]) -> Outcome {
    let mut frames = Frames::to(inside.address);
    frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
    frames.outcome(1)
}

#[test]
fn heads_that_do_not_pass() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let head = |method: &str, path: &str, more: &[(&str, &[u8])]| outcome(&inside, &ask(method, path, more));
    assert_eq!(head("GET", "/", &[]), Status(200));
    assert_eq!(head("GET", "/", &[("host", b"H")]), Status(200));
    assert_eq!(head("GET", "/", &[("host", b"other")]), Status(400));
    assert_eq!(head("GET", "/", &[("host", b"h"), ("host", b"other")]), Status(400));
    assert_eq!(head("OPTIONS", "*", &[]), Status(200));
    assert_eq!(head("GET", "/|{}\"", &[("x-a", b"\xc3\xa9\tb")]), Status(200));
    assert_eq!(head("TRACE", "/", &[]), Status(405));
    assert_eq!(head("GET", "/", &[("expect", b"wonders")]), Status(417));
    let refused: [(&str, &[Field]); 18] = [
        ("/a b", &[]),
        ("/\\", &[]),
        ("/\u{e9}", &[]),
        ("/\u{7f}", &[]),
        ("/\0", &[]),
        ("/\n", &[]),
        ("*", &[]),
        ("", &[]),
        ("a", &[]),
        ("http://other/", &[]),
        ("/", &[("x-a", b"a\nb")]),
        ("/", &[("x-a", b"a\0b")]),
        ("/", &[("X-A", b"b")]),
        ("/", &[("connection", b"close")]),
        ("/", &[("transfer-encoding", b"chunked")]),
        ("/", &[("keep-alive", b"a")]),
        ("/", &[("upgrade", b"websocket")]),
        ("/", &[("te", b"gzip")]),
    ];
    for (path, more) in refused {
        let outcome = head("GET", path, more);
        let is_fine = matches!(outcome, Status(400) | Reset(PROTOCOL_ERROR) | GoneAway(PROTOCOL_ERROR));
        assert!(is_fine, "{path:?} {more:?}: {outcome:?}");
    }
    let pseudo = |block: &[(&str, &[u8])]| outcome(&inside, &fields(block));
    let get: [(&str, &[u8]); 3] = [(":method", b"GET"), (":scheme", b"http"), (":path", b"/")];
    assert_eq!(pseudo(&[&get[..], &[("host", b"h")]].concat()), Status(200));
    let wrong: [&[(&str, &[u8])]; 9] = [
        &[],
        &[(":authority", b"u@h")],
        &[(":authority", b"h/")],
        &[(":authority", b"h:x")],
        &[(":authority", b"h"), (":authority", b"h")],
        &[(":authority", b"h"), (":path", b"/b")],
        &[(":authority", b"h"), (":status", b"200")],
        &[(":authority", b"h"), (":protocol", b"websocket")],
        &[("host", b"h"), (":authority", b"h")],
    ];
    for more in wrong {
        let outcome = pseudo(&[&get[..], more].concat());
        assert!(
            matches!(outcome, Status(400) | Reset(PROTOCOL_ERROR) | GoneAway(_)),
            "{more:?}: {outcome:?}"
        );
    }
    assert_eq!(pseudo(&[(":method", b"CONNECT"), (":authority", b"h:1")]), Status(405));
    assert_eq!(backend.received().len(), 5);
}

#[test]
fn bodies_that_are_not_as_long_as_promised() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let trailers = fields(&[("x-a", b"b")]);
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let cases: [(&[u8], Vec<u8>); 7] = [
        (b"5", data(END_STREAM, b"abc")),
        (b"5", data(END_STREAM, b"abcdefg")),
        (b"5", [data(0, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)].concat()),
        (b"0", data(END_STREAM, b"a")),
        (b"+5", data(END_STREAM, b"abcde")),
        (b"5, 5", data(END_STREAM, b"abcde")),
        (b"", data(END_STREAM, b"abcde")),
    ];
    for method in ["POST", "PUT"] {
        for (length, rest) in &cases {
            let mut frames = Frames::to(inside.address);
            let head = ask(method, "/", &[("content-length", length)]);
            frames.say(&[frame(HEADERS, END_HEADERS, 1, &head), rest.clone()].concat());
            let outcome = frames.outcome(1);
            assert!(matches!(outcome, Reset(_) | Status(400) | GoneAway(_)), "{length:?}: {outcome:?}");
        }
        let head = ask(method, "/", &[("content-length", b"5")]);
        let outcome = outcome(&inside, &head);
        assert!(matches!(outcome, Reset(_) | Status(400)), "no body: {outcome:?}");
        let repeated = ask(method, "/", &[("content-length", b"0"), ("content-length", b"0")]);
        let outcome = self::outcome(&inside, &repeated);
        assert!(matches!(outcome, Reset(_) | Status(400)), "twice: {outcome:?}");
    }
    assert!(backend.received().is_empty(), "{:?}", backend.received());
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn heads_that_are_too_large() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    let head = |count: usize, size: usize| {
        let value = vec![b'a'; size];
        let more: Vec<(String, &[u8])> =
            (0..count).map(|number| (format!("x-{number}"), &value[..])).collect();
        let more: Vec<(&str, &[u8])> = more.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut frames = Frames::to(inside.address);
        let block = ask("GET", "/", &more);
        let mut pieces = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let is_last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let flags = if kind == HEADERS { END_STREAM | is_last } else { is_last };
            frames.say(&frame(kind, flags, 1, piece));
            kind = CONTINUATION;
        }
        frames.outcome(1)
    };
    assert_eq!(head(90, 100), Status(200));
    assert_eq!(head(110, 1), Status(431));
    assert_eq!(head(9, 10_000), Status(431));
    let outcome = head(9, 100_000);
    assert!(matches!(outcome, Status(431) | GoneAway(_) | Reset(_) | Ended), "{outcome:?}");
    let path = |length: usize| outcome_of_path(&inside, &format!("/{}", "a".repeat(length)));
    assert_eq!((path(16_000), path(17_000)), (Status(200), Status(414)));
    // A browser sends each cookie by itself.
    let cookies = vec![("cookie", &b"a=b"[..]); 150];
    assert_eq!(self::outcome(&inside, &ask("GET", "/", &cookies)), Status(200));
}

fn outcome_of_path(inside: &Inside, path: &str) -> Outcome {
    let mut frames = Frames::to(inside.address);
    let block = ask("GET", path, &[]);
    let (first, rest) = block.split_at(block.len().min(16_000));
    frames.say(&frame(HEADERS, END_STREAM, 1, first));
    frames.say(&frame(CONTINUATION, END_HEADERS, 1, rest));
    frames.outcome(1)
}

/// Does something again and again, and says how the connection ended.
fn flood(inside: &Inside, count: u32, bytes: impl Fn(u32) -> Vec<u8>) -> Outcome {
    let mut frames = Frames::to(inside.address);
    let mut reading = Frames::over(frames.stream.try_clone().unwrap());
    let end = std::thread::spawn(move || reading.outcome(u32::MAX));
    for number in 0..count {
        frames.say(&bytes(number));
    }
    // Whoever is still served then has been served all along.
    let _ = frames.stream.shutdown(std::net::Shutdown::Write);
    end.join().unwrap()
}

#[test]
fn floods_end_with_their_connection() {
    let backend = Backend::saying("ok");
    let inside = in_front_of(&backend);
    run(async {
        let mut other = Client::to(inside.address).await;
        assert_eq!(other.get("/").await.status, 200);
        let block = ask("GET", "/", &[]);
        let rapid = flood(&inside, 5000, |number| {
            let stream = 2 * number + 1;
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
            [head, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        assert_eq!(rapid, GoneAway(ENHANCE_YOUR_CALM), "rapid reset");
        let continued = flood(&inside, 5000, |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &block),
            _ => frame(CONTINUATION, 0, 1, &fields(&[("x-a", &[b'a'; 1000])])),
        });
        assert!(matches!(continued, GoneAway(_)), "continuations: {continued:?}");
        let empty = flood(&inside, 5000, |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &block),
            _ => frame(CONTINUATION, 0, 1, &[]),
        });
        assert!(matches!(empty, GoneAway(_)), "empty continuations: {empty:?}");
        // Requests that break a rule are answered as others are, which costs less.
        let wrong = ask("GET", "/", &[("connection", b"close")]);
        let broken =
            flood(&inside, 5000, |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &wrong));
        assert!(matches!(broken, Ended | GoneAway(_)), "broken rules: {broken:?}");
        // These cost no more than they bring.
        for (name, bytes) in [
            ("pings", frame(PING, 0, 0, &[0; 8])),
            ("settings", frame(SETTINGS, 0, 0, &[])),
            ("windows", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ] {
            let outcome = flood(&inside, 5000, |_| bytes.clone());
            assert!(matches!(outcome, Ended | GoneAway(_)), "{name}: {outcome:?}");
        }
        assert_eq!(other.get("/").await.status, 200);
    });
    eventually("nobody is inside", || inside.claims() == 0);
    println!("the replica saw {} requests", backend.received().len());
    assert!(backend.received().len() < 200, "{}", backend.received().len());
}

/// Resets that come a moment after their streams, so that the library has handed those over already.
#[test]
fn streams_that_are_given_up_again_and_again_end_their_connection() {
    let backend = Backend::start(|_, _| {
        std::thread::sleep(Duration::from_secs(1));
        false
    });
    let inside = in_front_of(&backend);
    let mut frames = Frames::to(inside.address);
    let block = ask("GET", "/", &[]);
    let mut ended = None;
    for number in 0..3000 {
        let stream = 2 * number + 1;
        frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        // Its answer comes when the stream has been seen, and so has the reset before it.
        frames.say(&frame(PING, 0, 0, &[0; 8]));
        let seen = std::iter::from_fn(|| frames.next()).find(|frame| matches!(frame.kind, PING | GOAWAY));
        match seen {
            Some(seen) if seen.kind == PING => {}
            Some(seen) => {
                ended = Some((number, number_of(&seen.payload)));
                break;
            }
            None => break,
        }
        frames.say(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let (after, reason) = ended.expect("it is told to go");
    println!("after {after} streams");
    assert!((100..2000).contains(&after) && reason == 0, "{after} {reason}");
    // Who goes on all the same is hung up on.
    for number in after + 1..after + 1000 {
        let stream = 2 * number + 1;
        frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        frames.say(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let hung_up = frames.outcome(u32::MAX);
    assert!(matches!(hung_up, GoneAway(ENHANCE_YOUR_CALM) | Ended), "{hung_up:?}");
    eventually("nobody is inside", || inside.claims() == 0);
}

/// Somebody downloads something, and gives up 300 other requests meanwhile.
#[test]
fn those_under_way_are_finished_before_a_defence_ends_their_connection() {
    let rest = Arc::new(Barrier::new(2));
    let may_go_on = Arc::clone(&rest);
    let backend = Backend::start(move |request, stream| {
        if !request.line.starts_with("GET /download ") {
            std::thread::sleep(Duration::from_secs(1));
            return false;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun").unwrap();
        may_go_on.wait();
        stream.write_all(b"ended").is_ok()
    });
    let inside = in_front_of(&backend);
    let mut frames = Frames::to(inside.address);
    frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/download", &[])));
    let mut body = frames.next_of(DATA).unwrap().payload;
    let block = ask("GET", "/", &[]);
    for number in 1..=300 {
        let stream = 2 * number + 1;
        frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        frames.say(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    assert_eq!(number_of(&frames.next_of(GOAWAY).unwrap().payload), 0, "told to go, and no more");
    rest.wait();
    while body.len() < 10 {
        body.extend(frames.next_of(DATA).expect("the rest comes").payload);
    }
    assert_eq!(body, b"begunended");
    let defences = inside.proxy.as_ref().unwrap().counters().defences();
    assert!(defences.contains(&("http2_given_up", 1)), "{defences:?}");
    while frames.next().is_some() {}
}

fn number_of(payload: &[u8]) -> u32 {
    number(&payload[4..])
}

#[test]
fn some_streams_may_be_given_up() {
    let backend = Backend::start(|_, _| {
        std::thread::sleep(Duration::from_millis(100));
        false
    });
    let inside = in_front_of(&backend);
    run(async {
        let mut client = Client::to(inside.address).await;
        for _ in 0..30 {
            let (answer, stream) = client.begin(request("GET", "/"), true).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop((answer, stream));
        }
        assert!(client.sender.clone().ready().await.is_ok());
    });
}
