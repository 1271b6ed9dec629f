//! Counters: each worker has its own, and whoever asks gets the sum.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::travel::routes::RoutesReader;

/// What one worker counts for one service.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By the first digit of the status.
    responses: [AtomicU64; 6],
    pub(crate) attempts: AtomicU64,
    pub(crate) replays: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) unserved: AtomicU64,
}

impl Counters {
    pub(crate) fn count_response(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        add_one(&self.responses[class]);
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
    /// Requests that had to wait for a replica.
    pub waits: u64,
    /// Requests that ended with a response of ours, because no replica gave one.
    pub unserved: u64,
}

impl ServiceCounters {
    /// For these workers, each with its count of connections.
    pub(crate) fn new(routes: RoutesReader, connections: Vec<Arc<AtomicUsize>>) -> Self {
        Self { routes, by_service: Arc::default(), connections: connections.into() }
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
        self.attempts += counters.attempts.load(Ordering::Relaxed);
        self.replays += counters.replays.load(Ordering::Relaxed);
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
        let counters = ServiceCounters::new(reader, Vec::new());
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
