//! A worker's state, which no other worker touches, and what keeps it up to date.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use h1::RequestHead;
use tokio::sync::watch;

use crate::clients::capacity::Capacity;
use crate::clients::idle::IdleConnections;
use crate::memory::{Ledger, Memory};
use crate::policies::compression::permit::Compressing;
use crate::replicas::sockets::{Sockets, WorkerSockets};
use crate::replicas::upstream::Pool;
use crate::service::{Found, Kept, Service, Services};
use crate::settings::{ClientSettings, LocalEndpoints, POOL_LOOK_INTERVAL, STOP_GRACE};
use crate::telling::access_log::{AccessLog, Recorder};
use crate::telling::counters::ServiceCounters;
use crate::telling::defences::Defences;
use crate::telling::garbled::GarbledLog;
use crate::telling::handshakes::Handshakes;
use crate::telling::loss::LossLog;
use crate::telling::policies::PolicyTally;
use crate::telling::refusals::Refusals;
use crate::telling::unread::UnreadLog;
use crate::travel::copies::Copies;
use crate::travel::routes::{Route, Routes, RoutesReader};
use crate::wire::buffers::Buffers;
use crate::wire::date::Date;
use crate::wire::deadlines::Deadlines;
use crate::wire::pipe::Pipes;

/// A worker's state; requests of the worker share it.
pub(crate) struct Worker {
    services: RefCell<Services>,
    counters: ServiceCounters,
    pub(crate) defences: Arc<Defences>,
    pub(crate) refusals: Arc<Refusals>,
    /// What policies did with requests that no service is for.
    pub(crate) policies: Arc<PolicyTally>,
    pub(crate) handshakes: Arc<Handshakes>,
    pub(crate) local: Option<Arc<dyn LocalEndpoints>>,
    pub(crate) clients: ClientSettings,
    pub(crate) access_log: Option<Recorder>,
    pub(crate) losses: LossLog,
    pub(crate) unread: UnreadLog,
    pub(crate) garbled: Arc<GarbledLog>,
    /// How many connections are closing whose clients still send.
    pub(crate) lingering: Cell<usize>,
    /// How many responses are being compressed.
    pub(crate) compressing: Rc<Compressing>,
    /// Copies of requests, for mirrors.
    pub(crate) copies: Copies,
    pub(crate) sockets: Rc<WorkerSockets>,
    pub(crate) memory: Rc<Ledger>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) idle: Rc<IdleConnections>,
    pub(crate) date: Date,
    /// How many requests are waited for, because little of their bodies has come.
    pub(crate) buffering: Cell<usize>,
    /// Whose turn it was last, in a crowd of them.
    pub(crate) buffering_turn: Cell<u32>,
    /// Turns true when the proxy is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) drain_deadline: Duration,
    /// From then on each response ends its connection.
    pub(crate) is_stopping: Cell<bool>,
    /// From then on idle connections end.
    pub(crate) is_over: Cell<bool>,
}

/// What one worker begins with.
pub(crate) struct Start {
    /// Which of the workers it is.
    pub(crate) number: usize,
    pub(crate) capacity: Arc<Capacity>,
    /// Where counters are kept for whoever asks.
    pub(crate) counters: ServiceCounters,
    /// For connections to replicas, of all workers.
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) local: Option<Arc<dyn LocalEndpoints>>,
    pub(crate) clients: ClientSettings,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) drain_deadline: Duration,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) memory: Arc<Memory>,
}

impl Worker {
    /// Must be made on the thread that it works on.
    pub(crate) fn new(start: Start) -> Self {
        let Start { number, capacity, counters, sockets, local, clients, access_log, drain_deadline, .. } =
            start;
        let memory = Ledger::new(start.memory, number == 0);
        let stop = start.stop;
        let buffers = Buffers::new(clients.head.head_max, &memory);
        let pipes = Pipes::new(clients.connections_max);
        let deadlines = Deadlines::new();
        let idle = IdleConnections::new(&deadlines, capacity, number);
        Self {
            services: RefCell::default(),
            defences: Arc::clone(&counters.defences),
            refusals: Arc::clone(&counters.refusals),
            policies: Arc::clone(&counters.policies),
            handshakes: Arc::clone(&counters.handshakes),
            garbled: Arc::clone(&counters.garbled),
            counters,
            local,
            clients,
            access_log: access_log.map(|log| log.recorder()),
            losses: LossLog::default(),
            unread: UnreadLog::default(),
            lingering: Cell::new(0),
            compressing: Rc::default(),
            copies: Copies::default(),
            sockets: WorkerSockets::new(sockets),
            memory,
            buffers,
            pipes,
            deadlines,
            idle,
            date: Date::default(),
            buffering: Cell::new(0),
            buffering_turn: Cell::new(0),
            stop,
            drain_deadline,
            is_stopping: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    /// Finds the service that a request is for, and brings its path into the form in which it is sent on.
    pub(crate) fn find(&self, head: &mut RequestHead, listener: &str) -> Found {
        self.services.borrow().find(head, listener)
    }

    /// The service with this name.
    pub(crate) fn service(&self, name: &str) -> Option<Rc<Service>> {
        self.services.borrow().named(name)
    }

    /// Whether anybody is for the host of this request, whatever its path and its listener.
    pub(crate) fn knows_host(&self, head: &RequestHead) -> bool {
        self.services.borrow().know_host(head)
    }

    /// Routes by these from now on. A service that stays keeps what this worker knows about it; a removed
    /// one ends when its last request is done. Must be called inside of the worker's tasks.
    pub(crate) fn adopt(&self, routes: Arc<Routes>) {
        let services = Services::new(routes, |route| Service::new(route, self.kept(route), &self.deadlines));
        // Dropped when nobody looks at the new ones any more.
        let _former = self.services.replace(services);
    }

    fn kept(&self, route: &Route) -> Kept {
        let settings = &route.settings;
        let new_pool = || Pool::new(&self.buffers, settings.protocol, &self.sockets);
        match self.services.borrow().kept(&settings.name) {
            // Connections for another protocol are of no use.
            Some(kept) if kept.pool.protocol() != settings.protocol => Kept { pool: new_pool(), ..kept },
            Some(kept) => kept,
            None => Kept {
                pool: new_pool(),
                budget: Rc::default(),
                counters: self.counters.register(&settings.name),
            },
        }
    }

    /// Adopts all routes that are published.
    pub(crate) async fn follow_routes(&self, mut reader: RoutesReader) {
        while let Some(routes) = reader.next().await {
            self.adopt(routes);
        }
    }

    /// Of idle connections that replicas close one hears only when one looks.
    pub(crate) async fn tend_pools(&self) {
        loop {
            tokio::time::sleep(POOL_LOOK_INTERVAL).await;
            self.buffers.give_back();
            self.services.borrow().tend_pools(self.deadlines.now());
        }
    }

    /// Closes connections to replicas that nobody needs when another worker has none left.
    pub(crate) async fn give_way(&self) {
        self.sockets.give_way().await;
    }

    /// Ends what is idle, a moment after the stop: a request may be in the kernel's hands already.
    pub(crate) async fn follow_stop(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|is_stopping| *is_stopping).await.is_ok() {
            self.is_stopping.set(true);
            tokio::time::sleep(STOP_GRACE).await;
            self.is_over.set(true);
            self.idle.close().await;
            self.deadlines.wake_all().await;
        }
    }
}
