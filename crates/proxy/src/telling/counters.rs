//! Counters: each worker has its own, and whoever asks gets the sum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    pub(crate) fn count_answer(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        add_one(&self.responses[class]);
    }
}

/// Adds to a counter that only its worker writes.
pub(crate) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters of all services in all workers, and of the workers themselves.
#[derive(Clone, Debug, Default)]
pub struct ServiceCounters {
    by_service: BTreeMap<String, Vec<Arc<Counters>>>,
    connections: Vec<Arc<AtomicUsize>>,
}

/// What a service did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Answers to clients by the first digit of their status.
    pub responses: [u64; 6],
    /// Requests sent to replicas.
    pub attempts: u64,
    /// Requests sent again after a failure.
    pub replays: u64,
    /// Requests that had to wait for a replica.
    pub waits: u64,
    /// Requests that ended with an answer of ours, because no replica gave one.
    pub unserved: u64,
}

impl ServiceCounters {
    pub(crate) fn add(&mut self, service: &str, counters: Arc<Counters>) {
        self.by_service.entry(service.to_string()).or_default().push(counters);
    }

    /// The next worker counts its connections here.
    pub(crate) fn add_worker(&mut self, connections: Arc<AtomicUsize>) {
        self.connections.push(connections);
    }

    /// How many connections of clients each worker has now.
    pub fn connections(&self) -> Vec<usize> {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// The sums of this moment, by service.
    pub fn totals(&self) -> BTreeMap<String, Totals> {
        let sum = |workers: &Vec<Arc<Counters>>| {
            let mut totals = Totals::default();
            for counters in workers {
                for (total, counter) in totals.responses.iter_mut().zip(&counters.responses) {
                    *total += counter.load(Ordering::Relaxed);
                }
                totals.attempts += counters.attempts.load(Ordering::Relaxed);
                totals.replays += counters.replays.load(Ordering::Relaxed);
                totals.waits += counters.waits.load(Ordering::Relaxed);
                totals.unserved += counters.unserved.load(Ordering::Relaxed);
            }
            totals
        };
        self.by_service.iter().map(|(name, workers)| (name.clone(), sum(workers))).collect()
    }
}
