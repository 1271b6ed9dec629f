//! Bodies, both ways: streamed as they come, and holding what must live as long as they do.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fleet::Claim;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::settings::{DISCARD_BYTES_MAX, DISCARD_TIMEOUT, WHOLE_BODY_TIMEOUT};
use crate::upstream::Lease;

/// A request body on its way to a replica.
pub(crate) enum RequestBody {
    /// All of it at once; it can be sent again.
    Whole(Bytes),
    /// As the client sends it, once.
    Streamed {
        incoming: Incoming,
        /// Counts frames, so that a slow upload is told apart from a silent replica.
        frames: Rc<Cell<u64>>,
    },
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed { incoming, frames } => {
                let frame = ready!(Pin::new(incoming).poll_frame(context));
                frames.set(frames.get() + 1);
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// The body of an answer to a client.
pub(crate) enum AnswerBody {
    /// Ours, whole.
    Own(Bytes),
    /// A replica's.
    Relayed(Relayed),
}

/// A replica's body, with the claim on that replica and the connection that it comes from. The
/// claim leaves when the body is dropped, finished or not; the connection goes back to its pool
/// only if the body was read to its end.
pub(crate) struct Relayed {
    incoming: Incoming,
    is_ended: bool,
    lease: Option<Lease>,
    _claim: Claim,
}

impl AnswerBody {
    pub(crate) fn own(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }

    pub(crate) fn relayed(incoming: Incoming, lease: Lease, claim: Claim) -> Self {
        let is_ended = incoming.is_end_stream();
        Self::Relayed(Relayed { incoming, is_ended, lease: Some(lease), _claim: claim })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Relayed(relayed) => {
                let frame = ready!(Pin::new(&mut relayed.incoming).poll_frame(context));
                relayed.is_ended |= frame.is_none();
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Relayed(relayed) => relayed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Relayed(relayed) => relayed.incoming.size_hint(),
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if (self.is_ended || self.incoming.is_end_stream())
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

/// Why a body could not be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    Broken,
}

/// Reads a body of at most `bytes_max` bytes to its end, within [`WHOLE_BODY_TIMEOUT`].
pub(crate) async fn read_whole(incoming: Incoming, bytes_max: usize) -> Result<Bytes, Unread> {
    let reading = Limited::new(incoming, bytes_max).collect();
    match tokio::time::timeout(WHOLE_BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::TooSlow),
    }
}

/// Reads a small rest of an answer that nobody wants, so that its connection can carry another.
pub(crate) fn discard(body: AnswerBody) {
    tokio::task::spawn_local(async move {
        // Past either limit the connection is closed instead; both outcomes are fine.
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, Limited::new(body, DISCARD_BYTES_MAX).collect()).await;
    });
}
