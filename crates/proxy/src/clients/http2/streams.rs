//! What the streams of a connection tell it: how many there are, and what they take together.

use std::cell::Cell;
use std::rc::Rc;

use super::arrivals::Arrivals;
use super::transport::Progress;
use crate::clients::client::Visit;
use crate::memory::Holding;
use crate::telling::defences::Defence;

/// What its streams tell a connection.
pub(super) struct Streams {
    /// Of the connection, whose room is taken as long as one of them is open.
    pub(super) visit: Visit,
    /// How many are under way.
    pub(super) open: Cell<usize>,
    /// Why we end the connection, whatever is under way on it, if we do.
    pub(super) hung_up_for: Cell<Option<Defence>>,
    /// How many more were given up at once than were not.
    pub(super) given_up: Cell<u32>,
    /// Their heads and trailers.
    pub(super) arrivals: Rc<Arrivals>,
    /// Whether they can go on.
    pub(super) progress: Rc<Progress>,
}

impl Streams {
    pub(super) fn of(visit: Visit, arrivals: Rc<Arrivals>, progress: Rc<Progress>) -> Self {
        let (open, hung_up_for, given_up) = (Cell::default(), Cell::default(), Cell::default());
        Self { visit, open, hung_up_for, given_up, arrivals, progress }
    }
}

/// One stream that is under way.
pub(super) struct Open {
    pub(super) streams: Rc<Streams>,
    pub(super) number: u32,
    holding: Option<Rc<Holding>>,
}

impl Open {
    pub(super) fn new(streams: &Rc<Streams>, number: u32, holding: Option<Rc<Holding>>) -> Self {
        streams.open.set(streams.open.get() + 1);
        streams.visit.place.work();
        Self { streams: Rc::clone(streams), number, holding }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.arrivals.leave(self.number);
        self.streams.open.set(self.streams.open.get() - 1);
        if self.streams.open.get() == 0 {
            self.streams.visit.place.rest();
            if let Some(holding) = &self.holding {
                holding.forget();
            }
        }
    }
}
