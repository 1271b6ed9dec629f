//! A service in one worker: its settings, and what the worker keeps for it from one request to the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use fleet::Reader;
use h1::{OddPath, RequestHead};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::policies::protection::Guards;
use crate::policies::redirect::Redirection;
use crate::replicas::upstream::Pool;
use crate::settings::ServiceSettings;
use crate::telling::counters::Counters;
use crate::travel::budget::Budget;
use crate::travel::limits::Limits;
use crate::travel::paths::Destination;
use crate::travel::routes::rules::Way;
use crate::travel::routes::{Route, Routes};
use crate::wire::deadlines::Deadlines;

/// A service in one worker. Requests on their way hold it: what it was when they came, it is to their end.
pub(crate) struct Service {
    pub(crate) settings: Arc<ServiceSettings>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) budget: Rc<RefCell<Budget>>,
    pub(crate) counters: Arc<Counters>,
    /// Shared by all workers.
    pub(crate) limits: Arc<Limits>,
    pub(crate) guards: Arc<Guards>,
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

/// Whom a request is for.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) service: Option<Rc<Service>>,
    /// The place of its location among those of the service.
    pub(crate) location: Option<usize>,
    /// Who else may get it.
    pub(crate) companions: Companions,
    /// Where it is sent instead.
    pub(crate) redirection: Option<Arc<Redirection>>,
    /// Why it does not get there all the same.
    pub(crate) odd: Option<OddPath>,
    /// The target as the client wrote it, if it may be sent on in another form.
    pub(crate) sent: Option<Vec<u8>>,
}

/// Who has to do with the requests of another service.
#[derive(Default)]
pub(crate) struct Companions {
    /// Those that take a part of them.
    pub(crate) canaries: Vec<Rc<Service>>,
    /// Those that get copies of them.
    pub(crate) mirrors: Vec<Rc<Service>>,
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

    /// Finds the service that a request is for, and brings its path into the form in which it is sent on.
    pub(crate) fn find(&self, head: &mut RequestHead, listener: &str) -> Found {
        let Some(routes) = &self.routes else { return Found::default() };
        let Destination { way, location, odd, sent } = Destination::of(head, routes, listener);
        let found = Found { location, odd, sent, ..Found::default() };
        match way {
            Some(Way::Service(place)) => {
                let companions = routes.at(place).map(|route| self.companions(route)).unwrap_or_default();
                Found { service: self.services.get(place).cloned(), companions, ..found }
            }
            Some(Way::Redirect(place)) => Found { redirection: routes.redirection(place).cloned(), ..found },
            None => found,
        }
    }

    /// Who has to do with its requests beside it.
    fn companions(&self, route: &Route) -> Companions {
        // Without any, nothing is allocated.
        let at =
            |places: &[usize]| places.iter().filter_map(|place| self.services.get(*place).cloned()).collect();
        Companions { canaries: at(&route.canaries), mirrors: at(&route.mirrors) }
    }

    /// Whether anybody is for the host of this request, whatever its path and its listener.
    pub(crate) fn know_host(&self, head: &RequestHead) -> bool {
        self.routes.as_ref().is_some_and(|routes| routes.know_host(head))
    }

    /// The one with this name.
    pub(crate) fn named(&self, name: &str) -> Option<Rc<Service>> {
        self.services.iter().find(|service| service.settings.name == name).cloned()
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
        let (settings, limits) = (Arc::clone(&route.settings), Arc::clone(&route.limits));
        let guards = Arc::clone(&route.guards);
        let table_changed = Rc::<Notify>::default();
        let following = Following {
            table: settings.table.clone(),
            pool: Rc::clone(&pool),
            table_changed: Rc::clone(&table_changed),
            limits: Arc::clone(&limits),
            deadlines: Rc::clone(deadlines),
        };
        let follower = Follower(tokio::task::spawn_local(following.go_on()).abort_handle());
        Self { settings, pool, budget, counters, limits, guards, table_changed, _follower: follower }
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
    limits: Arc<Limits>,
    deadlines: Rc<Deadlines>,
}

impl Following {
    /// Follows the routing table for this worker: one wake-up from outside, then all within.
    async fn go_on(self) {
        loop {
            let version = self.table.load().version();
            tend_pool(&self.pool, &self.table, self.deadlines.now());
            self.table_changed.notify_waiters();
            self.limits.replicas.call_all();
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
