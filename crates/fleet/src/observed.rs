//! What is known to run, and how well.

use std::collections::BTreeMap;
use std::time::Duration;

use placement::Seat;

use crate::plan::StopHow;
use crate::{
    Address, Death, Event, Exit, FleetSettings, Found, FoundState, Life, Moment, Pulse, ReplicaName,
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
    /// When its first heartbeat was good.
    pub healthy_at: Option<Moment>,
    pub(crate) signs: Signs,
}

/// Signs of illness. One may take a replica out of the table; two different ones may end it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    pub(crate) is_refusing: bool,
    pub(crate) is_frozen: bool,
    pub(crate) misses: u32,
    pub(crate) silent_since: Option<Moment>,
    /// Whether the driver was asked about this silence already.
    pub(crate) was_inspected: bool,
}

/// What is remembered of a seat beyond the lives in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeatRecord {
    pub(crate) last_incarnation: u64,
    /// Deaths in a row, each soon after the life began.
    pub(crate) failures: u32,
    /// The next life does not begin before this.
    pub(crate) not_before: Moment,
    pub(crate) last_death: Option<(Life, Death)>,
}

/// What is known to run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub(crate) lives: BTreeMap<Life, Known>,
    pub(crate) seats: BTreeMap<Seat, SeatRecord>,
}

impl Observed {
    /// Whether a fact tells anything that is not known: a good heartbeat of a replica that is well,
    /// which is what most facts are, does not.
    pub fn is_news(&self, event: &Event) -> bool {
        let Event::Beat(life, Pulse::Good) = event else { return true };
        self.get(*life).is_some_and(|known| known.phase != Phase::Serving || known.signs != Signs::default())
    }

    /// Takes in a fact. News of lives that nobody knows is ignored: they are over.
    pub fn observe(&mut self, event: &Event, now: Moment) {
        match event {
            Event::Listed { asked_at, found } => self.observe_list(*asked_at, found, now),
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
            Event::Beat(life, pulse) => self.change(*life, |known| known.beat(*pulse, now)),
            Event::Suspected(suspicion) if suspicion.is_refusal => {
                self.change(suspicion.life, |known| known.signs.is_refusing |= known.phase == Phase::Serving);
            }
            // A broken connection is no sign by itself: the next heartbeat will tell.
            Event::Suspected(_) => {}
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

    /// The first word of an exit may come before anybody knows how it ended; a later one may tell.
    fn refine(&mut self, life: Life, exit: &Exit) {
        let record = self.seats.get_mut(&life.seat);
        if let Some((dead, Death::Exited(first))) = record.and_then(|record| record.last_death.as_mut())
            && *dead == life
            && first.code.is_none()
            && first.signal.is_none()
        {
            let last_output = std::mem::take(&mut first.last_output);
            *first = exit.clone();
            if first.last_output.is_empty() {
                first.last_output = last_output;
            }
        }
    }

    fn observe_list(&mut self, asked_at: Moment, found: &[Found], now: Moment) {
        for one in found {
            match self.lives.get_mut(&one.life) {
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
    pub fn is_well(&self, settings: &FleetSettings) -> bool {
        let signs = &self.signs;
        !signs.is_refusing && !signs.is_frozen && signs.misses < settings.misses_max
    }

    /// Whether its heartbeats are of interest.
    pub fn is_watched(&self) -> bool {
        matches!(self.phase, Phase::Booting | Phase::Serving)
    }

    /// Whether missed heartbeats are all that speaks against it.
    pub(crate) fn is_only_silent(&self, settings: &FleetSettings) -> bool {
        !self.is_well(settings) && !self.signs.is_refusing && !self.signs.is_frozen
    }

    /// The different signs of illness, in words.
    pub(crate) fn signs_in_words(&self, settings: &FleetSettings, now: Moment) -> Vec<String> {
        let mut words = Vec::new();
        if self.signs.is_refusing {
            words.push("connection refused".to_string());
        }
        if self.signs.is_frozen {
            words.push("frozen".to_string());
        }
        // Beside what the driver has seen, one miss is confirmation enough.
        let misses_needed = if self.signs.is_frozen { 1 } else { settings.misses_max };
        if self.signs.misses >= misses_needed {
            words.push(format!("heartbeats missed: {}", self.signs.misses));
        }
        if self.silence(now) >= settings.start_timeout {
            words.push(format!("silent for as long as a start may take, {:?}", settings.start_timeout));
        }
        words
    }

    fn silence(&self, now: Moment) -> Duration {
        self.signs.silent_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
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

    fn beat(&mut self, pulse: Pulse, now: Moment) {
        match (pulse, &self.phase) {
            (Pulse::Good, Phase::Booting) => {
                self.healthy_at = Some(now);
                self.enter(Phase::Serving, now);
            }
            // Who is frozen will not come up; who is merely not up yet is given time.
            (Pulse::Refused | Pulse::Missed, Phase::Booting) if self.signs.is_frozen => {
                self.signs.misses += 1;
            }
            (Pulse::Good, Phase::Serving) => self.signs = Signs::default(),
            (Pulse::Refused | Pulse::Missed, Phase::Serving) => {
                self.signs.is_refusing |= pulse == Pulse::Refused;
                self.signs.misses += 1;
                self.signs.silent_since.get_or_insert(now);
            }
            _ => {}
        }
    }
}
