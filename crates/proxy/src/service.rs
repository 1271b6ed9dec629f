//! A service in one worker: its settings, and what the worker keeps for it from one request to the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use fleet::Reader;
use h1::RequestHead;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::replicas::upstream::Pool;
use crate::settings::ServiceSettings;
use crate::telling::counters::Counters;
use crate::travel::budget::Budget;
use crate::travel::routes::{Route, Routes};
use crate::travel::waiting_room::WaitingRoom;
use crate::wire::deadlines::Deadlines;

/// A service in one worker. Requests on their way hold it: what it was when they came, it is to their end.
pub(crate) struct Service {
    pub(crate) settings: Arc<ServiceSettings>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) budget: Rc<RefCell<Budget>>,
    pub(crate) counters: Arc<Counters>,
    /// Shared by all workers; only requests that found no replica touch it.
    pub(crate) room: Arc<WaitingRoom>,
    /// Wakes this worker's requests when there is a new routing table.
    pub(crate) table_changed: Rc<Notify>,
    _follower: Follower,
}

/// The services of a worker, as requests find them.
#[derive(Default)]
pub(crate) struct Services {
    /// Nothing before the first routes have come.
    routes: Option<Arc<Routes>>,
    /// In the order of the routes.
    services: Vec<Rc<Service>>,
}

/// What a service keeps when its routes change.
pub(crate) struct Kept {
    pub(crate) pool: Rc<Pool>,
    pub(crate) budget: Rc<RefCell<Budget>>,
    pub(crate) counters: Arc<Counters>,
}

impl Services {
    /// By these routes.
    pub(crate) fn new(routes: Arc<Routes>, service: impl FnMut(&Route) -> Service) -> Self {
        let services = routes.iter().map(service).map(Rc::new).collect();
        Self { routes: Some(routes), services }
    }

    /// The service that a request is for.
    pub(crate) fn find(&self, head: &RequestHead) -> Option<&Rc<Service>> {
        self.services.get(self.routes.as_ref()?.find(head)?)
    }

    /// What is kept of the one with this name.
    pub(crate) fn kept(&self, name: &str) -> Option<Kept> {
        let service = self.services.iter().find(|service| service.settings.name == name)?;
        Some(Kept {
            pool: Rc::clone(&service.pool),
            budget: Rc::clone(&service.budget),
            counters: Arc::clone(&service.counters),
        })
    }

    /// Looks at the connections to all replicas.
    pub(crate) fn tend_pools(&self, now: Instant) {
        self.services.iter().for_each(|service| tend_pool(&service.pool, &service.settings.table, now));
    }
}

impl Service {
    /// Must be called inside of the worker's tasks: it begins one that follows the routing table.
    pub(crate) fn new(route: &Route, kept: Kept, deadlines: &Rc<Deadlines>) -> Self {
        let Kept { pool, budget, counters } = kept;
        let (settings, room) = (Arc::clone(&route.settings), Arc::clone(&route.room));
        let table_changed = Rc::<Notify>::default();
        let following = Following {
            table: settings.table.clone(),
            pool: Rc::clone(&pool),
            table_changed: Rc::clone(&table_changed),
            deadlines: Rc::clone(deadlines),
        };
        let follower = Follower(tokio::task::spawn_local(following.go_on()).abort_handle());
        Self { settings, pool, budget, counters, room, table_changed, _follower: follower }
    }
}

/// The task that follows a routing table. It ends with the last who holds the service.
struct Follower(AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What that task needs. It does not hold the service, or neither would ever end.
struct Following {
    table: Reader,
    pool: Rc<Pool>,
    table_changed: Rc<Notify>,
    deadlines: Rc<Deadlines>,
}

impl Following {
    /// Follows the routing table for this worker: one wake-up from outside, then all within.
    async fn go_on(self) {
        loop {
            let version = self.table.load().version();
            tend_pool(&self.pool, &self.table, self.deadlines.now());
            self.table_changed.notify_waiters();
            // Those who wait for a replica that was given up must hear of it.
            self.deadlines.wake_all().await;
            self.table.newer_than(version).await;
        }
    }
}

/// Drops the connections that no request will use.
fn tend_pool(pool: &Pool, table: &Reader, now: Instant) {
    let table = table.load();
    pool.keep_only(|life| table.replicas().any(|replica| replica.life == life));
    pool.tend(now);
}
