//! The connections of a worker that have nothing under way, in the order in which they became idle: who is
//! idle for too long is told to go, and whoever was idle longest where room is needed.
//!
//! A connection that has not brought a whole request yet counts as idle since it came. To take a place and
//! to leave it costs the same however many others there are.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::clients::capacity::Capacity;
use crate::settings::ClientTimeouts;
use crate::telling::defences::Defence;
use crate::wire::deadlines::{Deadlines, TICK};

/// How many are told to go before whoever has something to do has a turn, and the time until the next are.
const TOLD_AT_ONCE: usize = 8;
const TOLD_STEP: Duration = Duration::from_millis(1);

/// Who is idle for a shorter time does not make room: its first request, or the next, may be here and not
/// yet looked at. By the worker's time, which is as exact as a tick.
const SPARED: Duration = TICK.saturating_mul(2);

/// A shorter time does where it is known more exactly: while somebody waits for room, it is noted now and then
/// who came before and who came after. In between the worker has looked at everything that was here.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Who came before so many looks is not spared any more: one of them was a whole interval ago.
const LOOKS_SPARED: u32 = 2;

/// No place.
const NONE: u32 = u32::MAX;

/// The idle connections of a worker.
pub(crate) struct IdleConnections {
    deadlines: Rc<Deadlines>,
    capacity: Arc<Capacity>,
    /// The number of this worker.
    own: usize,
    is_closed: Cell<bool>,
    places: RefCell<Places>,
}

#[derive(Default)]
struct Places {
    all: Vec<Entry>,
    free: Vec<u32>,
    /// Those that have not brought a request yet.
    new: Queue,
    /// Those that wait for the next one.
    resting: Queue,
    /// Those of which a part of a head has come. They have a deadline of their own.
    begun: Queue,
    /// What the other workers were told last.
    published: Option<Instant>,
    /// How often it was looked who is here, while somebody waited for room; when last.
    looks: u32,
    looked: Option<Instant>,
}

/// From the oldest to the youngest.
struct Queue {
    first: u32,
    last: u32,
}

struct Entry {
    previous: u32,
    next: u32,
    since: Instant,
    /// How many looks there had been by then.
    looks: u32,
    state: State,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Resting,
    Begun,
    /// Something is under way.
    Busy,
    /// It is to go.
    Told(Why),
}

/// Why a connection is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was idle for as long as it may.
    TooLong,
    /// Somebody else waits for its place in the house.
    Room,
}

/// One connection's place; dropping it leaves.
pub(crate) struct Place {
    idle: Rc<IdleConnections>,
    number: u32,
}

impl IdleConnections {
    pub(crate) fn new(deadlines: &Rc<Deadlines>, capacity: Arc<Capacity>, own: usize) -> Rc<Self> {
        let (deadlines, is_closed, places) = (Rc::clone(deadlines), Cell::default(), RefCell::default());
        Rc::new(Self { deadlines, capacity, own, is_closed, places })
    }

    /// A connection has come.
    pub(crate) fn arrive(self: &Rc<Self>) -> Place {
        let mut places = self.places.borrow_mut();
        let since = self.deadlines.now();
        let looks = places.looks;
        let entry = Entry { previous: NONE, next: NONE, since, looks, state: State::Busy, waker: None };
        let number = match places.free.pop() {
            Some(number) => {
                places.all[number as usize] = entry;
                number
            }
            None => {
                places.all.push(entry);
                places.all.len() as u32 - 1
            }
        };
        places.append(number, State::New, since);
        self.publish(&mut places);
        Place { idle: Rc::clone(self), number }
    }

    /// Tells the oldest one to go, for somebody who waits for its room; whether there is one that is idle for
    /// long enough.
    pub(crate) fn tell_oldest(&self) -> bool {
        let mut places = self.places.borrow_mut();
        let since = |number: &u32| places.all[*number as usize].since;
        let Some(number) = places.fronts().min_by_key(since) else { return false };
        if self.deadlines.now() < since(&number) + SPARED && !places.is_looked_at(number) {
            places.look(Instant::now());
            return false;
        }
        places.tell(number, Why::Room);
        self.publish(&mut places);
        true
    }

    /// Tells those to go who are idle for too long, again and again.
    pub(crate) async fn tend(&self, timeouts: &ClientTimeouts) {
        loop {
            tokio::time::sleep(TICK).await;
            while self.tell_late(timeouts) {
                tokio::time::sleep(TOLD_STEP).await;
            }
        }
    }

    /// Some of those who are late; whether there may be more.
    fn tell_late(&self, timeouts: &ClientTimeouts) -> bool {
        let now = self.deadlines.now();
        let idle_max = self.capacity.idle_max(timeouts.idle);
        let mut places = self.places.borrow_mut();
        for _ in 0..TOLD_AT_ONCE {
            let is_late = |number: u32, most: Duration| {
                number != NONE && now > places.all[number as usize].since + most
            };
            let number = if is_late(places.new.first, timeouts.head) {
                places.new.first
            } else if is_late(places.resting.first, idle_max) {
                places.resting.first
            } else {
                self.publish(&mut places);
                return false;
            };
            places.tell(number, Why::TooLong);
        }
        self.publish(&mut places);
        true
    }

    /// Makes room whenever other workers ask for it.
    pub(crate) async fn follow_others(&self) {
        loop {
            for _ in 0..self.capacity.asked_for(self.own).await {
                if !self.tell_oldest() {
                    self.capacity.has_left();
                }
            }
        }
    }

    /// Tells everybody to go, now and whenever somebody becomes idle.
    pub(crate) async fn close(&self) {
        self.is_closed.set(true);
        loop {
            for _ in 0..TOLD_AT_ONCE {
                let mut places = self.places.borrow_mut();
                let Some(number) = places.idlers().next() else { return };
                places.tell(number, Why::TooLong);
            }
            tokio::task::yield_now().await;
        }
    }

    fn publish(&self, places: &mut Places) {
        let oldest = places.fronts().map(|number| places.all[number as usize].since).min();
        if places.published != oldest {
            places.published = oldest;
            self.capacity.publish(self.own, oldest);
        }
    }

    fn change(&self, number: u32, state: State) {
        let mut places = self.places.borrow_mut();
        let former = places.all[number as usize].state;
        let is_change = match state {
            // Who is to go does not become idle once more.
            State::Resting => former == State::Busy,
            State::Begun => matches!(former, State::New | State::Resting),
            _ => former != state,
        };
        if !is_change {
            return;
        }
        places.take_out(number);
        let mut since = places.all[number as usize].since;
        if state == State::Resting {
            since = self.deadlines.now();
            places.all[number as usize].looks = places.looks;
        }
        places.append(number, state, since);
        self.publish(&mut places);
        if former == State::Told(Why::Room) {
            self.capacity.has_left();
        }
    }
}

impl Place {
    /// Nothing is under way from now on.
    pub(crate) fn rest(&self) {
        self.idle.change(self.number, State::Resting);
    }

    /// A part of a head has come. It is idle all the same, but not for too long before its own deadline.
    pub(crate) fn begin(&self) {
        self.idle.change(self.number, State::Begun);
    }

    /// Something is under way: until it rests, it is not told to go.
    pub(crate) fn work(&self) {
        self.idle.change(self.number, State::Busy);
    }

    /// Whether it is to go, and why.
    pub(crate) fn poll_told(&self, context: &mut Context<'_>) -> Poll<Why> {
        let mut places = self.idle.places.borrow_mut();
        let entry = &mut places.all[self.number as usize];
        match entry.state {
            State::Told(why) => return Poll::Ready(why),
            State::New | State::Resting if self.idle.is_closed.get() => return Poll::Ready(Why::TooLong),
            _ => {}
        }
        if !entry.waker.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
            entry.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// What this comes to, or nothing if the connection is to go before.
    pub(crate) async fn unless_told<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_told(context).map(|_| None),
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let idle = &self.idle;
        let (mut places, number) = (idle.places.borrow_mut(), self.number);
        places.take_out(number);
        let entry = &mut places.all[number as usize];
        let former = std::mem::replace(&mut entry.state, State::Busy);
        let waker = entry.waker.take();
        places.free.push(number);
        idle.publish(&mut places);
        drop((places, waker));
        if former == State::Told(Why::Room) {
            idle.capacity.has_left();
            idle.capacity.defences.tell(Defence::ClosedForRoom, None);
        }
    }
}

impl Places {
    /// The oldest ones of whom nothing has come.
    fn idlers(&self) -> impl Iterator<Item = u32> {
        [self.new.first, self.resting.first].into_iter().filter(|number| *number != NONE)
    }

    /// The oldest ones.
    fn fronts(&self) -> impl Iterator<Item = u32> {
        self.idlers().chain(Some(self.begun.first).filter(|number| *number != NONE))
    }

    fn look(&mut self, now: Instant) {
        if self.looked.is_none_or(|last| now >= last + LOOK_EVERY) {
            self.looked = Some(now);
            self.looks = self.looks.wrapping_add(1);
        }
    }

    fn is_looked_at(&self, number: u32) -> bool {
        self.looks.wrapping_sub(self.all[number as usize].looks) >= LOOKS_SPARED
    }

    fn queue(&mut self, state: State) -> Option<&mut Queue> {
        match state {
            State::New => Some(&mut self.new),
            State::Resting => Some(&mut self.resting),
            State::Begun => Some(&mut self.begun),
            State::Busy | State::Told(_) => None,
        }
    }

    fn append(&mut self, number: u32, state: State, since: Instant) {
        let previous = match self.queue(state) {
            Some(queue) => std::mem::replace(&mut queue.last, number),
            None => NONE,
        };
        if previous == NONE
            && let Some(queue) = self.queue(state)
        {
            queue.first = number;
        }
        if let Some(before) = self.all.get_mut(previous as usize) {
            before.next = number;
        }
        let entry = &mut self.all[number as usize];
        (entry.previous, entry.next, entry.since, entry.state) = (previous, NONE, since, state);
    }

    fn take_out(&mut self, number: u32) {
        let Entry { previous, next, state, .. } = self.all[number as usize];
        let Some(queue) = self.queue(state) else { return };
        if previous == NONE {
            queue.first = next;
        }
        if next == NONE {
            queue.last = previous;
        }
        if let Some(before) = self.all.get_mut(previous as usize) {
            before.next = next;
        }
        if let Some(behind) = self.all.get_mut(next as usize) {
            behind.previous = previous;
        }
    }

    fn tell(&mut self, number: u32, why: Why) {
        self.take_out(number);
        let entry = &mut self.all[number as usize];
        entry.state = State::Told(why);
        if let Some(waker) = &entry.waker {
            waker.wake_by_ref();
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}
