//! Memory for bytes on their way. Connections borrow it while they have something to hold: an idle
//! one holds nothing, and the memory that was used last, which is still in the cache, is used next.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h1::{RequestHead, ResponseHead};

use crate::memory::Ledger;
use crate::wire::stream::Wire;

/// What most heads and small bodies need.
const SMALL: usize = 16 << 10;
/// What large bodies move in, and the least that a large head has.
const LARGE: usize = 128 << 10;
/// The most of each kind that is kept for later.
const KEPT_MAX: usize = 64;
/// The most memory that a head has which is kept for later.
const HEAD_KEPT_MAX: usize = 16 << 10;
/// How many large ones are lent for speed. Clients that are slow to read hold what they are lent, and
/// thousands of them must make do with less.
const LENT_LARGE_MAX: usize = 256;

/// The spare memory of a worker.
#[expect(clippy::vec_box, reason = "heads leave and come back in their boxes")]
pub(crate) struct Buffers {
    memory: Rc<Ledger>,
    large: usize,
    spare_small: RefCell<Vec<Box<[u8]>>>,
    spare_large: RefCell<Vec<Box<[u8]>>>,
    lent_large: Cell<usize>,
    spare_output: RefCell<Vec<Vec<u8>>>,
    spare_requests: RefCell<Vec<Box<RequestHead>>>,
    spare_responses: RefCell<Vec<Box<ResponseHead>>>,
}

fn keep<T>(spare: &RefCell<Vec<T>>, one: T) {
    let mut spare = spare.borrow_mut();
    if spare.len() < KEPT_MAX {
        spare.push(one);
    }
}

fn halve<T>(spare: &RefCell<Vec<T>>) {
    let mut spare = spare.borrow_mut();
    let left = spare.len() / 2;
    spare.truncate(left);
}

impl Buffers {
    /// Memory in which heads of this size have room.
    pub(crate) fn new(head_max: usize, memory: &Rc<Ledger>) -> Rc<Self> {
        Rc::new(Self {
            memory: Rc::clone(memory),
            large: LARGE.max(head_max),
            spare_small: RefCell::default(),
            spare_large: RefCell::default(),
            lent_large: Cell::default(),
            spare_output: RefCell::default(),
            spare_requests: RefCell::default(),
            spare_responses: RefCell::default(),
        })
    }

    /// Whether a large one may be lent to somebody who could do with a small one.
    fn has_large(&self) -> bool {
        self.lent_large.get() < LENT_LARGE_MAX && !self.memory.is_short()
    }

    fn take_bytes(&self, is_large: bool) -> Box<[u8]> {
        self.lent_large.update(|lent| lent + usize::from(is_large));
        let (spare, size) =
            if is_large { (&self.spare_large, self.large) } else { (&self.spare_small, SMALL) };
        let spare = spare.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; size].into_boxed_slice())
    }

    fn put_bytes(&self, bytes: Box<[u8]>) {
        match bytes.len() {
            0 => {}
            SMALL => keep(&self.spare_small, bytes),
            _ => {
                self.lent_large.update(|lent| lent.saturating_sub(1));
                keep(&self.spare_large, bytes);
            }
        }
    }

    pub(crate) fn take_output(&self) -> Vec<u8> {
        self.spare_output.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    pub(crate) fn put_output(&self, mut output: Vec<u8>) {
        output.clear();
        if (1..=LARGE).contains(&output.capacity()) {
            keep(&self.spare_output, output);
        }
    }

    pub(crate) fn take_request(&self) -> Box<RequestHead> {
        self.spare_requests.borrow_mut().pop().unwrap_or_default()
    }

    /// Heads are kept empty: the next request may fail before one is filled, and its response must not
    /// tell anything of somebody else's.
    pub(crate) fn put_request(&self, mut head: Box<RequestHead>) {
        head.clear();
        if head.capacity() <= HEAD_KEPT_MAX {
            keep(&self.spare_requests, head);
        }
    }

    pub(crate) fn take_response(&self) -> Box<ResponseHead> {
        self.spare_responses.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn put_response(&self, head: Box<ResponseHead>) {
        if head.capacity() <= HEAD_KEPT_MAX {
            keep(&self.spare_responses, head);
        }
    }

    /// Gives back half of what is spare. Called now and then, it leaves what is needed now and then.
    pub(crate) fn give_back(&self) {
        halve(&self.spare_small);
        halve(&self.spare_large);
        halve(&self.spare_output);
        halve(&self.spare_requests);
        halve(&self.spare_responses);
    }
}

/// What a connection has received and not used yet.
pub(crate) struct Input {
    buffers: Rc<Buffers>,
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether as much came last as there was room for.
    pub(crate) was_filled: bool,
}

impl Input {
    pub(crate) fn new(buffers: Rc<Buffers>) -> Self {
        Self { buffers, bytes: Box::default(), start: 0, end: 0, was_filled: false }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Gives the memory back, if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            self.buffers.put_bytes(std::mem::take(&mut self.bytes));
        }
    }

    /// Receives more behind what is there; nothing at the end of the stream. `is_large` says that a
    /// lot is to come.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        wire: &mut Wire,
        is_large: bool,
    ) -> Poll<io::Result<usize>> {
        if self.buffers.memory.poll_room(context).is_pending() {
            self.release();
            return Poll::Pending;
        }
        let is_large = is_large && self.buffers.has_large();
        let is_full = self.end - self.start == self.bytes.len() && !self.bytes.is_empty();
        if self.bytes.is_empty() || is_full || (is_large && self.is_empty() && self.bytes.len() == SMALL) {
            if is_full && self.bytes.len() > SMALL {
                return Poll::Ready(Err(io::Error::other("more came than there is room for")));
            }
            self.exchange(is_large || is_full);
        }
        if self.start > 0 && self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let read = match wire.poll_read(context, &mut self.bytes[self.end..]) {
            Poll::Pending => {
                self.release();
                return Poll::Pending;
            }
            Poll::Ready(read) => read?,
        };
        self.end += read;
        self.was_filled = self.end == self.bytes.len();
        Poll::Ready(Ok(read))
    }

    fn exchange(&mut self, is_large: bool) {
        let mut bytes = self.buffers.take_bytes(is_large);
        let length = self.end - self.start;
        bytes[..length].copy_from_slice(&self.bytes[self.start..self.end]);
        self.buffers.put_bytes(std::mem::replace(&mut self.bytes, bytes));
        (self.start, self.end) = (0, length);
    }

    /// Receives and forgets everything that is there now; whether the stream goes on after it.
    pub(crate) fn poll_discard(
        &mut self,
        context: &mut Context<'_>,
        wire: &mut Wire,
    ) -> Poll<io::Result<usize>> {
        self.consume(self.end - self.start);
        let read = ready!(self.poll_fill(context, wire, false))?;
        self.consume(read);
        Poll::Ready(Ok(read))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.buffers.put_bytes(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_memory_is_lent_to_few_and_comes_back() {
        let memory = Ledger::new(crate::memory::Memory::new(1 << 40, 1), true);
        let buffers = Buffers::new(SMALL, &memory);
        let lent: Vec<_> = (0..LENT_LARGE_MAX)
            .map(|_| {
                assert!(buffers.has_large());
                buffers.take_bytes(true)
            })
            .collect();
        assert!(!buffers.has_large());
        drop(buffers.take_bytes(false));
        lent.into_iter().for_each(|bytes| buffers.put_bytes(bytes));
        assert!(buffers.has_large() && buffers.lent_large.get() == 0);
    }
}
