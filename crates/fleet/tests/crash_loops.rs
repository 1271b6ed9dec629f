//! Seats whose lives keep failing: when that is a state, when it is over, and what is told of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::time::Duration;

use fleet::{Death, Event, Exit, Life};
use placement::Seat;
use stage::Stage;

const SCENARIOS: &[(&str, &str)] = &[
    (
        "three failures in a row are a crash loop, which concerns nobody else and ends when one has served for a while",
        "up 2
         after 10s
         exited 1.1
         plan: replace 1.1: killed by signal 9
         states: 1 waiting, 2 ready, 1 stopping
         plan: start 1.2 web_?; kill 1.1
         stopped 1.1
         failed 1.2
         plan: replace 1.2: could not be started: no such image
         plan: kill 1.2
         stopped 1.2
         states: 1 waiting, 2 ready
         after 130ms
         plan: start 1.3 web_?
         started 1.3
         states: 1 starting, 2 ready
         exited 1.3
         plan: replace 1.3: killed by signal 9
         plan: kill 1.3
         stopped 1.3
         states: 1 crash-looping 3, 2 ready
         open: 2.1
         after 260ms
         plan: start 1.4 web_?
         states: 1 crash-looping 3, 2 ready
         started 1.4
         states: 1 crash-looping 3, 2 ready
         good 1.4
         open: 1.4 2.1
         after 10s
         exited 1.4
         plan: replace 1.4: killed by signal 9
         plan: start 1.5 web_?; kill 1.4
         stopped 1.4
         states: 1 starting, 2 ready",
    ),
    (
        "whoever is killed from outside is not in a crash loop",
        "up 1
         kill and revive 5 times
         states: 1 ready
         exited 1.6
         plan: replace 1.6: killed by signal 9
         states: 1 waiting, 1 stopping",
    ),
    (
        "why an added one ended is waited for, so that whoever added it is told",
        "up 1
         add 1 S5
         plan: start 2.1 S5
         ended 2.1
         plan: nothing
         exited 2.1
         plan: replace 2.1: killed by signal 9",
    ),
];

#[test]
fn every_crash_loop_goes_as_it_is_written() {
    for (claim, script) in SCENARIOS {
        let mut stage = Stage::new();
        for line in script.lines().map(str::trim) {
            stage.play(claim, line);
        }
    }
}

fn exit(lines: &[&str]) -> Exit {
    let last_output = lines.iter().map(|line| (*line).to_string()).collect();
    Exit { code: Some(7), last_output, ..Exit::default() }
}

#[test]
fn a_crash_loop_tells_the_last_lines_and_when_the_next_try_is() {
    let mut stage = Stage::new();
    stage.play("", "up 1");
    let seat = Seat::new(1).unwrap();
    for incarnation in 1..=4 {
        let life = Life { seat, incarnation };
        stage.fleet.observe(&Event::Exited(life, exit(&["first", "last"])), stage.now);
        stage.perform();
        stage.perform();
        stage.fleet.observe(&Event::Stopped(life), stage.now);
        stage.now += Duration::from_secs(9);
        stage.perform();
    }
    let crash_loop = stage.fleet.crash_loop(seat).unwrap();
    assert_eq!((crash_loop.last_output, crash_loop.next_try), (vec!["first".into(), "last".into()], None));
    let life = Life { seat, incarnation: 5 };
    // Whoever is killed because it never answers tells its last lines later.
    stage.now += Duration::from_secs(30);
    stage.fleet.observe(&Event::Started(life, "127.0.0.1:9".parse().unwrap()), stage.now);
    stage.perform();
    stage.fleet.observe(&Event::Exited(life, exit(&["I am waiting"])), stage.now);
    let crash_loop = stage.fleet.crash_loop(seat).unwrap();
    assert_eq!(
        (crash_loop.death, crash_loop.last_output),
        (Death::NeverHealthy(None), vec!["I am waiting".into()])
    );
    assert!(crash_loop.next_try.unwrap() > stage.now);
}

#[test]
fn an_addition_that_is_undone_tells_the_last_lines() {
    let mut stage = Stage::new();
    stage.play("", "up 1");
    stage.play("", "add 1 S5");
    let mut said = String::new();
    for incarnation in 1..=3 {
        let life = Life { seat: Seat::new(2).unwrap(), incarnation };
        stage.perform();
        stage.fleet.observe(&Event::Exited(life, exit(&["no database", "giving up"])), stage.now);
        stage.perform();
        said = stage.perform();
        stage.fleet.observe(&Event::Stopped(life), stage.now);
        stage.now += Duration::from_secs(1);
    }
    let why = "replica 'S5' of seat 2: exited with code 7; its last words: \"giving up\"";
    assert_eq!(said, format!("undo 1: {why}\n  | no database\n  | giving up; kill 2.3"));
}
