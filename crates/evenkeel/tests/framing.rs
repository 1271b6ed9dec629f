//! The framing policy as tables of bytes, through the real program: what clients send, what
//! replicas answer, and what each other side gets. Each table is played twice: as it is written,
//! and byte by byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

mod framing {
    pub(crate) mod judge;
    pub(crate) mod message;
    pub(crate) mod notation;
    pub(crate) mod play;
    pub(crate) mod replica;
    pub(crate) mod table;
}

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use framing::judge;
use framing::message::{Framing, Unread, Wire};
use framing::notation::shown;
use framing::play;
use framing::replica::{HEARTBEAT, Replica};
use framing::table::{self, Case};
use rig::{Balancer, PATIENCE, Rig, eventually};

/// What clients send.
const REQUESTS: [&str; 5] = [
    include_str!("framing/lengths.txt"),
    include_str!("framing/characters.txt"),
    include_str!("framing/targets.txt"),
    include_str!("framing/forwarding.txt"),
    include_str!("framing/connections.txt"),
];

/// What replicas answer.
const ANSWERS: [&str; 2] = [include_str!("framing/answers.txt"), include_str!("framing/upstream.txt")];

/// How many balancers play a table at a time.
const LANES: usize = 3;

/// The largest case that is also played byte by byte.
const BYTEWISE_MAX: usize = 4096;

/// What is wrong with one case.
struct Failure {
    group: String,
    text: String,
}

#[derive(Default)]
struct Report {
    played: usize,
    failures: Vec<Failure>,
    /// Where an answer of ours has not the shape that it should have.
    misshapen: Vec<Failure>,
}

static CLIENT_SIDE: LazyLock<Report> = LazyLock::new(|| play_all(&REQUESTS));
static REPLICA_SIDE: LazyLock<Report> = LazyLock::new(|| play_all(&ANSWERS));

#[test]
fn requests_are_read_in_one_way_only() {
    check(&CLIENT_SIDE.failures, CLIENT_SIDE.played);
}

#[test]
fn answers_are_read_in_one_way_only() {
    check(&REPLICA_SIDE.failures, REPLICA_SIDE.played);
}

#[test]
fn our_own_answers_have_one_shape() {
    let misshapen = CLIENT_SIDE.misshapen.iter().chain(&REPLICA_SIDE.misshapen);
    check(misshapen, CLIENT_SIDE.played + REPLICA_SIDE.played);
}

/// Shows every failure, not the first alone.
fn check<'a>(failures: impl IntoIterator<Item = &'a Failure>, played: usize) {
    let mut by_group: BTreeMap<&str, usize> = BTreeMap::new();
    for failure in failures {
        *by_group.entry(&failure.group).or_default() += 1;
        println!("{}", failure.text);
    }
    for (group, count) in &by_group {
        println!("{count:4}  {group}");
    }
    let failed: usize = by_group.values().sum();
    assert!(failed == 0, "{failed} of {played} failed");
}

fn in_front_of(replica: &Replica) -> Balancer {
    let address = replica.address;
    // One worker, so that there is one pool; and no miss counts, however slow the machine is.
    let config = format!(
        "workers = 1\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{address}\"]\nkey = \"path\"\n\
         load_factor = 0\n[service.heartbeat]\npath = \"{HEARTBEAT}\"\nevery = \"50ms\"\ntimeout = \"50ms\"\nmisses = 100\n"
    );
    let balancer = Rig::new().config(&config).up();
    eventually("the replica is in the table", || balancer.service()["ready"] == 1);
    balancer
}

fn play_all(tables: &[&str]) -> Report {
    let cases: Vec<Case> = table::read(&tables.join("\n"));
    let (next, report) = (AtomicUsize::new(0), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let replica = Replica::start();
                let balancer = in_front_of(&replica);
                // One at a time: what reaches the replica is the case's.
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    play_both_ways(case, &balancer, &replica, &report);
                }
            });
        }
    });
    report.into_inner().unwrap()
}

fn play_both_ways(case: &Case, balancer: &Balancer, replica: &Replica, report: &Mutex<Report>) {
    let ways = if case.size() > BYTEWISE_MAX { &[false][..] } else { &[false, true] };
    for &is_bytewise in ways {
        let seen = play::play(case, balancer.address, replica, is_bytewise);
        let failure = |faults: &[String]| {
            let way = if is_bytewise { ", byte by byte" } else { "" };
            let reached: Vec<String> = seen.reached.iter().map(|reached| shown(&reached.head.line)).collect();
            let text = format!(
                "{}: {}{way}\n    {}\n    sent      {}\n    received  {}\n    at the replica  {}\n",
                case.group,
                case.name,
                faults.join("\n    "),
                shown(&seen.sent),
                shown(&seen.received),
                reached.join(", ")
            );
            Failure { group: case.group.clone(), text }
        };
        let (faults, shape_faults) = (judge::faults(case, &seen), judge::shape_faults(&seen));
        let mut report = report.lock().unwrap();
        report.played += 1;
        if !faults.is_empty() {
            report.failures.push(failure(&faults));
        }
        if !shape_faults.is_empty() {
            report.misshapen.push(failure(&shape_faults));
        }
    }
}

#[test]
fn the_tables_are_large_and_every_rule_has_a_group() {
    let requests = table::read(&REQUESTS.join("\n"));
    let answers = table::read(&ANSWERS.join("\n"));
    let mut by_group: BTreeMap<&str, usize> = BTreeMap::new();
    for case in requests.iter().chain(&answers) {
        *by_group.entry(&case.group).or_default() += 1;
    }
    for (group, count) in &by_group {
        println!("{count:4}  {group}");
    }
    println!("{} requests, {} answers", requests.len(), answers.len());
    for rule in 1..=14 {
        let has_group = by_group.keys().any(|group| group.starts_with(&format!("Rule {rule}:")));
        assert!(has_group, "rule {rule} has no group");
    }
    assert!(requests.len() + answers.len() >= 250);
}

/// Rule 13: a head has 10 s in all, however steadily it trickles; a body below 500 B/s has 5 s. Both
/// are waited for, one beside the other.
#[test]
fn who_trickles_is_told_that_it_took_too_long() {
    let replica = Replica::start();
    let balancer = in_front_of(&replica);
    let cases: [(&str, &[u8], Duration); 3] = [
        ("a head that trickles", b"GET / HTTP/1.1\r\nX-A: ", Duration::from_secs(10)),
        (
            "a body that trickles",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n",
            Duration::from_secs(5),
        ),
        (
            "chunks that trickle",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
            Duration::from_secs(5),
        ),
    ];
    std::thread::scope(|scope| {
        let started = cases.map(|(name, begin, limit)| {
            let address = balancer.address;
            (name, scope.spawn(move || trickle(address, begin, limit)))
        });
        let ended = started.map(|(name, thread)| (name, thread.join().unwrap()));
        let wrong: Vec<_> = ended.iter().filter(|(_, problem)| problem.is_some()).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    });
}

/// Sends a byte now and then until there is an answer, and says what is wrong with it or its time.
fn trickle(address: std::net::SocketAddr, begin: &[u8], limit: Duration) -> Option<String> {
    const PACE: Duration = Duration::from_millis(200);
    let begun = Instant::now();
    let mut wire = Wire::connect(address, PACE);
    wire.write(begin, false);
    let head = loop {
        match wire.head() {
            Ok(head) => break head,
            Err(Unread::Late) if begun.elapsed() < PATIENCE => _ = wire.write(b"a", false),
            other => return Some(format!("{other:?} after {:?}", begun.elapsed())),
        }
    };
    let took = begun.elapsed();
    let is_408 = head.line.starts_with(b"HTTP/1.1 408 ");
    let is_in_time = took > limit.mul_f32(0.9) && took < limit + Duration::from_secs(3);
    let framing = head.framing(Framing::UntilClose);
    let body = framing.and_then(|framing| wire.body(framing));
    wire.finish(Shutdown::Write);
    let is_closed = matches!((&body, wire.head()), (Ok(_), Err(Unread::End)));
    let is_right = is_408 && is_in_time && is_closed;
    (!is_right).then(|| format!("{} after {took:?}, closed: {is_closed}", shown(&head.line)))
}
