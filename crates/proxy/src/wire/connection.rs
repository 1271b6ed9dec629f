//! An HTTP/1 connection, seen from either end: one message comes in, one goes out.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h1::{BodyLength, BodyReader, CHUNK_END, Fields, HeadEnd, write_chunk_size, write_field};

use crate::wire::buffers::{Buffers, Input};
use crate::wire::deadlines::Deadline;
use crate::wire::discard::discard;
use crate::wire::fields;
use crate::wire::peer::{Broken, Peer};
use crate::wire::stream::Wire;

/// Pieces up to this size are copied together, so that they leave in one go; larger ones are sent from
/// where they are.
const COALESCED_MAX: usize = 8 << 10;

/// Bodies of which more than this is to come move in large pieces.
const LARGE_BODY: u64 = 32 << 10;

/// How the end of a head is looked for: one of the methods of [`HeadEnd`].
pub(crate) type FindHead = fn(&mut HeadEnd, &[u8], &h1::HeadLimits) -> Result<Option<usize>, h1::BadHead>;

/// A connection to a client or to a replica.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    pub(crate) input: Input,
    output: Output,
    /// How many bytes of the output were sent.
    sent: usize,
    head_end: HeadEnd,
    /// The body that comes in.
    reader: BodyReader,
    /// The other side has said that it sends nothing more. It may want to be answered all the same.
    pub(crate) is_ended: bool,
    writer: Writer,
    /// Bytes that the kernel took since the last message began.
    pub(crate) bytes_sent: u64,
}

/// What is to be sent, in borrowed memory.
struct Output {
    bytes: Vec<u8>,
    buffers: Rc<Buffers>,
}

/// How the body that goes out is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Plain,
    /// How many bytes are left before the end of the chunk that was begun.
    Chunked(usize),
}

/// A message as far as it was there, of which nothing was sent.
pub(crate) struct Unsent {
    bytes: Vec<u8>,
    writer: Writer,
}

impl Connection {
    pub(crate) fn new(wire: Wire, buffers: &Rc<Buffers>) -> Self {
        Self {
            wire,
            input: Input::new(Rc::clone(buffers)),
            output: Output { bytes: Vec::new(), buffers: Rc::clone(buffers) },
            sent: 0,
            head_end: HeadEnd::default(),
            reader: BodyReader::new(BodyLength::None, &h1::HeadLimits::default()),
            is_ended: false,
            writer: Writer::Plain,
            bytes_sent: 0,
        }
    }

    /// What is to be sent, to be added to.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        let Output { bytes, buffers } = &mut self.output;
        if bytes.capacity() == 0 {
            *bytes = buffers.take_output();
        }
        bytes
    }

    /// What carries it, without anything that was kept.
    pub(crate) fn into_wire(self) -> Wire {
        self.wire
    }

    /// The next message in begins.
    pub(crate) fn expect_head(&mut self) {
        self.head_end = HeadEnd::default();
    }

    /// The head of the message that comes in, when it is whole: all its bytes. They are to be consumed
    /// when they are read.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        limits: &h1::HeadLimits,
        find: FindHead,
    ) -> Poll<Result<usize, HeadFault>> {
        loop {
            if !self.input.is_empty()
                && let Some(length) =
                    find(&mut self.head_end, self.input.bytes(), limits).map_err(HeadFault::Bad)?
            {
                return Poll::Ready(Ok(length));
            }
            match ready!(self.input.poll_fill(context, &mut self.wire, false)) {
                Ok(0) => {
                    self.is_ended = true;
                    return Poll::Ready(Err(HeadFault::Ended));
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err(HeadFault::Lost)),
            }
        }
    }

    /// The body that comes in has this length; its trailers are limited as heads are.
    pub(crate) fn expect_body(&mut self, length: BodyLength, limits: &h1::HeadLimits) {
        self.reader = BodyReader::new(length, limits);
    }

    /// Whether the message that came in was read to its end.
    pub(crate) fn is_body_read(&self) -> bool {
        self.reader.is_end()
    }

    /// Whether nothing is left of what was received or is to be sent.
    pub(crate) fn is_clean(&self) -> bool {
        self.input.is_empty() && self.is_flushed() && !self.is_ended
    }

    /// Whether everything was handed to the kernel.
    pub(crate) fn is_flushed(&self) -> bool {
        self.sent == self.output.bytes.len()
    }

    /// How much is left of the body that comes in, where that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        self.reader.bytes_left()
    }

    /// This many bytes of the body have passed without being looked at.
    pub(crate) fn consume_unseen(&mut self, count: usize) {
        self.reader.take(count);
    }

    /// Whether bodies go out byte for byte.
    pub(crate) fn sends_plainly(&self) -> bool {
        self.writer == Writer::Plain
    }

    /// The body that goes out has this length.
    pub(crate) fn promise_body(&mut self, length: BodyLength) {
        self.writer = match length {
            BodyLength::Chunked => Writer::Chunked(0),
            BodyLength::None | BodyLength::Exact(_) | BodyLength::UntilClose => Writer::Plain,
        };
    }

    /// Takes a message back, if nothing of it was sent.
    pub(crate) fn take_back(&mut self) -> Option<Unsent> {
        let is_unsent = self.bytes_sent == 0;
        is_unsent.then(|| Unsent { bytes: self.output.take(), writer: self.writer })
    }

    /// Goes on with a message that was begun on another connection.
    pub(crate) fn take_over(&mut self, message: Unsent) {
        self.output.release();
        self.output.bytes = message.bytes;
        self.writer = message.writer;
    }

    /// From here on bytes mean what the other side takes them for.
    pub(crate) fn become_raw(&mut self) {
        self.reader = BodyReader::new(BodyLength::UntilClose, &h1::HeadLimits::default());
        self.writer = Writer::Plain;
    }

    /// Sends what is kept.
    pub(crate) fn poll_send_kept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.bytes.len() {
            let count = ready!(self.wire.poll_write(context, &self.output.bytes[self.sent..], &[]))?;
            self.sent += count;
            self.bytes_sent += count as u64;
        }
        ready!(self.wire.poll_flush(context))?;
        if self.output.bytes.capacity() > 0 {
            self.output.release();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the other side has hung up: that it sends nothing more is enough.
    pub(crate) fn poll_hung_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.poll_lost(context).is_ready() || self.is_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the other side has gone for good, as far as can be seen without taking in more than there is
    /// room for. That it sends nothing more is no sign of it.
    pub(crate) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.is_ended {
            // What is sent ahead waits; the other side cannot be asked about then.
            if self.input.bytes().len() >= COALESCED_MAX {
                return Poll::Pending;
            }
            match ready!(self.input.poll_fill(context, &mut self.wire, false)) {
                Ok(0) => self.is_ended = true,
                Ok(_) => {}
                Err(error) if is_end(&error) => self.is_ended = true,
                Err(_) => return Poll::Ready(()),
            }
        }
        if self.wire.is_reset() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Receives and forgets some of what is there; nothing at the end. Nobody will read any more here.
    pub(crate) fn poll_forget(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            // It need not be decrypted for that.
            Wire::Tls(stream) => stream.poll_forget(context),
            Wire::Tcp(_) | Wire::Unix(_) => self.input.poll_discard(context, &mut self.wire),
        }
    }

    /// Reads a body that nobody wants to its end, so that the connection can be used again; whether the
    /// end was near enough.
    pub(crate) async fn discard_body(&mut self, deadline: &Deadline) -> bool {
        self.is_body_read() || discard(self, deadline).await
    }

    fn copy_in(&mut self, bytes: &[u8]) {
        // A slow reader may never have taken everything at once.
        if self.sent > COALESCED_MAX {
            self.output.bytes.drain(..self.sent);
            self.sent = 0;
        }
        let writer = self.writer;
        let output = self.output();
        match writer {
            Writer::Plain => output.extend_from_slice(bytes),
            Writer::Chunked(_) => {
                write_chunk_size(output, bytes.len());
                output.extend_from_slice(bytes);
                output.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Sends what is kept and some of these bytes.
    fn poll_send_large(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut bytes = bytes;
        if let Writer::Chunked(left) = self.writer {
            let left = if left == 0 {
                write_chunk_size(self.output(), bytes.len());
                bytes.len()
            } else {
                left
            };
            self.writer = Writer::Chunked(left);
            bytes = &bytes[..left.min(bytes.len())];
        }
        loop {
            let kept = &self.output.bytes[self.sent..];
            let kept_length = kept.len();
            let (first, second) = if kept.is_empty() { (bytes, &[][..]) } else { (kept, bytes) };
            let written = ready!(self.wire.poll_write(context, first, second))?;
            self.bytes_sent += written as u64;
            let of_kept = written.min(kept_length);
            self.sent += of_kept;
            if self.is_flushed() {
                self.output.bytes.clear();
                self.sent = 0;
            }
            let taken = written - of_kept;
            if let Writer::Chunked(left) = &mut self.writer {
                *left -= taken;
                if *left == 0 {
                    self.output().extend_from_slice(b"\r\n");
                }
            }
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }
}

/// Whether the other side has just ended, without the farewell that TLS has for that.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// Why no head came.
#[derive(Debug)]
pub(crate) enum HeadFault {
    /// The stream ended.
    Ended,
    /// The connection broke.
    Lost,
    /// It is not one that passes.
    Bad(h1::BadHead),
}

impl Peer for Connection {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        loop {
            let look = self.reader.look(self.input.bytes()).map_err(|_| Broken::Garbled)?;
            self.input.consume(look.skip);
            if look.is_end || look.data > 0 {
                return Poll::Ready(Ok(&self.input.bytes()[..look.data]));
            }
            if self.is_ended {
                let is_whole = self.reader.ends_with_connection();
                return Poll::Ready(if is_whole { Ok(&[]) } else { Err(Broken::Ended) });
            }
            let is_large =
                self.input.was_filled || self.reader.bytes_left().is_some_and(|left| left > LARGE_BODY);
            let filled = ready!(self.input.poll_fill(context, &mut self.wire, is_large));
            // What is cut off must look cut off, also where the connection is the only end there is.
            self.is_ended = match filled {
                Ok(count) => count == 0,
                Err(error) if is_end(&error) && !self.reader.ends_with_connection() => true,
                Err(_) => return Poll::Ready(Err(Broken::Gone)),
            };
        }
    }

    fn consume(&mut self, count: usize) {
        self.reader.take(count);
        self.input.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let is_chunk_begun = matches!(self.writer, Writer::Chunked(1..));
        let kept = self.output.bytes.len() - self.sent;
        if !is_chunk_begun && kept + bytes.len() <= COALESCED_MAX {
            self.copy_in(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_send_large(context, bytes).map_err(|_| Broken::Gone)
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        if self.writer == Writer::Plain {
            return;
        }
        let output = self.output();
        match trailers {
            None => output.extend_from_slice(CHUNK_END),
            Some(trailers) => {
                output.extend_from_slice(b"0\r\n");
                for field in trailers.iter().filter(fields::may_trail) {
                    write_field(output, field.name_bytes, field.value);
                }
                output.extend_from_slice(b"\r\n");
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_send_kept(context).map_err(|_| Broken::Gone)
    }
}

impl Output {
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Gives the memory back.
    fn release(&mut self) {
        self.buffers.put_output(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.release();
    }
}
