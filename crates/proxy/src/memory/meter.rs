//! What the allocator says. In a program with another allocator than jemalloc it says that there is
//! nothing, and nobody is ever short of memory.

use tikv_jemalloc_ctl::thread::ThreadLocal;
use tikv_jemalloc_ctl::{epoch, epoch_mib, stats, thread};

/// What the whole program has.
pub(super) struct HeapMeter {
    epoch: epoch_mib,
    allocated: stats::allocated_mib,
}

impl HeapMeter {
    pub(super) fn new() -> Option<Self> {
        Some(Self { epoch: epoch::mib().ok()?, allocated: stats::allocated::mib().ok()? })
    }

    /// In bytes. It takes some microseconds.
    pub(super) fn read(&self) -> i64 {
        // An old figure is better than none.
        let _ = self.epoch.advance();
        self.allocated.read().map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
    }
}

/// What the thread that made it has allocated more than it gave back.
pub(super) struct ThreadMeter(Option<Counts>);

struct Counts {
    allocated: ThreadLocal<u64>,
    deallocated: ThreadLocal<u64>,
}

impl ThreadMeter {
    pub(super) fn new() -> Self {
        let counts = || {
            let allocated = thread::allocatedp::read().ok()?;
            Some(Counts { allocated, deallocated: thread::deallocatedp::read().ok()? })
        };
        Self(counts())
    }

    /// In bytes; less than nothing where others began what this thread ends. As good as free.
    pub(super) fn read(&self) -> i64 {
        match &self.0 {
            Some(counts) => counts.allocated.get().wrapping_sub(counts.deallocated.get()) as i64,
            None => 0,
        }
    }
}
