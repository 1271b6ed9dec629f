//! How connections of clients end, and what that does to those who are under way.

use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PING, PREFACE, SETTINGS, WINDOW_UPDATE,
    ask, frame,
};
use super::replicas::in_front_of;
use super::speak::{Client, Replica, request, run, say, whole};
use crate::rig::backend::{Backend, answer};
use crate::rig::eventually;
use crate::rig::inside::{Inside, Set};

fn hasty(change: impl FnOnce(&mut Set)) -> Set {
    let mut set = Set::default();
    set.clients.timeouts.idle = Duration::from_millis(300);
    set.clients.timeouts.write = Duration::from_millis(600);
    change(&mut set);
    set
}

#[test]
fn a_stop_lets_streams_finish_and_sends_new_ones_elsewhere() {
    let replica = Replica::start(|asked, mut respond| async move {
        if asked.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        say(&mut respond, 200, "done")
    });
    let mut inside = in_front_of(&[replica.address]);
    let proxy = inside.proxy.take().unwrap();
    run(async {
        let mut client = Client::to(inside.address).await;
        assert_eq!(client.get("/").await.text(), "done");
        let (slow, _) = client.begin(request("GET", "/slow"), true).await;
        let mut other = Client::to(inside.address).await;
        assert_eq!(other.get("/").await.text(), "done");
        let begun = Instant::now();
        let stopped = std::thread::spawn(|| proxy.stop());
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(client.sender.clone().ready().await.is_err(), "it was told to go elsewhere");
        assert_eq!(whole(slow.await.unwrap()).await.unwrap().text(), "done");
        assert!(client.ended.await.unwrap().is_ok());
        assert!(other.ended.await.unwrap().is_ok(), "an idle connection ends");
        stopped.join().unwrap();
        // Who is waited for in vain has half a minute.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    });
}

#[test]
fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let backend = Backend::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(900));
        answer(stream, "200 OK", "late")
    });
    let inside = Inside::new(&[backend.address], hasty(|_| ()));
    run(async {
        let mut client = Client::to(inside.address).await;
        assert_eq!(client.get("/").await.text(), "late");
        let begun = Instant::now();
        assert!(client.ended.await.unwrap().is_ok());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    });
}

#[test]
fn an_idle_connection_ends_also_when_nobody_answers_there() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], hasty(|_| ()));
    // It says hello and falls silent; another stops within a frame.
    for more in [&b""[..], &frame(HEADERS, END_HEADERS, 1, &[0; 100])[..20]] {
        let mut stream = std::net::TcpStream::connect(inside.address).unwrap();
        std::io::Write::write_all(&mut stream, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), more].concat())
            .unwrap();
        stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
        let begun = Instant::now();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(ended.as_ref().map_or_else(is_reset, |_| true), "{ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

/// Says the same every now and then, until it is hung up on.
fn hung_up_on(frames: &mut Frames, again: &[u8]) -> bool {
    frames.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut piece = [0; 1024];
    let begun = Instant::now();
    while begun.elapsed() < crate::rig::PATIENCE {
        frames.say(again);
        match frames.stream.read(&mut piece) {
            Ok(0) => return true,
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock) => return true,
            _ => {}
        }
    }
    false
}

#[test]
fn signs_of_life_keep_no_idle_connection() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], hasty(|_| ()));
    let mut frames = Frames::to(inside.address);
    frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/", &[])));
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    assert!(hung_up_on(&mut frames, &frame(PING, 0, 0, &[0; 8])));
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let backend = Backend::saying("ok");
    let mut set = Set::default();
    set.clients.timeouts.head = Duration::from_millis(300);
    let inside = Inside::new(&[backend.address], set);
    let block = ask("GET", "/", &[]);
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 3, &block);
    for begun in [&frame(HEADERS, END_STREAM, 3, &block)[..], &whole[..whole.len() - 1], &whole[..9]] {
        for first in [vec![], frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)] {
            let mut frames = Frames::to(inside.address);
            frames.say(&[&first, begun].concat());
            assert!(hung_up_on(&mut frames, b""), "{}", begun.escape_ascii());
        }
    }
    let defences = inside.proxy.as_ref().unwrap().counters().defences();
    assert!(defences.contains(&("http2_slow_head", 6)), "{defences:?}");
}

#[test]
fn who_sends_one_head_after_the_other_is_not_late_with_the_first() {
    let backend = Backend::saying("ok");
    let limit = Duration::from_secs(1);
    let mut set = Set::default();
    set.clients.timeouts.head = limit;
    let inside = Inside::new(&[backend.address], set);
    let block = ask("GET", "/", &[]);
    let mut frames = Frames::to(inside.address);
    frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    assert_eq!(frames.outcome(1), Outcome::Status(200));
    let head = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    frames.say(&head(3)[..12]);
    let begun = Instant::now();
    let mut stream = 3;
    while begun.elapsed() < 2 * limit {
        // A part of the next one is always there.
        frames.say(&[&head(stream)[12..], &head(stream + 2)[..12]].concat());
        assert_eq!(frames.outcome(stream), Outcome::Status(200));
        stream += 2;
    }
}

#[test]
fn the_end_does_not_wait_for_who_does_not_go() {
    let backend = Backend::saying("ok");
    let mut inside = Inside::new(&[backend.address], Set::default());
    let mut silent = Frames::to(inside.address);
    silent.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/", &[])));
    assert_eq!(silent.outcome(1), Outcome::Status(200));
    let mut talkative = Frames::to(inside.address);
    let proxy = inside.proxy.take().unwrap();
    let begun = Instant::now();
    let stopped = std::thread::spawn(|| proxy.stop());
    assert!(hung_up_on(&mut talkative, &frame(PING, 0, 0, &[0; 8])));
    stopped.join().unwrap();
    // A stalled write would have half a minute.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn who_takes_nothing_from_its_socket_loses_its_connection() {
    let replica =
        Replica::start(|_, mut respond| async move { say(&mut respond, 200, &"x".repeat(1 << 20)) });
    let mut set = hasty(|_| ());
    set.protocol = proxy::Protocol::H2c;
    let inside = Inside::new(&[replica.address], set);
    let mut frames = Frames::over(std::net::TcpStream::connect(inside.address).unwrap());
    // Everything may come at once, so that no window holds anything up.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let window = frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
    frames.say(&[PREFACE, &settings, &window].concat());
    let block = ask("GET", "/", &[]);
    for stream in 0..64 {
        frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, &block));
    }
    eventually("they are under way", || replica.received().len() == 64);
    eventually("nobody is inside", || inside.claims() == 0);
    let begun = Instant::now();
    // Writing shows whether the other side is still there, without reading.
    eventually("the connection is gone", || {
        std::thread::sleep(Duration::from_millis(20));
        std::io::Write::write_all(&mut frames.stream, &frame(6, 0, 0, &[0; 8])).is_err()
    });
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_body_that_trickles_is_too_slow_if_its_length_was_promised() {
    let backend = Backend::saying("ok");
    let mut set = Set::default();
    set.clients.timeouts.body_grace = Duration::from_millis(300);
    let inside = Inside::new(&[backend.address], set);
    run(async {
        let mut client = Client::to(inside.address).await;
        let asked = http::Request::post("http://h/").header("content-length", 9).body(()).unwrap();
        let (answer, mut stream) = client.begin(asked, false).await;
        stream.send_data(Bytes::from_static(b"a"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 408);
        assert_eq!(client.get("/").await.text(), "ok", "the connection goes on");
    });
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn a_connection_that_breaks_frees_everything_that_was_under_way() {
    let replica = Replica::start(|asked, respond| async move {
        std::future::pending::<()>().await;
        drop((asked, respond));
        Ok(())
    });
    let inside = in_front_of(&[replica.address]);
    let mut frames = Frames::to(inside.address);
    for stream in 0..50 {
        frames.say(&frame(HEADERS, END_HEADERS, 2 * stream + 1, &ask("POST", "/", &[])));
        frames.say(&frame(DATA, 0, 2 * stream + 1, b"more"));
    }
    eventually("they are inside", || inside.claims() == 50);
    drop(frames);
    let took = eventually("nobody is inside", || inside.claims() == 0);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut frames = Frames::to(inside.address);
    frames.say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &ask("GET", "/", &[])));
    eventually("it is inside", || inside.claims() == 1);
    frames.say(&frame(GOAWAY, 0, 0, &[0; 8]));
    frames.stream.shutdown(std::net::Shutdown::Write).unwrap();
    eventually("nobody is inside", || inside.claims() == 0);
}
