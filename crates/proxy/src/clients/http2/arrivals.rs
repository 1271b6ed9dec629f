//! What clients have sent before and behind the bodies of their requests, in our own form. It waits here, by
//! stream, until the library says whose turn it is; what the library refuses is told all the same.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use h1::{BadHead, Fields, RequestHead};

use crate::settings::HTTP2_HEADS_MAX;
use crate::wire::buffers::Buffers;

/// How many heads come before those are handed over that have.
const NEW_MAX: usize = 32;

/// All of a connection.
pub(super) struct Arrivals {
    buffers: Rc<Buffers>,
    by_stream: RefCell<BTreeMap<u32, Arrival>>,
    /// How large they are together.
    size: Cell<usize>,
    /// How many more had no room than had.
    headless: Cell<u32>,
    refused: RefCell<Vec<Arrived>>,
    /// How many have come since the library had nobody to hand over.
    new: Cell<usize>,
}

/// What there is of one stream.
#[derive(Default)]
struct Arrival {
    /// Until somebody takes it on.
    head: Option<Arrived>,
    trailers: Option<Result<Fields, BadHead>>,
    size: usize,
}

/// A head, and whether it passes.
pub(super) struct Arrived {
    pub(super) head: Box<RequestHead>,
    pub(super) taken: Result<(), BadHead>,
}

impl Arrivals {
    pub(super) fn new(buffers: &Rc<Buffers>) -> Rc<Self> {
        Rc::new(Self {
            buffers: Rc::clone(buffers),
            by_stream: RefCell::default(),
            size: Cell::default(),
            headless: Cell::default(),
            refused: RefCell::default(),
            new: Cell::default(),
        })
    }

    /// A head has come. Without room for it nothing is left of it but that.
    pub(super) fn enter(&self, stream: u32, arrived: Arrived, size: usize) {
        let Arrived { mut head, mut taken } = arrived;
        self.new.set(self.new.get() + 1);
        let headless = self.headless.get();
        let has_room = self.has_room(size);
        self.headless.set(if has_room { headless.saturating_sub(1) } else { headless + 1 });
        if !has_room {
            self.buffers.put_request(head);
            (head, taken) = (Box::default(), Err(BadHead::TooLarge));
        }
        let size = if has_room { size } else { 0 };
        self.size.set(self.size.get() + size);
        let arrival = Arrival { head: Some(Arrived { head, taken }), trailers: None, size };
        self.by_stream.borrow_mut().insert(stream, arrival);
    }

    /// Trailers have come. Nobody waits for those of a stream that is gone.
    pub(super) fn follow(&self, stream: u32, trailers: Result<Fields, BadHead>, size: usize) {
        let mut by_stream = self.by_stream.borrow_mut();
        let Some(arrival) = by_stream.get_mut(&stream).filter(|arrival| arrival.trailers.is_none()) else {
            return;
        };
        let trailers = if self.has_room(size) { trailers } else { Err(BadHead::TooLarge) };
        let size = if trailers.is_ok() { size } else { 0 };
        self.size.set(self.size.get() + size);
        arrival.size += size;
        arrival.trailers = Some(trailers);
    }

    /// The head of the stream whose turn it is. Those before it have no turn any more.
    pub(super) fn take_head(&self, stream: u32) -> Option<Arrived> {
        let mut by_stream = self.by_stream.borrow_mut();
        let before = by_stream.range(..stream).filter(|(_, arrival)| arrival.head.is_some());
        let before: Vec<u32> = before.map(|(stream, _)| *stream).collect();
        let head = by_stream.get_mut(&stream).and_then(|arrival| arrival.head.take());
        drop(by_stream);
        before.into_iter().for_each(|stream| self.refuse(stream));
        head
    }

    /// What stands behind the body of a stream, if anything does.
    pub(super) fn take_trailers(&self, stream: u32) -> Option<Result<Fields, BadHead>> {
        self.by_stream.borrow_mut().get_mut(&stream)?.trailers.take()
    }

    /// The library has reset a stream: if nobody had taken it on, nobody will.
    pub(super) fn refuse(&self, stream: u32) {
        let mut by_stream = self.by_stream.borrow_mut();
        let Some(arrived) = by_stream.get_mut(&stream).and_then(|arrival| arrival.head.take()) else {
            return;
        };
        drop(by_stream);
        self.leave(stream);
        self.refused.borrow_mut().push(arrived);
    }

    /// Those that were refused since this was asked last.
    pub(super) fn take_refused(&self) -> Vec<Arrived> {
        if self.refused.borrow().is_empty() { Vec::new() } else { self.refused.take() }
    }

    /// A stream is over.
    pub(super) fn leave(&self, stream: u32) {
        if let Some(arrival) = self.by_stream.borrow_mut().remove(&stream) {
            self.size.set(self.size.get() - arrival.size);
        }
    }

    /// Whether no further heads should come before others have been handed over.
    pub(super) fn is_enough(&self) -> bool {
        self.new.get() >= NEW_MAX
    }

    /// All were handed over; whether there were enough.
    pub(super) fn are_handed_over(&self) -> bool {
        self.new.replace(0) >= NEW_MAX
    }

    /// How many more had no room than had.
    pub(super) fn headless(&self) -> u32 {
        self.headless.get()
    }

    fn has_room(&self, size: usize) -> bool {
        self.size.get() + size <= HTTP2_HEADS_MAX
    }
}
