//! The way of a copy: as that of a request, but for its client, who has sent all of it already and takes no interest in
//! the answer. What comes of it is counted.

use std::rc::Rc;
use std::task::{Context, Poll};

use h1::{BodyLength, Fields, ResponseHead};

use crate::clients::client::Client;
use crate::settings::ListenerSettings;
use crate::travel::context::RequestContext;
use crate::travel::copies::Copy;
use crate::travel::errand::Errand;
use crate::travel::rounds;
use crate::wire::connection::Connection;
use crate::wire::peer::{Broken, Peer};
use crate::worker::Worker;

/// Sends copies on their way, each in a task of its own.
pub(crate) async fn send_all(worker: &Rc<Worker>) {
    loop {
        let copy = worker.copies.next().await;
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move { travel(copy, &worker).await });
    }
}

async fn travel(copy: Copy, worker: &Worker) {
    let Copy { service, head, body, origin, request_id, vouched, place } = copy;
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
    drop(place);
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
