//! What all clients together make us keep, and what is done when that becomes too much.
//!
//! It is not added up from what connections are known to hold: whoever adds up forgets something, and a
//! stranger finds it. The allocator is asked, which knows all of it, libraries included. What single
//! connections hold is only estimated, and decides only who goes first.
//!
//! The steps, by parts of three quarters of `limits.memory`; a quarter is left to the allocator, for what it
//! has between and beside the pieces that it gave away:
//!
//! - From a half on, nothing is kept for convenience: no bodies for another attempt, no large pieces, no
//!   wide windows.
//! - From three quarters on, connections that hold much already get no further streams, and those that
//!   hold most are closed until it is less again.
//! - From seven eighths on, nothing is read from anybody before that has had an effect. Whoever waits for
//!   that is late, and not lost.

pub(crate) mod measured;

mod holding;
mod meter;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::telling::defences::{Defence, Defences};
pub(crate) use holding::Holding;
use holding::{Holdings, MUCH};
use meter::{HeapMeter, ThreadMeter};

/// How often a worker looks at it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How many looks in a row may find nothing that could be closed, before who waits for it goes on.
const IN_VAIN_MAX: u32 = 10;

/// A worker tells the others when what it keeps has changed by so much, in bytes.
const STEP: i64 = 64 << 10;

/// What all workers together keep.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The most that it may be, in bytes.
    limit: i64,
    /// The most that we may have asked the allocator for.
    budget: i64,
    /// How many workers share it.
    workers: i64,
    /// What the program had before the first client came.
    base: i64,
    /// What it has now, by the last look at the allocator and by what workers have said since.
    now: AtomicI64,
}

impl Memory {
    pub(crate) fn new(limit: u64, workers: usize) -> Arc<Self> {
        let base = HeapMeter::new().map_or(0, |meter| meter.read());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Arc::new(Self {
            limit,
            budget: limit / 4 * 3,
            workers: i64::try_from(workers.max(1)).unwrap_or(i64::MAX),
            base,
            now: AtomicI64::new(base),
        })
    }

    /// What is kept now, in bytes.
    pub(crate) fn kept(&self) -> i64 {
        (self.now.load(Ordering::Relaxed) - self.base).max(0)
    }

    /// The most that may be kept, in bytes.
    pub(crate) fn limit(&self) -> i64 {
        self.limit
    }
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    Plenty,
    Short,
    Scarce,
    None,
}

fn room(kept: i64, budget: i64) -> Room {
    match (i128::from(kept) * 8).div_euclid(i128::from(budget.max(1))) {
        ..4 => Room::Plenty,
        4..6 => Room::Short,
        6..7 => Room::Scarce,
        7.. => Room::None,
    }
}

/// What one worker knows and does about it.
pub(crate) struct Ledger {
    memory: Arc<Memory>,
    /// The one of all workers that asks the allocator how much there really is.
    heap: Option<HeapMeter>,
    thread: ThreadMeter,
    /// What the others were told that this thread has.
    told: Cell<i64>,
    holdings: Holdings,
    /// Whose task runs now.
    current: RefCell<Option<Rc<Holding>>>,
    /// For how many looks nothing was found that could be closed.
    in_vain: Cell<u32>,
    waiting: RefCell<Vec<Waker>>,
}

impl Ledger {
    /// Must be made on the thread of the worker. `is_first` is true for one of all workers.
    pub(crate) fn new(memory: Arc<Memory>, is_first: bool) -> Rc<Self> {
        let thread = ThreadMeter::new();
        Rc::new(Self {
            memory,
            heap: if is_first { HeapMeter::new() } else { None },
            told: Cell::new(thread.read()),
            thread,
            holdings: Holdings::default(),
            current: RefCell::default(),
            in_vain: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// How much room there is now.
    pub(crate) fn room(&self) -> Room {
        self.tell_others();
        room(self.memory.kept(), self.memory.budget)
    }

    /// Whether nothing should be kept for convenience.
    pub(crate) fn is_short(&self) -> bool {
        self.room() >= Room::Short
    }

    /// Whether somebody who holds so much must do without another stream.
    pub(crate) fn is_too_much(&self, holding: &Holding) -> bool {
        self.room() >= Room::Scarce && holding.bytes() > MUCH
    }

    /// Waits until there is room for what would be read next.
    pub(crate) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.room() < Room::None || self.in_vain.get() >= IN_VAIN_MAX {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(context.waker().clone());
        Poll::Pending
    }

    /// A connection of this worker begins.
    pub(crate) fn open(&self, client: IpAddr) -> Rc<Holding> {
        self.holdings.open(client)
    }

    /// It is over.
    fn close(&self, holding: &Holding) {
        self.holdings.leave(holding);
    }

    /// The connection whose task runs now.
    pub(crate) fn current(&self) -> Option<Rc<Holding>> {
        self.current.borrow().clone()
    }

    /// Does something for a connection, and puts down to it what that takes.
    fn measure<T>(&self, holding: &Rc<Holding>, act: impl FnOnce() -> T) -> T {
        let outer = self.current.replace(Some(Rc::clone(holding)));
        let before = self.thread.read();
        let done = act();
        holding.add(self.thread.read() - before);
        self.current.replace(outer);
        done
    }

    /// Does all that as long as the worker lives.
    pub(crate) async fn keep(&self, defences: &Defences) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(defences);
        }
    }

    fn look(&self, defences: &Defences) {
        if let Some(heap) = &self.heap {
            let difference = heap.read() - self.memory.now.load(Ordering::Relaxed);
            self.memory.now.fetch_add(difference, Ordering::Relaxed);
        }
        // Without need nothing is in vain.
        let mut has_closed = true;
        if self.room() >= Room::Scarce {
            has_closed = false;
            let aim = self.memory.budget / 8 * 5;
            let share = (self.memory.kept() - aim) / self.memory.workers;
            for closed in self.holdings.close_largest(share) {
                has_closed = true;
                defences.tell(Defence::Memory, Some(closed.client));
            }
        }
        // Where nobody can be closed, to wait for it would be for ever: once in a while everybody goes on.
        self.in_vain.update(|looks| if has_closed || looks >= IN_VAIN_MAX { 0 } else { looks + 1 });
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    fn tell_others(&self) {
        let has = self.thread.read();
        let difference = has - self.told.get();
        if difference.abs() >= STEP {
            self.told.set(has);
            self.memory.now.fetch_add(difference, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_less_room_the_more_is_kept() {
        for (kept, expected) in [
            (0, Room::Plenty),
            (49, Room::Plenty),
            (50, Room::Short),
            (74, Room::Short),
            (75, Room::Scarce),
            (87, Room::Scarce),
            (88, Room::None),
            (1000, Room::None),
        ] {
            assert_eq!(room(kept, 100), expected, "{kept}");
        }
        assert_eq!(room(i64::MAX, i64::MAX), Room::None);
    }
}
