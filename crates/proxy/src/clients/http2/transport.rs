//! A client's connection as the library wants it: first what was read already, then the rest. It shows when
//! nothing is taken from it for too long.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::connection::Connection;
use crate::wire::deadlines::Deadlines;

pub(super) struct Transport {
    connection: Connection,
    deadlines: Rc<Deadlines>,
    progress: Rc<Progress>,
}

/// How sending goes.
pub(super) struct Progress {
    /// When the other side last took anything.
    taken: Cell<Instant>,
    /// Whether it is to take something now.
    is_held_up: Cell<bool>,
}

impl Transport {
    pub(super) fn new(connection: Connection, deadlines: &Rc<Deadlines>) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress { taken: Cell::new(deadlines.now()), is_held_up: Cell::new(false) });
        (Self { connection, deadlines: Rc::clone(deadlines), progress: Rc::clone(&progress) }, progress)
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let is_pending = written.is_pending();
        if !is_pending || !self.progress.is_held_up.get() {
            self.progress.taken.set(self.deadlines.now());
        }
        self.progress.is_held_up.set(is_pending);
        written
    }
}

impl Progress {
    /// Since when the other side takes nothing of what there is for it.
    pub(super) fn held_up_since(&self) -> Option<Instant> {
        self.is_held_up.get().then(|| self.taken.get())
    }

    /// When the other side last took anything.
    pub(super) fn taken(&self) -> Instant {
        self.taken.get()
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Connection { input, wire, .. } = &mut self.get_mut().connection;
        if !input.is_empty() {
            let count = input.bytes().len().min(buffer.remaining());
            buffer.put_slice(&input.bytes()[..count]);
            input.consume(count);
            input.release();
            return Poll::Ready(Ok(()));
        }
        let count = ready!(wire.poll_read(context, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.connection.wire.poll_write(context, bytes, &[]);
        self.note(written)
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
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.wire.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.wire.poll_shutdown(context)
    }
}
