//! The workers: one thread each, with a runtime and state that no other worker touches.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use crate::clients::accept::{self, Listeners, WorkerListeners};
use crate::replicas::upstream::Pool;
use crate::settings::{
    ClientSettings, LocalEndpoints, POOL_LOOK_INTERVAL, ProxySettings, STOP_GRACE, ServiceSettings,
};
use crate::telling::access_log::Recorder;
use crate::telling::counters::{Counters, ServiceCounters};
use crate::travel::budget::Budget;
use crate::travel::room::Room;
use crate::wire::buffers::Buffers;
use crate::wire::date::Date;
use crate::wire::deadlines::Watches;
use crate::wire::splice::Pipes;

/// A worker's state; requests of the worker share it.
pub(crate) struct Worker {
    pub(crate) services: Vec<Service>,
    pub(crate) local: Option<Arc<dyn LocalEndpoints>>,
    pub(crate) clients: ClientSettings,
    pub(crate) access_log: Option<Recorder>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) watches: Rc<Watches>,
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

/// The running proxy.
#[derive(Debug)]
pub struct ProxyHandle {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    counters: ServiceCounters,
}

/// What one worker begins with; made outside its thread.
struct Start {
    settings: ProxySettings,
    counters: Vec<Arc<Counters>>,
    rooms: Vec<Arc<Room>>,
    stop: watch::Receiver<bool>,
}

impl Listeners {
    /// Starts to listen, and to serve, with so many workers as the listeners were bound for.
    pub fn serve(self, settings: &ProxySettings) -> std::io::Result<ProxyHandle> {
        let (stop, stopped) = watch::channel(false);
        let rooms: Vec<Arc<Room>> = settings.services.iter().map(|_| Arc::default()).collect();
        let mut counters = ServiceCounters::default();
        let mut threads = Vec::new();
        for (number, listeners) in self.into_workers(&settings.clients)?.into_iter().enumerate() {
            let own: Vec<Arc<Counters>> = settings.services.iter().map(|_| Arc::default()).collect();
            for (service, counter) in settings.services.iter().zip(&own) {
                counters.add(&service.name, Arc::clone(counter));
            }
            counters.add_worker(listeners.connections());
            let start = Start {
                settings: settings.clone(),
                counters: own,
                rooms: rooms.clone(),
                stop: stopped.clone(),
            };
            let run = move || Worker::new(start).run(listeners);
            threads.push(std::thread::Builder::new().name(format!("worker-{number}")).spawn(run)?);
        }
        Ok(ProxyHandle { stop, threads, counters })
    }
}

impl ProxyHandle {
    /// The counters of all services.
    pub fn counters(&self) -> ServiceCounters {
        self.counters.clone()
    }

    /// Stops accepting, lets requests finish until the drain deadline, and returns when every
    /// worker has ended. Blocks the calling thread.
    pub fn stop(self) {
        // Workers that are gone already need not be told.
        let _ = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

impl Service {
    fn new(settings: ServiceSettings, (counters, room): (Arc<Counters>, Arc<Room>), pool: Pool) -> Self {
        Self { settings, pool, budget: RefCell::default(), counters, room, table_changed: Notify::new() }
    }

    /// Follows the routing table for this worker: one wake-up from outside, then all within.
    async fn follow_table(&self, watches: &Watches) {
        loop {
            let version = self.settings.table.load().version();
            self.tend_pool(watches.now());
            self.table_changed.notify_waiters();
            // Those who wait for a replica that was given up must hear of it.
            watches.wake_all().await;
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
    fn new(start: Start) -> Self {
        let Start { settings, counters, rooms, stop } = start;
        let buffers = Buffers::new(settings.clients.head.head_max);
        let pipes = Pipes::new(settings.clients.connections_max);
        let states = settings.services.into_iter().zip(counters.into_iter().zip(rooms));
        let service = |(settings, state): (ServiceSettings, _)| {
            let pool = Pool::new(&buffers, settings.protocol);
            Service::new(settings, state, pool)
        };
        Self {
            services: states.map(service).collect(),
            local: settings.local,
            clients: settings.clients,
            access_log: settings.access_log.map(|log| log.recorder()),
            buffers,
            pipes,
            watches: Watches::new(),
            date: Date::default(),
            gathering: Cell::new(0),
            crowd_turn: Cell::new(0),
            stop,
            drain_deadline: settings.drain_deadline,
            is_stopping: Cell::new(false),
            is_over: Cell::new(false),
        }
    }

    fn run(self, listeners: WorkerListeners) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker could not start"),
        };
        let worker = Rc::new(self);
        let tasks = LocalSet::new();
        for index in 0..worker.services.len() {
            let worker = Rc::clone(&worker);
            tasks.spawn_local(async move { worker.services[index].follow_table(&worker.watches).await });
        }
        let watches = Rc::clone(&worker.watches);
        tasks.spawn_local(async move { watches.keep().await });
        let tending = Rc::clone(&worker);
        tasks.spawn_local(async move { tending.tend_pools().await });
        let recording = Rc::clone(&worker);
        tasks.spawn_local(async move {
            if let Some(log) = &recording.access_log {
                log.flush_regularly().await;
            }
        });
        let stopping = Rc::clone(&worker);
        tasks.spawn_local(async move { stopping.follow_stop().await });
        tasks.block_on(&runtime, accept::accept(worker, listeners));
    }

    /// Of idle connections that replicas close one hears only when one looks.
    async fn tend_pools(&self) {
        loop {
            tokio::time::sleep(POOL_LOOK_INTERVAL).await;
            let now = self.watches.now();
            self.services.iter().for_each(|service| service.tend_pool(now));
        }
    }

    /// Ends what is idle, a moment after the stop: a request may be in the kernel's hands already.
    async fn follow_stop(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|is_stopping| *is_stopping).await.is_ok() {
            self.is_stopping.set(true);
            tokio::time::sleep(STOP_GRACE).await;
            self.is_over.set(true);
            self.watches.wake_all().await;
        }
    }
}
