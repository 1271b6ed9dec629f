//! A worker's state, which no other worker touches, and what keeps it up to date.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::replicas::upstream::Pool;
use crate::settings::{ClientSettings, LocalEndpoints, POOL_LOOK_INTERVAL, STOP_GRACE, ServiceSettings};
use crate::telling::access_log::{AccessLog, Recorder};
use crate::telling::counters::Counters;
use crate::travel::budget::Budget;
use crate::travel::room::Room;
use crate::wire::buffers::Buffers;
use crate::wire::date::Date;
use crate::wire::deadlines::Deadlines;
use crate::wire::pipe::Pipes;

/// A worker's state; requests of the worker share it.
pub(crate) struct Worker {
    pub(crate) services: Vec<Service>,
    pub(crate) local: Option<Arc<dyn LocalEndpoints>>,
    pub(crate) clients: ClientSettings,
    pub(crate) access_log: Option<Recorder>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) date: Date,
    /// How many requests are waited for, because little of their bodies has come.
    pub(crate) gathering: Cell<usize>,
    /// Whose turn it was last, in a crowd of them.
    pub(crate) crowd_turn: Cell<u32>,
    /// Turns true when the proxy is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) drain_deadline: Duration,
    /// From then on each answer ends its connection.
    pub(crate) is_stopping: Cell<bool>,
    /// From then on idle connections end.
    pub(crate) is_over: Cell<bool>,
}

/// A service in one worker.
pub(crate) struct Service {
    pub(crate) settings: ServiceSettings,
    pub(crate) pool: Pool,
    pub(crate) budget: RefCell<Budget>,
    pub(crate) counters: Arc<Counters>,
    /// Shared by all workers; only requests that found no replica touch it.
    pub(crate) room: Arc<Room>,
    /// Wakes this worker's requests when there is a new routing table.
    pub(crate) table_changed: Notify,
}

/// What one worker begins with; made outside its thread.
pub(crate) struct Start {
    pub(crate) services: Vec<ServiceStart>,
    pub(crate) local: Option<Arc<dyn LocalEndpoints>>,
    pub(crate) clients: ClientSettings,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) drain_deadline: Duration,
    pub(crate) stop: watch::Receiver<bool>,
}

/// What a service in one worker begins with.
pub(crate) struct ServiceStart {
    pub(crate) settings: ServiceSettings,
    pub(crate) counters: Arc<Counters>,
    pub(crate) room: Arc<Room>,
}

impl Service {
    fn new(start: ServiceStart, buffers: &Rc<Buffers>) -> Self {
        let ServiceStart { settings, counters, room } = start;
        let pool = Pool::new(buffers, settings.protocol);
        Self { settings, pool, budget: RefCell::default(), counters, room, table_changed: Notify::new() }
    }

    /// Follows the routing table for this worker: one wake-up from outside, then all within.
    pub(crate) async fn follow_table(&self, deadlines: &Deadlines) {
        loop {
            let version = self.settings.table.load().version();
            self.tend_pool(deadlines.now());
            self.table_changed.notify_waiters();
            // Those who wait for a replica that was given up must hear of it.
            deadlines.wake_all().await;
            self.settings.table.newer_than(version).await;
        }
    }

    /// Drops the connections that no request will use.
    fn tend_pool(&self, now: Instant) {
        let table = self.settings.table.load();
        self.pool.keep_only(|life| table.replicas().any(|replica| replica.life == life));
        self.pool.tend(now);
    }
}

impl Worker {
    pub(crate) fn new(start: Start) -> Self {
        let Start { services, local, clients, access_log, drain_deadline, stop } = start;
        let buffers = Buffers::new(clients.head.head_max);
        let pipes = Pipes::new(clients.connections_max);
        Self {
            services: services.into_iter().map(|start| Service::new(start, &buffers)).collect(),
            local,
            clients,
            access_log: access_log.map(|log| log.recorder()),
            buffers,
            pipes,
            deadlines: Deadlines::new(),
            date: Date::default(),
            gathering: Cell::new(0),
            crowd_turn: Cell::new(0),
            stop,
            drain_deadline,
            is_stopping: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    /// Of idle connections that replicas close one hears only when one looks.
    pub(crate) async fn tend_pools(&self) {
        loop {
            tokio::time::sleep(POOL_LOOK_INTERVAL).await;
            let now = self.deadlines.now();
            self.services.iter().for_each(|service| service.tend_pool(now));
        }
    }

    /// Ends what is idle, a moment after the stop: a request may be in the kernel's hands already.
    pub(crate) async fn follow_stop(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|is_stopping| *is_stopping).await.is_ok() {
            self.is_stopping.set(true);
            tokio::time::sleep(STOP_GRACE).await;
            self.is_over.set(true);
            self.deadlines.wake_all().await;
        }
    }
}
