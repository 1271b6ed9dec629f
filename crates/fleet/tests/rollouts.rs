//! Rollouts as text: who is tried, who gets the seat, when it turns back, and what else goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use fleet::Transition;
use stage::{Stage, edit, release};

const SCENARIOS: &[(&str, &str)] = &[
    (
        "a seat passes to its successor when that has stayed well for a second, and the next follows a second later",
        "up 2
         deploy 2
         rollout: rolling out 0/2, 1:0 2:0
         plan: try beside 1.1
         plan: start 1.2 web_?
         plan: nothing
         started 1.2
         good 1.2
         plan: nothing
         open: 1.1 2.1
         after 999ms
         plan: nothing
         after 1ms
         plan: pass to 1.2
         open: 1.2 2.1
         rollout: rolling out 1/2, 1:2 2:0
         plan: drain 1.1
         plan: nothing
         drained 1.1
         plan: stop 1.1
         stopped 1.1
         plan: nothing
         after 1s
         plan: try beside 2.1
         plan: start 2.2 web_?
         started 2.2
         good 2.2
         after 1s
         plan: pass to 2.2
         plan: drain 2.1
         after 1s
         plan: finish
         rollout: done 2/2, 1:2 2:2
         open: 1.2 2.2
         shown: 1.2 web_?, 2.2 web_?",
    ),
    (
        "as many seats as the settings say have their turn at a time",
        "up 3
         deploy 2 two-at-once
         plan: try beside 1.1; try beside 2.1
         plan: start 1.2 web_?; start 2.2 web_?
         started 1.2 2.2
         good 2.2
         after 1s
         plan: pass to 2.2
         plan: drain 2.1
         after 1s
         plan: try beside 3.1
         open: 1.1 2.2 3.1",
    ),
    (
        "a successor that cannot be started three times turns it back, and nobody has noticed",
        "up 2
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         failed 1.2
         plan: abandon 1.2: could not be started: no such image
         plan: kill 1.2
         stopped 1.2
         plan: nothing
         after 130ms
         plan: start 1.3 web_?
         failed 1.3
         plan: abandon 1.3: could not be started: no such image
         plan: kill 1.3
         stopped 1.3
         after 260ms
         plan: start 1.4 web_?
         failed 1.4
         plan: abandon 1.4: could not be started: no such image
         plan: turn back: replica 'web_?' of seat 1: could not be started: no such image; kill 1.4
         plan: finish
         stopped 1.4
         plan: nothing
         rollout: rolled back 0/0, 1:0 2:0
         open: 1.1 2.1",
    ),
    (
        "why a successor ended is waited for, but not for long",
        "up 1
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         ended 1.2
         plan: nothing
         exited 1.2
         plan: abandon 1.2: killed by signal 9
         plan: kill 1.2
         stopped 1.2
         after 130ms
         plan: start 1.3 web_?
         ended 1.3
         after 499ms
         plan: nothing
         after 1ms
         plan: abandon 1.3: ended",
    ),
    (
        "one that is never healthy turns it back when the start timeout is over",
        "up 1
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         after 29s
         plan: nothing
         after 1s
         plan: turn back: replica 'web_?' of seat 1: no good heartbeat within the start timeout
         plan: finish; stop 1.2
         rollout: rolled back 0/0, 1:0",
    ),
    (
        "one that is ill now and then never gets the seat",
        "up 1
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 900ms
         refused 1.2
         after 1s
         plan: nothing
         good 1.2 1.2
         after 999ms
         plan: nothing
         after 1ms
         plan: pass to 1.2",
    ),
    (
        "one that dies soon after it got its seat turns it back, and the seats that passed go back as carefully",
        "up 2
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         drained 1.1
         plan: stop 1.1
         stopped 1.1
         after 500ms
         exited 1.2
         plan: replace 1.2: killed by signal 9; turn back: replica 'web_?' of seat 1: killed by signal 9
         rollout: rolling back 0/1, 1:2 2:0
         plan: start 1.3 web_?; try beside 1.3; kill 1.2
         plan: start 1.4 web_?
         stopped 1.2
         started 1.3 1.4
         good 1.3 1.4
         open: 1.3 2.1
         after 1s
         plan: pass to 1.4
         plan: drain 1.3
         open: 1.4 2.1
         after 1s
         plan: finish
         rollout: rolled back 1/1, 1:0 2:0",
    ),
    (
        "one whose answers are bad in its seat turns it back, unless those of the old release are, too",
        "up 3
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         failing 2.1
         failing 1.2
         rollout: rolling out 1/3, 1:2 2:0 3:0
         plan: nothing",
    ),
    (
        "one whose answers are bad in its seat turns it back",
        "up 3
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         failing 1.2
         open: 2.1 3.1
         plan: turn back: replica 'web_?' of seat 1: ill: answers failed in a row",
    ),
    (
        "an old one that dies meanwhile is replaced at once, by the same as before, and its successor goes on",
        "up 2
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         exited 1.1
         plan: replace 1.1: killed by signal 9
         plan: start 1.3 web_?; kill 1.1
         rollout: rolling out 0/2, 1:0 2:0
         started 1.2 1.3
         good 1.3
         open: 1.3 2.1
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.3
         rollout: rolling out 1/2, 1:2 2:0",
    ),
    (
        "one dead of each release is no reason to turn back",
        "up 2
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         exited 2.1
         plan: replace 2.1: killed by signal 9
         plan: start 2.2 web_?; kill 2.1
         started 1.2 2.2
         good 1.2 2.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         exited 1.2
         plan: replace 1.2: killed by signal 9
         rollout: rolling out 1/2, 1:2 2:0
         plan: start 1.3 web_?; kill 1.2",
    ),
    (
        "replicas that are added meanwhile have the new release, and seats that are given up are not waited for",
        "up 2
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         add 1 S5
         plan: start 3.1 S5
         started 3.1
         good 3.1
         plan: commit 2
         rollout: rolling out 0/2, 1:0 2:0 3:2
         remove 1 web_1
         plan: try beside 2.1; drain 1.1
         rollout: rolling out 0/1, 2:0 3:2
         started 1.2
         plan: start 2.2 web_?; stop 1.2
         drained 1.1
         plan: stop 1.1
         started 2.2
         good 2.2
         after 1s
         plan: pass to 2.2
         plan: drain 2.1
         after 1s
         plan: finish
         rollout: done 1/1, 2:2 3:2",
    ),
    (
        "one that is being added is waited for, and then has its turn",
        "up 1
         add 1 S5
         plan: start 2.1 S5
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         drained 1.1
         plan: stop 1.1
         stopped 1.1
         after 1s
         plan: nothing
         started 2.1
         good 2.1
         plan: commit 1
         plan: try beside 2.1",
    ),
    (
        "what was added meanwhile goes back too",
        "up 1
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         add 1 S5
         plan: start 2.1 S5
         started 1.2 2.1
         good 2.1
         plan: commit 2
         rollout: rolling out 0/1, 1:0 2:2
         after 30s
         plan: turn back: replica 'web_?' of seat 1: no good heartbeat within the start timeout
         rollout: rolling back 0/1, 1:0 2:2
         plan: try beside 2.1; stop 1.2
         plan: start 2.2 web_?",
    ),
    (
        "what cannot go back either stays, so that something else can be rolled out",
        "up 2
         deploy 2
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         drained 1.1
         plan: stop 1.1
         stopped 1.1
         exited 1.2
         plan: replace 1.2: killed by signal 9; turn back: replica 'web_?' of seat 1: killed by signal 9
         plan: start 1.3 web_?; try beside 1.3; kill 1.2
         started 1.3
         good 1.3
         plan: start 1.4 web_?
         started 1.4
         after 30s
         plan: give up: replica 'web_?' of seat 1: no good heartbeat within the start timeout
         plan: stop 1.4
         rollout: stuck 0/0, 1:2 2:0
         deploy 3
         plan: try beside 1.3",
    ),
    (
        "with force the same is rolled out again, and there is nothing to turn back to",
        "up 1
         deploy 0 forced
         plan: try beside 1.1
         plan: start 1.2 web_?
         started 1.2
         good 1.2
         after 1s
         plan: pass to 1.2
         plan: drain 1.1
         exited 1.2
         plan: replace 1.2: killed by signal 9; turn back: replica 'web_?' of seat 1: killed by signal 9
         plan: start 1.3 web_?; finish; kill 1.2
         rollout: rolled back 0/0, 1:0",
    ),
    (
        "an empty fleet has nothing to wait for",
        "up 1
         remove 1
         deploy 2
         plan: finish; drain 1.1
         add 1 S5
         plan: start 1.2 S5
         started 1.2
         good 1.2
         plan: commit 3
         rollout: done 0/0, 1:2",
    ),
];

#[test]
fn every_rollout_goes_as_it_is_written() {
    for (claim, script) in SCENARIOS {
        let mut stage = Stage::new();
        for line in script.lines().map(str::trim) {
            stage.play(claim, line);
        }
    }
}

#[test]
fn a_second_rollout_and_one_of_nothing_are_refused_and_change_nothing() {
    let mut stage = Stage::new();
    stage.play("", "up 2");
    let refused = |stage: &mut Stage, line: &str| {
        let generation = stage.fleet.desired().generation;
        let refusal = stage.fleet.edit(&edit(line), stage.now).unwrap_err();
        assert_eq!(stage.fleet.desired().generation, generation);
        refusal.to_string()
    };
    let nothing = "nothing has changed: every replica runs what the configuration asks for";
    assert_eq!(refused(&mut stage, "deploy 0"), nothing);
    stage.play("", "deploy 2");
    assert_eq!(refused(&mut stage, "deploy 3"), "a rollout is under way; wait until it has ended");
    assert_eq!(refused(&mut stage, "deploy 2 forced"), "a rollout is under way; wait until it has ended");
}

#[test]
fn an_interrupted_rollout_goes_on_or_back_when_what_is_to_be_run_is_one_of_its_ends() {
    // What was stored, what the configuration asks for, and what becomes of seats that run 0 and 2.
    for (interrupted, asked, expected, outdated) in [
        (true, 2, "rolling out 0/1, 1:0 2:2", 0),
        (true, 0, "rolling out 0/1, 1:0 2:2", 0),
        (true, 3, "", 2),
        (false, 2, "", 1),
    ] {
        let mut stage = Stage::new();
        stage.play("", "up 2");
        if interrupted {
            stage.interrupt_rollout(Transition { from: release(0), to: release(2), is_return: false });
        }
        let left_alone = stage.settle(release(asked), &[("1.1", release(0)), ("2.1", release(2))], &[]);
        let case = format!("interrupted: {interrupted}, asked for {asked}");
        assert_eq!(left_alone, outdated, "{case}");
        if expected.is_empty() {
            stage.play(&case, "plan: nothing");
        } else {
            stage.play(&case, &format!("rollout: {expected}"));
            let seat = if asked == 2 { 1 } else { 2 };
            stage.play(&case, &format!("plan: try beside {seat}.1"));
            // Nobody knows any more what the other end was.
            stage.play(&case, &format!("plan: start {seat}.2 web_?"));
            stage.play(&case, &format!("started {seat}.2"));
            stage.play(&case, "after 30s");
            let why = "no good heartbeat within the start timeout";
            stage.play(&case, &format!("plan: give up: replica 'web_?' of seat {seat}: {why}"));
        }
    }
}

#[test]
fn an_interrupted_rollout_turns_back_if_it_is_known_to_what_and_one_that_leads_back_does_not() {
    let (old, new) = (release(0), release(2));
    let why = "replica 'web_?' of seat 1: no good heartbeat within the start timeout";
    for (is_return, known, expected) in
        [(false, &[old, new][..], "turn back"), (false, &[new], "give up"), (true, &[old, new], "give up")]
    {
        let mut stage = Stage::new();
        stage.play("", "up 2");
        stage.interrupt_rollout(Transition { from: old, to: new, is_return });
        let case = format!("leads back: {is_return}, known: {known:?}");
        assert_eq!(stage.settle(new, &[("1.1", old), ("2.1", new)], known), 0, "{case}");
        stage.play(&case, "plan: try beside 1.1");
        stage.play(&case, "plan: start 1.2 web_?");
        stage.play(&case, "started 1.2");
        stage.play(&case, "after 30s");
        stage.play(&case, &format!("plan: {expected}: {why}"));
        let after = if expected == "turn back" { old } else { new };
        assert_eq!(stage.fleet.desired().release, after, "{case}");
    }
}
