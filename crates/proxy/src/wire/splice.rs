//! Large bodies that need no looking at: they go from one socket to the other inside the kernel, through
//! a pipe, and no byte of them is copied to us and back.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::wire::connection::Connection;
use crate::wire::peer::{BodyCopy, Broken, CopyFault, Peer};
use crate::wire::pipe::{PIPE_SIZE, Pipe, Pipes};

/// The least that must be left of a body for this to be worth its calls.
const WORTH_IT: u64 = 48 << 10;

/// A body on its way through a pipe. It counts like any other [`BodyCopy`].
pub(crate) struct Splice {
    pipe: Option<Pipe>,
    /// How many bytes lie in the pipe.
    held: usize,
    pipes: Rc<Pipes>,
}

/// The connections that a body comes from and goes to.
pub(crate) struct Ends<'a> {
    pub(crate) from: &'a mut Connection,
    pub(crate) to: &'a mut Connection,
}

impl Splice {
    /// A way for the body that comes in here and goes out there, if it is large and passes as it is.
    pub(crate) fn between(from: &Connection, to: &Connection, pipes: &Rc<Pipes>) -> Option<Self> {
        let is_large =
            from.body_left().is_some_and(|left| left >= WORTH_IT + from.input.bytes().len() as u64);
        if !is_large || !to.sends_plainly() || !from.wire.is_plain() || !to.wire.is_plain() {
            return None;
        }
        Some(Self { pipe: Some(pipes.take()?), held: 0, pipes: Rc::clone(pipes) })
    }

    /// Moves what there is to move, until the body has ended and all of it was sent on.
    pub(crate) fn poll(
        &mut self,
        ends: Ends<'_>,
        copy: &mut BodyCopy,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), CopyFault>> {
        let Ends { from, to } = ends;
        let Some(pipe) = &self.pipe else { return Poll::Ready(Ok(())) };
        // What came along with the head goes first.
        while !from.input.is_empty() {
            let bytes = ready!(from.poll_body(context)).map_err(CopyFault::From)?;
            let sent = to.poll_send(context, bytes);
            copy.is_held_up = sent.is_pending();
            let sent = ready!(sent).map_err(CopyFault::To)?;
            from.consume(sent);
            copy.bytes += sent as u64;
        }
        let flushed = to.poll_flush(context);
        copy.is_held_up = flushed.is_pending();
        ready!(flushed).map_err(CopyFault::To)?;
        loop {
            if self.held == 0 {
                let left = from.body_left().unwrap_or_default();
                if left == 0 {
                    return Poll::Ready(Ok(()));
                }
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIPE_SIZE);
                let came = ready!(from.wire.poll_splice_in(context, pipe, most));
                self.held = came.ok().filter(|came| *came > 0).ok_or(CopyFault::From(Broken::Gone))?;
                from.consume_unseen(self.held);
            }
            let went = to.wire.poll_splice_out(context, pipe, self.held);
            copy.is_held_up = went.is_pending();
            let went = ready!(went).map_err(|_| CopyFault::To(Broken::Gone))?;
            self.held -= went;
            to.bytes_sent += went as u64;
            copy.bytes += went as u64;
        }
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            self.pipes.put(pipe, self.held == 0);
        }
    }
}
