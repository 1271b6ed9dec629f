//! A client's connection as the library wants it: heads are taken out of what comes ([`Intake`]), the rest
//! passes. It shows when nothing is taken from it for too long, what is held up, and gives the library
//! nothing more of a flood.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::arrivals::Arrivals;
use super::intake::{Fault, Intake};
use super::overhead::{DATA, Frames, Passed, RST_STREAM, Seen, WINDOW_UPDATE};
use crate::wire::connection::Connection;
use crate::worker::Worker;

/// What a client may send on a connection before it is told more: RFC 9113, 6.9.2.
const FIRST_WINDOW: i64 = 65_535;

pub(super) struct Transport {
    worker: Rc<Worker>,
    connection: Connection,
    arrivals: Rc<Arrivals>,
    progress: Rc<Progress>,
    intake: Intake,
    incoming: Frames,
    outgoing: Frames,
}

/// How sending goes, and what has passed.
pub(super) struct Progress {
    /// When the other side last took anything.
    taken: Cell<Instant>,
    /// When that was last of any use.
    useful_taken: Cell<Instant>,
    /// Whether it is to take something now.
    is_held_up: Cell<bool>,
    passed: Passed,
    /// How much of all bodies the client may send now, as far as it knows.
    window: Cell<i64>,
    /// Nothing is read now, because there is no memory for it.
    is_unread: Cell<bool>,
    /// Since when a head comes that is not whole.
    head_since: Cell<Option<Instant>>,
    head_fault: Cell<Option<Fault>>,
}

impl Transport {
    pub(super) fn new(
        connection: Connection,
        worker: &Rc<Worker>,
        arrivals: &Rc<Arrivals>,
    ) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress {
            taken: Cell::new(worker.deadlines.now()),
            useful_taken: Cell::new(worker.deadlines.now()),
            is_held_up: Cell::new(false),
            passed: Passed::default(),
            window: Cell::new(FIRST_WINDOW),
            is_unread: Cell::new(false),
            head_since: Cell::new(None),
            head_fault: Cell::new(None),
        });
        let transport = Self {
            worker: Rc::clone(worker),
            connection,
            arrivals: Rc::clone(arrivals),
            progress: Rc::clone(&progress),
            intake: Intake::new(worker, arrivals),
            incoming: Frames::of_client(),
            outgoing: Frames::of_server(),
        };
        (transport, progress)
    }

    /// Notes what came of sending these.
    fn note(&mut self, written: Poll<io::Result<usize>>, pieces: [&[u8]; 2]) -> Poll<io::Result<usize>> {
        let Self { outgoing, arrivals, progress, .. } = self;
        if let Poll::Ready(Ok(count)) = written {
            let payload = progress.passed.payload();
            let of_first = count.min(pieces[0].len());
            let see = |seen: Seen| match seen.kind {
                RST_STREAM => arrivals.refuse(seen.stream),
                WINDOW_UPDATE if seen.stream == 0 => progress.add_window(i64::from(seen.number)),
                _ => {}
            };
            outgoing.pass(&pieces[0][..of_first], &progress.passed, see);
            outgoing.pass(&pieces[1][..count - of_first], &progress.passed, see);
            if progress.passed.payload() > payload {
                progress.useful_taken.set(self.worker.deadlines.now());
            }
        }
        let is_pending = written.is_pending();
        if !is_pending || !progress.is_held_up.get() {
            progress.taken.set(self.worker.deadlines.now());
        }
        progress.is_held_up.set(is_pending);
        written
    }

    /// Notes that what was encrypted cannot leave, or that it could at last.
    fn note_flush(&self, is_pending: bool) {
        if self.progress.is_held_up.replace(is_pending) != is_pending {
            self.progress.taken.set(self.worker.deadlines.now());
        }
    }

    /// Gives the library some of what has come, if there is any.
    fn pass(&mut self, buffer: &mut ReadBuf<'_>) {
        let Self { connection, intake, incoming, progress, .. } = self;
        let bytes = connection.input.bytes();
        let count = intake.pass(bytes, buffer);
        incoming.pass(&bytes[..count], &progress.passed, |seen| {
            if seen.kind == DATA {
                progress.add_window(-i64::from(seen.number));
            }
        });
        connection.input.consume(count);
        connection.input.release();
        progress.head_since.set(intake.head_since());
        progress.head_fault.set(intake.fault());
    }
}

impl Progress {
    /// Since when the other side takes nothing of what there is for it.
    pub(super) fn held_up_since(&self) -> Option<Instant> {
        self.is_held_up.get().then(|| self.taken.get())
    }

    /// When the other side last took anything of a head or a body.
    pub(super) fn useful_taken(&self) -> Instant {
        self.useful_taken.get()
    }

    /// Whether nearly all of what comes is of no use.
    pub(super) fn is_flood(&self) -> bool {
        self.passed.is_flood()
    }

    /// What is wrong with a head so that nobody reads on.
    pub(super) fn head_fault(&self) -> Option<Fault> {
        self.head_fault.get()
    }

    /// Since when a head comes that is not whole.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.head_since.get()
    }

    /// Whether nothing of any body may come now, or nothing is read.
    pub(super) fn is_shut(&self) -> bool {
        self.window.get() <= 0 || self.is_unread.get()
    }

    fn add_window(&self, bytes: i64) {
        self.window.update(|window| window.saturating_add(bytes));
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            // Whoever asked looks at the reason next, and hangs up.
            if this.progress.is_flood() || this.progress.head_fault().is_some() {
                return Poll::Pending;
            }
            // Whoever asked goes on when they are handed over.
            if this.arrivals.is_enough() && !this.intake.has_output() {
                return Poll::Pending;
            }
            if this.intake.has_output() || !this.connection.input.is_empty() {
                this.pass(buffer);
                if buffer.filled().len() > before || buffer.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let is_unread = this.worker.memory.poll_room(context).is_pending();
            this.progress.is_unread.set(is_unread);
            if is_unread {
                return Poll::Pending;
            }
            let Connection { input, wire, .. } = &mut this.connection;
            match input.poll_fill(context, wire, false) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.connection.wire.poll_write(context, bytes, &[]);
        self.note(written, [bytes, &[]])
    }

    /// The head of a frame and what is in it leave together.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pieces = pieces.iter().map(|piece| &**piece).filter(|piece| !piece.is_empty());
        let [first, second] = [(); 2].map(|()| pieces.next().unwrap_or_default());
        let written = self.connection.wire.poll_write(context, first, second);
        self.note(written, [first, second])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.connection.wire.poll_flush(context);
        if !self.connection.wire.is_plain() {
            self.note_flush(flushed.is_pending());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.wire.poll_shutdown(context)
    }
}
