//! The body of a request on its way to a replica, and how much of it can be sent to another one.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h1::{BodyLength, Fields};

use crate::clients::client::Client;
use crate::memory::Ledger;
use crate::replicas::upstream::Lease;
use crate::respond::failure::Failure;
use crate::settings::Protocol;
use crate::travel::buffering::{self, Limit};
use crate::travel::errand::Errand;
use crate::wire::peer::{BodyCopy, Broken, CopyFault, Peer};

/// The body of a request, and how far the attempt under way is with it.
pub(crate) enum Upload {
    /// All of it is here, so that it can be sent again.
    Whole(Whole),
    /// It comes from the client, once.
    Streamed(Streamed),
}

/// A body that lies here.
pub(crate) struct Whole {
    body: Vec<u8>,
    /// How much of it was sent in this attempt.
    sent: usize,
}

/// A body that comes from the client, once.
pub(crate) struct Streamed {
    copy: BodyCopy,
    kept: Kept,
}

/// What has gone of a body, in case that it must be sent again.
struct Kept {
    memory: Rc<Ledger>,
    /// How much of it may go.
    body_max: u64,
    /// How much has gone.
    passed: u64,
    /// All of that, as long as it is not too much to keep.
    bytes: Vec<u8>,
    most: usize,
    /// How much of it this attempt has sent.
    resent: usize,
}

impl Upload {
    /// Takes on the body of a request. One that may be sent again is read whole, if it is small enough and
    /// comes by itself; of others the beginning is waited for.
    pub(crate) async fn take_on<C: Client>(errand: &mut Errand<'_, C>) -> Result<Self, Failure> {
        let (request, head, end) = (errand.request, errand.head, errand.end());
        // What is kept for another attempt is kept as long as there is room for it.
        let memory = &request.worker.memory;
        let is_short = memory.is_short();
        let whole_max = if is_short { 0 } else { request.worker.clients.replay_body_max };
        let keeping = |most| Kept {
            memory: Rc::clone(memory),
            body_max: request.body_max.get(),
            passed: 0,
            bytes: Vec::new(),
            most,
            resent: 0,
        };
        // HTTP/2 says of what has come to a replica that it was not looked at; HTTP/1 has no words for that.
        let kept_max = match errand.service.settings.protocol {
            Protocol::Http1 if request.mirrors().is_empty() => 0,
            Protocol::Http1 | Protocol::H2c => usize::try_from(whole_max).unwrap_or(usize::MAX),
        };
        match head.body() {
            BodyLength::None => Ok(Self::whole(Vec::new())),
            BodyLength::Exact(length)
                if head.method().is_idempotent() && length <= whole_max && !head.expects_continue() =>
            {
                let limit = Limit { bytes: length as usize, end };
                let read = buffering::whole_while_there_is_room(request, errand.client, limit).await?;
                let is_whole = read.len() as u64 == length;
                Ok(if is_whole { Self::whole(read) } else { Self::streamed(read, keeping(0)) })
            }
            BodyLength::Exact(length) if !head.expects_continue() => {
                let beginning = buffering::beginning(request, errand.client, length, end).await?;
                Ok(Self::streamed(beginning, keeping(kept_max)))
            }
            _ => Ok(Self::streamed(Vec::new(), keeping(kept_max))),
        }
    }

    fn whole(body: Vec<u8>) -> Self {
        Self::Whole(Whole { body, sent: 0 })
    }

    /// One of which the beginning lies here.
    fn streamed(beginning: Vec<u8>, kept: Kept) -> Self {
        let kept = Kept { passed: beginning.len() as u64, bytes: beginning, ..kept };
        Self::Streamed(Streamed { copy: kept.copy_of_rest(), kept })
    }

    /// Another attempt begins, and sends what there is from the beginning.
    pub(crate) fn begin_again(&mut self) {
        match self {
            Self::Whole(whole) => whole.sent = 0,
            Self::Streamed(streamed) => {
                streamed.copy = streamed.kept.copy_of_rest();
                streamed.kept.resent = 0;
            }
        }
    }

    /// Whether the body can still be sent from its beginning.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streamed(streamed) => streamed.kept.is_all(),
        }
    }

    /// All of it, if it was kept.
    pub(crate) fn kept(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(whole) => Some(&whole.body),
            Self::Streamed(Streamed { kept, copy }) => {
                Some(&*kept.bytes).filter(|_| kept.is_all() && copy.is_finished())
            }
        }
    }

    /// How much of it this attempt has moved.
    pub(crate) fn moved(&self) -> u64 {
        match self {
            Self::Whole(whole) => whole.sent as u64,
            Self::Streamed(streamed) => streamed.copy.bytes,
        }
    }

    /// Whether more of it may come from the client, and the replica takes what comes.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Streamed(streamed) if !streamed.copy.is_held_up)
    }

    /// A response has begun, so that what was kept is of no more use.
    pub(crate) fn will_not_be_sent_again(&mut self) {
        if let Self::Streamed(streamed) = self {
            streamed.kept.most = 0;
        }
    }

    /// Sends on as much as there is and as the replica takes.
    pub(crate) fn poll(
        &mut self,
        client: &mut impl Peer,
        lease: &mut Lease,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CopyFault>> {
        match self {
            Self::Whole(whole) => poll_rest(lease, &whole.body, &mut whole.sent, context),
            Self::Streamed(streamed) => streamed.poll(client, lease, context),
        }
    }
}

impl Streamed {
    fn poll(
        &mut self,
        client: &mut impl Peer,
        lease: &mut Lease,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CopyFault>> {
        let kept = &mut self.kept;
        if kept.resent < kept.bytes.len() {
            let sent = poll_rest(lease, &kept.bytes, &mut kept.resent, context);
            self.copy.is_held_up = sent.is_pending();
            ready!(sent)?;
        }
        self.copy.poll(client, &mut Keeping { lease, kept }, context)
    }
}

impl Kept {
    /// What is still to come may be no more than is left.
    fn copy_of_rest(&self) -> BodyCopy {
        BodyCopy::of_at_most(self.body_max.saturating_sub(self.passed))
    }

    fn is_all(&self) -> bool {
        self.passed == self.bytes.len() as u64
    }

    /// These have gone now.
    fn add(&mut self, bytes: &[u8]) {
        let is_all_here = self.is_all();
        self.passed += bytes.len() as u64;
        if is_all_here && self.bytes.len() + bytes.len() <= self.most && !self.memory.is_short() {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes = Vec::new();
        }
        self.resent = self.bytes.len();
    }
}

/// A replica, beside which is kept what it gets.
struct Keeping<'a> {
    lease: &'a mut Lease,
    kept: &'a mut Kept,
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
        self.kept.add(&bytes[..sent]);
        Poll::Ready(Ok(sent))
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.lease.finish(trailers);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.lease.poll_flush(context)
    }
}

/// Sends what lies here, from where it was sent to.
fn poll_rest(
    lease: &mut Lease,
    body: &[u8],
    sent: &mut usize,
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
