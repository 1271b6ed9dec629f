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

/// How many are woken before whoever has something to do has a turn.
const WAKES_AT_ONCE: usize = 8;

/// How long those who are due at a tick may be spread, and the time between some and the next.
const SPREAD_MAX: Duration = Duration::from_millis(50);
const SPREAD_STEP: Duration = Duration::from_millis(1);

/// The tasks of a worker that are waiting for something, and the worker's idea of the time.
pub(crate) struct Deadlines {
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
pub(crate) struct Deadline {
    entry: Rc<Entry>,
    deadlines: Rc<Deadlines>,
}

impl Deadlines {
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
            self.wake_the_due(real + SPREAD_MAX).await;
        }
    }

    /// Those who are due at a tick are spread over half of the time to the next. In one go, thousands of
    /// slow clients would keep everybody else waiting.
    async fn wake_the_due(&self, end: Instant) {
        let now = self.now.get();
        let is_due = |entry: &Entry| entry.due.get().is_some_and(|due| due <= now);
        let mut left = self.wake_some(usize::MAX, is_due);
        while left > 0 {
            if Instant::now() < end {
                tokio::time::sleep(SPREAD_STEP).await;
            } else {
                tokio::task::yield_now().await;
            }
            left = self.wake_some(left, is_due);
        }
    }

    /// Wakes everybody: something has changed that all must look at.
    pub(crate) async fn wake_all(&self) {
        let mut left = self.wake_some(usize::MAX, |_| true);
        while left > 0 {
            tokio::task::yield_now().await;
            left = self.wake_some(left, |_| true);
        }
    }

    /// So much time has passed.
    #[cfg(test)]
    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    pub(crate) fn join(self: &Rc<Self>) -> Deadline {
        let entry = Rc::<Entry>::default();
        let mut list = self.list.borrow_mut();
        entry.place.set(list.len());
        list.push(Rc::clone(&entry));
        Deadline { entry, deadlines: Rc::clone(self) }
    }

    /// Wakes some of the first ones, from the last to the first, and says how many are left. Whoever
    /// leaves meanwhile gives its place to the last of all, who was woken.
    fn wake_some(&self, left: usize, is_meant: impl Fn(&Entry) -> bool) -> usize {
        let list = self.list.borrow();
        let first = &list[..left.min(list.len())];
        let meant = first.iter().enumerate().rev().filter(|(_, entry)| is_meant(entry));
        let mut left = 0;
        for (place, entry) in meant.take(WAKES_AT_ONCE) {
            if let Some(waker) = &*entry.waker.borrow() {
                waker.wake_by_ref();
            }
            left = place;
        }
        left
    }
}

impl Deadline {
    /// The time of the last tick.
    pub(crate) fn now(&self) -> Instant {
        self.deadlines.now()
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

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut list = self.deadlines.list.borrow_mut();
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
    use tokio::task::LocalSet;

    const MANY: usize = 1_000;
    const PATIENCE: Duration = Duration::from_secs(10);

    async fn until_due(deadline: &Deadline, due: Instant) {
        deadline.wake_at(Some(due));
        poll_fn(|context| {
            deadline.register(context.waker());
            if deadline.now() >= due { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn those_who_are_due_are_woken_and_the_others_are_not() {
        let deadlines = Deadlines::new();
        let (first, second, third) = (deadlines.join(), deadlines.join(), deadlines.join());
        drop(second);
        let start = deadlines.now();
        let waits = async {
            tokio::join!(until_due(&first, start), until_due(&third, start));
        };
        tokio::select! {
            () = deadlines.keep() => {}
            () = waits => {}
        }
        drop(first);
        assert_eq!(deadlines.list.borrow().len(), 1);
        drop(third);
        assert!(deadlines.list.borrow().is_empty());
    }

    /// Many are woken, some of whom leave then, while somebody else has something to do all the time. How
    /// many were woken, and how many in a row.
    async fn wake_many(is_tick: bool, leaves: impl Fn(usize) -> bool) -> (usize, usize) {
        let deadlines = Deadlines::new();
        let (begun, woken) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks = LocalSet::new();
        for number in 0..MANY {
            let (deadline, leaves) = (deadlines.join(), leaves(number));
            let (begun, woken) = (Rc::clone(&begun), Rc::clone(&woken));
            deadline.wake_at(Some(deadlines.now()));
            tasks.spawn_local(async move {
                let mut is_first = true;
                begun.set(begun.get() + 1);
                poll_fn(|context| {
                    deadline.register(context.waker());
                    if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                woken.set(woken.get() + 1);
                if !leaves {
                    std::future::pending::<()>().await;
                }
            });
        }
        let wakes = async { if is_tick { deadlines.keep().await } else { deadlines.wake_all().await } };
        let others = async {
            let (begin, mut most) = (Instant::now(), 0);
            while woken.get() < MANY && begin.elapsed() < PATIENCE {
                let before = woken.get();
                tokio::task::yield_now().await;
                most = most.max(woken.get() - before);
            }
            most
        };
        while begun.get() < MANY {
            tasks.run_until(tokio::task::yield_now()).await;
        }
        let both = async {
            tokio::pin!(others);
            tokio::select! { most = &mut others => most, () = wakes => others.await }
        };
        let most = tasks.run_until(both).await;
        (woken.get(), most)
    }

    #[tokio::test]
    async fn a_crowd_that_is_woken_lets_others_have_their_turns() {
        for is_tick in [false, true] {
            let (_, most) = wake_many(is_tick, |_| false).await;
            assert!((1..=WAKES_AT_ONCE).contains(&most), "{most} in a row");
        }
    }

    #[tokio::test]
    async fn nobody_is_forgotten_where_others_leave_meanwhile() {
        for leaves in [|_| true, |number| number % 2 == 0, |number| number % 7 != 0] {
            assert_eq!(wake_many(false, leaves).await.0, MANY);
            assert_eq!(wake_many(true, leaves).await.0, MANY);
        }
    }
}
