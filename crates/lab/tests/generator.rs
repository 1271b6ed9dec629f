//! The generator itself, checked: against a server that loses, delays, garbles and doubles on purpose, it
//! reports exactly that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod faulty;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use faulty::{Act, Server};
use lab::{Limits, Load, Loss, Outcome, Pace, RequestPlan, Target};

const PATIENCE: Duration = Duration::from_secs(60);
/// Long, because a busy machine must not make a request late that nobody held back.
const RESPONSE_MAX: Duration = Duration::from_secs(10);

fn load(address: std::net::SocketAddr, pace: Pace, requests: u64) -> Load {
    Load {
        target: Target::new(address),
        plan: RequestPlan::get("/home"),
        pace,
        limits: Limits { requests, duration: PATIENCE, response: RESPONSE_MAX },
        seed: 1,
        check: lab::contract_home(),
    }
}

fn closed(clients: u32) -> Pace {
    Pace::Closed { clients: NonZeroU32::new(clients).unwrap() }
}

fn open(rate: u32, connections_max: u32) -> Pace {
    let number = |number| NonZeroU32::new(number).unwrap();
    Pace::Open { rate: number(rate), connections_max: number(connections_max) }
}

/// What the faulty server does with the request of this number.
fn act(index: u64) -> Act {
    match index % 20 {
        _ if index % 500 == 1 => Act::KeepSilent,
        2 => Act::AnswerWrongBody,
        3 => Act::Close,
        4 => Act::Reset,
        5 => Act::AnswerStatus503,
        6 => Act::CutBody,
        7 => Act::AnswerTwice,
        8 => Act::AnswerNonsense,
        9 => Act::AnswerAnother,
        10 => Act::AnswerInChunks,
        11 => Act::AnswerAndClose,
        _ => Act::Answer,
    }
}

fn check_faults(pace: Pace) {
    let server = Server::start(act);
    let tally = load(server.address, pace, 1000).start().unwrap().wait();
    let did = server.did();
    let count = |acts: &[Act]| acts.iter().map(|act| did.get(act).copied().unwrap_or(0)).sum::<u64>();
    let expected = BTreeMap::from([
        (Loss::Closed, count(&[Act::Close, Act::CutBody])),
        (Loss::Reset, count(&[Act::Reset])),
        (Loss::BadStatus, count(&[Act::AnswerStatus503])),
        (Loss::BadBody, count(&[Act::AnswerWrongBody])),
        (Loss::Garbled, count(&[Act::AnswerNonsense, Act::AnswerAnother])),
        (Loss::Timeout, count(&[Act::KeepSilent])),
    ]);
    assert_eq!(tally.failures(), expected, "{:#?}", tally.examples);
    assert_eq!(tally.unasked_answers, count(&[Act::AnswerTwice]));
    let names = server.names();
    let named = names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(tally.by_replica(), named, "who answered");
    assert_eq!(tally.requests(), 1000);
    assert_eq!(count(&[Act::KeepSilent]), 2, "the server did what this test is about");
    assert!(expected.values().all(|count| *count > 0));
    assert_eq!(tally.examples.len(), 20);
}

#[test]
fn a_closed_load_reports_exactly_what_a_faulty_server_does() {
    check_faults(closed(16));
}

#[test]
fn an_open_load_reports_exactly_what_a_faulty_server_does() {
    check_faults(open(2000, 1000));
}

#[test]
fn an_open_load_shows_a_stall_in_every_request_that_was_meant_to_begin_in_it() {
    let stall = Duration::from_millis(500);
    let server = Server::start(move |index| if index == 200 { Act::Stall(stall) } else { Act::Answer });
    let tally = load(server.address, open(400, 1000), 600).start().unwrap().wait();
    let (begin, end) = server.stall().unwrap();
    let (begin, end) = (begin.duration_since(tally.begun), end.duration_since(tally.begun));
    let met: Vec<_> = tally
        .samples
        .iter()
        .map(|sample| (Duration::from_micros(sample.at_us), Duration::from_micros(sample.latency_us.into())))
        .filter(|(at, _)| (begin..end).contains(at))
        .collect();
    assert!((199..=201).contains(&met.len()), "400 a second, half a second: {}", met.len());
    for (at, latency) in &met {
        // Microseconds are cut off on both sides.
        assert!(
            *at + *latency + Duration::from_micros(2) >= end,
            "{at:?} took {latency:?}, stall {begin:?}-{end:?}"
        );
    }
    assert_eq!((tally.answered(), tally.failed()), (600, 0));
    let latencies = tally.latencies_within(&(begin..end));
    assert!(latencies.max_us >= 490_000 && latencies.p50_us >= 240_000, "{latencies:?}");
}

#[test]
fn what_an_open_load_cannot_send_is_counted_as_not_sent() {
    let server = Server::start(|_| Act::KeepSilent);
    let mut load = load(server.address, open(200, 5), 50);
    load.limits.response = PATIENCE;
    let running = load.start().unwrap();
    eventually("45 could not be sent", || running.progress().failed() == 45);
    running.stop_at_once();
    let tally = running.wait();
    assert_eq!(tally.failures(), BTreeMap::from([(Loss::NotSent, 45), (Loss::Abandoned, 5)]));
    assert_eq!((tally.requests(), tally.answered()), (50, 0));
}

#[test]
fn nobody_listening_is_told_from_an_answer_that_is_missing() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let tally = load(address, closed(4), 20).start().unwrap().wait();
    assert_eq!(tally.failures(), BTreeMap::from([(Loss::Refused, 20)]));
}

#[test]
fn a_load_that_is_stopped_waits_for_what_is_under_way_and_tells_the_rest() {
    let server = Server::start(|_| Act::Answer);
    let running = load(server.address, closed(8), u64::MAX).start().unwrap();
    eventually("it is well under way", || running.progress().answered() > 100);
    running.stop();
    let tally = running.wait();
    assert_eq!(tally.failed(), 0, "{:?}", tally.failures());
    assert_eq!(tally.answered(), server.names().values().sum::<u64>());
    let timeline = tally.timeline();
    assert_eq!(timeline.iter().map(|step| step.sent).sum::<u64>(), tally.requests());
    let answered: u64 = timeline.iter().flat_map(|step| &step.answered).sum();
    assert_eq!(answered, tally.answered());
}

#[test]
fn a_load_ends_with_its_time() {
    let server = Server::start(|_| Act::Answer);
    let mut load = load(server.address, open(100, 100), u64::MAX);
    load.limits.duration = Duration::from_millis(300);
    let tally = load.start().unwrap().wait();
    assert_eq!((tally.requests(), tally.answered()), (30, 30), "as many as are due in that time");
    assert!(tally.samples.iter().all(|sample| matches!(sample.outcome, Outcome::Answered(_))));
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it did not come true: {what}");
        std::thread::yield_now();
    }
}
