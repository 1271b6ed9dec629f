//! What is known to run, and how well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use placement::Seat;

use crate::health::Signs;
use crate::outlier::Complaint;
use crate::slowness::Comparison;
use crate::{
    Address, Death, Event, Exit, FleetSettings, Found, FoundState, HealthSettings, Life, Measured, Moment,
    ProbeResult, ReplicaName, StopHow, SuspicionKind,
};

/// How far a life has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The driver was told to start it.
    Starting,
    /// It runs; no heartbeat was good yet.
    Booting,
    /// A heartbeat was good. Whether it is routed to depends on how it does since.
    Serving,
    /// Its gate is closed; who is inside may finish.
    Draining {
        /// Whether nobody is left inside.
        is_empty: bool,
    },
    /// The driver was told to stop it and to remove what is left.
    Stopping(StopHow),
    /// It is over; something may be left to remove.
    Over(Death),
}

/// What is known of one life.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is called.
    pub name: ReplicaName,
    /// Where it listens, once it runs.
    pub address: Option<Address>,
    /// How far it has come.
    pub phase: Phase,
    /// Since when it is in this phase.
    pub since: Moment,
    /// When its start was ordered, or when it was found.
    pub begun_at: Moment,
    /// When its first heartbeat was good, or when it took a seat, if that was later.
    pub healthy_at: Option<Moment>,
    /// What there was instead of a good answer to its last heartbeat, if that was so.
    pub heard: Option<Arc<str>>,
    pub(crate) signs: Signs,
}

/// What is remembered of a seat beyond the lives in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeatRecord {
    pub(crate) last_incarnation: u64,
    /// Deaths in a row, each soon after the life began.
    pub(crate) failures: u32,
    /// Those of them that are its own fault; the next life waits the longer, the more there are.
    pub(crate) strikes: u32,
    /// How many of the latest of them never served.
    pub(crate) unserved: u32,
    /// The next life does not begin before this.
    pub(crate) not_before: Moment,
    pub(crate) last_death: Option<(Life, Death)>,
    /// What the one was called that died last.
    pub(crate) last_name: Option<ReplicaName>,
    /// The last lines that it wrote.
    pub(crate) last_output: Vec<String>,
}

impl SeatRecord {
    /// Whoever comes next is not to blame for the past.
    pub(crate) fn forgive(&mut self, now: Moment) {
        *self = Self { last_incarnation: self.last_incarnation, not_before: now, ..Self::default() };
    }

    /// How the last life ended, with its last lines if there are several.
    pub(crate) fn why(&self) -> String {
        let Some((_, death)) = &self.last_death else { return String::new() };
        let lines = if self.last_output.len() > 1 { self.last_output.as_slice() } else { &[] };
        lines.iter().fold(death.to_string(), |text, line| text + "\n  | " + line)
    }
}

/// What is known to run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub(crate) lives: BTreeMap<Life, Known>,
    pub(crate) seats: BTreeMap<Seat, SeatRecord>,
    comparison: Comparison,
    /// When so many looked ill the last time that it was rather not their fault.
    pub(crate) mass_illness_at: Option<Moment>,
}

impl Observed {
    /// Whether a fact tells anything that is not known: a good heartbeat of a replica that is well,
    /// which is what most facts are, does not.
    pub fn is_news(&self, event: &Event) -> bool {
        match event {
            Event::Beat(life, ProbeResult::Good) => self
                .get(*life)
                .is_some_and(|known| known.phase != Phase::Serving || known.signs.is_beating_badly()),
            Event::Suspected(suspicion) if suspicion.kind == SuspicionKind::Failing => {
                self.get(suspicion.life).is_some_and(|known| known.signs.outlier.can_be_complained_of())
            }
            _ => true,
        }
    }

    /// Takes in a fact. News of lives that nobody knows is ignored: they are over.
    pub(crate) fn observe(&mut self, event: &Event, settings: &HealthSettings, now: Moment) {
        match event {
            Event::Listed { asked_at, found } => self.observe_list(*asked_at, found, now),
            Event::Recovered => self.forgive_failed_starts(now),
            // Only a list can tell what it was.
            Event::Overlooked => {}
            Event::Stopped(life) => {
                self.lives.remove(life);
            }
            Event::Started(life, address) => self.change(*life, |known| known.started(address.clone(), now)),
            Event::StartFailed(life, why) => {
                self.change(*life, |known| known.end(Death::StartFailed(why.clone()), now));
            }
            Event::Exited(life, exit) => {
                self.change(*life, |known| known.end(Death::Exited(exit.clone()), now));
                self.refine(*life, exit);
            }
            Event::Displaced(life, who) => {
                self.change(*life, |known| known.end(Death::Displaced(who.clone()), now));
            }
            Event::Beat(life, probe_result) => {
                self.change(*life, |known| known.beat(*probe_result, settings, now));
            }
            Event::Working(life, is_at_work) => {
                self.change(*life, |known| known.signs.is_at_work = *is_at_work);
            }
            Event::Heard(life, heard) => {
                self.change(*life, |known| known.heard = Some(Arc::clone(&heard.words)));
            }
            Event::Suspected(suspicion) => {
                self.change(suspicion.life, |known| known.suspect(suspicion.kind, now));
            }
            Event::Measured(measured) => self.compare(measured, settings, now),
            Event::Frozen(life, is_frozen) => self.change(*life, |known| known.signs.is_frozen = *is_frozen),
            Event::Drained(life) => self.change(*life, |known| {
                if let Phase::Draining { is_empty } = &mut known.phase {
                    *is_empty = true;
                }
            }),
        }
    }

    /// The lives that are known, by seat.
    pub fn lives(&self) -> impl Iterator<Item = (Life, &Known)> {
        self.lives.iter().map(|(life, known)| (*life, known))
    }

    /// What is known of a life.
    pub fn get(&self, life: Life) -> Option<&Known> {
        self.lives.get(&life)
    }

    pub(crate) fn next_incarnation(&self, seat: Seat) -> u64 {
        self.seats.get(&seat).map_or(0, |record| record.last_incarnation) + 1
    }

    pub(crate) fn holds_name(&self, name: &ReplicaName) -> bool {
        self.lives.values().any(|known| known.name == *name)
    }

    pub(crate) fn record(&mut self, seat: Seat) -> &mut SeatRecord {
        self.seats.entry(seat).or_default()
    }

    pub(crate) fn insert(&mut self, life: Life, known: Known) {
        let record = self.record(life.seat);
        record.last_incarnation = record.last_incarnation.max(life.incarnation);
        self.lives.insert(life, known);
    }

    pub(crate) fn change(&mut self, life: Life, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.lives.get_mut(&life) {
            change(known);
        }
    }

    /// Seats whose last life could not even be started were not to blame: they go on at once.
    fn forgive_failed_starts(&mut self, now: Moment) {
        for record in self.seats.values_mut() {
            if matches!(record.last_death, Some((_, Death::StartFailed(_)))) {
                (record.failures, record.unserved, record.strikes) = (0, 0, 0);
                record.not_before = record.not_before.min(now);
            }
        }
    }

    /// The first word of an exit may come before anybody knows how it ended; a later one may tell.
    fn refine(&mut self, life: Life, exit: &Exit) {
        // One that began as a spare may have died in another seat.
        for record in self.seats.values_mut() {
            let Some((_, death)) = record.last_death.as_mut().filter(|(dead, _)| *dead == life) else {
                continue;
            };
            death.refine(exit);
            // Also of one that was ended because it was never healthy.
            if !exit.last_output.is_empty() {
                record.last_output.clone_from(&exit.last_output);
            }
        }
        if let Some(Phase::Over(death)) = self.lives.get_mut(&life).map(|known| &mut known.phase) {
            death.refine(exit);
        }
    }

    /// Takes in how long responses took. That there were any speaks for a replica, too.
    fn compare(&mut self, measured: &[Measured], settings: &HealthSettings, now: Moment) {
        for one in measured {
            let Some(known) = self.lives.get_mut(&one.life) else { continue };
            known.signs.vouch(settings);
            if known.signs.outlier.complaint().is_none() {
                self.comparison.add(one);
                continue;
            }
            let comparison = &self.comparison;
            let excess = |responses: &_| comparison.excess(one.life, responses, settings.slow_factor);
            known.signs.outlier.take_in(&one.latencies, excess, now);
        }
        for (life, finding) in self.comparison.close(settings.slow_factor, now) {
            let Some(known) = self.lives.get_mut(&life) else { continue };
            let served = known.healthy_at.map_or(Duration::ZERO, |since| now.saturating_sub(since));
            if let Some(excess) = known.signs.pace.learn(finding, served, settings) {
                known.signs.pace.begin_anew();
                known.signs.outlier.complain(Complaint::Slow(excess), now);
            }
        }
    }

    fn observe_list(&mut self, asked_at: Moment, found: &[Found], now: Moment) {
        for (index, one) in found.iter().enumerate() {
            match self.lives.get_mut(&one.life) {
                // An order of a balancer that was killed may be carried out when the next one has given
                // the same life to another. Which of the two is meant cannot be told any more.
                Some(known) if found[..index].iter().any(|other| other.life == one.life) => {
                    known.end(Death::Doubled, now);
                }
                None => self.insert(one.life, Known::found(one, now)),
                Some(known) => known.found_again(&one.state, now),
            }
        }
        for (life, known) in &mut self.lives {
            let is_missing = found.iter().all(|one| one.life != *life);
            let should_be_there = !matches!(known.phase, Phase::Starting | Phase::Over(_));
            if is_missing && should_be_there && known.since < asked_at {
                known.end(Death::Vanished, now);
            }
        }
    }
}

impl Known {
    /// A life whose start is ordered now.
    pub(crate) fn starting(name: ReplicaName, now: Moment) -> Self {
        Self {
            name,
            address: None,
            phase: Phase::Starting,
            since: now,
            begun_at: now,
            healthy_at: None,
            heard: None,
            signs: Signs::default(),
        }
    }

    fn found(found: &Found, now: Moment) -> Self {
        let mut known = Self::starting(found.name.clone(), now);
        known.found_again(&found.state, now);
        known
    }

    fn found_again(&mut self, state: &FoundState, now: Moment) {
        match state {
            FoundState::Running { address, is_frozen } => {
                self.started(address.clone(), now);
                self.signs.is_frozen = *is_frozen;
            }
            FoundState::Exited(exit) => self.end(Death::Exited(exit.clone()), now),
        }
    }

    pub(crate) fn enter(&mut self, phase: Phase, now: Moment) {
        self.phase = phase;
        self.since = now;
    }

    /// Whether nothing was heard or seen that speaks against it.
    pub fn is_well(&self) -> bool {
        self.signs.are_none()
    }

    /// Whether its heartbeats are of interest.
    pub fn is_watched(&self) -> bool {
        matches!(self.phase, Phase::Booting | Phase::Serving)
    }

    /// The different signs of illness, in words.
    pub(crate) fn signs_in_words(&self, settings: &FleetSettings, now: Moment) -> Vec<String> {
        self.signs.in_words(settings, self.heard.as_deref(), now)
    }

    fn started(&mut self, address: Address, now: Moment) {
        self.address = Some(address);
        if self.phase == Phase::Starting {
            self.enter(Phase::Booting, now);
        }
    }

    fn end(&mut self, death: Death, now: Moment) {
        if !matches!(self.phase, Phase::Stopping(_) | Phase::Over(_)) {
            self.enter(Phase::Over(death), now);
        }
    }

    fn beat(&mut self, probe_result: ProbeResult, settings: &HealthSettings, now: Moment) {
        if probe_result == ProbeResult::Good {
            self.heard = None;
        }
        match (probe_result, &self.phase) {
            // The first good one is enough: until then requests may be waiting for somebody to serve.
            (ProbeResult::Good, Phase::Booting) => {
                self.healthy_at = Some(now);
                self.enter(Phase::Serving, now);
            }
            (ProbeResult::Refused | ProbeResult::Missed | ProbeResult::Unwell, Phase::Booting) => {
                self.signs.beat_while_booting();
            }
            (_, Phase::Serving) => self.signs.beat(probe_result, settings, now),
            _ => {}
        }
    }

    fn suspect(&mut self, kind: SuspicionKind, now: Moment) {
        if self.phase != Phase::Serving {
            return;
        }
        match kind {
            SuspicionKind::Refused => self.signs.is_refusing = true,
            SuspicionKind::Failing => self.signs.outlier.complain(Complaint::Failing, now),
            // No sign by itself: the next heartbeat will tell.
            SuspicionKind::Broken => {}
        }
    }
}
