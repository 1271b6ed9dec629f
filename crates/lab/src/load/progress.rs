//! How far a load is, and how it is to end.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a load is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Not,
    /// Nothing new is sent; what is under way is waited for.
    Soon,
    /// What is under way is given up.
    AtOnce,
}

/// How far a load is. Each figure by itself is right; together they may be a moment apart.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) begun: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Progress {
    /// Requests that were begun.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Right responses.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Failures.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}
