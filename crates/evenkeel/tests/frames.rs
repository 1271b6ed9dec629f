//! HTTP/2 frame by frame, from clients and replicas that no library would be: refusals, silence, and what
//! only one of two protocols can say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::Protocol;
use rig::backend::Backend;
use rig::client::Talk;
use rig::inside::{Inside, Set};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[derive(Clone, Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    fn write(&self, to: &mut impl Write) {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        // Who is gone need not be told.
        let _ = to.write_all(&bytes);
    }

    /// Nothing at the end of the connection.
    fn read(from: &mut impl Read) -> Option<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        from.read_exact(&mut payload).ok()?;
        Some(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    fn ends(&self) -> bool {
        self.flags & END_STREAM != 0
    }
}

/// A replica that speaks HTTP/2, what it was sent, and a data plane in front of it.
struct Plane {
    inside: Inside,
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Plane {
    /// The replica does this with each frame of a request.
    fn new(behave: impl Fn(&Frame, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&frames);
        let backend = Backend::at_heads(move |_, reader| {
            reader.read_exact(&mut [0; 6]).unwrap();
            Frame::new(SETTINGS, 0, 0, &[]).write(reader.get_mut());
            while let Some(frame) = Frame::read(reader) {
                match frame.kind {
                    SETTINGS | PING if frame.flags == 0 => {
                        Frame::new(
                            frame.kind,
                            1,
                            0,
                            &frame.payload[..if frame.kind == PING { 8 } else { 0 }],
                        )
                        .write(reader.get_mut());
                    }
                    HEADERS | DATA => {
                        seen.lock().unwrap().push(frame.clone());
                        behave(&frame, reader.get_mut());
                    }
                    _ => {}
                }
            }
            false
        });
        let set = Set { protocol: Protocol::H2c, ..Set::default() };
        Self { inside: Inside::new(&[backend.address], set), frames }
    }

    fn ask(&self, text: &str) -> u16 {
        let mut talk = Talk::to(self.inside.address);
        talk.say(text);
        talk.answer().status
    }

    fn count(&self, kind: u8) -> usize {
        self.frames.lock().unwrap().iter().filter(|frame| frame.kind == kind).count()
    }
}

/// `:status 204`.
fn no_content(frame: &Frame, stream: &mut TcpStream) {
    if frame.ends() {
        Frame::new(HEADERS, END_HEADERS | END_STREAM, frame.stream, &[0x89]).write(stream);
    }
}

fn refuse(frame: &Frame, stream: &mut TcpStream) {
    Frame::new(RESET, 0, frame.stream, &REFUSED_STREAM).write(stream);
}

#[test]
fn what_only_http_1_can_say_is_refused_and_holds_nobody_up() {
    let plane = Plane::new(no_content);
    for _ in 0..4 {
        assert_eq!(plane.ask(GET), 204, "there are connections to keep");
    }
    for (odd, status) in [("/<x> HTTP/1.1\r\nHost: h", 204), ("/ HTTP/1.1\r\nHost: a%20b", 400)] {
        for _ in 0..4 {
            assert_eq!(plane.ask(&format!("GET {odd}\r\n\r\n")), status, "{odd}");
        }
    }
    assert_eq!(plane.ask(GET), 204);
    assert_eq!(plane.count(HEADERS), 9);
}

#[test]
fn a_replica_that_refuses_every_stream_is_not_asked_for_ever() {
    let is_refusing = Arc::new(Mutex::new(false));
    let says_no = Arc::clone(&is_refusing);
    let plane =
        Plane::new(
            move |frame, stream| {
                if *says_no.lock().unwrap() { refuse(frame, stream) } else { no_content(frame, stream) }
            },
        );
    for _ in 0..4 {
        assert_eq!(plane.ask(GET), 204);
    }
    *is_refusing.lock().unwrap() = true;
    assert_eq!(plane.ask(GET), 503);
    assert!(plane.count(HEADERS) < 20, "{}", plane.count(HEADERS));
}

#[test]
fn what_is_left_of_a_body_is_not_sent_as_the_whole() {
    let plane = Plane::new(|frame, stream| {
        if frame.kind == DATA && frame.payload == b"FIRST" {
            refuse(frame, stream);
        }
        no_content(frame, stream);
    });
    for _ in 0..4 {
        assert_eq!(plane.ask(GET), 204);
    }
    let mut talk = Talk::to(plane.inside.address);
    talk.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nFIRST\r\n");
    rig::eventually("it has come to the replica", || plane.count(DATA) > 0);
    talk.say("6\r\nSECOND\r\n0\r\n\r\n");
    // It is asked again, and gets all of it.
    assert_eq!(talk.answer().status, 204);
    let frames = plane.frames.lock().unwrap().clone();
    let data: Vec<_> =
        frames.into_iter().filter(|frame| frame.kind == DATA && !frame.payload.is_empty()).collect();
    let is_rest = |pair: &[Frame]| pair[1].payload == b"SECOND" && pair[0].payload != b"FIRST";
    assert!(!data.windows(2).any(is_rest) && data[0].payload == b"FIRST", "{data:?}");
}

/// A connection of a client that has sent its preface and settings.
fn client(inside: &Inside) -> BufReader<TcpStream> {
    let mut stream = Talk::to(inside.address).stream;
    stream.get_mut().write_all(PREFACE).unwrap();
    Frame::new(SETTINGS, 0, 0, &[]).write(stream.get_mut());
    stream
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

#[test]
fn an_idle_client_is_left_also_when_it_says_nothing() {
    let mut set = Set::default();
    set.clients.timeouts.idle = Duration::from_millis(200);
    set.clients.timeouts.write = Duration::from_millis(500);
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], set);
    let mut silent = client(&inside);
    let mut was_told = false;
    // The read times out if the connection does not end.
    while let Some(frame) = Frame::read(&mut silent) {
        was_told |= frame.kind == GO_AWAY;
    }
    assert!(was_told);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_head_that_does_not_pass_is_told_nothing_of_the_one_before() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], Set::default());
    let ask = |host: &str, id: &str| {
        let mut stream = client(&inside);
        let mut head = vec![0x82, 0x86, 0x84, 0x01, 1, b'h'];
        head.extend([literal("host", host), literal("x-request-id", id)].concat());
        Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, &head).write(stream.get_mut());
        let mut got = Vec::new();
        while let Some(frame) = Frame::read(&mut stream) {
            got.extend_from_slice(&frame.payload);
            if frame.stream == 1 && frame.ends() {
                break;
            }
        }
        got
    };
    let first = ask("h", "!!!!!!!!!!!!");
    let id: Vec<u8> = first.windows(8).find(|bytes| is_code_of_marks(bytes)).unwrap().to_vec();
    for _ in 0..8 {
        let second = ask("other", "xx");
        assert!(!second.windows(8).any(|bytes| bytes == id), "it is somebody else's");
    }
}

/// An exclamation mark is the ten bits 1111111000 in HPACK's code.
fn is_code_of_marks(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xfe, 0x3f, 0x8f, 0xe3, 0xf8, 0xfe, 0x3f, 0x8f])
}
