//! Spares: who takes which seat and when, and that they disturb nobody.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use placement::{Key, Seat};
use stage::Stage;

/// Each begins with two replicas and a spare, all of them well.
const SCENARIOS: &[(&str, &str)] = &[
    (
        "a spare takes the seat of a dead replica at once, and the next spare begins",
        "spares: 10001.1 spare
         open: 1.1 2.1
         exited 2.1
         plan: replace 2.1: killed by signal 9
         shown: 1.1 web_1, 10001.1 web_?
         states: 1 ready, 2 ready, 2 stopping
         open: 1.1 10001.1
         spares: 10001.2 waiting
         plan: start 10001.2 web_?; kill 2.1
         stopped 2.1
         started 10001.2
         good 10001.2
         plan: nothing
         spares: 10001.2 spare
         open: 1.1 10001.1",
    ),
    (
        "who began as a spare is replaced like any other, by a spare or else by a life of the seat's own",
        "exited 2.1
         plan: replace 2.1: killed by signal 9
         plan: start 10001.2 web_?; kill 2.1
         exited 10001.1
         plan: replace 10001.1: killed by signal 9
         states: 1 ready, 2 waiting, 2 stopping, 10001 stopping
         plan: start 2.2 web_?; kill 10001.1",
    ),
    (
        "one that is ill takes no seat, and neither does one that starts",
        "missed 10001.1
         missed 10001.1
         spares: 10001.1 ill
         exited 1.1
         plan: replace 1.1: killed by signal 9; inspect 10001.1
         plan: start 1.2 web_?; kill 1.1
         good 10001.1 10001.1
         spares: 10001.1 spare
         exited 2.1
         plan: replace 2.1: killed by signal 9
         plan: start 10001.2 web_?; kill 2.1
         started 10001.2
         spares: 10001.2 starting
         exited 10001.1
         plan: replace 10001.1: killed by signal 9
         plan: start 2.2 web_?; kill 10001.1",
    ),
    (
        "of two that die at once one gets the spare, and the other is begun anew",
        "exited 1.1 2.1
         plan: replace 1.1: killed by signal 9; replace 2.1: killed by signal 9
         open: 10001.1
         plan: start 2.2 web_?; start 10001.2 web_?; kill 1.1; kill 2.1",
    ),
    (
        "a replica and a spare that die at once are both begun anew",
        "exited 1.1 10001.1
         plan: replace 1.1: killed by signal 9; replace 10001.1: killed by signal 9
         plan: start 1.2 web_?; start 10001.2 web_?; kill 1.1; kill 10001.1",
    ),
    (
        "one that is out of the table for one sign keeps its seat",
        "missed 1.1
         missed 1.1
         plan: inspect 1.1
         states: 1 ill, 2 ready
         plan: nothing",
    ),
    (
        "one that is ended for two signs gives its seat to a spare, and goes when it thaws",
        "frozen 1.1
         missed 1.1
         plan: replace 1.1: ill: frozen, heartbeats missed: 1
         open: 2.1 10001.1
         plan: start 10001.2 web_?; kill 1.1",
    ),
    (
        "a crash-looping spare waits longer and longer and disturbs nobody",
        "exited 10001.1
         plan: replace 10001.1: killed by signal 9
         plan: start 10001.2 web_?; kill 10001.1
         stopped 10001.1
         failed 10001.2
         plan: replace 10001.2: could not be started: no such image
         plan: kill 10001.2
         stopped 10001.2
         after 130ms
         plan: start 10001.3 web_?
         failed 10001.3
         plan: replace 10001.3: could not be started: no such image
         plan: kill 10001.3
         stopped 10001.3
         spares: 10001.4 crash-looping
         states: 1 ready, 2 ready
         plan: nothing
         exited 1.1
         plan: replace 1.1: killed by signal 9
         plan: start 1.2 web_?; kill 1.1
         after 260ms
         plan: start 10001.4 web_?",
    ),
    (
        "an addition is begun anew, and spares do not count for it",
        "add 1 S5
         plan: start 3.1 S5
         exited 3.1
         plan: replace 3.1: killed by signal 9
         plan: kill 3.1
         stopped 3.1
         plan: start 3.2 S5
         spares: 10001.1 spare
         states: 1 ready, 2 ready, 3 starting",
    ),
    (
        "removing the replica of a seat that a spare has taken frees the seat",
        "exited 1.1
         plan: replace 1.1: killed by signal 9
         plan: start 10001.2 web_?; kill 1.1
         stopped 1.1
         remove 1 web_2
         plan: drain 2.1
         remove 1
         plan: drain 10001.1
         drained 10001.1 2.1
         plan: stop 2.1; stop 10001.1
         add 1 S5
         plan: start 1.2 S5",
    ),
    (
        "where so many have died in a row, spares are not given to die as well",
        "missed 10001.1
         missed 10001.1
         kill and revive 10 times
         good 10001.1 10001.1
         exited 1.11
         plan: replace 1.11: killed by signal 9
         spares: 10001.1 spare
         states: 1 waiting, 2 ready, 1 stopping",
    ),
    (
        "in a rollout only a seat of the old release takes a spare, and in the end spares are renewed",
        "deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         after 1s
         plan: try beside 2.1
         exited 1.2
         plan: replace 1.2: killed by signal 9; start 2.2 web_?
         spares: 10001.1 spare
         exited 2.1
         plan: start 1.3 web_?; replace 2.1: killed by signal 9; kill 1.2
         rollout: rolling out 1/2, 1:2 2:0
         open: 10001.1
         spares: 10001.2 waiting
         plan: start 10001.2 web_?; kill 2.1
         started 1.3 2.2 10001.2
         good 1.3 2.2 10001.2
         after 1s
         plan: pass to 2.2
         open: 1.3 2.2
         plan: drain 10001.1
         after 1s
         plan: finish
         rollout: done 2/2, 1:2 2:2
         spares: 10001.3 waiting
         plan: start 10001.3 web_?; drain 10001.2",
    ),
    (
        "a rollout that is undone leaves the spares as they are",
        "deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         after 30s
         plan: turn back: replica 'web_?' of seat 1: no good heartbeat within the start timeout
         plan: finish; stop 1.2
         rollout: rolled back 0/0, 1:0 2:0
         spares: 10001.1 spare",
    ),
    (
        "where all is replaced by the same, no spare takes a seat that is new, and in the end spares are new too",
        "deploy 0 forced
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         after 1s
         plan: try beside 2.1
         exited 1.2
         plan: replace 1.2: killed by signal 9; start 2.2 web_?
         spares: 10001.1 spare
         plan: start 1.3 web_?; kill 1.2
         started 1.3 2.2
         good 1.3 2.2
         after 1s
         plan: pass to 2.2
         plan: drain 2.1
         after 1s
         plan: finish
         spares: 10001.2 waiting
         plan: start 10001.2 web_?; drain 10001.1",
    ),
];

/// Two replicas and a spare, all of them well for a while.
fn stage() -> Stage {
    let mut stage = Stage::with_spares(1);
    for line in ["up 2", "started 10001.1", "good 10001.1", "after 10s"] {
        stage.play("", line);
    }
    stage
}

#[test]
fn every_spare_does_as_it_is_written() {
    for (claim, script) in SCENARIOS {
        let mut stage = stage();
        for line in script.lines().map(str::trim) {
            stage.play(claim, line);
        }
    }
}

#[test]
fn no_key_moves_when_a_spare_takes_a_seat() {
    let mut stage = stage();
    let seats = |stage: &Stage| -> Vec<Seat> {
        let keys = (0..1000u32).map(|number| Key::of(&number.to_le_bytes()));
        keys.flat_map(|key| stage.fleet.placement().order(key).collect::<Vec<_>>()).collect()
    };
    let before = seats(&stage);
    stage.play("", "exited 2.1");
    stage.perform();
    assert_eq!(stage.open(), "1.1 10001.1");
    assert_eq!(seats(&stage), before);
    assert_eq!(stage.fleet.seat_of(stage::life("10001.1")), Seat::new(2).unwrap());
}

#[test]
fn spares_count_neither_as_replicas_nor_for_their_limit() {
    let mut stage = stage();
    assert_eq!(stage.fleet.view(stage.now).replicas.len(), 2);
    assert!(stage.fleet.is_whole());
    stage.play("the limit is 100", "add 98");
    let mut stage = self::stage();
    stage.play("", "exited 10001.1");
    stage.perform();
    assert!(stage.fleet.is_whole(), "the fleet is whole without a spare");
    assert_eq!(stage.fleet.view(stage.now).spares_ready(), 0);
}

#[test]
fn spares_that_die_one_after_the_other_in_a_seat_are_not_all_given_to_it() {
    let mut stage = Stage::with_spares(12);
    stage.play("", "up 1");
    for number in 10001..=10012 {
        stage.play("", &format!("started {number}.1"));
        stage.play("", &format!("good {number}.1"));
    }
    stage.play("how long they were well without requests says nothing", "after 60s");
    stage.play("", "exited 1.1");
    stage.perform();
    for number in 10001..=10009 {
        assert_eq!(stage.open(), format!("{number}.1"));
        stage.play("", &format!("exited {number}.1"));
        stage.perform();
    }
    stage.play("the eleventh in a row", "exited 10010.1");
    stage.perform();
    stage.play("", "states: 1 waiting, 1 stopping, 10001 stopping, 10002 stopping, 10003 stopping, \
        10004 stopping, 10005 stopping, 10006 stopping, 10007 stopping, 10008 stopping, 10009 stopping, 10010 stopping");
}

#[test]
fn a_name_that_a_spare_bears_is_taken() {
    let mut stage = stage();
    let name = stage.fleet.desired().spares[0].name.clone();
    let refusal = stage.fleet.edit(&stage::edit(&format!("add 1 {name}")), stage.now).unwrap_err();
    assert_eq!(refusal, fleet::Refusal::NameTaken(name));
}

#[test]
fn what_is_told_of_a_life_later_is_found_in_the_seat_that_it_had() {
    let mut stage = stage();
    stage.play("", "exited 2.1");
    stage.perform();
    stage.play("", "ended 10001.1");
    stage.perform();
    stage.play("how it ended comes after it was replaced", "exited 10001.1");
    let view = stage.fleet.view(stage.now);
    assert_eq!(view.replicas[1].reason.as_deref(), Some("killed by signal 9"));
}

#[test]
fn spares_end_with_the_fleet() {
    let mut stage = stage();
    stage.fleet.retire();
    stage.play("", "plan: drain 1.1; drain 2.1; drain 10001.1");
    stage.play("", "drained 1.1 2.1 10001.1");
    stage.play("", "plan: stop 1.1; stop 2.1; stop 10001.1");
}
