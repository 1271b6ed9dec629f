//! Bodies: large ones, unwanted ones, those that somebody waits for, and what stands behind them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rig::backend::{Backend, answer, read_body};
use rig::client::Talk;
use rig::inside::{Inside, Set};
use rig::tls::Authority;
use rig::{Rig, eventually};

fn in_front_of(backend: &Backend) -> Inside {
    Inside::new(&[backend.address], Set::default())
}

fn no_claims(inside: &Inside) {
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn an_early_answer_arrives_while_the_upload_goes_on() {
    let backend = Backend::at_heads(|head, reader| {
        let head_of_answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n";
        reader.get_mut().write_all(head_of_answer).unwrap();
        let body = read_body(head, reader).unwrap();
        let rest = format!("{:x}\r\n{}\r\n0\r\n\r\n", body.len(), String::from_utf8(body).unwrap());
        reader.get_mut().write_all(rest.as_bytes()).is_ok()
    });
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    for _ in 0..3 {
        talk.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        assert_eq!(talk.head().status, 200);
        assert_eq!(talk.chunk().unwrap(), "early");
        talk.say("3\r\ndef\r\n");
        talk.say("0\r\n\r\n");
        assert_eq!(talk.chunk().unwrap(), "abcdef");
        assert_eq!((talk.chunk(), talk.line()), (None, String::new()));
    }
    assert_eq!(backend.connections(), 1, "nothing was wrong with its connection");
    no_claims(&inside);
}

/// More than what every worker would pass on at a time.
const CROWD: usize = 300;

#[test]
fn a_crowd_that_sends_in_drops_is_no_replicas_burden() {
    let backend = Backend::start(|request, stream| answer(stream, "200 OK", &request.body.len().to_string()));
    let inside = in_front_of(&backend);
    let ask = |length: usize| format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    let lengths = (0..CROWD).map(|number| if number % 2 == 0 { 100 } else { 20_000 });
    let mut crowd: Vec<(usize, Talk)> = lengths.map(|length| (length, Talk::to(inside.address))).collect();
    crowd.iter_mut().for_each(|(length, talk)| talk.say(ask(*length)));
    for _ in 0..10 {
        crowd.iter_mut().for_each(|(_, talk)| talk.say("drop"));
        let mut other = Talk::to(inside.address);
        other.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(other.answer().status, 200);
        assert!(inside.claims() < CROWD as u64 / 2, "{} are inside", inside.claims());
    }
    crowd.iter_mut().for_each(|(length, talk)| talk.say(vec![7; *length - 40]));
    for (length, talk) in &mut crowd {
        let answer = talk.answer();
        assert_eq!((answer.status, answer.body), (200, length.to_string()));
    }
    no_claims(&inside);
}

#[test]
fn a_no_to_a_large_upload_arrives_although_nobody_reads_the_rest() {
    let no = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much";
    let backend = Backend::at_heads(move |head, reader| {
        reader.get_mut().write_all(no).unwrap();
        if head.line.contains("/stops-reading") {
            reader.get_ref().shutdown(Shutdown::Read).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        // Closed with unread bytes in it, a socket is reset.
        false
    });
    let inside = in_front_of(&backend);
    for path in ["/stops-reading", "/closes"] {
        for round in 0..20 {
            let mut talk = Talk::to(inside.address);
            talk.say(format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 200000000\r\n\r\n"));
            // Before the answer is there the client sends what it likes; how much gets through is open.
            let mut bytes = talk.stream.get_ref().try_clone().unwrap();
            let sends = std::thread::spawn(move || while bytes.write_all(&[7; 65_536]).is_ok() {});
            let answer = talk.answer();
            assert_eq!((answer.status, answer.body.as_str()), (413, "too much"), "{path}, round {round}");
            // It has its answer; to send on to somebody who only reads and forgets would take its time.
            let _ = talk.stream.get_ref().shutdown(Shutdown::Both);
            sends.join().unwrap();
        }
    }
    no_claims(&inside);
}

#[test]
fn whoever_asks_before_it_sends_is_told_by_the_replica() {
    let backend = Backend::at_heads(|head, reader| {
        assert_eq!(head.header("expect"), ["100-continue"]);
        if head.line.contains("/no") {
            return answer(reader.get_mut(), "417 Expectation Failed", "");
        }
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let body = String::from_utf8(read_body(head, reader).unwrap()).unwrap();
        answer(reader.get_mut(), "200 OK", &body)
    });
    let inside = in_front_of(&backend);
    for method in ["POST", "PUT"] {
        let head = |path: &str| {
            format!(
                "{method} {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
            )
        };
        let mut talk = Talk::to(inside.address);
        for _ in 0..3 {
            talk.say(head("/yes"));
            assert_eq!(talk.head().status, 100);
            talk.say("body");
            assert_eq!(talk.answer().body, "body");
        }
        talk.say(head("/no"));
        let answer = talk.answer();
        assert_eq!(answer.status, 417);
        // Whether the body still comes is not known, so nothing can come behind it.
        talk.end();
        assert_eq!(talk.rest().unwrap(), b"");
    }
    no_claims(&inside);
}

#[test]
fn trailers_pass_both_ways() {
    let seen = Arc::new(Mutex::new(String::new()));
    let of_request = Arc::clone(&seen);
    let backend = Backend::at_heads(move |_, reader| {
        let mut text = String::new();
        while !text.ends_with("0\r\nX-Sum: 1\r\n\r\n") && !text.ends_with("0\r\n\r\n") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        *of_request.lock().unwrap() = text;
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
            2\r\nok\r\n0\r\nX-Sum: 2\r\nContent-Length: 7\r\nSet-Cookie: no\r\n\r\n";
        reader.get_mut().write_all(answer).is_ok()
    });
    let inside = in_front_of(&backend);
    let mut talk = Talk::to(inside.address);
    talk.say(
        "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
    );
    talk.say("X-Sum: 1\r\nHost: other\r\n\r\n");
    assert_eq!(talk.head().status, 200);
    assert_eq!(talk.chunk().unwrap(), "ok");
    assert_eq!(talk.chunk(), None);
    assert_eq!([talk.line(), talk.line()], ["X-Sum: 2".to_string(), String::new()]);
    assert_eq!(*seen.lock().unwrap(), "2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert!(backend.received()[0].header("te").is_empty(), "it was about the client's connection");
}

/// Bytes that differ at each place, for a long while.
fn pattern() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..1_000_003).map(|_| next()).collect()
}

/// Whether so many bytes of the pattern come, over and over.
fn is_pattern(reader: &mut impl Read, pattern: &[u8], mut count: usize) -> bool {
    let mut piece = vec![0; pattern.len()];
    while count > 0 {
        let length = piece.len().min(count);
        if reader.read_exact(&mut piece[..length]).is_err() || piece[..length] != pattern[..length] {
            return false;
        }
        count -= length;
    }
    true
}

fn send_pattern(writer: &mut impl Write, pattern: &[u8], mut count: usize) {
    while count > 0 {
        let length = pattern.len().min(count);
        writer.write_all(&pattern[..length]).unwrap();
        count -= length;
    }
}

fn resident_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn bodies_of_200_mib_pass_unchanged_and_leave_no_trace_in_memory() {
    const SIZE: usize = 200 << 20;
    let is_whole = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&is_whole);
    let backend = Backend::at_heads(move |head, reader| {
        let pattern = pattern();
        if head.line.starts_with("POST") {
            count.fetch_add(usize::from(is_pattern(reader, &pattern, SIZE)), Ordering::Relaxed);
            return answer(reader.get_mut(), "200 OK", "");
        }
        if head.line.contains("/warm") {
            return answer(reader.get_mut(), "200 OK", "");
        }
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        reader.get_mut().write_all(text.as_bytes()).unwrap();
        send_pattern(reader.get_mut(), &pattern, SIZE);
        true
    });
    let config =
        format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n", backend.address);
    let balancer = Rig::new().config(&config).up();
    eventually("it is in the table", || balancer.service()["ready"] == 1);
    assert_eq!(balancer.get("/warm").status, 200);
    let before = resident_kib(balancer.pid());
    let pattern = pattern();
    let mut talk = Talk::to(balancer.address);
    talk.say(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"));
    send_pattern(talk.stream.get_mut(), &pattern, SIZE);
    assert_eq!((talk.answer().status, is_whole.load(Ordering::Relaxed)), (200, 1));
    talk.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(talk.head().status, 200);
    assert!(is_pattern(&mut talk.stream, &pattern, SIZE));
    let growth = resident_kib(balancer.pid()) - before;
    println!("its most memory grew by {growth} KiB");
    assert!(growth < 16 << 10, "{growth} KiB more than before");
}

/// So much that no buffer on the way holds it.
const MUCH: usize = 20 << 20;

/// Sends everything before it looks for an answer, as many clients do; what it reads then.
fn sends_all_first(stream: &mut (impl Read + Write), ask: &str, length: usize) -> String {
    stream.write_all(ask.as_bytes()).unwrap();
    let piece = vec![b'x'; 1 << 16];
    for _ in 0..length / piece.len() {
        stream.write_all(&piece).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_sends_everything_first_still_sees_that_it_was_refused() {
    let backend = Backend::at_heads(|_, reader| {
        let refusal = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
        let _ = reader.get_mut().write_all(refusal);
        false
    });
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let path = |ending: &str| folder.path().join(format!("shop.test.{ending}")).display().to_string();
    let config = format!(
        "contract = true\n[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
         certificates = [{{ certificate = \"{}\", key = \"{}\" }}]\n\
         [[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
        path("pem"),
        path("key"),
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    let address = balancer.next_listener();
    let framings = [
        format!("Content-Length: {MUCH}\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{MUCH:x}\r\n"),
    ];
    // By a replica, and by ourselves.
    for (ask, status) in
        [("POST /up HTTP/1.1", "413"), ("POST /add HTTP/1.1", "413"), ("POST /a#b HTTP/1.1", "400")]
    {
        for framing in &framings {
            let ask = format!("{ask}\r\nHost: h\r\n{framing}");
            let mut plain = TcpStream::connect(balancer.address).unwrap();
            let mut encrypted = authority.client(None).connect(address, "shop.test").unwrap();
            for answer in
                [sends_all_first(&mut plain, &ask, MUCH), sends_all_first(&mut encrypted, &ask, MUCH)]
            {
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{ask}: {answer}");
                assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{answer}");
            }
        }
    }
}

#[test]
fn a_connection_that_is_to_close_makes_room_for_others() {
    let backend = Backend::saying("ok");
    let config = format!(
        "[limits]\nconnections = 4\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    let refused = || {
        let mut talk = Talk::to(balancer.address);
        talk.say("GET /a#b HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
        assert_eq!(talk.answer().status, 400);
        // It neither sends nor closes.
        talk
    };
    let _held: Vec<Talk> = (0..4).map(|_| refused()).collect();
    for _ in 0..8 {
        assert_eq!(balancer.get("/").body, "ok", "none of them is waited for");
    }
}
