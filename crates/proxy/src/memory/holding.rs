//! What single connections hold: an estimate, which decides who goes first when there is too much. What
//! is allocated and given back while a connection's tasks run is put down to it. What one of them gives to
//! another, or to the spare memory of the worker, is put down to the wrong one for a while.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;

/// Whoever holds more than this holds much, in bytes.
pub(super) const MUCH: i64 = 64 << 10;
/// Whoever holds less than this is not closed for it, in bytes.
const LITTLE: i64 = 4 << 10;
/// Over how many looks somebody may hold what is not much.
const LOOKS_MAX: u32 = 20;

/// What one connection holds.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) client: IpAddr,
    bytes: Cell<i64>,
    /// Over how many looks, while there was little room, it has held what it holds.
    looks: Cell<u32>,
    place: Cell<usize>,
    is_closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Holding {
    /// In bytes, about.
    pub(crate) fn bytes(&self) -> i64 {
        self.bytes.get()
    }

    /// Nothing is under way: what it seems to hold has other holders by now.
    pub(crate) fn forget(&self) {
        self.bytes.set(0);
        self.looks.set(0);
    }

    /// Whether it has to go.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    pub(super) fn add(&self, bytes: i64) {
        self.bytes.update(|held| held.saturating_add(bytes).max(0));
    }

    /// Who is to be woken when it has to go.
    pub(super) fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn close(&self) {
        self.is_closed.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// All of a worker.
#[derive(Default)]
pub(super) struct Holdings(RefCell<Vec<Rc<Holding>>>);

impl Holdings {
    pub(super) fn open(&self, client: IpAddr) -> Rc<Holding> {
        let mut all = self.0.borrow_mut();
        let holding = Rc::new(Holding {
            client,
            bytes: Cell::new(0),
            looks: Cell::new(0),
            place: Cell::new(all.len()),
            is_closed: Cell::new(false),
            waker: RefCell::default(),
        });
        all.push(Rc::clone(&holding));
        holding
    }

    /// Its connection is gone.
    pub(super) fn leave(&self, holding: &Holding) {
        let mut all = self.0.borrow_mut();
        let place = holding.place.get();
        all.swap_remove(place);
        if let Some(moved) = all.get(place) {
            moved.place.set(place);
        }
        // After a crowd its room goes, too.
        let capacity = all.capacity();
        if all.len() < capacity / 4 {
            all.shrink_to(capacity / 2);
        }
    }

    /// Closes those that hold most, until so many bytes are theirs; one at least, if there is one. Whoever
    /// holds little goes only after some time in which it has held it.
    pub(super) fn close_largest(&self, bytes: i64) -> Vec<Rc<Holding>> {
        let all = self.0.borrow();
        let may_go = |holding: &&Rc<Holding>| {
            holding.looks.update(|looks| looks.saturating_add(1));
            let is_due = holding.bytes() > MUCH || holding.looks.get() > LOOKS_MAX;
            is_due && holding.bytes() > LITTLE && !holding.is_closed()
        };
        let mut largest: Vec<_> = all.iter().filter(may_go).cloned().collect();
        drop(all);
        largest.sort_unstable_by_key(|holding| std::cmp::Reverse(holding.bytes()));
        let mut left = bytes;
        let enough = largest.iter().position(|holding| {
            left -= holding.bytes();
            left <= 0
        });
        largest.truncate(enough.map_or(usize::MAX, |place| place + 1));
        largest.iter().for_each(|holding| holding.close());
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(sizes: &[i64], bytes: i64) -> Vec<i64> {
        let holdings = Holdings::default();
        let all: Vec<_> =
            sizes.iter().map(|size| (holdings.open("127.0.0.1".parse().unwrap()), size)).collect();
        all.iter().for_each(|(holding, size)| holding.add(**size << 10));
        for _ in 0..LOOKS_MAX {
            holdings.close_largest(0).iter().for_each(|holding| holding.is_closed.set(false));
        }
        let closed = holdings.close_largest(bytes << 10);
        closed.iter().for_each(|holding| assert!(holding.is_closed()));
        assert_eq!(all.iter().filter(|(holding, _)| holding.is_closed()).count(), closed.len());
        closed.iter().map(|holding| holding.bytes() >> 10).collect()
    }

    #[test]
    fn those_that_hold_most_go_first_and_no_more_than_needed() {
        for (sizes, bytes, expected) in [
            (&[10, 300, 20, 200][..], 250, &[300][..]),
            (&[10, 300, 20, 200], 301, &[300, 200]),
            (&[10, 300, 20, 200], 1, &[300]),
            (&[10, 300, 20, 200], 9999, &[300, 200, 20, 10]),
            (&[1, 2, 3], 9999, &[]),
            (&[], 1, &[]),
        ] {
            assert_eq!(closed(sizes, bytes), expected, "{sizes:?} {bytes}");
        }
    }

    #[test]
    fn whoever_leaves_is_not_looked_for_any_more() {
        let holdings = Holdings::default();
        let mut all: Vec<_> = (0..100).map(|_| holdings.open("127.0.0.1".parse().unwrap())).collect();
        for round in 0..100 {
            let leaving = all.swap_remove(round * 7 % all.len());
            holdings.leave(&leaving);
            let places: Vec<_> = holdings.0.borrow().iter().map(|holding| holding.place.get()).collect();
            assert_eq!(places, (0..all.len()).collect::<Vec<_>>());
            assert!(all.iter().all(|left| holdings.0.borrow().iter().any(|other| Rc::ptr_eq(left, other))));
        }
    }
}
