//! A fleet on a stage: plays the lines of a script.

use std::time::Duration;

use fleet::{
    Action, Desired, Edit, Event, Exit, Fleet, FleetSettings, HealthSettings, Latencies, Life, Measured,
    ProbeResult, Seating, Standing, Suspicion, SuspicionKind,
};
use placement::{Placement, Rendezvous, Seat};

/// Plays each of these and fails where one does not go as it is written.
pub(crate) fn play(scenarios: &[(&str, &str)], health: &HealthSettings) {
    for (claim, script) in scenarios {
        let mut stage = Stage::new(health.clone());
        for line in script.lines().map(str::trim) {
            let (verb, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
            let rest = rest.trim();
            match verb.trim_end_matches(':') {
                "plan" => assert_eq!(stage.perform(), rest, "{claim}: {line}"),
                "open" => assert_eq!(stage.standing(Standing::Open), rest, "{claim}: {line}"),
                "trial" => assert_eq!(stage.standing(Standing::HalfOpen), rest, "{claim}: {line}"),
                "ill" => assert_eq!(stage.illness(rest), rest, "{claim}"),
                _ => stage.happen(verb, rest),
            }
        }
    }
}

struct Stage {
    fleet: Fleet,
    now: Duration,
}

impl Stage {
    fn new(health: HealthSettings) -> Self {
        let settings = FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 100,
            spares: 0,
            start_timeout: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(30),
            health,
            seat_choice: placement::SeatChoice::Lowest,
            rollout: fleet::RolloutSettings::default(),
            is_owned: true,
        };
        let seating = Seating::new(Placement::Rendezvous(Rendezvous::default()), Vec::new());
        let fleet = Fleet::new(settings, seating, Desired::new(7)).unwrap();
        Self { fleet, now: Duration::from_secs(100) }
    }

    fn happen(&mut self, verb: &str, rest: &str) {
        match verb {
            "after" => self.now += duration(rest),
            "window" => self.measure(rest),
            // Nobody comes, however often somebody is admitted.
            "admissions" => {
                let end = self.now + duration(rest.trim_start_matches("of "));
                while self.now <= end {
                    self.now += Duration::from_millis(250);
                    self.perform();
                }
            }
            "up" => {
                self.fleet.edit(&Edit::Fill { count: rest.parse().unwrap() }, self.now).unwrap();
                self.perform();
                let lives: Vec<Life> =
                    self.fleet.roster().assignments().map(|assignment| assignment.life).collect();
                for life in lives {
                    self.fleet.observe(&event("started", life), self.now);
                    self.fleet.observe(&event("good", life), self.now);
                }
                self.perform();
            }
            _ => rest.split(' ').for_each(|text| self.fleet.observe(&event(verb, life(text)), self.now)),
        }
    }

    fn measure(&mut self, line: &str) {
        self.now += Duration::from_millis(500);
        let measured = line.split(' ').map(|text| {
            let (who, what) = text.split_once('=').unwrap();
            let (latency, count) = what.split_once('*').unwrap_or((what, "20"));
            let mut latencies = Latencies::default();
            (0..count.parse().unwrap()).for_each(|_| latencies.add(duration(latency)));
            Measured { life: life(who), weight: 1, latencies }
        });
        self.fleet.observe(&Event::Measured(measured.collect()), self.now);
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

    fn standing(&self, standing: Standing) -> String {
        let lives = self.fleet.observed().lives().map(|(life, _)| life);
        let found = lives.filter(|life| self.fleet.standing(*life) == standing);
        found.map(|life| life.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn illness(&self, line: &str) -> String {
        let who = line.split(' ').next().unwrap();
        let (sign, words) = self.fleet.illness(life(who), self.now).expect("it is ill");
        format!("{who} {}: {words}", sign.as_str())
    }
}

fn event(verb: &str, life: Life) -> Event {
    match verb {
        "started" => Event::Started(life, "127.0.0.1:9".parse().unwrap()),
        "exited" => Event::Exited(life, Exit { signal: Some(9), ..Exit::default() }),
        "good" => Event::Beat(life, ProbeResult::Good),
        "missed" => Event::Beat(life, ProbeResult::Missed),
        "unwell" => Event::Beat(life, ProbeResult::Unwell),
        "refused" => Event::Beat(life, ProbeResult::Refused),
        "suspected" => Event::Suspected(Suspicion { life, kind: SuspicionKind::Refused }),
        "failing" => Event::Suspected(Suspicion { life, kind: SuspicionKind::Failing }),
        other => panic!("no such fact: {other}"),
    }
}

fn life(text: &str) -> Life {
    let (seat, incarnation) = text.split_once('.').unwrap();
    Life { seat: Seat::new(seat.parse().unwrap()).unwrap(), incarnation: incarnation.parse().unwrap() }
}

fn duration(text: &str) -> Duration {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap();
    let number = text[..end].parse().unwrap();
    match &text[end..] {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        other => panic!("no such unit: {other}"),
    }
}

/// Replaces the random letters of a successor's name by a question mark.
fn mask(text: &str) -> String {
    let Some((before, name)) = text.split_once("web_") else { return text.to_string() };
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    format!("{before}web_?{}", &name[end..])
}
