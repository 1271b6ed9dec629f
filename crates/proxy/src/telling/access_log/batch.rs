//! What the workers' ends of the access log and its writer hand each other, and what they tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many bytes of lines a worker collects before it hands them over.
pub(super) const BATCH_BYTES: usize = 32 * 1024;

/// What the log and its writer tell each other.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) is_reopening: AtomicBool,
    pub(super) is_finishing: AtomicBool,
}

/// Whole lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

impl Batch {
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }
}

impl State {
    pub(super) fn drop_lines(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}
