//! The body of a request on its way to a replica, and how much of it can be sent to another one.

use std::task::{Context, Poll, ready};

use h1::Fields;

use crate::replicas::upstream::Lease;
use crate::wire::peer::{BodyCopy, Broken, CopyFault, Peer};

/// The body of a request.
pub(crate) enum Upload {
    /// All of it is here, so that it can be sent again.
    Whole(Vec<u8>),
    /// It comes from the client, once.
    Streamed(Streamed),
}

/// A body that comes from the client, once.
pub(crate) struct Streamed {
    /// How far the last attempt came.
    pub(crate) so_far: BodyCopy,
    /// So much of it was passed on.
    passed: u64,
    /// All of that, as long as it is not too much to keep.
    kept: Vec<u8>,
    kept_max: usize,
}

/// How much of what was kept this attempt has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resent(usize);

impl Upload {
    /// Whether the body can still be sent from its beginning.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streamed(streamed) => streamed.passed == streamed.kept.len() as u64,
        }
    }

    /// An answer has begun, so that what was kept is of no more use.
    pub(crate) fn will_not_be_sent_again(&mut self) {
        if let Self::Streamed(streamed) = self {
            streamed.kept_max = 0;
        }
    }
}

impl Streamed {
    /// One of which so much may be kept in case that it must be sent again.
    pub(crate) fn keeping(kept_max: usize) -> Self {
        Self { so_far: BodyCopy::default(), passed: 0, kept: Vec::new(), kept_max }
    }

    /// One whose beginning lies here.
    pub(crate) fn begun(beginning: Vec<u8>, kept_max: usize) -> Self {
        Self { passed: beginning.len() as u64, kept: beginning, ..Self::keeping(kept_max) }
    }

    /// Sends on as much as there is and as the replica takes.
    pub(crate) fn poll(
        &mut self,
        (client, lease): (&mut impl Peer, &mut Lease),
        (copy, resent): (&mut BodyCopy, &mut Resent),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CopyFault>> {
        if resent.0 < self.kept.len() {
            let sent = poll_whole(lease, (&self.kept, &mut resent.0), context);
            copy.is_held_up = sent.is_pending();
            ready!(sent)?;
        }
        let mut keeping = Keeping { lease, streamed: self, resent };
        let polled = copy.poll(client, &mut keeping, context);
        self.so_far = *copy;
        polled
    }

    fn keep(&mut self, bytes: &[u8]) {
        let is_all_here = self.passed == self.kept.len() as u64;
        self.passed += bytes.len() as u64;
        if is_all_here && self.kept.len() + bytes.len() <= self.kept_max {
            self.kept.extend_from_slice(bytes);
        } else {
            self.kept = Vec::new();
        }
    }
}

/// A replica, beside which is kept what it gets.
struct Keeping<'a> {
    lease: &'a mut Lease,
    streamed: &'a mut Streamed,
    resent: &'a mut Resent,
}

impl Peer for Keeping<'_> {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        self.lease.poll_body(context)
    }

    fn consume(&mut self, count: usize) {
        self.lease.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.lease.trailers()
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let sent = ready!(self.lease.poll_send(context, bytes))?;
        self.streamed.keep(&bytes[..sent]);
        self.resent.0 = self.streamed.kept.len();
        Poll::Ready(Ok(sent))
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.lease.finish(trailers);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.lease.poll_flush(context)
    }
}

/// Sends a body that lies here.
pub(crate) fn poll_whole(
    lease: &mut Lease,
    (body, sent): (&[u8], &mut usize),
    context: &mut Context<'_>,
) -> Poll<Result<(), CopyFault>> {
    while *sent < body.len() {
        match lease.poll_send(context, &body[*sent..]) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(taken) => *sent += taken.map_err(CopyFault::To)?,
        }
    }
    lease.poll_flush(context).map_err(CopyFault::To)
}
