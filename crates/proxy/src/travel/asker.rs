//! We ourselves, as the client of a service: what it answers is kept, up to a limit. It has no connection of its own;
//! whether it is still wanted is up to the client that a request is from.

use std::task::{Context, Poll};

use h1::{BodyLength, Fields, ResponseHead};

use crate::clients::client::Client;
use crate::wire::connection::Connection;
use crate::wire::peer::{Broken, Peer};

/// How much of the body of an answer is kept.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Whether the one who is behind it has left.
pub(crate) type Left<'a> = dyn FnMut(&mut Context<'_>) -> Poll<()> + 'a;

/// Somebody who asks with a request without a body.
pub(crate) struct Asker<'a> {
    request_id: Option<Vec<u8>>,
    left: &'a mut Left<'a>,
    pub(crate) answer: Option<ResponseHead>,
    pub(crate) body: Vec<u8>,
    /// There was more of the body than is kept.
    pub(crate) is_too_long: bool,
    /// The answer is not whole.
    pub(crate) is_spoilt: bool,
}

impl<'a> Asker<'a> {
    /// In the name of a request.
    pub(crate) fn new(request_id: Option<&[u8]>, left: &'a mut Left<'a>) -> Self {
        let request_id = request_id.map(<[u8]>::to_vec);
        Self { request_id, left, answer: None, body: Vec::new(), is_too_long: false, is_spoilt: false }
    }
}

impl Peer for Asker<'_> {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        Poll::Ready(Ok(&[]))
    }

    fn consume(&mut self, _: usize) {}

    fn trailers(&self) -> Option<&Fields> {
        None
    }

    fn poll_send(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        if bytes.len() > ANSWER_BYTES_MAX - self.body.len() {
            self.is_too_long = true;
            return Poll::Ready(Err(Broken::Gone));
        }
        self.body.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn finish(&mut self, _: Option<&Fields>) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}

impl Client for Asker<'_> {
    fn request_id(&self) -> Option<&[u8]> {
        self.request_id.as_deref()
    }

    fn begin_response(&mut self, head: &ResponseHead, _: BodyLength) {
        self.answer = Some(head.clone());
    }

    fn send_interim(&mut self, _: &ResponseHead) {}

    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        (self.left)(context)
    }

    fn end_after_this(&mut self) {}

    fn spoil(&mut self) {
        self.is_spoilt = true;
    }

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
