//! Health as text: signs that arrive, who is routed to, and what is planned.
//!
//! A line is a fact, a step in time, or an expectation. `open:` lists who is routed to, `trial:` who is on
//! trial, `ill:` why somebody is not routed to, and `plan:` what is planned now, which is then carried
//! out. `window 1.1=9ms 2.1=1ms*50` is half a second in which answers were measured, 20 each unless said
//! otherwise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use fleet::HealthSettings;
use stage::play;

const HEARTBEATS: &[(&str, &str)] = &[
    (
        "who missed heartbeats is let back after two good ones in a row, not after one",
        "up 3
         missed 1.1 1.1
         open: 2.1 3.1
         ill: 1.1 silent: heartbeats missed: 2
         plan: inspect 1.1
         good 1.1
         open: 2.1 3.1
         ill: 1.1 silent: heartbeats missed: 2, then 1 of 2 good
         missed 1.1
         good 1.1
         open: 2.1 3.1
         good 1.1
         open: 1.1 2.1 3.1
         missed 1.1
         open: 1.1 2.1 3.1",
    ),
    (
        "a single miss is forgotten by a single good heartbeat",
        "up 3
         missed 1.1
         good 1.1
         missed 1.1
         open: 1.1 2.1 3.1",
    ),
    (
        "heartbeats that a network loses do not count while requests are answered, up to a limit",
        "up 3
         missed 1.1
         window 1.1=1ms
         missed 1.1
         window 1.1=1ms
         missed 1.1
         window 1.1=1ms
         missed 1.1
         window 1.1=1ms
         missed 1.1
         window 1.1=1ms
         open: 1.1 2.1 3.1
         missed 1.1
         open: 2.1 3.1",
    ),
    (
        "a heartbeat that is answered badly was lost by no network",
        "up 3
         unwell 1.1
         window 1.1=1ms
         unwell 1.1
         open: 2.1 3.1
         ill: 1.1 silent: heartbeats answered badly or missed: 2
         plan: inspect 1.1
         plan: nothing",
    ),
    (
        "answers given before it was ejected bring nobody back",
        "up 3
         missed 1.1 1.1
         window 1.1=1ms
         open: 2.1 3.1",
    ),
    (
        "a fleet of one is routed to whatever its heartbeats and answers say",
        "up 1
         missed 1.1 1.1
         open: 1.1
         failing 1.1
         open: 1.1
         plan: inspect 1.1
         after 40s
         plan: nothing
         open: 1.1",
    ),
    (
        "of two that look ill both are routed to; of one that refuses and one that is silent, the silent",
        "up 2
         missed 1.1 1.1
         open: 2.1
         failing 2.1
         open: 1.1 2.1
         refused 1.1
         open: 2.1",
    ),
];

const ANSWERS: &[(&str, &str)] = &[
    (
        "failing answers take a replica out, and never end it",
        "up 3
         failing 2.1
         open: 1.1 3.1
         ill: 2.1 failing: answers failed in a row
         plan: nothing
         after 9s
         good 2.1
         plan: nothing
         open: 1.1 3.1",
    ),
    (
        "one is admitted at a time, and five good answers end the trial",
        "up 3
         failing 2.1
         after 13s
         plan: admit one to 2.1
         open: 1.1 3.1
         trial: 2.1
         plan: nothing
         window 2.1=1ms*1
         ill: 2.1 failing: answers failed in a row; half-open, 1 of 5 answers good
         plan: admit one to 2.1
         window 2.1=1ms*3
         plan: admit one to 2.1
         trial: 2.1
         window 2.1=1ms*1
         open: 1.1 2.1 3.1
         plan: nothing",
    ),
    (
        "who fails half-open is out again, for twice as long",
        "up 3
         failing 2.1
         after 13s
         plan: admit one to 2.1
         failing 2.1
         trial:
         open: 1.1 3.1
         after 19s
         plan: nothing
         after 7s
         plan: admit one to 2.1
         failing 2.1
         after 39s
         plan: nothing
         after 12s
         plan: admit one to 2.1",
    ),
    (
        "a trial that nobody comes to ends well",
        "up 3
         failing 2.1
         after 13s
         plan: admit one to 2.1
         admissions of 30s
         open: 1.1 2.1 3.1
         plan: nothing",
    ),
    (
        "when more than half fail, all are routed to and nobody is ended",
        "up 3
         failing 1.1
         open: 2.1 3.1
         failing 2.1
         open: 1.1 2.1 3.1
         failing 3.1
         open: 1.1 2.1 3.1
         plan: nothing
         after 600s
         open: 1.1 2.1 3.1",
    ),
    (
        "who was pardoned is trusted again when it answers well",
        "up 2
         failing 1.1 2.1
         open: 1.1 2.1
         after 13s
         plan: admit one to 1.1; admit one to 2.1
         open: 1.1 2.1
         window 1.1=1ms 2.1=1ms
         open: 1.1 2.1
         failing 1.1
         open: 2.1",
    ),
    (
        "failing answers and missed heartbeats are two signs, and end it",
        "up 3
         failing 2.1
         missed 2.1 2.1
         plan: replace 2.1: ill: heartbeats missed: 2, answers failed in a row",
    ),
    (
        "failing answers and a refused connection are two signs as well",
        "up 3
         failing 2.1
         suspected 2.1
         plan: replace 2.1: ill: connection refused, answers failed in a row",
    ),
    (
        "a death is a death whatever was thought of the answers",
        "up 3
         failing 2.1
         exited 2.1
         plan: replace 2.1: killed by signal 9
         plan: start 2.2 web_?; kill 2.1
         started 2.2
         good 2.2
         open: 1.1 2.2 3.1",
    ),
];

const SLOWNESS: &[(&str, &str)] = &[
    (
        "one that is ten times slower than its peers is out after three windows, and never ended",
        "up 3
         after 10s
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=3ms
         open: 1.1 2.1 3.1
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 3.1
         ill: 2.1 slow: answers take 16.4ms, those of its peers 1.8ms
         plan: nothing",
    ),
    (
        "slow and failing are one sign",
        "up 3
         after 10s
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         failing 2.1
         plan: nothing",
    ),
    (
        "who is still slow half-open is out again; who is not, is not",
        "up 3
         after 10s
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         after 13s
         window 1.1=2ms 3.1=2ms
         plan: admit one to 2.1
         window 1.1=2ms 2.1=20ms*5 3.1=2ms
         trial:
         open: 1.1 3.1
         after 25s
         plan: admit one to 2.1
         window 1.1=2ms 2.1=3ms*5 3.1=2ms
         open: 1.1 2.1 3.1",
    ),
    (
        "all that slow down together are not slow",
        "up 3
         after 10s
         window 1.1=1ms 2.1=1ms 3.1=1ms
         window 1.1=50ms 2.1=90ms 3.1=60ms
         window 1.1=50ms 2.1=90ms 3.1=60ms
         window 1.1=50ms 2.1=90ms 3.1=60ms
         window 1.1=50ms 2.1=90ms 3.1=60ms
         open: 1.1 2.1 3.1",
    ),
    (
        "an answer now and then says nothing, but many do together",
        "up 3
         after 10s
         window 1.1=2ms*1 2.1=20ms*1 3.1=2ms*1
         window 1.1=2ms*1 2.1=20ms*1 3.1=2ms*1
         window 1.1=2ms*1 2.1=20ms*1 3.1=2ms*1
         window 1.1=2ms*1 2.1=20ms*1 3.1=2ms*1
         open: 1.1 2.1 3.1",
    ),
    (
        "one that comes up slow has ten seconds to get warm",
        "up 3
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 2.1 3.1
         after 8s
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 2.1 3.1
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 3.1",
    ),
    (
        "one that has kept up with its peers is warm, however young it is",
        "up 3
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=2ms 3.1=2ms
         window 1.1=2ms 2.1=3ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 2.1 3.1
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 3.1",
    ),
    (
        "a single quick window makes nobody warm",
        "up 3
         window 1.1=2ms 2.1=2ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 2.1 3.1",
    ),
    (
        "one that has most of the work is not slow but busy",
        "up 3
         after 10s
         window 1.1=2ms 2.1=20ms*90 3.1=2ms
         window 1.1=2ms 2.1=20ms*90 3.1=2ms
         window 1.1=2ms 2.1=20ms*90 3.1=2ms
         window 1.1=2ms 2.1=20ms*90 3.1=2ms
         open: 1.1 2.1 3.1",
    ),
    (
        "long polls among quick answers are not slowness",
        "up 3
         after 10s
         window 1.1=2ms 2.1=2ms*13 2.1=10s*7 3.1=2ms
         window 1.1=2ms 2.1=2ms*13 2.1=10s*7 3.1=2ms
         window 1.1=2ms 2.1=2ms*13 2.1=10s*7 3.1=2ms
         open: 1.1 2.1 3.1",
    ),
    (
        "what is ten times slower but quick is the machine's noise",
        "up 3
         after 10s
         window 1.1=50us 2.1=900us 3.1=50us
         window 1.1=50us 2.1=900us 3.1=50us
         window 1.1=50us 2.1=900us 3.1=50us
         open: 1.1 2.1 3.1",
    ),
    (
        "of two the slower one goes, and the other stays",
        "up 2
         after 10s
         window 1.1=2ms 2.1=20ms
         window 1.1=2ms 2.1=20ms
         window 1.1=2ms 2.1=20ms
         open: 1.1",
    ),
];

/// Where each replica has work of its own.
const UNEQUAL_WORK: &[(&str, &str)] = &[
    (
        "who always took longer has harder work",
        "up 3
         after 10s
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 2.1 3.1",
    ),
    (
        "who takes far longer than before and than its peers is slow",
        "up 3
         after 10s
         window 1.1=2ms 2.1=2ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         window 1.1=2ms 2.1=20ms 3.1=2ms
         open: 1.1 3.1",
    ),
];

#[test]
fn heartbeats_eject_and_bring_back() {
    play(HEARTBEATS, &HealthSettings::default());
}

#[test]
fn answers_eject_and_are_tried_again() {
    play(ANSWERS, &HealthSettings::default());
}

#[test]
fn who_is_slower_than_its_peers_is_ejected_and_nobody_else() {
    play(SLOWNESS, &HealthSettings::default());
    play(UNEQUAL_WORK, &HealthSettings { have_equal_work: false, ..HealthSettings::default() });
}

#[test]
fn whoever_turns_slowness_off_never_sees_it() {
    let script = SLOWNESS[0].1.split("open: 1.1 3.1").next().unwrap().to_string() + "open: 1.1 2.1 3.1";
    play(&[("off", &script)], &HealthSettings { slow_factor: 0.0, ..HealthSettings::default() });
}
