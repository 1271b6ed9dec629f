//! A fleet on a stage: a line of a script is a fact, a step in time, or an expectation.
//!
//! `plan:` lists the actions that are planned now; they are then carried out. Random letters in names
//! are shown as `?`.

#![allow(dead_code, reason = "each test file uses the part of the stage that it needs")]

use std::time::Duration;

use fleet::{
    Action, Deployment, Desired, Edit, Event, Exit, Fleet, FleetSettings, Found, FoundState, HealthSettings,
    Life, ProbeResult, Release, ReplicaName, RolloutSettings, Seating, Standing, Suspicion, SuspicionKind,
    Transition,
};
use placement::{Placement, Rendezvous, Seat};

pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) now: Duration,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_spares(0)
    }

    pub(crate) fn with_spares(spares: u32) -> Self {
        let now = Duration::from_secs(100);
        let mut fleet = Fleet::new(settings(spares), seating(), Desired::new(7)).unwrap();
        fleet.adopt(&[], |_| None, now);
        Self { fleet, now }
    }

    pub(crate) fn play(&mut self, claim: &str, line: &str) {
        if let Some(expected) = line.strip_prefix("plan:") {
            assert_eq!(self.perform(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("shown:") {
            assert_eq!(self.shown(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("open:") {
            assert_eq!(self.open(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("states:") {
            assert_eq!(self.states(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("spares:") {
            assert_eq!(self.spares(), expected.trim(), "{claim}: {line}");
        } else if let Some(expected) = line.strip_prefix("rollout:") {
            assert_eq!(self.rollout(), expected.trim(), "{claim}: {line}");
        } else {
            self.happen(line);
        }
    }

    pub(crate) fn happen(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap();
        match verb {
            "after" => self.now += humantime(rest),
            "up" => self.bring_up(rest),
            "kill" => self.kill_and_revive(rest),
            "fill" | "add" | "remove" | "scale" | "deploy" => {
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
        let lives: Vec<Life> = self.fleet.roster().assignments().map(|assignment| assignment.life).collect();
        for life in lives {
            self.fleet.observe(&event("started", life), self.now);
            self.fleet.observe(&event("good", life), self.now);
        }
        self.perform();
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
    pub(crate) fn perform(&mut self) -> String {
        let plan = self.fleet.plan(self.now);
        assert_eq!(plan, self.fleet.plan(self.now), "a plan is repeatable");
        for action in &plan.actions {
            self.fleet.accept(action, self.now);
        }
        let words: Vec<String> = plan.actions.iter().map(Action::to_string).collect();
        if words.is_empty() { "nothing".into() } else { mask(&words.join("; ")) }
    }

    pub(crate) fn shown(&self) -> String {
        let assignments = self.fleet.desired().replicas.iter();
        let words: Vec<String> =
            assignments.map(|assignment| format!("{} {}", assignment.life, assignment.name)).collect();
        mask(&words.join(", "))
    }

    /// Of each replica that should run, and how often its seat has failed if that is a crash loop.
    fn states(&self) -> String {
        let view = self.fleet.view(self.now);
        let all = view.replicas.iter().chain(&view.others);
        let states = all.map(|replica| {
            let failures = replica.crash_loop.as_ref().map(|crash_loop| format!(" {}", crash_loop.failures));
            format!("{} {}{}", replica.seat, replica.state.as_str(), failures.unwrap_or_default())
        });
        states.collect::<Vec<_>>().join(", ")
    }

    /// Of each spare.
    fn spares(&self) -> String {
        let view = self.fleet.view(self.now);
        let spares = view.spares.iter().map(|spare| format!("{} {}", spare.life, spare.state.as_str()));
        spares.collect::<Vec<_>>().join(", ")
    }

    /// How the rollout is, and which seats run what.
    fn rollout(&self) -> String {
        let view = self.fleet.view(self.now);
        let rollout = view.rollout.expect("there is one");
        let runs = view.replicas.iter().map(|replica| {
            let release = (0..9).find(|number| Some(release(*number)) == replica.release);
            format!("{}:{}", replica.seat, release.expect("it runs something"))
        });
        let runs = runs.collect::<Vec<_>>().join(" ");
        format!("{} {}/{}, {runs}", rollout.course.as_str(), rollout.done, rollout.total)
    }

    pub(crate) fn open(&self) -> String {
        let lives = self.fleet.observed().lives().map(|(life, _)| life);
        let open = lives.filter(|life| self.fleet.standing(*life) == Standing::Open);
        open.map(|life| life.to_string()).collect::<Vec<_>>().join(" ")
    }
}

/// An empty placement of the usual kind.
pub(crate) fn seating() -> Seating {
    Seating::new(Placement::Rendezvous(Rendezvous::default()), Vec::new())
}

pub(crate) fn settings(spares: u32) -> FleetSettings {
    FleetSettings {
        name_prefix: "web".into(),
        replicas_max: 100,
        spares,
        start_timeout: Duration::from_secs(30),
        drain_deadline: Duration::from_secs(30),
        health: HealthSettings::default(),
        seat_choice: placement::SeatChoice::Lowest,
        rollout: fleet::RolloutSettings::default(),
        is_owned: true,
    }
}

pub(crate) fn edit(line: &str) -> Edit {
    let mut words = line.split(' ');
    let verb = words.next().unwrap();
    let count: u32 = words.next().unwrap().parse().unwrap();
    if verb == "deploy" {
        let is_forced = words.clone().any(|word| word == "forced");
        let at_once = if words.any(|word| word == "two-at-once") { 2 } else { 1 };
        let settings = RolloutSettings { at_once, ..RolloutSettings::default() };
        return Edit::Deploy(Deployment { release: release(count), is_forced, settings });
    }
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
        "ended" => Event::Exited(life, Exit::default()),
        "good" => Event::Beat(life, ProbeResult::Good),
        "missed" => Event::Beat(life, ProbeResult::Missed),
        "refused" => Event::Beat(life, ProbeResult::Refused),
        "suspected" => Event::Suspected(Suspicion { life, kind: SuspicionKind::Refused }),
        "failing" => Event::Suspected(Suspicion { life, kind: SuspicionKind::Failing }),
        "broken" => Event::Suspected(Suspicion { life, kind: SuspicionKind::Broken }),
        "frozen" => Event::Frozen(life, true),
        "drained" => Event::Drained(life),
        "stopped" => Event::Stopped(life),
        other => panic!("no such fact: {other}"),
    }
}

pub(crate) fn life(text: &str) -> Life {
    let (seat, incarnation) = text.split_once('.').unwrap();
    Life { seat: Seat::new(seat.parse().unwrap()).unwrap(), incarnation: incarnation.parse().unwrap() }
}

/// What nobody has told is release 0.
pub(crate) fn release(number: u32) -> Release {
    Release::of_hash(number.into())
}

pub(crate) fn address() -> fleet::Address {
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

impl Stage {
    /// As if a balancer had been started anew that had stored a rollout.
    pub(crate) fn interrupt_rollout(&mut self, rollout: Transition) {
        let lives = self.fleet.observed().lives();
        let found: Vec<Found> = lives
            .map(|(life, known)| Found {
                life,
                name: known.name.clone(),
                state: FoundState::Running { address: address(), is_frozen: false },
            })
            .collect();
        let desired = Desired { rollout: Some(rollout), ..self.fleet.desired().clone() };
        self.fleet = Fleet::new(settings(0), seating(), desired).unwrap();
        self.fleet.adopt(&found, |_| None, self.now);
        for one in &found {
            self.fleet.observe(&event("good", one.life), self.now);
        }
    }

    /// What becomes of it when this is to be run, these lives run so, and it is known what these releases are.
    pub(crate) fn settle(&mut self, current: Release, runs: &[(&str, Release)], known: &[Release]) -> usize {
        let release_of = |asked| {
            let found = runs.iter().find(|(text, _)| life(text) == asked);
            found.map(|(_, release)| *release)
        };
        self.fleet.settle_releases(current, release_of, |release| known.contains(&release))
    }
}
