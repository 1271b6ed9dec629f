//! Plans as text: what should run, what is known to run, the time, and the actions that follow.
//!
//! A line is a fact, a step in time, or an expectation. `plan:` lists the actions that are planned
//! now; they are then carried out. Random letters in names are shown as `?`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use stage::{Stage, edit};

const SCENARIOS: &[(&str, &str)] = &[
    (
        "what a fleet begins with counts at once, and serves as soon as it can, one without the other",
        "fill 2
         shown: 1.1 web_1, 2.1 web_2
         plan: start 1.1 web_1; start 2.1 web_2
         started 1.1 2.1
         good 1.1
         plan: nothing
         open: 1.1
         good 2.1
         plan: nothing
         shown: 1.1 web_1, 2.1 web_2
         open: 1.1 2.1",
    ),
    (
        "a name under which nobody has served yet is kept, unless it may be the reason",
        "fill 2
         plan: start 1.1 web_1; start 2.1 web_2
         started 1.1
         exited 1.1
         failed 2.1
         plan: replace 1.1: killed by signal 9; replace 2.1: could not be started: no such image
         shown: 1.2 web_1, 2.2 web_?",
    ),
    (
        "a dead replica's seat goes on at once, with another life and a random name",
        "up 3
         exited 2.1
         open: 1.1 3.1
         plan: replace 2.1: killed by signal 9
         shown: 1.1 web_1, 2.2 web_?, 3.1 web_3
         plan: start 2.2 web_?; kill 2.1
         started 2.2
         open: 1.1 3.1
         good 2.2
         open: 1.1 2.2 3.1",
    ),
    (
        "news of an earlier life is no news",
        "up 1
         exited 1.1
         plan: replace 1.1: killed by signal 9
         plan: start 1.2 web_?; kill 1.1
         stopped 1.1
         started 1.2
         good 1.2
         exited 1.1
         refused 1.1
         frozen 1.1
         plan: nothing
         open: 1.2",
    ),
    (
        "a seat that keeps dying waits longer each time, and its neighbours are not concerned",
        "up 2
         after 1s
         exited 1.1
         plan: replace 1.1: killed by signal 9
         plan: start 1.2 web_?; kill 1.1
         stopped 1.1
         exited 1.2
         plan: replace 1.2: killed by signal 9
         plan: kill 1.2
         stopped 1.2
         after 60ms
         plan: nothing
         after 70ms
         plan: start 1.3 web_?
         exited 1.3
         plan: replace 1.3: killed by signal 9
         plan: kill 1.3
         stopped 1.3
         after 140ms
         plan: nothing
         after 120ms
         plan: start 1.4 web_?
         open: 2.1",
    ),
    (
        "a seat whose lives served, if only for a moment, goes on at once ten times before it waits",
        "up 1
         kill and revive 10 times
         exited 1.11
         plan: replace 1.11: killed by signal 9
         plan: start 1.12 web_?; kill 1.11
         stopped 1.11
         started 1.12
         good 1.12
         exited 1.12
         plan: replace 1.12: killed by signal 9
         plan: kill 1.12
         stopped 1.12
         after 130ms
         plan: start 1.13 web_?",
    ),
    (
        "a refused connection takes a replica out at once, but does not end it",
        "up 2
         suspected 1.1
         open: 2.1
         plan: nothing
         good 1.1
         open: 1.1 2.1",
    ),
    (
        "a broken connection is no sign by itself",
        "up 2
         broken 1.1
         open: 1.1 2.1",
    ),
    (
        "two missed heartbeats take a replica out and raise a question; being frozen as well ends it",
        "up 3
         missed 1.1
         open: 1.1 2.1 3.1
         missed 1.1
         open: 2.1 3.1
         plan: inspect 1.1
         plan: nothing
         frozen 1.1
         plan: replace 1.1: ill: frozen, heartbeats missed: 2
         plan: start 1.2 web_?; kill 1.1",
    ),
    (
        "silence for as long as a start may take is a sign of its own",
        "up 3
         missed 1.1
         missed 1.1
         plan: inspect 1.1
         after 29s
         plan: nothing
         after 1s
         plan: replace 1.1: ill: heartbeats missed: 2, silent for as long as a start may take, 30s",
    ),
    (
        "when more than half look ill to the heartbeats, nobody is ejected and nobody is ended",
        "up 3
         missed 1.1
         missed 1.1
         missed 2.1
         missed 2.1
         open: 1.1 2.1 3.1
         plan: inspect 1.1; inspect 2.1
         after 50s
         plan: nothing
         good 2.1 2.1
         open: 2.1 3.1",
    ),
    (
        "when an illness of all ends for one after the other, nobody is ended for being the last",
        "up 3
         missed 1.1 2.1 3.1
         missed 1.1 2.1 3.1
         plan: inspect 1.1; inspect 2.1; inspect 3.1
         after 40s
         missed 1.1 2.1 3.1
         good 1.1 2.1
         good 1.1 2.1
         open: 1.1 2.1
         plan: nothing
         after 19s
         plan: nothing
         good 3.1 3.1
         open: 1.1 2.1 3.1
         plan: nothing",
    ),
    (
        "who is silent long after an illness of all is ended",
        "up 3
         missed 1.1 2.1 3.1
         missed 1.1 2.1 3.1
         plan: inspect 1.1; inspect 2.1; inspect 3.1
         after 25s
         good 1.1 2.1
         good 1.1 2.1
         after 29s
         missed 3.1
         plan: nothing
         after 1s
         plan: replace 3.1: ill: heartbeats missed: 3, silent for as long as a start may take, 30s",
    ),
    (
        "when most stay silent for twice as long as a start may take, they are replaced one by one",
        "up 2
         missed 1.1 2.1
         missed 1.1 2.1
         plan: inspect 1.1; inspect 2.1
         after 59s
         plan: nothing
         open: 1.1 2.1
         after 1s
         plan: replace 1.1: ill: heartbeats missed: 2, silent for as long as a start may take, 30s
         plan: start 1.2 web_?; kill 1.1
         open: 2.1
         started 1.2
         good 1.2
         plan: replace 2.1: ill: heartbeats missed: 2, silent for as long as a start may take, 30s",
    ),
    (
        "a fleet that is frozen as a whole is replaced as a whole: the driver has seen it",
        "up 2
         frozen 1.1
         frozen 2.1
         open:
         plan: nothing
         missed 1.1
         missed 2.1
         plan: replace 1.1: ill: frozen, heartbeats missed: 1; replace 2.1: ill: frozen, heartbeats missed: 1",
    ),
    (
        "one that is frozen before it ever served is not waited for",
        "up 1
         add 1 S5
         plan: start 2.1 S5
         started 2.1
         missed 2.1
         missed 2.1
         plan: nothing
         frozen 2.1
         plan: nothing
         missed 2.1
         plan: replace 2.1: ill: frozen, heartbeats missed: 1",
    ),
    (
        "a removed replica is drained before it is stopped",
        "up 3
         remove 1 web_2
         shown: 1.1 web_1, 3.1 web_3
         open: 1.1 3.1
         plan: drain 2.1
         plan: nothing
         drained 2.1
         plan: stop 2.1
         stopped 2.1
         plan: nothing",
    ),
    (
        "a drain ends at its deadline",
        "up 1
         remove 1
         plan: drain 1.1
         after 29s
         plan: nothing
         after 1s
         plan: stop 1.1",
    ),
    (
        "a freed seat is the next to be taken, by a later life than any before",
        "up 3
         remove 1 web_1
         plan: drain 1.1
         add 2 S5
         plan: start 1.2 S5; start 4.1 web_?
         started 1.2 4.1
         good 1.2 4.1
         plan: commit 2
         shown: 2.1 web_2, 3.1 web_3, 1.2 S5, 4.1 web_?",
    ),
    (
        "an addition that does not come up is undone and leaves nothing",
        "up 1
         add 2 S5 S6
         plan: start 2.1 S5; start 3.1 S6
         started 2.1 3.1
         good 2.1
         after 30s
         plan: undo 1: not healthy within 30s (start_timeout): S6
         plan: drain 2.1; stop 3.1
         shown: 1.1 web_1
         open: 1.1",
    ),
    (
        "an addition whose replica keeps failing is tried under its name, then undone with the reason",
        "up 1
         add 1 S5
         plan: start 2.1 S5
         failed 2.1
         plan: replace 2.1: could not be started: no such image
         plan: kill 2.1
         stopped 2.1
         plan: start 2.2 S5
         failed 2.2
         plan: replace 2.2: could not be started: no such image
         plan: kill 2.2
         stopped 2.2
         after 130ms
         plan: start 2.3 S5
         failed 2.3
         plan: replace 2.3: could not be started: no such image
         plan: undo 1: replica 'S5' of seat 2: could not be started: no such image; kill 2.3",
    ),
    (
        "a name waits until its last bearer is gone",
        "up 2
         remove 1 web_1
         plan: drain 1.1
         add 1 web_1
         plan: nothing
         drained 1.1
         plan: stop 1.1
         plan: nothing
         stopped 1.1
         plan: start 1.2 web_1",
    ),
    (
        "what a list does not show any more has vanished; what it shows and nobody wants is stopped",
        "up 2
         after 1s
         found 1.1 7.3
         plan: replace 2.1: it vanished; stop 7.3
         plan: start 2.2 web_?; kill 2.1",
    ),
    (
        "a replica that was being removed when it died is only tidied up",
        "up 2
         remove 1 web_2
         plan: drain 2.1
         exited 2.1
         plan: kill 2.1
         stopped 2.1
         plan: nothing
         shown: 1.1 web_1",
    ),
    (
        "of two that both say they are one life, neither can stay",
        "up 1
         found 1.1
         plan: nothing
         found 1.1 1.1
         plan: replace 1.1: it is there twice
         plan: start 1.2 web_?; kill 1.1",
    ),
];

#[test]
fn every_scenario_goes_as_it_is_written() {
    for (claim, script) in SCENARIOS {
        let mut stage = Stage::new();
        for line in script.lines().map(str::trim) {
            stage.play(claim, line);
        }
    }
}

#[test]
fn edits_that_make_no_sense_are_refused_and_change_nothing() {
    let cases = [
        ("add 1 S1 S2", "2 names for 1 new replicas"),
        ("add 2 S1 S1", "'S1' is named twice"),
        ("add 1 web_2", "a replica named 'web_2' exists already"),
        ("add 98", "that would be 101 replicas, max_replicas allows 100"),
        ("remove 1 web_1 web_2", "2 names for 1 replicas to remove"),
        ("remove 2 web_1 web_1", "'web_1' is named twice"),
        ("remove 1 S9", "there is no replica named 'S9'"),
        ("remove 4", "there are only 3 replicas, 4 cannot be removed"),
        ("scale 101", "that would be 101 replicas, max_replicas allows 100"),
    ];
    for (line, expected) in cases {
        let mut stage = Stage::new();
        stage.play(line, "up 3");
        let (before, seats) = (stage.shown(), stage.fleet.roster().assignments().count());
        let refusal = stage.fleet.edit(&edit(line), stage.now).unwrap_err();
        assert_eq!(refusal.to_string(), expected, "{line}");
        assert_eq!((stage.shown(), stage.fleet.roster().assignments().count()), (before, seats), "{line}");
    }
}

#[test]
fn nothing_comes_between_a_size_that_was_asked_for_and_its_being_reached() {
    {
        let size = "scale 3";
        let mut stage = Stage::new();
        stage.play(size, "up 1");
        stage.play(size, size);
        for line in ["remove 1", "add 1", "scale 2", "fill 5"] {
            let refusal = stage.fleet.edit(&edit(line), stage.now).unwrap_err();
            assert_eq!(refusal, fleet::Refusal::Busy, "{line} after {size}");
        }
        stage.perform();
        for line in ["started 2.1 3.1", "good 2.1 3.1", "plan: commit 1"] {
            stage.play(size, line);
        }
        assert_eq!(stage.fleet.desired().replicas.len(), 3, "{size}");
        stage.play(size, "remove 1");
    }
}
