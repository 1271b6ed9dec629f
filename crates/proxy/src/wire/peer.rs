//! The two sides of an exchange, as bodies see them: bytes come from one and go to the other.

use std::task::{Context, Poll, ready};

use h1::Fields;

/// How a side fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Its connection is gone.
    Gone,
    /// It said that nothing more comes, before the message was whole.
    Ended,
    /// What it sent is no valid HTTP.
    Garbled,
}

/// Somebody who sends a body and receives one.
pub(crate) trait Peer {
    /// What has arrived of the body that this side sends and was not used; nothing at its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>>;

    /// This many of these bytes were used.
    fn consume(&mut self, count: usize);

    /// The trailers of the body that has ended.
    fn trailers(&self) -> Option<&Fields>;

    /// Sends some bytes of a body, or keeps them to send them soon; the result is how many.
    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>>;

    /// The body that was sent is complete.
    fn finish(&mut self, trailers: Option<&Fields>);

    /// Sends what was kept.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>>;
}

/// Which side failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyFault {
    From(Broken),
    To(Broken),
    /// More comes than may pass.
    TooMuch,
}

/// A body on its way from one side to the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyCopy {
    /// How much of it has passed.
    pub(crate) bytes: u64,
    /// How much of it may.
    most: u64,
    is_finished: bool,
    /// Whether it waits for the side that receives.
    pub(crate) is_held_up: bool,
}

impl Default for BodyCopy {
    /// One of any length.
    fn default() -> Self {
        Self::of_at_most(u64::MAX)
    }
}

impl BodyCopy {
    /// Whether all of it has passed.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// One of which no more than this passes. Of what would be too much, nothing does.
    pub(crate) fn of_at_most(most: u64) -> Self {
        Self { bytes: 0, most, is_finished: false, is_held_up: false }
    }

    /// Moves what there is to move, until the body has ended and all of it was sent on.
    pub(crate) fn poll(
        &mut self,
        from: &mut impl Peer,
        to: &mut impl Peer,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CopyFault>> {
        while !self.is_finished {
            let bytes = match from.poll_body(context) {
                Poll::Ready(bytes) => bytes.map_err(CopyFault::From)?,
                Poll::Pending => {
                    // Whoever waits for more should have what there was.
                    let flushed = to.poll_flush(context);
                    self.is_held_up = flushed.is_pending();
                    ready!(flushed).map_err(CopyFault::To)?;
                    return Poll::Pending;
                }
            };
            if bytes.is_empty() {
                to.finish(from.trailers());
                self.is_finished = true;
                break;
            }
            if bytes.len() as u64 > self.most - self.bytes {
                return Poll::Ready(Err(CopyFault::TooMuch));
            }
            let sent = to.poll_send(context, bytes);
            self.is_held_up = sent.is_pending();
            let sent = ready!(sent).map_err(CopyFault::To)?;
            from.consume(sent);
            self.bytes += sent as u64;
        }
        let flushed = to.poll_flush(context);
        self.is_held_up = flushed.is_pending();
        flushed.map_err(CopyFault::To)
    }
}
