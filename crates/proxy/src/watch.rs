//! Deadlines of thousands of connections, for the price of one timer.
//!
//! A timer per request costs more than reading its head. So each task writes down when it wants to be
//! woken at the latest, and a worker looks through the list a few times a second. Progress does not
//! touch the list: who is woken looks at what has become of it, and sets the next time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How exact deadlines are.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How much time one tick may count for. After a stop of the whole machine or process everybody would
/// otherwise be late at once.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The tasks of a worker that are waiting for something, and the worker's idea of the time.
pub(crate) struct Watches {
    now: Cell<Instant>,
    list: RefCell<Vec<Rc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    place: Cell<usize>,
    due: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

/// One task's place in the list; dropping it leaves.
pub(crate) struct Watch {
    entry: Rc<Entry>,
    watches: Rc<Watches>,
}

impl Watches {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { now: Cell::new(Instant::now()), list: RefCell::default() })
    }

    /// The time of the last tick, in which pauses of the worker do not count: good for comparing with
    /// itself only.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Wakes whoever is due, again and again.
    pub(crate) async fn keep(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            // While we could not run, nobody else's time has passed.
            let real = Instant::now();
            let now = self.now.get() + real.duration_since(last).min(PAUSE_MAX);
            last = real;
            self.now.set(now);
            self.wake(|entry| entry.due.get().is_some_and(|due| due <= now));
        }
    }

    /// Wakes everybody: something has changed that all must look at.
    pub(crate) fn wake_all(&self) {
        self.wake(|_| true);
    }

    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        let entry = Rc::<Entry>::default();
        let mut list = self.list.borrow_mut();
        entry.place.set(list.len());
        list.push(Rc::clone(&entry));
        Watch { entry, watches: Rc::clone(self) }
    }

    fn wake(&self, is_meant: impl Fn(&Entry) -> bool) {
        for entry in self.list.borrow().iter().filter(|entry| is_meant(entry)) {
            if let Some(waker) = &*entry.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

impl Watch {
    /// The time of the last tick.
    pub(crate) fn now(&self) -> Instant {
        self.watches.now()
    }

    /// Asks to be woken at this time, or only with everybody else. The last word counts.
    pub(crate) fn wake_at(&self, due: Option<Instant>) {
        self.entry.due.set(due);
    }

    /// Asks to be woken at this time, if not before.
    pub(crate) fn wake_no_later_than(&self, time: Instant) {
        let due = self.entry.due.get();
        self.entry.due.set(Some(due.map_or(time, |due| due.min(time))));
    }

    /// Says whom to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.entry.waker.borrow_mut();
        if !registered.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut list = self.watches.list.borrow_mut();
        let place = self.entry.place.get();
        list.swap_remove(place);
        if let Some(moved) = list.get(place) {
            moved.place.set(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    async fn until_due(watch: &Watch, due: Instant) {
        watch.wake_at(Some(due));
        poll_fn(|context| {
            watch.register(context.waker());
            if watch.now() >= due { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn those_who_are_due_are_woken_and_the_others_are_not() {
        let watches = Watches::new();
        let (first, second, third) = (watches.watch(), watches.watch(), watches.watch());
        drop(second);
        let start = watches.now();
        let waits = async {
            tokio::join!(until_due(&first, start), until_due(&third, start));
        };
        tokio::select! {
            () = watches.keep() => {}
            () = waits => {}
        }
        drop(first);
        assert_eq!(watches.list.borrow().len(), 1);
        drop(third);
        assert!(watches.list.borrow().is_empty());
    }
}
