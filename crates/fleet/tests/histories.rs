//! Random histories: whatever happens in whatever order, some things never do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use fleet::{
    Action, Death, Deployment, Desired, Edit, Event, Exit, Fleet, FleetSettings, HealthSettings, Life, Phase,
    ProbeResult, Release, RolloutSettings, Seating, Sign, Standing, Step, StopHow, Suspicion, SuspicionKind,
};
use placement::{Placement, Rendezvous};

const SEEDS: u64 = 400;
const STEPS: usize = 300;

#[test]
fn whatever_happens_the_fleet_keeps_its_promises_and_comes_to_rest() {
    for seed in 0..SEEDS {
        let mut history = History::new(seed);
        for _ in 0..STEPS {
            history.step();
        }
        history.come_to_rest();
    }
}

struct History {
    seed: u64,
    random: Rng,
    fleet: Fleet,
    now: Duration,
    /// What is under way in the world, to be reported sooner or later.
    news: Vec<Event>,
}

impl History {
    fn new(seed: u64) -> Self {
        let settings = FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 12,
            spares: (seed % 3) as u32,
            start_timeout: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(5),
            health: HealthSettings::default(),
            seat_choice: placement::SeatChoice::Lowest,
            rollout: fleet::RolloutSettings::default(),
            is_owned: true,
        };
        let seating = Seating::new(Placement::Rendezvous(Rendezvous::default()), Vec::new());
        let mut fleet = Fleet::new(settings, seating, Desired::new(seed)).unwrap();
        fleet.adopt(&[], |_| None, Duration::ZERO);
        Self { seed, random: Rng::with_seed(seed), fleet, now: Duration::ZERO, news: Vec::new() }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.random.u64(0..400));
        match self.random.u32(0..10) {
            0 => self.edit(),
            1..=4 if !self.news.is_empty() => {
                let at = self.random.usize(..self.news.len());
                let event = self.news.swap_remove(at);
                self.fleet.observe(&event, self.now);
            }
            5 => self.accident(),
            _ => self.heartbeats(),
        }
        self.perform();
        self.check();
    }

    fn edit(&mut self) {
        let count = self.random.u32(1..4);
        let edit = match self.random.u32(0..5) {
            4 => Edit::Deploy(Deployment {
                release: Release::of_hash(self.random.u64(0..3)),
                is_forced: self.random.bool(),
                settings: RolloutSettings { at_once: count, ..RolloutSettings::default() },
            }),
            0 => Edit::Remove { count, names: Vec::new() },
            1 => Edit::Scale { count: count * 2 },
            _ => Edit::Add { count, names: Vec::new() },
        };
        let before: Vec<Life> =
            self.fleet.desired().replicas.iter().map(|assignment| assignment.life).collect();
        if self.fleet.edit(&edit, self.now).is_err() {
            let after: Vec<Life> =
                self.fleet.desired().replicas.iter().map(|assignment| assignment.life).collect();
            assert_eq!(before, after, "seed {}: a refused edit changes nothing", self.seed);
        }
    }

    fn accident(&mut self) {
        let Some(life) = self.anyone() else { return };
        let event = match self.random.u32(0..7) {
            0 => Event::Frozen(life, true),
            1 => Event::Suspected(Suspicion { life, kind: SuspicionKind::Refused }),
            2 => Event::Beat(life, ProbeResult::Missed),
            3 => Event::Beat(life, ProbeResult::Unwell),
            4 => Event::Suspected(Suspicion { life, kind: SuspicionKind::Failing }),
            _ => Event::Exited(life, Exit::default()),
        };
        self.fleet.observe(&event, self.now);
    }

    fn heartbeats(&mut self) {
        if let Some(life) = self.anyone() {
            self.fleet.observe(&Event::Beat(life, ProbeResult::Good), self.now);
        }
    }

    fn anyone(&mut self) -> Option<Life> {
        let lives: Vec<Life> = self.fleet.observed().lives().map(|(life, _)| life).collect();
        (!lives.is_empty()).then(|| lives[self.random.usize(..lives.len())])
    }

    /// Carries out plans until there is nothing more to do, as the reconciler does.
    fn perform(&mut self) {
        for round in 0.. {
            assert!(round < 100, "seed {}: plans do not come to rest", self.seed);
            let actions = self.fleet.plan(self.now).actions;
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.judge(&action);
                self.fleet.accept(&action, self.now);
                self.news.extend(self.outcome(&action));
            }
        }
    }

    /// No action may break a promise.
    fn judge(&self, action: &Action) {
        let is_desired = |life: &Life| self.fleet.roster().release_of(*life).is_some();
        let phase = |life: &Life| self.fleet.observed().get(*life).map(|known| known.phase.clone());
        let context = format!("seed {}: {action}", self.seed);
        match action {
            Action::Start(life, name) => {
                assert!(is_desired(life) && phase(life).is_none(), "{context}");
                let mut others = self.fleet.observed().lives();
                assert!(others.all(|(_, known)| known.name != *name), "{context}: the name is taken");
            }
            Action::Stop(life, how) => {
                assert!(!is_desired(life), "{context}: it still has its assignment");
                if *how == StopHow::Graceful {
                    let phase = phase(life).unwrap();
                    assert!(matches!(phase, Phase::Draining { .. } | Phase::Booting), "{context}: {phase:?}");
                }
            }
            Action::Drain(life) => assert!(!is_desired(life), "{context}"),
            Action::Replace(life, Death::Ill(signs)) => {
                let is_ill = ["refused", "frozen", "missed"].iter().any(|sign| signs.contains(sign));
                assert!(is_desired(life), "{context}");
                assert!(is_ill && signs.contains(", "), "{context}: for one sign, or answers alone");
            }
            Action::Replace(life, _) | Action::Inspect(life) | Action::Admit(life) => {
                assert!(is_desired(life), "{context}");
            }
            Action::Commit(_) | Action::Undo(..) => {}
            // Nobody gets a seat who is not serving.
            Action::Rollout(Step::Pass(life)) => assert_eq!(phase(life), Some(Phase::Serving), "{context}"),
            Action::Rollout(_) => {}
        }
    }

    fn outcome(&self, action: &Action) -> Option<Event> {
        match action {
            Action::Start(life, _) => Some(Event::Started(*life, "127.0.0.1:9".parse().unwrap())),
            Action::Stop(life, _) => Some(Event::Stopped(*life)),
            Action::Drain(life) => Some(Event::Drained(*life)),
            _ => None,
        }
    }

    fn check(&self) {
        let assignments = self.fleet.roster().assignments();
        let places = || self.fleet.roster().places();
        let seats: BTreeSet<_> = places().map(|assignment| assignment.seat).collect();
        let names: BTreeSet<_> = places().map(|assignment| &assignment.name).collect();
        let begun: BTreeSet<_> = places().map(|assignment| assignment.life).collect();
        assert_eq!(seats.len(), places().count(), "seed {}: a seat is taken twice", self.seed);
        assert_eq!(names.len(), places().count(), "seed {}: a name is carried twice", self.seed);
        assert_eq!(begun.len(), places().count(), "seed {}: a life has two places", self.seed);
        let spares = self.fleet.desired().spares.len();
        assert_eq!(spares, self.seed as usize % 3, "seed {}: that many are desired", self.seed);
        for (life, _) in self.fleet.observed().lives() {
            let is_open = self.fleet.standing(life) == Standing::Open;
            let is_desired = assignments.clone().any(|assignment| assignment.life == life);
            assert!(is_desired || !is_open, "seed {}: {life} is routed to without an assignment", self.seed);
        }
        let lives = || assignments.clone().map(|assignment| assignment.life);
        let mut signs = lives().filter_map(|life| self.fleet.illness(life, self.now)).map(|(sign, _)| sign);
        let is_soft = signs.any(|sign| matches!(sign, Sign::Silent | Sign::Failing | Sign::Slow));
        let is_empty = !lives().any(|life| self.fleet.standing(life) == Standing::Open);
        assert!(!(is_soft && is_empty), "seed {}: the table is empty because of health alone", self.seed);
    }

    /// Without further accidents everything that should run does, and nothing else.
    fn come_to_rest(&mut self) {
        // Long enough for whoever was put out several times, and is never tried by anybody.
        for _ in 0..250 {
            self.now += Duration::from_secs(2);
            for event in std::mem::take(&mut self.news) {
                self.fleet.observe(&event, self.now);
            }
            let lives: Vec<Life> = self.fleet.observed().lives().map(|(life, _)| life).collect();
            for life in lives {
                self.fleet.observe(&Event::Frozen(life, false), self.now);
                self.fleet.observe(&Event::Beat(life, ProbeResult::Good), self.now);
            }
            self.perform();
            self.check();
        }
        let places = self.fleet.roster().assignments().count() + self.fleet.desired().spares.len();
        assert!(!self.fleet.roster().has_changes(), "seed {}: an addition was never settled", self.seed);
        let is_rolling = self.fleet.desired().rollout.is_some();
        assert!(!is_rolling, "seed {}: a rollout does not end", self.seed);
        assert!(self.fleet.is_whole(), "seed {}: not whole at rest", self.seed);
        assert_eq!(self.fleet.observed().lives().count(), places, "seed {}: leftovers", self.seed);
        let view = self.fleet.view(self.now);
        assert_eq!(view.spares_ready(), view.spares.len(), "seed {}: not every spare is ready", self.seed);
    }
}
