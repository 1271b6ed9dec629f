//! Events of a few kinds, of which there can be as many as strangers like: all are counted, and each kind is
//! told of once a minute at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the log is told of each kind, however often it happens.
const TELLING_INTERVAL: Duration = Duration::from_secs(60);

/// What all workers have seen of so many kinds.
#[derive(Debug)]
pub(crate) struct Tally<const KINDS: usize> {
    since: Instant,
    seen: [Seen; KINDS],
}

#[derive(Debug, Default)]
struct Seen {
    count: AtomicU64,
    /// When it is told of next, in milliseconds since the start.
    next_telling: AtomicU64,
    /// How many had been counted when it was last told.
    told: AtomicU64,
}

impl<const KINDS: usize> Default for Tally<KINDS> {
    fn default() -> Self {
        Self { since: Instant::now(), seen: std::array::from_fn(|_| Seen::default()) }
    }
}

impl<const KINDS: usize> Tally<KINDS> {
    /// One more of this kind. If it is time to tell of it: how many there were since that was done last.
    pub(crate) fn add(&self, kind: usize) -> Option<u64> {
        let seen = &self.seen[kind];
        let count = seen.count.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.since.elapsed();
        let due = seen.next_telling.load(Ordering::Relaxed);
        if now.as_millis() < u128::from(due) {
            return None;
        }
        let next = (now + TELLING_INTERVAL).as_millis() as u64;
        // Another worker may be about to tell it.
        let is_ours =
            seen.next_telling.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours.then(|| count - seen.told.swap(count, Ordering::Relaxed).min(count))
    }

    /// How many there were of this kind.
    pub(crate) fn count(&self, kind: usize) -> u64 {
        self.seen[kind].count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_little_of_it_told() {
        let tally = Tally::<2>::default();
        assert_eq!(
            [(); 3].map(|()| tally.add(1)),
            [Some(1), None, None],
            "the others are told of after a minute"
        );
        assert_eq!((tally.count(0), tally.count(1)), (0, 3));
    }
}
