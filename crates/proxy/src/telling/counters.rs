//! Counters: each worker has its own, and whoever asks gets the sum.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::Memory;
use crate::policies::mark::Mark;
use crate::replicas::sockets::Sockets;
use crate::respond::limit::Limit;
use crate::telling::defences::Defences;
use crate::telling::garbled::GarbledLog;
use crate::telling::handshakes::Handshakes;
use crate::telling::policies::PolicyTally;
use crate::telling::refusals::Refusals;
use crate::travel::routes::RoutesReader;
use crate::wire::places::Usage;

/// What one worker counts for one service.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By the first digit of the status.
    responses: [AtomicU64; 6],
    pub(crate) attempts: AtomicU64,
    pub(crate) replays: AtomicU64,
    pub(crate) losses: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) unserved: AtomicU64,
    /// By limit, in the order of all of them.
    limited: [AtomicU64; Limit::ALL.len()],
    /// What policies did, by mark, in the order of all of them.
    marked: [AtomicU64; Mark::ALL.len()],
}

impl Counters {
    pub(crate) fn count_response(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        add_one(&self.responses[class]);
    }

    pub(crate) fn count_limited(&self, limit: Limit) {
        add_one(&self.limited[limit as usize]);
    }

    pub(crate) fn count_mark(&self, mark: Mark) {
        add_one(&self.marked[mark as usize]);
    }
}

/// Adds to a counter that only its worker writes.
pub(crate) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters of all services in all workers, and of the workers themselves. Totals never go backwards:
/// what a service that was removed has counted stays counted.
#[derive(Clone, Debug)]
pub struct ServiceCounters {
    routes: RoutesReader,
    by_service: Arc<Mutex<BTreeMap<String, Counted>>>,
    connections: Arc<[Arc<AtomicUsize>]>,
    pub(crate) defences: Arc<Defences>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) policies: Arc<PolicyTally>,
    pub(crate) handshakes: Arc<Handshakes>,
    pub(crate) garbled: Arc<GarbledLog>,
    sockets: Arc<Sockets>,
    memory: Arc<Memory>,
}

/// What clients make us keep, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Now.
    pub kept: u64,
    /// At most.
    pub limit: u64,
}

/// What was counted for the services of one name.
#[derive(Debug, Default)]
struct Counted {
    /// By those that have ended.
    past: Totals,
    /// By those that still count.
    counters: Vec<Arc<Counters>>,
}

/// What a service did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Responses to clients by the first digit of their status.
    pub responses: [u64; 6],
    /// Requests sent to replicas.
    pub attempts: u64,
    /// Requests sent again after a failure.
    pub replays: u64,
    /// Times that a replica died or broke off while it had a request.
    pub losses: u64,
    /// Requests that had to wait for a replica.
    pub waits: u64,
    /// Requests that ended with a response of ours, because no replica gave one.
    pub unserved: u64,
    /// Requests that met a limit, and waited or were turned away: by limit, in the order of [`Limit::ALL`].
    pub limited: [u64; Limit::ALL.len()],
    /// What policies did with its requests, in the order of [`Mark::ALL`].
    pub marked: [u64; Mark::ALL.len()],
}

/// What all workers share and count together.
pub(crate) struct Shared {
    pub(crate) defences: Arc<Defences>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) memory: Arc<Memory>,
}

impl ServiceCounters {
    /// For these workers, each with its count of connections.
    pub(crate) fn new(routes: RoutesReader, connections: Vec<Arc<AtomicUsize>>, shared: Shared) -> Self {
        let (by_service, Shared { defences, sockets, memory }) = (Arc::default(), shared);
        Self {
            routes,
            by_service,
            connections: connections.into(),
            defences,
            refusals: Arc::default(),
            policies: Arc::default(),
            handshakes: Arc::default(),
            garbled: Arc::default(),
            sockets,
            memory,
        }
    }

    /// New counters of one worker for one service.
    pub(crate) fn register(&self, service: &str) -> Arc<Counters> {
        let counters = Arc::<Counters>::default();
        let mut by_service = self.by_service.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = by_service.entry(service.to_string()).or_default();
        counted.retire();
        counted.counters.push(Arc::clone(&counters));
        counters
    }

    /// How many connections of clients each worker has now.
    pub fn connections(&self) -> Vec<usize> {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// What clients make us keep now, in bytes, and the most that it may be.
    pub fn memory(&self) -> MemoryUse {
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        MemoryUse { kept: bytes(self.memory.kept()), limit: bytes(self.memory.limit()) }
    }

    /// How often which defence was needed.
    pub fn defences(&self) -> Vec<(&'static str, u64)> {
        self.defences.counts()
    }

    /// How many requests were refused before any service had them, by reason.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.refusals.counts()
    }

    /// What policies did with requests that no service is for, in the order of [`Mark::ALL`].
    pub fn marked_elsewhere(&self) -> [u64; Mark::ALL.len()] {
        self.policies.counts()
    }

    /// How many connections came to nothing before their first request, by reason.
    pub fn failed_handshakes(&self) -> Vec<(&'static str, u64)> {
        self.handshakes.counts()
    }

    /// How many connections to replicas there are now, and how many there may be.
    pub fn replica_connections(&self) -> Usage {
        self.sockets.usage()
    }

    /// How far this limit is used by requests of a service, if it is set.
    pub fn usage(&self, service: &str, limit: Limit) -> Option<Usage> {
        match limit {
            Limit::ReplicaConnections => Some(self.replica_connections()).filter(Usage::is_limited),
            _ => self.routes.limits(service)?.usage(limit),
        }
    }

    /// How many requests of a service wait, for a limit or for a replica.
    pub fn waiting(&self, service: &str) -> usize {
        self.routes.limits(service).map_or(0, |limits| limits.room.length())
    }

    /// The sums of this moment, by service: those that are routed to, and those that were.
    pub fn totals(&self) -> BTreeMap<String, Totals> {
        let routed = self.routes.names().into_iter().map(|name| (name, Totals::default()));
        let mut totals: BTreeMap<String, Totals> = routed.collect();
        let by_service = self.by_service.lock().unwrap_or_else(PoisonError::into_inner);
        totals.extend(by_service.iter().map(|(name, counted)| (name.clone(), counted.totals())));
        totals
    }
}

impl Counted {
    fn totals(&self) -> Totals {
        let mut totals = self.past;
        self.counters.iter().for_each(|counters| totals.add(counters));
        totals
    }

    /// Adds up those whom nobody counts with any more, so that their number does not grow with each change.
    fn retire(&mut self) {
        for counters in std::mem::take(&mut self.counters) {
            match Arc::try_unwrap(counters) {
                Ok(ended) => self.past.add(&ended),
                Err(counting) => self.counters.push(counting),
            }
        }
    }
}

impl Totals {
    fn add(&mut self, counters: &Counters) {
        for (total, counter) in self.responses.iter_mut().zip(&counters.responses) {
            *total += counter.load(Ordering::Relaxed);
        }
        for (total, counter) in self.limited.iter_mut().zip(&counters.limited) {
            *total += counter.load(Ordering::Relaxed);
        }
        for (total, counter) in self.marked.iter_mut().zip(&counters.marked) {
            *total += counter.load(Ordering::Relaxed);
        }
        self.attempts += counters.attempts.load(Ordering::Relaxed);
        self.replays += counters.replays.load(Ordering::Relaxed);
        self.losses += counters.losses.load(Ordering::Relaxed);
        self.waits += counters.waits.load(Ordering::Relaxed);
        self.unserved += counters.unserved.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::travel::routes::routes;

    #[test]
    fn what_a_removed_service_has_counted_stays_counted() {
        let (_publisher, reader) = routes(Vec::new());
        let (defences, memory) = (Arc::default(), Memory::new(1, 1));
        let shared = Shared { defences, sockets: Arc::default(), memory };
        let counters = ServiceCounters::new(reader, Vec::new(), shared);
        for round in 1..=3 {
            let [own, others] = [(); 2].map(|()| counters.register("web"));
            own.count_response(200);
            others.count_response(200);
            drop((own, others));
            assert_eq!(counters.totals()["web"].responses[2], 2 * round);
        }
        assert!(counters.by_service.lock().unwrap()["web"].counters.len() <= 2);
    }
}
