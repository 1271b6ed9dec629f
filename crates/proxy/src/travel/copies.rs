//! Copies of requests, for services that mirror others. A copy begins its way when the original has ended its own, so
//! that nobody waits for it; what comes of it is counted, and thrown away. How many there are is bounded, and beyond
//! that they are left out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use h1::{BodyLength, Fields, RequestHead, ResponseHead};
use tokio::sync::Notify;

use crate::clients::client::Client;
use crate::clients::origin::Origin;
use crate::policies::mark::Mark;
use crate::policies::vouched::Vouched;
use crate::service::Service;
use crate::settings::ListenerSettings;
use crate::travel::context::RequestContext;
use crate::travel::errand::Errand;
use crate::travel::rounds;
use crate::wire::connection::Connection;
use crate::wire::peer::{Broken, Peer};
use crate::worker::Worker;

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
struct Copy {
    service: Rc<Service>,
    head: RequestHead,
    body: Vec<u8>,
    origin: Origin,
    request_id: Option<Vec<u8>>,
    vouched: Option<Box<Vouched>>,
    _place: Place,
}

/// One of the places that there are for copies.
struct Place(Rc<Cell<usize>>);

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
            _place: place,
        });
        request.mark(Mark::Mirrored);
        copies.has_come.notify_one();
    }
}

impl Copies {
    /// Sends copies on their way, each in a task of its own.
    pub(crate) async fn keep(worker: &Rc<Worker>) {
        loop {
            worker.copies.has_come.notified().await;
            while let Some(copy) = { worker.copies.waiting.borrow_mut().pop_front() } {
                let worker = Rc::clone(worker);
                tokio::task::spawn_local(async move { copy.travel(&worker).await });
            }
        }
    }
}

impl Copy {
    async fn travel(self, worker: &Worker) {
        let Self { service, head, body, origin, request_id, vouched, _place } = self;
        let deadline = worker.deadlines.join();
        let listener = ListenerSettings::plain(origin.address);
        let request = RequestContext::begin(worker, &origin, &listener, &deadline);
        request.set_service(Rc::clone(&service));
        *request.account.vouched.borrow_mut() = vouched;
        let mut client = Nobody { body, used: 0, request_id };
        let errand = Errand { request: &request, service: &service, head: &head, client: &mut client };
        let status = match rounds::travel(errand).await {
            Ok(()) => request.account.status.get(),
            Err(failure) => failure.status(),
        };
        service.counters.count_response(status);
    }
}

/// Who has sent a copy, and takes its answer for nobody.
struct Nobody {
    body: Vec<u8>,
    /// How much of it was sent.
    used: usize,
    request_id: Option<Vec<u8>>,
}

impl Client for Nobody {
    fn request_id(&self) -> Option<&[u8]> {
        self.request_id.as_deref()
    }

    fn begin_response(&mut self, _: &ResponseHead, _: BodyLength) {}

    fn send_interim(&mut self, _: &ResponseHead) {}

    fn poll_left(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn end_after_this(&mut self) {}

    fn spoil(&mut self) {}

    fn become_raw(&mut self) -> bool {
        false
    }

    fn own_connection(&mut self) -> Option<&mut Connection> {
        None
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Peer for Nobody {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        Poll::Ready(Ok(&self.body[self.used..]))
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }

    fn trailers(&self) -> Option<&Fields> {
        None
    }

    fn poll_send(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn finish(&mut self, _: Option<&Fields>) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}
