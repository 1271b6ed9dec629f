//! Bodies that nobody wants: they are read as far as that is worth the connection, and forgotten.

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::settings::{DISCARD_BYTES_MAX, DISCARD_TIMEOUT};
use crate::wire::deadlines::{Deadline, TICK};
use crate::wire::peer::Peer;

/// Reads a body to its end; whether the end was near enough for what comes behind it to be read.
pub(crate) async fn discard(from: &mut impl Peer, deadline: &Deadline) -> bool {
    let mut seen = 0;
    let due = deadline.now() + DISCARD_TIMEOUT;
    deadline.wake_at(Some(due + TICK));
    poll_fn(|context| {
        deadline.register(context.waker());
        match poll_discard(from, &mut seen, context) {
            Poll::Pending if deadline.now() > due => Poll::Ready(false),
            polled => polled,
        }
    })
    .await
}

/// Reads as much as has come; whether all of it has, and is no more than what is worth reading.
pub(crate) async fn is_at_hand(from: &mut impl Peer) -> bool {
    poll_fn(|context| Poll::Ready(poll_discard(from, &mut 0, context) == Poll::Ready(true))).await
}

fn poll_discard(from: &mut impl Peer, seen: &mut u64, context: &mut Context<'_>) -> Poll<bool> {
    while *seen <= DISCARD_BYTES_MAX {
        let length = match from.poll_body(context) {
            Poll::Ready(Ok([])) => return Poll::Ready(true),
            Poll::Ready(Ok(bytes)) => bytes.len(),
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Pending => return Poll::Pending,
        };
        from.consume(length);
        *seen += length as u64;
    }
    Poll::Ready(false)
}
