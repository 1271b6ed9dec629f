//! Copies of requests, for services that mirror others: when one is made, and when none is. It is made when the original
//! has ended its way, so that nobody waits for it. How many there are is bounded, and beyond that they are left out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use h1::{BodyLength, RequestHead};
use tokio::sync::Notify;

use crate::clients::client::Client;
use crate::clients::origin::Origin;
use crate::policies::mark::Mark;
use crate::policies::vouched::Vouched;
use crate::service::Service;
use crate::travel::errand::Errand;

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

/// Copies a request that is over for all who are to have it. Without a body, not all of it was kept.
pub(crate) fn send<C: Client>(errand: &Errand<'_, C>, body: Option<&[u8]>) {
    let (request, copies) = (errand.request, &errand.request.worker.copies);
    for service in request.mirrors() {
        let has_words = errand.head.expects_continue() || errand.head.upgrades().next().is_some();
        let body = body.filter(|_| !has_words && !request.worker.memory.is_short());
        let place = body.and_then(|_| Place::take(&copies.count));
        let (Some(body), Some(place)) = (body, place) else {
            request.mark(Mark::MirrorSkipped);
            continue;
        };
        let mut head = errand.head.clone();
        if head.body() != BodyLength::None {
            head.set_body(BodyLength::Exact(body.len() as u64));
        }
        copies.waiting.borrow_mut().push_back(Copy {
            service: Rc::clone(service),
            head,
            body: body.to_vec(),
            origin: request.origin.clone(),
            request_id: errand.client.request_id().map(<[u8]>::to_vec),
            vouched: request.account.vouched.borrow().clone(),
            place,
        });
        request.mark(Mark::Mirrored);
        copies.has_come.notify_one();
    }
}

impl Copies {
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
