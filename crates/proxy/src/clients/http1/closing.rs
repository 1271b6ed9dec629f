//! How it is seen that an HTTP/1 client has gone, and how a connection to one ends so that the client still reads what it was sent. A socket that is
//! closed with something unread in it, or that something comes for later, takes back what it has sent: who sends
//! a whole body before it looks would never see why that was not wanted.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use h1::Version;

use super::Http1Client;
use super::half_closed::{QUESTION, Questions};
use crate::settings::{
    DISCARD_BYTES_MAX, DISCARD_TIMEOUT, LINGER_BYTES_MAX, LINGER_PAUSE, LINGER_TIMEOUT, LINGERING_MAX,
};
use crate::wire::connection::Connection;
use crate::wire::deadlines::Deadline;
use crate::worker::Worker;

/// How far a client that still sends is read on.
struct Lingering<'a> {
    worker: &'a Worker,
    pause: Duration,
    time: Duration,
    bytes: u64,
}

impl<'a> Lingering<'a> {
    /// For long, or only for a moment if many do that already.
    fn begin(worker: &'a Worker) -> Self {
        let count = worker.lingering.get() + 1;
        worker.lingering.set(count);
        if count <= LINGERING_MAX {
            Self { worker, pause: LINGER_PAUSE, time: LINGER_TIMEOUT, bytes: LINGER_BYTES_MAX }
        } else {
            Self { worker, pause: DISCARD_TIMEOUT, time: DISCARD_TIMEOUT, bytes: DISCARD_BYTES_MAX }
        }
    }
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        self.worker.lingering.set(self.worker.lingering.get() - 1);
    }
}

impl Http1Client<'_> {
    /// Sends what is left, and closes. Where all that was sent has been read, nothing more is likely to come,
    /// and to look for it would cost as much as a request.
    pub(super) async fn close(&mut self, deadline: &Deadline, is_all_read: bool) {
        if !self.is_flushed(deadline).await || self.is_spoilt {
            return;
        }
        if self.version == Version::Http10 {
            self.connection.wire.reset_when_closed(false);
        }
        // From somebody who sends nothing more, nothing comes.
        let is_all_read = is_all_read || self.connection.is_ended;
        if is_all_read && self.connection.wire.is_plain() {
            return;
        }
        // Whoever needs room need not wait for the end of this.
        self.place.rest();
        if self.is_shut(deadline).await && !is_all_read {
            self.linger(deadline).await;
        }
    }

    async fn is_flushed(&mut self, deadline: &Deadline) -> bool {
        let due = deadline.now() + self.worker.clients.timeouts.write;
        deadline.wake_at(Some(due));
        poll_fn(|context| {
            deadline.register(context.waker());
            match self.connection.poll_send_kept(context) {
                Poll::Pending if deadline.now() > due => Poll::Ready(false),
                sent => sent.map(|sent| sent.is_ok()),
            }
        })
        .await
    }

    /// Says that nothing more is sent; whether the client may still be interested.
    async fn is_shut(&mut self, deadline: &Deadline) -> bool {
        let due = deadline.now() + DISCARD_TIMEOUT;
        deadline.wake_at(Some(due));
        poll_fn(|context| {
            deadline.register(context.waker());
            if self.connection.wire.poll_shutdown(context).is_ready() || deadline.now() > due {
                return Poll::Ready(true);
            }
            self.place.poll_told(context).map(|_| false)
        })
        .await
    }

    /// Reads and forgets what still comes, until the client closes, or that goes too far.
    async fn linger(&mut self, deadline: &Deadline) {
        let worker = std::rc::Rc::clone(&self.worker);
        let lingering = Lingering::begin(&worker);
        let end = deadline.now() + lingering.time;
        // Nothing honest comes behind a body whose length is known.
        let body = Some(&self.connection).filter(|connection| !connection.is_body_read());
        let left = body.and_then(Connection::body_left).map(|left| left.saturating_add(DISCARD_BYTES_MAX));
        let most = lingering.bytes.min(left.unwrap_or(u64::MAX));
        let (mut seen, mut last) = (0, deadline.now());
        poll_fn(|context| {
            deadline.register(context.waker());
            if self.place.poll_told(context).is_ready() {
                return Poll::Ready(());
            }
            // Others have their turns, too, however fast it comes.
            for _ in 0..READS_AT_ONCE {
                match self.connection.poll_forget(context) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => {
                        seen += count as u64;
                        last = deadline.now();
                    }
                    Poll::Pending => {
                        let due = end.min(last + lingering.pause);
                        deadline.wake_at(Some(due));
                        return if deadline.now() >= due { Poll::Ready(()) } else { Poll::Pending };
                    }
                }
            }
            if seen > most || deadline.now() >= end {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl Http1Client<'_> {
    /// Whether a client that sends nothing more has gone altogether.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.connection.poll_lost(context).is_ready() {
            return Poll::Ready(());
        }
        // HTTP/1.0 knows nothing that could be asked.
        if !self.connection.is_ended || self.is_answered || self.version == Version::Http10 {
            return Poll::Pending;
        }
        let deadlines = &self.worker.deadlines;
        let questions = self.questions.get_or_insert_with(|| Box::new(Questions::begin(deadlines)));
        if !questions.is_due(context) {
            return Poll::Pending;
        }
        self.connection.output().extend_from_slice(QUESTION);
        match self.connection.poll_send_kept(context) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }
}

/// How often a client that sends fast is read from before others have their turns.
const READS_AT_ONCE: usize = 16;
