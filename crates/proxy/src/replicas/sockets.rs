//! Sockets for connections to replicas: as many as the open descriptors carry, for all workers together. Where
//! none is left, the connection that is idle longest makes room, and others wait in line. Nothing is connected
//! here.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use event_listener::Event;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::line::wait_in;
use crate::wire::places::{Places, UNLIMITED, Usage};

/// How many connections to replicas there may be, and who waits for one.
#[derive(Debug)]
pub(crate) struct Sockets {
    places: Places,
    /// Wakes each worker, so that it closes a connection that it does not need.
    asked: Event,
}

/// The right to one connection, for as long as it is open.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Nothing if they are not counted.
    of: Option<Arc<Sockets>>,
}

/// Connections that nobody needs now.
pub(crate) trait Spare {
    /// Since when the one that is idle longest is so.
    fn longest_idle(&self) -> Option<Instant>;

    /// Closes that one.
    fn close_longest_idle(&self);
}

/// The sockets as one worker sees them.
pub(crate) struct WorkerSockets {
    all: Arc<Sockets>,
    /// Whom they were lent to.
    pools: RefCell<Vec<Weak<dyn Spare>>>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new(UNLIMITED)
    }
}

impl Sockets {
    /// So many.
    pub(crate) fn new(most: usize) -> Self {
        Self { places: Places::new(most), asked: Event::new() }
    }

    /// How far they are used.
    pub(crate) fn usage(&self) -> Usage {
        self.places.usage()
    }
}

impl Socket {
    /// Whether others wait for one.
    pub(crate) fn is_wanted(&self) -> bool {
        self.of.as_ref().is_some_and(|sockets| !sockets.places.line.is_empty())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(sockets) = &self.of {
            sockets.places.give_back();
        }
    }
}

impl WorkerSockets {
    pub(crate) fn new(all: Arc<Sockets>) -> Rc<Self> {
        Rc::new(Self { all, pools: RefCell::default() })
    }

    /// From now on, this one is asked to make room, too.
    pub(crate) fn enroll(&self, pool: Weak<dyn Spare>) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// A socket, if one is free for which nobody waits, or comes free when the connection is closed that is
    /// idle longest.
    pub(crate) fn take(&self) -> Option<Socket> {
        if !self.all.places.are_limited() {
            return Some(Socket { of: None });
        }
        let is_taken = self.all.places.take() || (self.make_room() && self.all.places.take());
        is_taken.then(|| Socket { of: Some(Arc::clone(&self.all)) })
    }

    /// Waits for a socket. Dropping the future leaves the line.
    pub(crate) async fn wait(&self) -> Socket {
        let places = &self.all.places;
        self.all.asked.notify(usize::MAX);
        wait_in([&places.line], || {
            if places.take_in_turn() {
                return Some(());
            }
            self.all.asked.notify(usize::MAX);
            None
        })
        .await;
        places.call_next_if_free();
        Socket { of: Some(Arc::clone(&self.all)) }
    }

    /// Makes room whenever another worker needs it.
    pub(crate) async fn give_way(&self) {
        loop {
            let asked = self.all.asked.listen();
            if !self.all.places.line.is_empty() {
                self.make_room();
            }
            asked.await;
        }
    }

    /// Closes the connection of this worker that is idle longest, if there is one.
    fn make_room(&self) -> bool {
        let pools = self.pools.borrow();
        let pools = pools.iter().filter_map(Weak::upgrade);
        let idle = pools.filter_map(|pool| Some((pool.longest_idle()?, pool)));
        let longest = idle.min_by_key(|(since, _)| *since);
        let is_found = longest.is_some();
        if let Some((_, pool)) = longest {
            pool.close_longest_idle();
        }
        is_found
    }
}

/// A stream that keeps its socket until it is closed.
pub(crate) struct Holding<S> {
    stream: S,
    _socket: Socket,
}

impl<S> Holding<S> {
    pub(crate) fn new(stream: S, socket: Socket) -> Self {
        Self { stream, _socket: socket }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Holding<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Holding<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    /// Has one idle connection, or none any more.
    struct Pool {
        since: Instant,
        idle: Cell<Option<Socket>>,
    }

    impl Spare for Pool {
        fn longest_idle(&self) -> Option<Instant> {
            let idle = self.idle.take();
            let since = idle.as_ref().map(|_| self.since);
            self.idle.set(idle);
            since
        }

        fn close_longest_idle(&self) {
            self.idle.take();
        }
    }

    fn pool(worker: &WorkerSockets, since: Instant) -> Rc<Pool> {
        let pool = Rc::new(Pool { since, idle: Cell::new(worker.take()) });
        let weak: Weak<Pool> = Rc::downgrade(&pool);
        worker.enroll(weak);
        pool
    }

    fn is_idle(pool: &Pool) -> bool {
        pool.longest_idle().is_some()
    }

    #[test]
    fn the_connection_that_is_idle_longest_makes_room() {
        let worker = WorkerSockets::new(Arc::new(Sockets::new(2)));
        let now = Instant::now();
        let [old, older] = [pool(&worker, now), pool(&worker, now - Duration::from_secs(1))];
        let first = worker.take();
        assert!(first.is_some() && is_idle(&old) && !is_idle(&older));
        let second = worker.take();
        assert!(second.is_some() && !is_idle(&old));
        assert!(worker.take().is_none(), "all are in use");
        drop(first);
        assert!(worker.take().is_some());
    }

    #[test]
    fn another_worker_gives_way_to_those_who_wait() {
        let all = Arc::new(Sockets::new(1));
        let [here, there] = [(); 2].map(|()| WorkerSockets::new(Arc::clone(&all)));
        let idle = pool(&there, Instant::now());
        assert!(here.take().is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let test = async {
            tokio::select! {
                biased;
                () = there.give_way() => None,
                socket = here.wait() => Some(socket),
            }
        };
        let test = async { tokio::time::timeout(Duration::from_secs(30), test).await };
        let socket = runtime.block_on(test).unwrap();
        assert!(socket.is_some() && !is_idle(&idle) && !socket.unwrap().is_wanted());
        assert_eq!(all.usage(), Usage { taken: 0, most: 1 });
    }

    #[test]
    fn sockets_without_a_limit_are_not_counted() {
        let worker = WorkerSockets::new(Arc::default());
        let taken: Vec<_> = (0..100).map(|_| worker.take()).collect();
        assert!(taken.iter().all(Option::is_some) && worker.all.usage().taken == 0);
    }
}
