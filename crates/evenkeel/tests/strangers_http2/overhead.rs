//! Frames without end that ask for nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::frames::{
    DATA, END_HEADERS, Frames, HEADERS, Outcome, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, ask, frame,
};
use crate::rig::backend::Backend;
use crate::rig::{Balancer, Rig, client};

const PRIORITY: u8 = 2;
const UNKNOWN: u8 = 0xbe;
const ENHANCE_YOUR_CALM: u32 = 11;
/// Hung up on must be who has sent this much. The limit is 8 MiB and a bit.
const SENT_MAX: usize = 24 << 20;

fn in_front_of(backend: &Backend) -> Balancer {
    let config =
        format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n", backend.address);
    Rig::new().config(&config).up()
}

/// Says the same again and again until it is hung up on; how much was taken of it.
fn flood(stream: &TcpStream, frame: &[u8]) -> usize {
    let many = frame.repeat((64 << 10) / frame.len());
    let mut sent = 0;
    while sent < SENT_MAX {
        match (&*stream).write(&many[sent % frame.len()..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

/// The reason of the last GOAWAY among all that comes.
fn farewell(mut stream: TcpStream) -> Option<u32> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    let mut rest = &bytes[..];
    let mut reason = None;
    while let [a, b, c, kind, _, _, _, _, _, more @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(payload) = more.get(..length) else { break };
        if *kind == 7 {
            reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        rest = &more[length..];
    }
    reason
}

#[test]
fn frames_that_ask_for_nothing_end_their_connection() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend);
    // A body that is never to be whole, for the frames of a stream.
    let open = frame(HEADERS, END_HEADERS, 1, &ask("POST", "/", &[]));
    let mut is_told = false;
    for (claim, first, again) in [
        ("PRIORITY", vec![], frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        (
            "PRIORITY of many streams",
            vec![],
            [3, 5, 7, 9].map(|id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 1])).concat(),
        ),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", open.clone(), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("PING", vec![], frame(PING, 0, 0, &[7; 8])),
        ("answers to PINGs that nobody sent", vec![], frame(PING, 1, 0, &[7; 8])),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with something in them", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("frames that nobody knows", vec![], frame(UNKNOWN, 0, 0, b"")),
        ("large ones", vec![], frame(UNKNOWN, 0, 1, &[1; 9000])),
        ("padding", open.clone(), frame(DATA, 8, 1, &[&[255][..], &[0; 255]].concat())),
        ("empty DATA", open.clone(), frame(DATA, 0, 1, b"")),
        (
            "RST_STREAM of one that is reset",
            [open.clone(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat(),
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        ),
        (
            "some of each",
            open.clone(),
            [
                frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]),
                frame(UNKNOWN, 0, 0, &[0; 20]),
                frame(PING, 0, 0, &[7; 8]),
                frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            ]
            .concat(),
        ),
    ] {
        let mut frames = Frames::to(balancer.address);
        frames.say(&first);
        let reading = frames.stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || farewell(reading));
        let sent = flood(&frames.stream, &again);
        let _ = frames.stream.shutdown(Shutdown::Write);
        assert!(sent < SENT_MAX, "{claim}: nobody hung up");
        let reason = reading.join().unwrap();
        // A reset of what was not read may overtake what was said.
        assert!(matches!(reason, Some(ENHANCE_YOUR_CALM) | None), "{claim}: {reason:?}");
        is_told |= reason.is_some();
        assert_eq!(balancer.get("/").body, "ok", "{claim}: others are served");
    }
    assert!(is_told, "nobody was told why");
    assert!(balancer.says(|line| line.contains("ask for nothing")).is_some(), "the log says so");
    let metrics = client::send(balancer.admin, "GET", "/metrics", "").body;
    let line = metrics.lines().find(|line| line.contains("defences_total{kind=\"http2_overhead\"}"));
    let count = line.and_then(|line| line.rsplit_once(' ')).map(|(_, count)| count.parse().unwrap());
    // The library has an end of its own for some.
    assert!(count.is_some_and(|count: u64| count >= 8), "{line:?}");
}

#[test]
fn who_sends_little_at_a_time_for_long_is_no_flood() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend);
    let mut frames = Frames::to(balancer.address);
    // Four signs of life beside each request, as chatty clients send them.
    let ping = frame(PING, 0, 0, &[7; 8]).repeat(4);
    for round in 0..2_000_u32 {
        let stream = 2 * round + 1;
        let head = ask("GET", "/", &[("x-filler", &[b'x'; 200])]);
        frames.say(&[&ping[..], &frame(HEADERS, END_HEADERS | 1, stream, &head)].concat());
        assert_eq!(frames.outcome(stream), Outcome::Status(200), "request {round}");
    }
    frames.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    frames.say(&frame(PING, 0, 0, &[9; 8]));
    assert!(frames.next_of(PING).is_some());
}
