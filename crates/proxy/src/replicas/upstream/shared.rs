//! The HTTP/2 connections of one service in one worker: which of them takes one more stream, and when
//! another is opened.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;
use fleet::Life;
use h2::client::SendRequest;
use tokio::sync::Notify;

use crate::respond::failure::Failure;
use crate::settings::{HTTP2_CONNECTIONS_MAX, HTTP2_CROWD_MAX, IDLE_CONNECTION_AGE_MAX};

/// Connections by replica.
#[derive(Default)]
pub(super) struct Shared {
    by_life: RefCell<HashMap<Life, Crowd>>,
}

/// The connections to one replica.
#[derive(Default)]
struct Crowd {
    connections: Vec<SharedConnection>,
    /// One that is being opened; one at a time.
    opening: Option<Rc<Opening>>,
}

struct SharedConnection {
    sender: SendRequest<Bytes>,
    streams: Rc<Cell<usize>>,
    /// How many streams it took at most, when it last refused one.
    room: Rc<Cell<usize>>,
    idle_since: Option<Instant>,
}

/// What streams wait for that come while a connection is being opened.
#[derive(Default)]
struct Opening {
    is_over: Notify,
    failure: Cell<Option<Failure>>,
}

/// A stream's place on a connection; dropping it leaves.
pub(super) struct Place {
    pub(super) sender: SendRequest<Bytes>,
    streams: Rc<Cell<usize>>,
    room: Rc<Cell<usize>>,
}

/// A place, and where it came from.
pub(super) struct Joined {
    pub(super) place: Place,
    /// Whether its connection was there before.
    pub(super) is_reused: bool,
}

enum Next {
    Join(Place),
    WaitFor(Rc<Opening>),
    Open(Rc<Opening>),
}

impl Shared {
    /// A place on a connection. What comes while one is being opened shares what becomes of it.
    pub(super) async fn join(
        &self,
        life: Life,
        open: impl Future<Output = Result<SendRequest<Bytes>, Failure>>,
    ) -> Result<Joined, Failure> {
        loop {
            match self.next(life) {
                Next::Join(place) => return Ok(Joined { place, is_reused: true }),
                Next::WaitFor(opening) => {
                    // Nothing is awaited between the look and this, so that no end of it is missed.
                    opening.is_over.notified().await;
                    if let Some(failure) = opening.failure.get() {
                        return Err(failure);
                    }
                }
                Next::Open(opening) => {
                    let turn = Turn { shared: self, life, opening };
                    let opened = open.await;
                    turn.opening.failure.set(opened.as_ref().err().copied());
                    return Ok(Joined { place: self.add(life, opened?), is_reused: false });
                }
            }
        }
    }

    fn next(&self, life: Life) -> Next {
        let mut by_life = self.by_life.borrow_mut();
        let crowd = by_life.entry(life).or_default();
        crowd.connections.retain_mut(SharedConnection::is_alive);
        if let Some(connection) = crowd.connections.iter_mut().find(|connection| connection.has_room()) {
            return Next::Join(connection.place());
        }
        if let Some(opening) = &crowd.opening {
            return Next::WaitFor(Rc::clone(opening));
        }
        if crowd.connections.len() >= HTTP2_CONNECTIONS_MAX {
            // The library lets it wait until a stream ends, and the limit for its response counts already.
            let least = crowd.connections.iter_mut().min_by_key(|connection| connection.streams.get());
            if let Some(connection) = least {
                return Next::Join(connection.place());
            }
        }
        let opening = Rc::<Opening>::default();
        crowd.opening = Some(Rc::clone(&opening));
        Next::Open(opening)
    }

    fn add(&self, life: Life, sender: SendRequest<Bytes>) -> Place {
        let mut connection = SharedConnection {
            sender,
            streams: Rc::default(),
            room: Rc::new(Cell::new(HTTP2_CROWD_MAX)),
            idle_since: None,
        };
        let place = connection.place();
        self.by_life.borrow_mut().entry(life).or_default().connections.push(connection);
        place
    }

    /// Forgets the connections to everyone else; they end with their last stream.
    pub(super) fn keep_only(&self, is_kept: impl Fn(Life) -> bool) {
        self.by_life.borrow_mut().retain(|life, _| is_kept(*life));
    }

    /// Since when the one that is idle longest is so, as far as was looked.
    pub(super) fn longest_idle(&self) -> Option<Instant> {
        let by_life = self.by_life.borrow();
        let idle = by_life.values().flat_map(|crowd| &crowd.connections).filter(|one| one.streams.get() == 0);
        idle.map(|connection| connection.idle_since.unwrap_or_else(Instant::now)).min()
    }

    /// Closes that one.
    pub(super) fn close_longest_idle(&self) {
        let mut by_life = self.by_life.borrow_mut();
        let crowds = by_life.values_mut();
        let idle = crowds.flat_map(|crowd| {
            let connections = crowd.connections.iter().enumerate();
            let idle = connections.filter(|(_, one)| one.streams.get() == 0);
            // Those that were not looked at since are the youngest.
            let longest = idle.min_by_key(|(_, one)| (one.idle_since.is_none(), one.idle_since));
            longest
                .map(|(place, one)| ((one.idle_since.is_none(), one.idle_since), place))
                .map(|it| (it, crowd))
        });
        if let Some(((_, place), crowd)) = idle.min_by_key(|((since, _), _)| *since) {
            crowd.connections.swap_remove(place);
        }
    }

    /// Closes connections that nobody has needed for a while.
    pub(super) fn retire(&self, now: Instant) {
        let mut by_life = self.by_life.borrow_mut();
        for crowd in by_life.values_mut() {
            crowd.connections.retain_mut(|connection| connection.is_alive() && connection.is_young(now));
        }
        by_life.retain(|_, crowd| !crowd.connections.is_empty() || crowd.opening.is_some());
    }
}

/// Opening a connection, also if whoever does it is given up meanwhile.
struct Turn<'a> {
    shared: &'a Shared,
    life: Life,
    opening: Rc<Opening>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(crowd) = self.shared.by_life.borrow_mut().get_mut(&self.life) {
            crowd.opening = None;
        }
        self.opening.is_over.notify_waiters();
    }
}

impl SharedConnection {
    /// Whether it takes new streams at all. The library says so at once: nothing was asked of this handle
    /// that could be waited for.
    fn is_alive(&mut self) -> bool {
        if self.room.get() == 0 && self.streams.get() == 0 {
            return false;
        }
        let ready = self.sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(ready, std::task::Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        self.streams.get() < self.sender.current_max_send_streams().min(self.room.get())
    }

    fn is_young(&mut self, now: Instant) -> bool {
        if self.streams.get() > 0 {
            self.idle_since = None;
            return true;
        }
        now < *self.idle_since.get_or_insert(now) + IDLE_CONNECTION_AGE_MAX
    }

    fn place(&mut self) -> Place {
        self.idle_since = None;
        self.streams.set(self.streams.get() + 1);
        let (streams, room) = (Rc::clone(&self.streams), Rc::clone(&self.room));
        Place { sender: self.sender.clone(), streams, room }
    }
}

impl Place {
    /// Its connection takes no more than it has beside this.
    pub(super) fn was_refused(&self) {
        self.room.set(self.room.get().min(self.streams.get() - 1));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.set(self.streams.get() - 1);
    }
}
