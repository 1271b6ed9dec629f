//! What a balancer makes of what an earlier one left, spares among it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::time::Duration;

use fleet::{Assignment, Desired, Fleet, Found, FoundState, Life, Release, ReplicaName};
use placement::Seat;
use stage::{Stage, address, life, release};

/// A replica as one was stored, in short: `2:10001.1` is seat 2, which a life has that began as a spare.
/// A number after a slash is the release.
fn stored(text: &str) -> Assignment {
    let (text, release) = split_release(text);
    let (seat, text) = text.split_once(':').unwrap_or((text.split('.').next().unwrap(), text));
    let seat = Seat::new(seat.parse().unwrap()).unwrap();
    Assignment { seat, life: life(text), name: name(text), release, slots: None }
}

fn split_release(text: &str) -> (&str, Release) {
    let (text, number) = text.split_once('/').unwrap_or((text, "1"));
    (text, release(number.parse().unwrap()))
}

fn name(life: &str) -> ReplicaName {
    ReplicaName::parse(&format!("life_{life}")).unwrap()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

/// What the balancer before had stored.
#[derive(Clone, Copy)]
struct Stored<'a> {
    assignments: &'a str,
    spares: &'a str,
}

/// The fleet of a balancer that was told to keep so many spares and found these lives running, after one that
/// had stored these assignments and these spares.
fn adopted(spares: u32, stored_before: Stored<'_>, running: &str) -> Stage {
    let Stored { assignments, spares: stored_spares } = stored_before;
    let mut stage = Stage::with_spares(spares);
    let mut desired = Desired::new(7);
    if !assignments.is_empty() {
        desired.generation = 3;
        desired.replicas = words(assignments).map(stored).collect();
        desired.spares = words(stored_spares).map(stored).collect();
    }
    stage.fleet = Fleet::new(stage::settings(spares), stage::seating(), desired).unwrap();
    let found: Vec<Found> = words(running)
        .map(|word| {
            let text = split_release(word).0;
            let state = FoundState::Running { address: address(), is_frozen: false };
            Found { life: life(text), name: name(text), state }
        })
        .collect();
    let runs = |asked: Life| {
        let mut all = words(running).map(split_release);
        all.find(|(text, _)| life(text) == asked).map(|(_, release)| release)
    };
    stage.fleet.adopt(&found, runs, stage.now);
    stage.fleet.settle_releases(release(1), runs, |_| false);
    stage
}

/// Seats with their lives, and spares.
fn shown(stage: &Stage) -> String {
    let desired = stage.fleet.desired();
    let assignments =
        desired.replicas.iter().map(|assignment| format!("{}:{}", assignment.seat, assignment.life));
    let spares = desired.spares.iter().map(|spare| format!("spare {}", spare.life));
    assignments.chain(spares).collect::<Vec<_>>().join(" ")
}

/// What it is about, how many spares there shall be, what was stored of seats and of spares, what runs, what
/// becomes of that, and what is done then.
type Case = (&'static str, u32, (&'static str, &'static str), &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "all is as it was stored",
        1,
        ("1.1 2:10001.1", "10001.2"),
        "1.1 10001.1 10001.2",
        "1:1.1 2:10001.1 spare 10001.2",
        "nothing",
    ),
    (
        "a spare that runs takes the seat of a replica that does not: it may have had it",
        1,
        ("1.1 2.4", "10001.1"),
        "1.1 10001.1",
        "1:1.1 2:10001.1 spare 10001.2",
        "start 10001.2 web_?",
    ),
    (
        "the same, and the next spare had begun already",
        1,
        ("1.1 2.4", "10001.1"),
        "1.1 10001.1 10001.2",
        "1:1.1 2:10001.1 spare 10001.2",
        "nothing",
    ),
    (
        "a spare of another release takes no seat",
        1,
        ("1.1 2.4", "10001.1/2"),
        "1.1 10001.1/2",
        "1:1.1 2:2.5 spare 10001.2",
        "start 2.5 life_2.4; start 10001.2 web_?; stop 10001.1",
    ),
    (
        "spares of an older release stay as long as a seat has it",
        1,
        ("1.1/2", "10001.1/2"),
        "1.1/2 10001.1/2",
        "1:1.1 spare 10001.1",
        "nothing",
    ),
    (
        "who took the place of one that began as a spare, and was not stored, keeps it",
        0,
        ("1.1 2:10001.1", ""),
        "1.1 2.5",
        "1:1.1 2:2.5",
        "nothing",
    ),
    (
        "where a spare has the seat, what had it before goes",
        0,
        ("1.1 2:10001.1", ""),
        "1.1 2.5 10001.1",
        "1:1.1 2:10001.1",
        "stop 2.5",
    ),
    (
        "a seat whose life is gone, and where there is no spare, goes on with a life of its own",
        0,
        ("1.1 2:10001.1", ""),
        "1.1",
        "1:1.1 2:2.1",
        "start 2.1 life_10001.1",
    ),
    (
        "there are more spares than before",
        2,
        ("1.1", "10001.3"),
        "1.1 10001.3",
        "1:1.1 spare 10001.3 spare 10002.1",
        "start 10002.1 web_?",
    ),
    (
        "there are fewer",
        1,
        ("1.1", "10001.3 10002.1"),
        "1.1 10001.3 10002.1",
        "1:1.1 spare 10001.3",
        "stop 10002.1",
    ),
    ("there are none any more", 0, ("1.1", "10001.3"), "1.1 10001.3", "1:1.1", "stop 10001.3"),
    (
        "nothing runs any more",
        1,
        ("1.1 2:10001.1", "10001.2"),
        "",
        "1:1.2 2:2.1 spare 10001.3",
        "start 1.2 life_1.1; start 2.1 life_10001.1; start 10001.3 web_?",
    ),
    (
        "what was stored is lost: what runs in the fleet's seats is the fleet, and spares are spares",
        1,
        ("", ""),
        "1.4 3.1 10001.1 10001.2",
        "1:1.4 3:3.1 spare 10001.2",
        "stop 10001.1",
    ),
    ("what was stored is lost, and nobody wants spares", 0, ("", ""), "1.4 10001.1", "1:1.4", "stop 10001.1"),
];

#[test]
fn what_an_earlier_balancer_left_is_taken_over_and_nothing_is_doubled() {
    for &(claim, spares, stored, running, expected, plan) in CASES {
        let mut stage = adopted(spares, Stored { assignments: stored.0, spares: stored.1 }, running);
        assert_eq!(shown(&stage), expected, "{claim}");
        assert_eq!(stage.perform(), plan, "{claim}");
    }
}

#[test]
fn what_is_stored_of_a_spare_that_took_a_seat_is_restored() {
    let mut stage = Stage::with_spares(1);
    for line in ["up 2", "started 10001.1", "good 10001.1", "exited 2.1"] {
        stage.play("", line);
    }
    stage.perform();
    let desired = stage.fleet.desired();
    assert_eq!(shown(&stage), "1:1.1 2:10001.1 spare 10001.2");
    let again = Fleet::new(stage::settings(1), stage::seating(), desired.clone()).unwrap();
    assert_eq!(again.desired(), desired);
    assert!(again.roster().assignments().eq(&desired.replicas));
}

#[test]
fn a_spare_that_takes_a_seat_of_a_balancer_that_is_gone_is_looked_after_like_any_other() {
    let mut stage = adopted(1, Stored { assignments: "1.1 2.4", spares: "10001.1" }, "1.1 10001.1");
    stage.play("", "good 1.1 10001.1");
    assert_eq!(stage.open(), "1.1 10001.1");
    stage.now += Duration::from_secs(10);
    stage.play("", "plan: start 10001.2 web_?");
    stage.play("", "exited 10001.1");
    stage.play("", "plan: replace 10001.1: killed by signal 9");
    stage.play("", "plan: start 2.5 web_?; kill 10001.1");
}

#[test]
fn a_reserved_name_is_given_to_nobody() {
    let mut stage = Stage::new();
    stage.fleet.reserve(["WEB_1".to_owned(), "db".to_owned()]);
    for chosen in ["db", "Db", "LocalHost"] {
        let refusal = stage.fleet.edit(&stage::edit(&format!("add 1 {chosen}")), stage.now).unwrap_err();
        assert_eq!(refusal, fleet::Refusal::NameReserved(ReplicaName::parse(chosen).unwrap()));
    }
    stage.play("the first names that are free", "up 2");
    let names = |fleet: &Fleet| -> Vec<String> {
        fleet.desired().replicas.iter().map(|one| one.name.to_string()).collect()
    };
    assert_eq!(names(&stage.fleet), ["web_2", "web_3"]);

    // What has a name that was stored need not be ours.
    let desired = stage.fleet.desired().clone();
    let mut again = Fleet::new(stage::settings(0), stage::seating(), desired).unwrap();
    again.reserve(["web_3".to_owned()]);
    again.adopt(&[], |_| None, stage.now);
    let [kept, renamed] = names(&again).try_into().unwrap();
    assert!(kept == "web_2" && renamed != "web_3", "{kept} {renamed}");
}
