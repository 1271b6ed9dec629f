//! The queues between workers. The kernel spreads connections over the sockets of workers by chance, so
//! that a few long ones may all meet the same worker: one that has clearly more than another hands a new
//! one over before anything was read from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::clients::capacity::Admission;
use crate::settings::ListenerSettings;

/// How many connections may be on their way from one worker to another.
pub(crate) const HANDED_OVER_MAX: usize = 1024;

/// A worker keeps a new connection if it has at most this part more than another worker.
const SLACK: usize = 8;

/// Where a worker can be given connections, and how many it has.
#[derive(Clone)]
pub(crate) struct WorkerQueue {
    connections: Arc<AtomicUsize>,
    hand_over: mpsc::Sender<HandedOver>,
}

/// The queues of all workers, as one of them sees them.
pub(crate) struct WorkerQueues {
    all: Vec<WorkerQueue>,
    own: usize,
}

/// A connection that nothing was read from yet.
pub(crate) struct Accepted {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<ListenerSettings>,
    pub(crate) admission: Admission,
    pub(crate) counted: Counted,
}

/// A connection between two workers: known to neither of their runtimes.
pub(crate) struct HandedOver {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) accepted: Accepted,
}

/// A connection as one of its worker's; dropping it leaves.
pub(crate) struct Counted {
    connections: Arc<AtomicUsize>,
}

impl WorkerQueue {
    /// One with nobody in it.
    pub(crate) fn new(hand_over: mpsc::Sender<HandedOver>) -> Self {
        Self { connections: Arc::default(), hand_over }
    }

    /// Counts one more connection of this worker.
    pub(crate) fn count(&self) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted { connections: Arc::clone(&self.connections) }
    }

    /// Hands a connection over. A worker that is too busy to take it, or has ended, leaves it to us.
    pub(crate) fn hand_over(&self, handed_over: HandedOver) -> Result<(), HandedOver> {
        self.hand_over.try_send(handed_over).map_err(mpsc::error::TrySendError::into_inner)
    }

    fn length(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl WorkerQueues {
    /// As the worker with this number sees them.
    pub(crate) fn new(all: Vec<WorkerQueue>, own: usize) -> Self {
        Self { all, own }
    }

    /// The queue of another worker, if it has clearly fewer connections than this one.
    pub(crate) fn shorter(&self) -> Option<&WorkerQueue> {
        let own = self.own().length();
        let lengths = self.all.iter().map(|queue| (queue.length(), queue));
        let (least, queue) = lengths.min_by_key(|(length, _)| *length)?;
        (own > least + least / SLACK).then_some(queue)
    }

    /// The number of this worker.
    pub(crate) fn own_number(&self) -> usize {
        self.own
    }

    /// This worker's own.
    pub(crate) fn own(&self) -> &WorkerQueue {
        &self.all[self.own]
    }

    /// How many connections this worker has.
    pub(crate) fn connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.own().connections)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
