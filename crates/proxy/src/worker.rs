//! The workers: one thread each, with a runtime and state that no other worker touches.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use crate::accept::{self, Listeners};
use crate::budget::Budget;
use crate::record::{Counters, ServiceCounters};
use crate::room::Room;
use crate::settings::{LocalEndpoints, ProxySettings, ServiceSettings};
use crate::upstream::Pool;

/// A worker's state; requests of the worker share it.
pub(crate) struct Worker {
    pub(crate) services: Vec<Service>,
    pub(crate) local: Option<Arc<dyn LocalEndpoints>>,
    /// Turns true when the proxy is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) drain_deadline: Duration,
    /// From then on each answer ends its connection.
    pub(crate) is_stopping: Cell<bool>,
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

impl Listeners {
    /// Starts to listen, and to serve, with one worker for each listener.
    pub fn serve(self, settings: &ProxySettings) -> std::io::Result<ProxyHandle> {
        let (stop, stopped) = watch::channel(false);
        let rooms: Vec<Arc<Room>> = settings.services.iter().map(|_| Arc::default()).collect();
        let mut counters = ServiceCounters::default();
        let mut threads = Vec::new();
        for (number, listener) in self.into_sockets()?.into_iter().enumerate() {
            let own: Vec<Arc<Counters>> = settings.services.iter().map(|_| Arc::default()).collect();
            for (service, counter) in settings.services.iter().zip(&own) {
                counters.add(&service.name, Arc::clone(counter));
            }
            let (settings, stopped, rooms) = (settings.clone(), stopped.clone(), rooms.clone());
            let run = move || {
                let states = settings.services.into_iter().zip(own.into_iter().zip(rooms));
                let services =
                    states.map(|(settings, (counters, room))| Service::new(settings, counters, room));
                let worker = Worker {
                    services: services.collect(),
                    local: settings.local,
                    stop: stopped,
                    drain_deadline: settings.drain_deadline,
                    is_stopping: Cell::new(false),
                };
                worker.run(listener);
            };
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
    fn new(settings: ServiceSettings, counters: Arc<Counters>, room: Arc<Room>) -> Self {
        Self {
            settings,
            pool: Pool::default(),
            budget: RefCell::default(),
            counters,
            room,
            table_changed: Notify::new(),
        }
    }

    /// Follows the routing table for this worker: one wake-up from outside, then all within.
    async fn follow_table(&self) {
        loop {
            let version = {
                let table = self.settings.table.load();
                self.pool.keep_only(|life| table.replicas().any(|replica| replica.life == life));
                table.version()
            };
            self.table_changed.notify_waiters();
            self.settings.table.newer_than(version).await;
        }
    }
}

impl Worker {
    fn run(self, listener: std::net::TcpListener) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker could not start"),
        };
        let worker = Rc::new(self);
        let tasks = LocalSet::new();
        for index in 0..worker.services.len() {
            let worker = Rc::clone(&worker);
            tasks.spawn_local(async move { worker.services[index].follow_table().await });
        }
        tasks.block_on(&runtime, accept::accept(worker, listener));
    }
}
