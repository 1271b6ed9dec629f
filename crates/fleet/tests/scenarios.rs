//! Plans as text: what should run, what is known to run, the time, and the actions that follow.
//!
//! A line is a fact, a step in time, or an expectation. `plan:` lists the actions that are planned
//! now; they are then carried out. Random letters in names are shown as `?`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::time::Duration;

use fleet::{
    Action, Desired, Edit, Event, Exit, Fleet, FleetSettings, Found, FoundState, Life, Pulse, ReplicaName,
    Standing, Suspicion,
};
use placement::{Placement, Rendezvous, Seat};

const SCENARIOS: &[(&str, &str)] = &[
    (
        "a fleet is filled, and counts when all of it takes traffic",
        "fill 2
         plan: start 1.1 web_1; start 2.1 web_2
         started 1.1 2.1
         good 1.1
         plan: nothing
         shown:
         good 2.1
         plan: commit 0
         shown: 1.1 web_1, 2.1 web_2
         open: 1.1 2.1",
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
         good 2.1
         open: 2.1 3.1",
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
        let (before, seats) = (stage.shown(), stage.fleet.desired().berths().len());
        let refusal = stage.fleet.edit(&edit(line), stage.now).unwrap_err();
        assert_eq!(refusal.to_string(), expected, "{line}");
        assert_eq!((stage.shown(), stage.fleet.desired().berths().len()), (before, seats), "{line}");
    }
}

struct Stage {
    fleet: Fleet,
    now: Duration,
}

impl Stage {
    fn new() -> Self {
        let settings = FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 100,
            start_timeout: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(30),
            misses_max: 2,
            seat_choice: placement::SeatChoice::Lowest,
            is_owned: true,
        };
        let desired = Desired::new(7, Placement::Rendezvous(Rendezvous::default()), Vec::new());
        Self { fleet: Fleet::new(settings, desired), now: Duration::from_secs(100) }
    }

    fn play(&mut self, claim: &str, line: &str) {
        if let Some(expected) = line.strip_prefix("plan:") {
            assert_eq!(self.perform(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("shown:") {
            assert_eq!(self.shown(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("open:") {
            assert_eq!(self.open(), expected.trim(), "{claim}: {line}");
        } else {
            self.happen(line);
        }
    }

    fn happen(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap();
        match verb {
            "after" => self.now += humantime(rest),
            "up" => self.bring_up(rest),
            "kill" => self.kill_and_revive(rest),
            "fill" | "add" | "remove" | "scale" => {
                self.fleet.edit(&edit(line), self.now).unwrap();
            }
            "found" => {
                let found = rest.split(' ').map(|text| Found {
                    life: life(text),
                    name: ReplicaName::parse(&format!("found_{text}")).unwrap(),
                    state: FoundState::Running { address: address(), is_frozen: false },
                });
                let event = Event::Listed { asked_at: self.now, found: found.collect() };
                self.fleet.observe(&event, self.now);
            }
            _ => {
                for text in rest.split(' ') {
                    self.fleet.observe(&event(verb, life(text)), self.now);
                }
            }
        }
    }

    fn bring_up(&mut self, count: &str) {
        self.happen(&format!("fill {count}"));
        self.perform();
        let lives: Vec<Life> = self.fleet.desired().berths().iter().map(|berth| berth.life).collect();
        for life in lives {
            self.fleet.observe(&event("started", life), self.now);
            self.fleet.observe(&event("good", life), self.now);
        }
        assert_eq!(self.perform(), "commit 0");
    }

    /// Kills the first seat's life and lets the next one serve at once, as often as the line says.
    fn kill_and_revive(&mut self, line: &str) {
        let times: u64 = line.split(' ').nth(2).unwrap().parse().unwrap();
        for incarnation in 1..=times {
            let [dead, next] =
                [incarnation, incarnation + 1].map(|incarnation| life(&format!("1.{incarnation}")));
            self.fleet.observe(&event("exited", dead), self.now);
            self.perform();
            assert!(self.perform().contains("start"), "it goes on at once");
            for fact in [event("stopped", dead), event("started", next), event("good", next)] {
                self.fleet.observe(&fact, self.now);
            }
        }
    }

    /// The actions that are planned now, in words; they are then carried out.
    fn perform(&mut self) -> String {
        let plan = self.fleet.plan(self.now);
        assert_eq!(plan, self.fleet.plan(self.now), "a plan is repeatable");
        for action in &plan.actions {
            self.fleet.accept(action, self.now);
        }
        let words: Vec<String> = plan.actions.iter().map(Action::to_string).collect();
        if words.is_empty() { "nothing".into() } else { mask(&words.join("; ")) }
    }

    fn shown(&self) -> String {
        let berths = self.fleet.desired().settled();
        let words: Vec<String> = berths.map(|berth| format!("{} {}", berth.life, berth.name)).collect();
        mask(&words.join(", "))
    }

    fn open(&self) -> String {
        let lives = self.fleet.observed().lives().map(|(life, _)| life);
        let open = lives.filter(|life| self.fleet.standing(*life) == Standing::Open);
        open.map(|life| life.to_string()).collect::<Vec<_>>().join(" ")
    }
}

fn edit(line: &str) -> Edit {
    let mut words = line.split(' ');
    let verb = words.next().unwrap();
    let count = words.next().unwrap().parse().unwrap();
    let names = words.map(|name| ReplicaName::parse(name).unwrap()).collect();
    match verb {
        "fill" => Edit::Fill { count },
        "add" => Edit::Add { count, names },
        "remove" => Edit::Remove { count, names },
        "scale" => Edit::Scale { count },
        other => panic!("no such edit: {other}"),
    }
}

fn event(verb: &str, life: Life) -> Event {
    match verb {
        "started" => Event::Started(life, address()),
        "failed" => Event::StartFailed(life, "no such image".into()),
        "exited" => Event::Exited(life, Exit { signal: Some(9), ..Exit::default() }),
        "good" => Event::Beat(life, Pulse::Good),
        "missed" => Event::Beat(life, Pulse::Missed),
        "refused" => Event::Beat(life, Pulse::Refused),
        "suspected" => Event::Suspected(Suspicion { life, is_refusal: true }),
        "broken" => Event::Suspected(Suspicion { life, is_refusal: false }),
        "frozen" => Event::Frozen(life, true),
        "drained" => Event::Drained(life),
        "stopped" => Event::Stopped(life),
        other => panic!("no such fact: {other}"),
    }
}

fn life(text: &str) -> Life {
    let (seat, incarnation) = text.split_once('.').unwrap();
    Life { seat: Seat::new(seat.parse().unwrap()).unwrap(), incarnation: incarnation.parse().unwrap() }
}

fn address() -> fleet::Address {
    "127.0.0.1:9".parse().unwrap()
}

fn humantime(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().unwrap()),
        None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

/// Replaces the six random letters of a name by a question mark.
fn mask(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("web_") {
        let (before, name) = rest.split_at(at + 4);
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        masked.push_str(before);
        masked.push_str(if end == 6 { "?" } else { &name[..end] });
        rest = &name[end..];
    }
    masked + rest
}
