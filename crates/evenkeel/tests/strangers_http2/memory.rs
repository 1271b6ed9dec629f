//! What strangers can make the balancer keep, all of them together: below `limits.memory`, whatever they
//! do, and given back when they have left.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, ask, fields, frame, status,
};
use crate::rig::backend::Backend;
use crate::rig::{Balancer, Rig, eventually};

const LIMIT_MIB: u64 = 32;
/// What the program has at rest may grow by so much: counters, pools, room for a crowd of connections.
const BASE_MIB: u64 = 16;
const CONNECTIONS: usize = 50;
const STREAMS: u32 = 60;
/// The backend has thousands of threads by then, and is no less well for answering heartbeats late.
const PATIENT: &str = "[service.heartbeat]\nevery = \"2s\"\ntimeout = \"2s\"\nmisses = 100\n";
/// 3.9 KB, which HPACK's table has just room for.
const LARGE: [u8; 3900] = [b'a'; 3900];

/// A replica that lets everybody wait, or says more than anybody reads.
fn backend() -> Backend {
    Backend::at_heads(|head, reader| {
        let stream = reader.get_mut();
        if head.line.starts_with("GET /good") {
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok();
        }
        if head.line.starts_with("GET /large") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n");
            let _ = stream.write_all(&vec![b'r'; 8 << 20]);
        }
        if head.line.starts_with("GET /interim") {
            let hint = [&b"HTTP/1.1 103 Early Hints\r\nLink: <"[..], &[b'l'; 8000], b">\r\n\r\n"].concat();
            let _ = stream.write_all(&hint.repeat(15));
        }
        // Nothing is read and nothing more is said, until the balancer hangs up.
        let _ = rustix::event::poll(&mut [PollFd::new(&*stream, PollFlags::RDHUP)], None);
        false
    })
}

fn balancer(backend: &Backend) -> Balancer {
    balancer_with(backend, "")
}

fn balancer_with(backend: &Backend, more: &str) -> Balancer {
    let config = format!(
        "workers = 2\n{more}[limits]\nmemory = \"{LIMIT_MIB}MiB\"\n[[service]]\nname = \"web\"\ndriver = \"static\"\n\
         addresses = [\"{}\"]\n{PATIENT}",
        backend.address
    );
    Rig::new().config(&config).up()
}

/// Looks at the memory of a process until it is asked what it was at most.
struct Watch {
    is_over: Arc<AtomicBool>,
    watching: JoinHandle<u64>,
}

impl Watch {
    fn over(pid: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let watching = std::thread::spawn(move || {
            let mut most = 0;
            while !ends.load(Ordering::Relaxed) {
                most = most.max(rss_mib_of(pid));
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        Self { is_over, watching }
    }

    fn most_mib(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

fn rss_mib(balancer: &Balancer) -> u64 {
    rss_mib_of(balancer.pid())
}

fn rss_mib_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Says it all, as far as it is taken, and then nothing.
fn say(address: SocketAddr, bytes: &[u8], is_http2: bool) -> TcpStream {
    let mut stream = if is_http2 {
        let mut frames = Frames::to(address);
        let wide = [&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat();
        frames.say(
            &[frame(SETTINGS, 0, 0, &wide), frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes())]
                .concat(),
        );
        // How much may be said is known once this comes back.
        frames.say(&frame(PING, 0, 0, &[7; 8]));
        assert!(frames.next_of(PING).is_some());
        frames.stream
    } else {
        TcpStream::connect(address).unwrap()
    };
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    // It may be hung up on, or not be read.
    let _ = stream.write_all(bytes);
    stream
}

fn streams(count: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|index| each(2 * index + 1)).collect()
}

/// So many times the large field by its number in HPACK's table, where the first stream has put it.
fn amplified(count: u32, times: usize) -> Vec<u8> {
    streams(count, |stream| {
        let mut entry = fields(&[("x-large", &LARGE)]);
        entry[0] = 0x40;
        let entry = if stream == 1 { entry } else { Vec::new() };
        let head = [ask("POST", "/hold", &[]), entry, vec![0xbe; times]];
        frame(HEADERS, END_HEADERS, stream, &head.concat())
    })
}

fn body(size: usize, stream: u32) -> Vec<u8> {
    vec![b'b'; size].chunks(16 << 10).flat_map(|piece| frame(DATA, 0, stream, piece)).collect()
}

fn get(path: &str) -> Vec<u8> {
    streams(STREAMS, |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &ask("GET", path, &[])))
}

struct Attack {
    claim: &'static str,
    is_http2: bool,
    bytes: Vec<u8>,
}

fn attacks() -> Vec<Attack> {
    let length: [(&str, &[u8]); 1] = [("content-length", b"65536")];
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &ask("POST", "/hold", &[]));
    let filler = |count: usize| fields(&vec![("x-filler", &LARGE[..]); count]);
    let lines = format!("X-Filler: {}\r\n", "h".repeat(900));
    let http2 = |claim, bytes| Attack { claim, is_http2: true, bytes };
    let http1 = |claim, text: String| Attack { claim, is_http2: false, bytes: text.into_bytes() };
    vec![
        http2("a field named again and again", amplified(STREAMS, 15)),
        http2("the same within the limit of a head", amplified(STREAMS, 7)),
        http2("windows filled and not read", streams(STREAMS, |id| [open(id), body(256 << 10, id)].concat())),
        http2("uploads that never end", streams(STREAMS, |id| [open(id), body(40 << 10, id)].concat())),
        http2(
            "bodies to be kept, without their last byte",
            streams(60, |id| {
                let head = ask("PUT", "/hold", &length);
                [frame(HEADERS, END_HEADERS, id, &head), body((64 << 10) - 1, id)].concat()
            }),
        ),
        http2(
            "trailers",
            streams(STREAMS, |id| {
                [open(id), body(1, id), frame(HEADERS, END_HEADERS | END_STREAM, id, &filler(4))].concat()
            }),
        ),
        http2("answers that are not read", get("/large")),
        http2("interim answers that are not read", get("/interim")),
        http2(
            "a head that never ends",
            [frame(HEADERS, 0, 1, &ask("GET", "/", &[])), frame(CONTINUATION, 0, 1, &filler(4))].concat(),
        ),
        http1("bodies to be kept over HTTP/1", {
            format!("PUT /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n{}", "b".repeat(65_535))
        }),
        http1("answers that are not read over HTTP/1", "GET /large HTTP/1.1\r\nHost: h\r\n\r\n".into()),
        http1("interim answers over HTTP/1", "GET /interim HTTP/1.1\r\nHost: h\r\n\r\n".into()),
        http1("heads that never end over HTTP/1", {
            format!("GET / HTTP/1.1\r\nHost: h\r\n{}", lines.repeat(66))
        }),
    ]
}

#[test]
fn all_strangers_together_keep_less_than_the_limit_and_leave_nothing() {
    let backend = backend();
    let balancer = balancer(&backend);
    let good = || balancer.get("/good").body;
    assert_eq!(good(), "ok");
    let rest = rss_mib(&balancer);
    for Attack { claim, is_http2, bytes } in attacks() {
        let begun = rss_mib(&balancer);
        let watch = Watch::over(balancer.pid());
        let say = || say(balancer.address, &bytes, is_http2);
        let held: Vec<TcpStream> = std::thread::scope(|scope| {
            let saying: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(say)).collect();
            for _ in 0..10 {
                assert_eq!(good(), "ok", "{claim}: others are served");
            }
            saying.into_iter().map(|stream| stream.join().unwrap()).collect()
        });
        assert_eq!(good(), "ok", "{claim}: others are served");
        let most = watch.most_mib();
        drop(held);
        assert!(begun < rest + BASE_MIB, "{claim}: {begun} MiB before it began");
        assert!(most < rest + LIMIT_MIB + BASE_MIB, "{claim}: {most} MiB, {rest} at rest");
        eventually(&format!("{claim}: memory goes back"), || rss_mib(&balancer) < rest + BASE_MIB);
    }
}

#[test]
fn what_is_closed_for_memory_has_its_lines_in_the_access_log() {
    let (backend, folder) = (backend(), tempfile::tempdir().unwrap());
    let file = folder.path().join("access.log");
    let balancer = balancer_with(&backend, &format!("access_log = {{ to = {file:?} }}\n"));
    let unread = get("/large");
    let _held: Vec<TcpStream> = std::thread::scope(|scope| {
        let say = || say(balancer.address, &unread, true);
        let saying: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(say)).collect();
        saying.into_iter().map(|stream| stream.join().unwrap()).collect()
    });
    let is_told = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let has = |key: &str, value: &str| line[key] == value;
        has("failure", "its connection was ended (memory)")
            && has("ending", "hung up")
            && has("target", "/large")
    };
    eventually("requests that were closed for memory are told as that", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().any(is_told)
    });
}

#[test]
fn heads_of_one_connection_have_room_together_and_who_goes_on_is_hung_up_on() {
    let backend = backend();
    let balancer = balancer(&backend);
    let mut frames = Frames::to(balancer.address);
    frames.say(&amplified(30, 7));
    // 28 KiB each, and 512 KiB for all: 18 have room.
    let answers: Vec<_> = (19..=30).map(|_| frames.next_of(HEADERS).unwrap()).collect();
    assert_eq!(status(&answers[0].payload), 431);
    // The others name what the first has put into HPACK's table.
    assert!(answers.iter().all(|answer| answer.stream >= 2 * 19 - 1), "{answers:?}");
    frames.say(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    let mut calm = Frames::to(balancer.address);
    calm.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/good", &[])));
    assert_eq!(calm.outcome(1), Outcome::Status(200), "others have their own");
    // 64 more than have room are too many.
    let again = |index: u32| {
        frame(HEADERS, END_HEADERS, 2 * index - 1, &[ask("POST", "/hold", &[]), vec![0xbe; 7]].concat())
    };
    frames.say(&(31_u32..=110).flat_map(again).collect::<Vec<u8>>());
    assert!(balancer.says(|line| line.contains("too large together")).is_some());
    let mut rest = Vec::new();
    match frames.stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn the_limit_of_a_head_is_said_and_kept() {
    let backend = backend();
    let balancer = balancer(&backend);
    let mut frames = Frames::to(balancer.address);
    let settings = frames.next_of(SETTINGS).unwrap();
    let said = settings.payload.chunks(6).find(|setting| setting[..2] == [0, 6]).expect("it is said");
    assert_eq!(u32::from_be_bytes(said[2..].try_into().unwrap()), 32 << 10);
    let head = |count: usize| ask("GET", "/good", &vec![("x-filler", &LARGE[..]); count]);
    for (stream, count, expected) in [(1, 3, Outcome::Status(200)), (3, 9, Outcome::Status(431))] {
        let block = head(count);
        let mut pieces = block.chunks(16 << 10);
        frames.say(&frame(HEADERS, END_STREAM, stream, pieces.next().unwrap()));
        pieces.for_each(|piece| frames.say(&frame(CONTINUATION, 0, stream, piece)));
        frames.say(&frame(CONTINUATION, END_HEADERS, stream, b""));
        assert_eq!(frames.outcome(stream), expected, "{count} fields");
    }
}
