//! Limits of time and number: each is kept, each is left again, and whoever is not at fault feels
//! nothing of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{ErrorKind, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rig::backend::{Backend, answer, read_body};
use rig::client::Talk;
use rig::inside::{Inside, Set};
use rig::{Rig, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Long enough to be told from nothing, short enough for a test.
const SHORT: Duration = Duration::from_millis(300);

/// So much earlier than it should a deadline may come: a worker looks at the time that often.
const TICK: Duration = Duration::from_millis(100);

fn set(change: impl FnOnce(&mut Set)) -> Set {
    let mut set = Set::default();
    change(&mut set);
    set
}

/// Whether an answer has begun to come.
fn is_answered(talk: &Talk, within: Duration) -> bool {
    let stream = talk.stream.get_ref();
    stream.set_read_timeout(Some(within)).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    match peeked {
        Ok(count) => count > 0,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn one_connection_at_a_time_is_enough_for_everybody() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], set(|set| set.clients.connections_max = 1));
    // Whichever worker it meets.
    for _ in 0..50 {
        let mut talk = Talk::to(inside.address);
        talk.say(GET);
        assert_eq!(talk.answer().body, "ok");
    }
}

#[test]
fn who_comes_when_all_connections_have_requests_under_way_waits_until_one_is_free() {
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let backend = Backend::at_heads(move |_, reader| {
        may_go.lock().unwrap().recv_timeout(rig::PATIENCE).unwrap();
        answer(reader.get_mut(), "200 OK", "ok")
    });
    let inside = Inside::new(&[backend.address], set(|set| set.clients.connections_max = 4));
    let ask = || {
        let mut talk = Talk::to(inside.address);
        talk.say(GET);
        talk
    };
    let mut inner: Vec<Talk> = (0..4).map(|_| ask()).collect();
    eventually("four are inside", || inside.claims() == 4);
    let mut outer: Vec<Talk> = (0..3).map(|_| ask()).collect();
    for talk in inner.iter().chain(&outer) {
        assert!(!is_answered(talk, Duration::from_millis(50)), "nobody has an answer yet");
    }
    assert_eq!(inside.claims(), 4, "it is one too many");
    (0..7).for_each(|_| go.send(()).unwrap());
    for talk in inner.iter_mut().chain(&mut outer) {
        assert_eq!(talk.answer().body, "ok", "those inside are served, and the others when one is idle");
    }
}

#[test]
fn long_connections_are_spread_over_the_workers_and_counted() {
    let backend = Backend::saying("ok");
    let config = format!(
        "workers = 2\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n",
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    let connections = || -> Vec<String> {
        let page = rig::client::send(balancer.admin, "GET", "/metrics", "").body;
        page.lines().filter(|line| line.starts_with("evenkeel_connections{")).map(str::to_owned).collect()
    };
    let shares = |count: usize| -> Vec<String> {
        (0..2).map(|worker| format!("evenkeel_connections{{worker=\"{worker}\"}} {count}")).collect()
    };
    for round in 0..5 {
        let mut talks = Vec::new();
        for _ in 0..4 {
            let mut talk = Talk::to(balancer.address);
            talk.say(GET);
            assert_eq!(talk.answer().body, "ok");
            talks.push(talk);
        }
        assert_eq!(connections(), shares(2), "round {round}");
        drop(talks);
        eventually("all of them have left", || connections() == shares(0));
    }
}

#[test]
fn slow_heads_are_ended_and_others_are_not() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], set(|set| set.clients.timeouts.head = SHORT));
    let mut good = Talk::to(inside.address);
    let mut slow = Talk::to(inside.address);
    slow.say("GET / HTTP/1.1\r\nHost: h\r\n");
    let mut silent = Talk::to(inside.address);
    let begun = Instant::now();
    let mut drips = 0;
    // A byte now and then does not help.
    while !is_answered(&slow, Duration::from_millis(50)) && drips < 100 {
        slow.say("x");
        good.say(GET);
        assert_eq!(good.answer().body, "ok");
        drips += 1;
    }
    assert!(begun.elapsed() >= SHORT - TICK, "{:?}", begun.elapsed());
    assert_eq!(slow.answer().status, 408);
    assert_eq!(silent.rest().unwrap(), b"", "who says nothing is told nothing");
    std::thread::sleep(2 * SHORT);
    good.say(GET);
    assert_eq!(good.answer().body, "ok", "between requests there is more time");
}

#[test]
fn idle_connections_end_after_a_while() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], set(|set| set.clients.timeouts.idle = SHORT));
    let mut talk = Talk::to(inside.address);
    talk.say(GET);
    assert_eq!(talk.answer().body, "ok");
    let begun = Instant::now();
    assert_eq!(talk.rest().unwrap(), b"");
    assert!(begun.elapsed() >= SHORT - TICK, "{:?}", begun.elapsed());
}

#[test]
fn slow_bodies_are_ended_and_steady_ones_are_not() {
    let backend = Backend::saying("ok");
    let timeouts = |set: &mut Set| {
        set.clients.timeouts.body_grace = SHORT;
        set.clients.timeouts.body_rate_min = 1000;
    };
    let inside = Inside::new(&[backend.address], set(timeouts));
    for method in ["POST", "PUT"] {
        let mut slow = Talk::to(inside.address);
        slow.say(format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n"));
        let mut steady = Talk::to(inside.address);
        steady.say(format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 30000\r\n\r\n"));
        for _ in 0..60 {
            steady.say([b'x'; 500]);
            if !is_answered(&slow, Duration::from_millis(30)) {
                let _ = slow.stream.get_mut().write_all(b"x");
            }
        }
        assert_eq!(slow.answer().status, 408, "{method}");
        assert_eq!(steady.answer().status, 200, "{method}");
    }
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn who_waits_for_a_go_ahead_is_not_slow() {
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let backend = Backend::at_heads(move |head, reader| {
        may_go.lock().unwrap().recv_timeout(rig::PATIENCE).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let body = String::from_utf8(read_body(head, reader).unwrap()).unwrap();
        answer(reader.get_mut(), "200 OK", &body)
    });
    let inside = Inside::new(&[backend.address], set(|set| set.clients.timeouts.body_grace = Duration::ZERO));
    let mut talk = Talk::to(inside.address);
    talk.say("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert!(!is_answered(&talk, Duration::from_millis(1500)), "it is the replica's turn");
    go.send(()).unwrap();
    assert_eq!(talk.head().status, 100);
    talk.say("body");
    assert_eq!(talk.answer().body, "body");
}

#[test]
fn who_takes_nothing_of_its_answer_loses_it() {
    let backend = Backend::at_heads(|_, reader| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20);
        let stream = reader.get_mut();
        stream.write_all(head.as_bytes()).unwrap();
        (0..1024).all(|_| stream.write_all(&[b'x'; 64 << 10]).is_ok())
    });
    let inside = Inside::new(&[backend.address], set(|set| set.clients.timeouts.write = SHORT));
    let mut talk = Talk::to(inside.address);
    talk.say(GET);
    assert_eq!(talk.head().status, 200);
    eventually("its place is free", || inside.claims() == 0);
    let got = talk.rest();
    assert!(got.is_err() || got.unwrap().len() < 64 << 20);
}

#[test]
fn replicas_have_deadlines_for_the_beginning_and_the_rest_of_an_answer() {
    let (_keep, never) = mpsc::channel::<()>();
    let never = Arc::new(Mutex::new(never));
    let backend = Backend::at_heads(move |head, reader| {
        if head.line.contains("/half") {
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
        }
        let _ = never.lock().unwrap().recv_timeout(Duration::from_secs(2));
        false
    });
    let timeouts = |set: &mut Set| {
        set.timeouts.response = SHORT;
        set.timeouts.idle = 2 * SHORT;
    };
    let inside = Inside::new(&[backend.address], set(timeouts));
    let mut talk = Talk::to(inside.address);
    let begun = Instant::now();
    talk.say(GET);
    assert_eq!(talk.answer().status, 504);
    assert!((SHORT - TICK..10 * SHORT).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    talk.say("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(talk.head().status, 200);
    let begun = Instant::now();
    assert_eq!(talk.rest().unwrap(), b"half");
    assert!(begun.elapsed() >= 2 * SHORT - TICK, "{:?}", begun.elapsed());
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn a_request_has_all_of_its_time_whatever_comes_in_between() {
    let backend = Backend::start(|_, stream| {
        // Half of the time is over when somebody looks.
        std::thread::sleep(Duration::from_millis(700));
        stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        answer(stream, "200 OK", "in time")
    });
    let limit = Duration::from_millis(1200);
    let inside = Inside::new(&[backend.address], set(|set| set.timeouts.request = Some(limit)));
    let mut talk = Talk::to(inside.address);
    talk.say(GET);
    assert_eq!(talk.head().status, 102);
    assert_eq!(talk.answer().body, "in time");
}

#[test]
fn a_request_has_no_more_than_its_time_whoever_is_slow() {
    let backend = Backend::at_heads(|head, reader| {
        if head.line.starts_with("POST") {
            return read_body(head, reader).is_some() && answer(reader.get_mut(), "200 OK", "");
        }
        let stream = reader.get_mut();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(b"drop").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    });
    let limit = Duration::from_secs(1);
    let inside = Inside::new(&[backend.address], set(|set| set.timeouts.request = Some(limit)));
    let begun = Instant::now();
    let mut slow = Talk::to(inside.address);
    slow.say(GET);
    assert!(String::from_utf8(slow.rest().unwrap()).unwrap().ends_with("4\r\ndrop\r\n"), "it is cut off");
    assert!((limit - TICK..4 * limit).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let mut slow = Talk::to(inside.address);
    slow.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    while !is_answered(&slow, Duration::from_millis(50)) && begun.elapsed() < 4 * limit {
        slow.say([b'x'; 500]);
    }
    assert_eq!(slow.answer().status, 504);
    assert!((limit - TICK..4 * limit).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    eventually("nobody is inside", || inside.claims() == 0);
}

#[test]
fn a_request_has_no_more_than_its_time_also_while_it_waits_for_a_replica() {
    let backend = Backend::saying("ok");
    let inside = Inside::new(&[backend.address], set(|set| set.timeouts.request = Some(SHORT)));
    inside.replicas[0].gate.close();
    let begun = Instant::now();
    let mut talk = Talk::to(inside.address);
    talk.say(GET);
    assert_eq!(talk.answer().status, 504);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
