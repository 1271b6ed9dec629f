//! The evidence: what this run of the balancer was told of each life, and what therefore speaks against
//! it. It knows nothing of how the balancer decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleet::{Address, Event, Life, Replica, Suspicion, SuspicionKind};

use crate::history::History;

/// For how many start timeouts replicas are pardoned that are silent with more than half of the fleet.
const PARDON_START_TIMEOUTS: u32 = 2;

/// So many times as many misses do not count when requests are answered meanwhile.
const EXCUSES: u32 = 2;

/// The settings that promises are measured by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) start_timeout: Duration,
    pub(crate) drain_deadline: Duration,
    pub(crate) misses: u32,
    pub(crate) rise: u32,
}

#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) rules: Rules,
    pub(crate) history: History,
    pub(crate) records: BTreeMap<Life, Record>,
    pub(crate) now: Duration,
    pub(crate) blackout: Option<Blackout>,
}

/// A time in which no heartbeat reached anybody.
#[derive(Debug)]
pub(crate) struct Blackout {
    pub(crate) since: Duration,
    pub(crate) until: Option<Duration>,
    /// Whether it lasted until more than half of the fleet looked ill.
    pub(crate) is_noticed: bool,
}

/// What speaks against a replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signs {
    pub(crate) is_refusing: bool,
    pub(crate) is_frozen: bool,
    /// Once too many answers failed, or took too long. Nobody outside can say when that is forgiven.
    pub(crate) is_failing: bool,
    pub(crate) misses: u32,
    /// Good heartbeats in a row.
    pub(crate) goods: u32,
    pub(crate) silent_since: Option<Duration>,
}

/// What this balancer was told of a life.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) known_since: Duration,
    pub(crate) address: Option<Address>,
    pub(crate) is_told_dead: bool,
    pub(crate) is_stopped: bool,
    pub(crate) signs: Signs,
    /// The signs that the last good heartbeat took away, and when.
    pub(crate) forgiven: (Duration, Signs),
    pub(crate) well_since: Option<Duration>,
    pub(crate) suspected_at: Option<Duration>,
    /// When the last heartbeat round ended.
    pub(crate) asked_at: Option<Duration>,
    pub(crate) replica: Option<Arc<Replica>>,
    /// Whether it is one of those who serve, well or not.
    pub(crate) is_serving: bool,
    pub(crate) left_table_at: Option<Duration>,
}

impl Signs {
    pub(crate) fn count(&self, rules: &Rules, now: Duration) -> usize {
        let misses_needed = if self.is_frozen { 1 } else { rules.misses };
        let is_long = self.silent_since.is_some_and(|since| now - since >= rules.start_timeout);
        let is_silent = self.misses >= misses_needed;
        let signs = [self.is_refusing, self.is_frozen, self.is_failing, is_silent, is_long];
        signs.into_iter().filter(|is_there| *is_there).count()
    }
}

impl Record {
    /// At the very moment of a good heartbeat the balancer may not have taken it in.
    pub(crate) fn signs(&self, now: Duration) -> &Signs {
        if self.forgiven.0 == now { &self.forgiven.1 } else { &self.signs }
    }

    pub(crate) fn is_only_silent(&self, now: Duration) -> bool {
        let signs = self.signs(now);
        signs.misses > 0 && !signs.is_refusing && !signs.is_frozen && !signs.is_failing && !self.is_told_dead
    }
}

impl Judge {
    pub(crate) fn new(rules: Rules) -> Self {
        let history = History::default();
        Self { rules, history, records: BTreeMap::new(), now: Duration::ZERO, blackout: None }
    }

    pub(crate) fn balancer_starts(&mut self, now: Duration) {
        self.records.clear();
        self.history = History::default();
        self.now = now;
        self.blackout = None;
    }

    /// Whether nobody can be reached now.
    pub(crate) fn blackout_is(&mut self, is_on: bool, now: Duration) {
        let is_mass_silence = self.is_mass_silence(now, 0);
        match &mut self.blackout {
            Some(blackout) if blackout.until.is_none() => {
                blackout.until = (!is_on).then_some(now);
                blackout.is_noticed |= is_mass_silence;
            }
            _ if is_on => self.blackout = Some(Blackout { since: now, until: None, is_noticed: false }),
            _ => {}
        }
    }

    pub(crate) fn of(&mut self, life: Life, now: Duration) -> &mut Record {
        self.records.entry(life).or_insert_with(|| Record { known_since: now, ..Record::default() })
    }

    fn at<'a>(&'a mut self, address: &'a Address) -> impl Iterator<Item = &'a mut Record> {
        self.records.values_mut().filter(move |record| record.address.as_ref() == Some(address))
    }

    pub(crate) fn is_at(&mut self, life: Life, address: &Address) {
        self.records.entry(life).and_modify(|record| record.address = Some(address.clone()));
    }

    pub(crate) fn good(&mut self, address: &Address, now: Duration, is_busy: bool) {
        let rules = self.rules.clone();
        for record in self.at(address) {
            record.asked_at = Some(now);
            record.well_since.get_or_insert(now);
            let forgiven = record.signs(now).clone();
            record.forgiven = (now, forgiven);
            // Suspicions have a line of their own, and so may be taken in after what came later.
            let is_refusing = record.signs.is_refusing && (is_busy || record.suspected_at == Some(now));
            let goods = record.signs.goods + 1;
            let is_silent = record.signs.misses >= rules.misses && goods < rules.rise;
            let misses = if is_silent { record.signs.misses } else { 0 };
            let is_failing = record.signs.is_failing;
            record.signs = Signs { is_refusing, is_failing, misses, goods, ..Signs::default() };
        }
    }

    pub(crate) fn refused(&mut self, address: &Address) {
        self.at(address).for_each(|record| record.signs.is_refusing = true);
    }

    pub(crate) fn missed(&mut self, address: &Address, now: Duration) {
        // A question is put several times over; all of them end at once.
        for record in self.at(address).filter(|record| record.asked_at != Some(now)) {
            record.asked_at = Some(now);
            record.signs.misses += 1;
            record.signs.goods = 0;
            record.signs.silent_since.get_or_insert(now);
        }
    }

    pub(crate) fn suspected(&mut self, suspicion: Suspicion, now: Duration) {
        let record = self.of(suspicion.life, now);
        record.suspected_at = Some(now);
        match suspicion.kind {
            SuspicionKind::Refused => record.signs.is_refusing = true,
            SuspicionKind::Failing => record.signs.is_failing = true,
            SuspicionKind::Broken => {}
        }
    }

    pub(crate) fn told_frozen(&mut self, life: Life) {
        self.records.entry(life).and_modify(|record| record.signs.is_frozen = true);
    }

    pub(crate) fn told_dead(&mut self, life: Life) {
        self.records.entry(life).and_modify(|record| record.is_told_dead = true);
    }

    pub(crate) fn told(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Exited(life, _) => self.of(*life, now).is_told_dead = true,
            Event::Frozen(life, true) => self.of(*life, now).signs.is_frozen = true,
            _ => {}
        }
    }

    pub(crate) fn knows(&self, life: Life) -> bool {
        self.records.contains_key(&life)
    }

    pub(crate) fn is_stopped(&self, life: Life) -> bool {
        self.records.get(&life).is_some_and(|record| record.is_stopped)
    }

    /// A life that is routed to and against which at most one sign speaks.
    pub(crate) fn somebody_well(&self, now: Duration) -> Option<Life> {
        let is_well = |record: &Record| {
            record.replica.as_ref().is_some_and(|replica| replica.gate.is_open())
                && !record.is_told_dead
                && record.signs(now).count(&self.rules, now) < 2
        };
        self.records.iter().find(|(_, record)| is_well(record)).map(|(life, _)| *life)
    }
}

impl Judge {
    /// Whether more than half of those that serve are silent for certain, `and` so many more.
    pub(crate) fn is_mass_silence(&self, now: Duration, and: usize) -> bool {
        let serves = |record: &&Record| record.is_serving && !record.is_stopped && !record.is_told_dead;
        let serving: Vec<&Record> = self.records.values().filter(serves).collect();
        let misses = self.rules.misses * (1 + EXCUSES);
        let is_silent = |record: &&&Record| record.is_only_silent(now) && record.signs(now).misses >= misses;
        let silent = serving.iter().filter(is_silent).count() + and;
        silent * 2 > serving.len() + and
    }

    /// Whether somebody who is silent since then may not be killed for that, as all were or are.
    pub(crate) fn is_pardoned(&self, silent_since: Duration, now: Duration) -> bool {
        let Some(blackout) = &self.blackout else { return false };
        let start_timeout = self.rules.start_timeout;
        let is_early = now - silent_since < start_timeout * PARDON_START_TIMEOUTS;
        let is_of_all = match blackout.until {
            // The one in question is marked as stopped already.
            None => self.is_mass_silence(now, 1),
            Some(until) => blackout.is_noticed && silent_since < until && now < until + start_timeout,
        };
        silent_since >= blackout.since && is_early && is_of_all
    }
}
