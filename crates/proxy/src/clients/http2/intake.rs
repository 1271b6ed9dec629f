//! What comes from a client on its way to the library: blocks of fields are taken out, read by the rules of
//! all requests, and kept for whoever answers; the library gets a head in their place that says nothing but
//! that a request begins, and how long its body is. So no field and no target is judged by other rules than
//! ours, and what is wrong with one request is nobody else's matter. What breaks the connection's own state is
//! left to the library, which ends it.

use std::rc::Rc;
use std::time::Instant;

use h1::{BodyLength, Http2Head, Http2Trailers, write_decimal};
use tokio::io::ReadBuf;

use super::arrivals::{Arrivals, Arrived};
use crate::worker::Worker;

const PREFACE_LENGTH: usize = 24;
const FRAME_HEAD: usize = 9;
/// The largest frame that we have said to take: RFC 9113, 4.2.
const FRAME_MAX: usize = 16 << 10;
/// The size of HPACK's table, of which we have said nothing else.
const TABLE_MAX: usize = 4096;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// A block of fields may be so many times as large as a head may be at most, in so many pieces.
const BLOCK_FACTOR: usize = 4;
const PIECES_MAX: usize = 64;

/// What most heads leave for the library.
const OUTPUT_KEPT: usize = 64;

/// `:method: GET`, `:scheme: http`, `:path: /`, by their numbers in HPACK's table.
const SOME_REQUEST: [u8; 3] = [0x82, 0x86, 0x84];
/// `content-length`, of which the value follows.
const CONTENT_LENGTH: [u8; 2] = [0x0f, 0x0d];

pub(super) struct Intake {
    worker: Rc<Worker>,
    arrivals: Rc<Arrivals>,
    decoder: hpack::Decoder,
    state: State,
    /// The head of the frame that comes.
    frame_head: [u8; FRAME_HEAD],
    /// What there is of a frame of fields that has not come whole.
    frame: Vec<u8>,
    block: Option<Block>,
    head_since: Option<Instant>,
    last_stream: u32,
    /// What the library gets next.
    output: Vec<u8>,
    given: usize,
    fault: Option<Fault>,
}

/// Why nobody reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A head is by far too large, or comes in too many pieces.
    TooLarge,
    /// A block is no block.
    Undecodable,
}

#[derive(Clone, Copy)]
enum State {
    /// Of the head of a frame so much is here.
    Head(usize),
    /// So much passes as it is.
    Passing(usize),
    /// So much is still to come of a frame of fields.
    Taking(usize),
}

/// A block of which more is to come.
struct Block {
    begin: Begin,
    bytes: Vec<u8>,
    pieces: usize,
}

/// How a frame begins.
#[derive(Clone, Copy)]
struct Begin {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Intake {
    pub(super) fn new(worker: &Rc<Worker>, arrivals: &Rc<Arrivals>) -> Self {
        Self {
            worker: Rc::clone(worker),
            arrivals: Rc::clone(arrivals),
            decoder: hpack::Decoder::new(TABLE_MAX),
            state: State::Passing(PREFACE_LENGTH),
            frame_head: [0; FRAME_HEAD],
            frame: Vec::new(),
            block: None,
            head_since: None,
            last_stream: 0,
            output: Vec::new(),
            given: 0,
            fault: None,
        }
    }

    /// Gives the library what it is to get next, and takes in some of what has come; how much of that.
    pub(super) fn pass(&mut self, bytes: &[u8], library: &mut ReadBuf<'_>) -> usize {
        let mut rest = bytes;
        loop {
            self.give(library);
            let is_full = self.given < self.output.len() || library.remaining() == 0;
            if is_full || rest.is_empty() || self.arrivals.is_enough() || self.fault.is_some() {
                return bytes.len() - rest.len();
            }
            match self.state {
                State::Passing(left) => {
                    let count = left.min(rest.len()).min(library.remaining());
                    library.put_slice(&rest[..count]);
                    rest = &rest[count..];
                    self.state = if count < left { State::Passing(left - count) } else { State::Head(0) };
                }
                State::Head(read) => {
                    let count = (FRAME_HEAD - read).min(rest.len());
                    self.frame_head[read..read + count].copy_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    self.state = State::Head(read + count);
                    if read + count == FRAME_HEAD {
                        self.begin_frame();
                    }
                }
                State::Taking(left) => {
                    let (piece, behind) = rest.split_at(left.min(rest.len()));
                    rest = behind;
                    self.take_piece(piece, left);
                }
            }
        }
    }

    /// Since when a head comes that is not whole.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    /// Why nobody reads on, if that is so.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether there is something for the library.
    pub(super) fn has_output(&self) -> bool {
        self.given < self.output.len()
    }

    fn give(&mut self, library: &mut ReadBuf<'_>) {
        if self.output.is_empty() {
            return;
        }
        let rest = &self.output[self.given..];
        let count = rest.len().min(library.remaining());
        library.put_slice(&rest[..count]);
        self.given += count;
        if self.given == self.output.len() {
            self.given = 0;
            self.output.clear();
            self.output.shrink_to(OUTPUT_KEPT);
        }
    }

    fn begin_frame(&mut self) {
        let begin = Begin::of(self.frame_head);
        let is_next = match &self.block {
            Some(block) => begin.kind == CONTINUATION && begin.stream == block.begin.stream,
            None => begin.kind == HEADERS && begin.stream != 0,
        };
        if is_next && begin.length <= FRAME_MAX {
            self.head_since.get_or_insert(self.worker.deadlines.now());
            self.state = State::Taking(begin.length);
            if begin.length == 0 {
                self.take_piece(&[], 0);
            }
            return;
        }
        if let Some(block) = self.block.take() {
            // Nothing may come between the pieces of a block. The library sees that.
            self.put_frame(block.begin.stream, 0, |out| out.extend(SOME_REQUEST));
        }
        self.output.extend_from_slice(&self.frame_head);
        self.state = if begin.length > 0 { State::Passing(begin.length) } else { State::Head(0) };
    }

    /// Some of a frame of fields, of which so much was to come.
    fn take_piece(&mut self, piece: &[u8], left: usize) {
        if piece.len() < left {
            self.frame.extend_from_slice(piece);
            self.state = State::Taking(left - piece.len());
            return;
        }
        self.state = State::Head(0);
        let begin = Begin::of(self.frame_head);
        if self.frame.is_empty() {
            return self.take_frame(begin, piece);
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.extend_from_slice(piece);
        self.take_frame(begin, &frame);
    }

    fn take_frame(&mut self, begin: Begin, payload: &[u8]) {
        let Some(piece) = begin.fields(payload) else {
            // Padding of more than there is: the library sees that.
            self.output.extend_from_slice(&self.frame_head);
            return self.output.extend_from_slice(payload);
        };
        let is_last = begin.flags & END_HEADERS != 0;
        match self.block.take() {
            None if is_last => self.take_block(begin, piece),
            None => self.block = Some(Block { begin, bytes: piece.to_vec(), pieces: 1 }),
            Some(mut block) => {
                block.bytes.extend_from_slice(piece);
                block.pieces += 1;
                let most = BLOCK_FACTOR * self.worker.clients.http2_head_max;
                if block.bytes.len() > most || block.pieces > PIECES_MAX {
                    self.fault = Some(Fault::TooLarge);
                } else if is_last {
                    self.take_block(block.begin, &block.bytes);
                } else {
                    self.block = Some(block);
                }
            }
        }
    }

    /// All fields of a head, or of trailers, are here.
    fn take_block(&mut self, begin: Begin, block: &[u8]) {
        self.head_since = None;
        let is_request = begin.stream % 2 == 1 && begin.stream > self.last_stream;
        let read = if is_request { self.take_head(begin, block) } else { self.take_trailers(begin, block) };
        if read.is_err() {
            // What later blocks mean is not known then.
            self.fault = Some(Fault::Undecodable);
        }
    }

    fn take_head(&mut self, begin: Begin, block: &[u8]) -> Result<(), hpack::BadBlock> {
        let Self { worker, decoder, .. } = self;
        let has_ended = begin.flags & END_STREAM != 0;
        let mut head = worker.buffers.take_request();
        let mut reader = Http2Head::new(&mut head, &worker.clients.head, worker.clients.http2_head_max);
        decoder.decode(block, |name, value| reader.take(name, value))?;
        let size = reader.size();
        if size > BLOCK_FACTOR * worker.clients.http2_head_max {
            self.fault = Some(Fault::TooLarge);
            return Ok(());
        }
        let taken = reader.finish(has_ended);
        let length = if taken.is_ok() { head.body() } else { BodyLength::None };
        self.arrivals.enter(begin.stream, Arrived { head, taken }, size);
        self.last_stream = begin.stream;
        self.put_frame(begin.stream, END_HEADERS | begin.flags & END_STREAM, |out| {
            out.extend(SOME_REQUEST);
            if let BodyLength::Exact(length) = length {
                put_length(out, length);
            }
        });
        Ok(())
    }

    fn take_trailers(&mut self, begin: Begin, block: &[u8]) -> Result<(), hpack::BadBlock> {
        let Self { worker, decoder, .. } = self;
        let mut reader = Http2Trailers::new(&worker.clients.head, worker.clients.http2_head_max);
        decoder.decode(block, |name, value| reader.take(name, value))?;
        let size = reader.size();
        if size > BLOCK_FACTOR * worker.clients.http2_head_max {
            self.fault = Some(Fault::TooLarge);
            return Ok(());
        }
        self.arrivals.follow(begin.stream, reader.finish(), size);
        self.put_frame(begin.stream, END_HEADERS | begin.flags & END_STREAM, |_| ());
        Ok(())
    }

    /// A frame of fields for the library.
    fn put_frame(&mut self, stream: u32, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.output.len();
        self.output.extend([0, 0, 0, HEADERS, flags]);
        self.output.extend(stream.to_be_bytes());
        fill(&mut self.output);
        let length = (self.output.len() - start - FRAME_HEAD) as u32;
        self.output[start..start + 3].copy_from_slice(&length.to_be_bytes()[1..]);
    }
}

fn put_length(out: &mut Vec<u8>, length: u64) {
    out.extend(CONTENT_LENGTH);
    let place = out.len();
    out.push(0);
    write_decimal(out, length);
    out[place] = (out.len() - place - 1) as u8;
}

impl Begin {
    fn of(head: [u8; FRAME_HEAD]) -> Self {
        let [high, middle, low, kind, flags, a, b, c, d] = head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        Self { length, kind, flags, stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff }
    }

    /// The piece of a block in a frame, without what else may stand there: RFC 9113, 6.2.
    fn fields(self, payload: &[u8]) -> Option<&[u8]> {
        let mut fields = payload;
        if self.kind == CONTINUATION {
            return Some(fields);
        }
        let mut padding = 0;
        if self.flags & PADDED != 0 {
            let (first, rest) = fields.split_first()?;
            (padding, fields) = (usize::from(*first), rest);
        }
        if self.flags & PRIORITY != 0 {
            fields = fields.get(5..)?;
        }
        fields.get(..fields.len().checked_sub(padding)?)
    }
}
