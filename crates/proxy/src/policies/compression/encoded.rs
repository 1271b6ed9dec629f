//! A body that is compressed while it passes: to the client it looks like that of a replica.

use std::task::{Context, Poll, ready};

use h1::Fields;

use super::coding::Coding;
use super::encoder::Encoder;
use super::permit::Permit;
use crate::wire::peer::{Broken, Peer};

/// How much is compressed at a time: others have their turn in between. A fraction of a millisecond.
const TURN_BYTES: usize = 32 << 10;

/// How far the compression of a body is.
pub(crate) struct Encoding {
    encoder: Encoder,
    /// Whether a reader is to have at once what has come: nobody knows when more will.
    is_stream: bool,
    /// What is compressed, and how much of that has gone.
    ready: Vec<u8>,
    sent: usize,
    /// Whether something was taken that has not come out.
    has_more: bool,
    is_over: bool,
    /// What was compressed since others had a turn.
    turn: usize,
    _permit: Permit,
}

/// A replica whose body is compressed.
pub(crate) struct Encoded<'a, P> {
    from: &'a mut P,
    encoding: &'a mut Encoding,
}

impl Encoding {
    pub(super) fn new(coding: Coding, is_stream: bool, permit: Permit) -> Self {
        let encoder = Encoder::new(coding);
        Self {
            encoder,
            is_stream,
            ready: Vec::new(),
            sent: 0,
            has_more: false,
            is_over: false,
            turn: 0,
            _permit: permit,
        }
    }

    /// A replica whose body is compressed so.
    pub(crate) fn of<'a, P>(&'a mut self, from: &'a mut P) -> Encoded<'a, P> {
        Encoded { from, encoding: self }
    }

    /// Takes more of the body until something can be sent.
    fn poll_more(&mut self, from: &mut impl Peer, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.ready.clear();
        self.sent = 0;
        while self.ready.is_empty() && !self.is_over {
            if self.turn >= TURN_BYTES {
                self.turn = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let bytes = match from.poll_body(context) {
                Poll::Pending if self.is_stream && self.has_more => {
                    self.has_more = false;
                    self.encoder.flush(&mut self.ready).map_err(|_| Broken::Gone)?;
                    continue;
                }
                polled => ready!(polled)?,
            };
            let taken = bytes.len().min(TURN_BYTES);
            let written = match taken {
                0 => {
                    self.is_over = true;
                    self.encoder.finish(&mut self.ready)
                }
                _ => self.encoder.write(&bytes[..taken], &mut self.ready),
            };
            // Memory does not refuse to be written to.
            written.map_err(|_| Broken::Gone)?;
            from.consume(taken);
            self.turn += taken;
            self.has_more = taken > 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<P: Peer> Peer for Encoded<'_, P> {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        if self.encoding.sent == self.encoding.ready.len() {
            ready!(self.encoding.poll_more(self.from, context))?;
        }
        Poll::Ready(Ok(&self.encoding.ready[self.encoding.sent..]))
    }

    fn consume(&mut self, count: usize) {
        self.encoding.sent += count;
    }

    fn trailers(&self) -> Option<&Fields> {
        self.from.trailers()
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        self.from.poll_send(context, bytes)
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.from.finish(trailers);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.from.poll_flush(context)
    }
}
