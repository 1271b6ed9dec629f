//! Copies of requests, for services that mirror others. How many there are is bounded; when one is made is not known
//! here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use h1::RequestHead;
use tokio::sync::Notify;

use crate::clients::origin::Origin;
use crate::policies::vouched::Vouched;
use crate::service::Service;

/// How many copies a worker has at a time. Each has a body of up to `limits.replay_body`.
const COPIES_MAX: usize = 64;

/// The copies of a worker that are about to leave.
#[derive(Default)]
pub(crate) struct Copies {
    waiting: RefCell<VecDeque<Copy>>,
    has_come: Notify,
    /// How many there are, also of those under way.
    count: Rc<Cell<usize>>,
}

/// A request once more.
pub(crate) struct Copy {
    pub(crate) service: Rc<Service>,
    pub(crate) head: RequestHead,
    pub(crate) body: Vec<u8>,
    pub(crate) origin: Origin,
    pub(crate) request_id: Option<Vec<u8>>,
    pub(crate) vouched: Option<Box<Vouched>>,
    /// Held until the copy has ended its way.
    pub(crate) place: Place,
}

/// One of the places that there are for copies.
pub(crate) struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(all: &Rc<Cell<usize>>) -> Option<Self> {
        if all.get() >= COPIES_MAX {
            return None;
        }
        all.set(all.get() + 1);
        Some(Self(Rc::clone(all)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Copies {
    /// A place for another one, if there is one left.
    pub(crate) fn place(&self) -> Option<Place> {
        Place::take(&self.count)
    }

    /// Adds one that is to leave.
    pub(crate) fn add(&self, copy: Copy) {
        self.waiting.borrow_mut().push_back(copy);
        self.has_come.notify_one();
    }

    /// The next one that is about to leave.
    pub(crate) async fn next(&self) -> Copy {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            match next {
                Some(copy) => return copy,
                None => self.has_come.notified().await,
            }
        }
    }
}
