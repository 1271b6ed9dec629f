//! How a routing table reaches those who route: one publisher replaces it, readers load it without a lock.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use event_listener::Event as Signal;
use placement::Placement;

use crate::{Replica, RoutingTable};

/// A table's one publisher and a first reader of it; readers can be cloned.
pub fn routing(first: RoutingTable) -> (Publisher, Reader) {
    let board = Arc::new(Board { table: ArcSwap::from_pointee(first), changed: Signal::new() });
    let requests_max = board.table.load().requests_max;
    (Publisher { board: Arc::clone(&board), requests_max }, Reader { board })
}

#[derive(Debug)]
struct Board {
    table: ArcSwap<RoutingTable>,
    changed: Signal,
}

/// The only one who replaces the table.
#[derive(Debug)]
pub struct Publisher {
    board: Arc<Board>,
    requests_max: u64,
}

impl Publisher {
    /// In the tables that are published from now on, no replica has more requests than this at a time.
    pub fn limit_requests(&mut self, most: u64) {
        self.requests_max = most;
    }

    /// Replaces the table by a newer one and wakes everyone who waits for a change. The arguments
    /// are those of [`RoutingTable::new`].
    pub fn publish(&mut self, placement: Placement, replicas: &[Arc<Replica>], load_factor: f64) {
        self.replace(RoutingTable::new(0, placement, replicas, load_factor));
    }

    /// As [`publish`](Self::publish), with nobody to be routed to for the time of `hold`, though the fleet
    /// has members.
    pub fn publish_held(&mut self, placement: Placement, hold: Duration) {
        let mut table = RoutingTable::new(0, placement, &[], 0.0);
        table.hold = hold;
        self.replace(table);
    }

    fn replace(&mut self, mut table: RoutingTable) {
        table.version = self.board.table.load().version + 1;
        table.requests_max = self.requests_max;
        self.board.table.store(Arc::new(table));
        self.board.changed.notify(usize::MAX);
    }
}

/// Sees the table as it is.
#[derive(Clone, Debug)]
pub struct Reader {
    board: Arc<Board>,
}

impl Reader {
    /// The table of this moment, without a lock. Not to be held across an await.
    pub fn load(&self) -> Guard<Arc<RoutingTable>> {
        self.board.table.load()
    }

    /// Waits for a table newer than `version`. Dropping the future changes nothing.
    pub async fn newer_than(&self, version: u64) {
        while self.load().version() <= version {
            let listener = self.board.changed.listen();
            if self.load().version() <= version {
                listener.await;
            }
        }
    }
}
