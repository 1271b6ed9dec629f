//! What policies did with requests that no service is for. Those of a service are counted with it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::policies::mark::Mark;

/// What all workers have seen.
#[derive(Debug, Default)]
pub(crate) struct PolicyTally {
    counts: [AtomicU64; Mark::ALL.len()],
}

impl PolicyTally {
    pub(crate) fn count(&self, mark: Mark) {
        self.counts[mark as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// In the order of all marks.
    pub(crate) fn counts(&self) -> [u64; Mark::ALL.len()] {
        std::array::from_fn(|place| self.counts[place].load(Ordering::Relaxed))
    }
}
