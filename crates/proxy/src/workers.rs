//! The workers: one thread each, with a runtime of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::clients::accept;
use crate::clients::capacity::Capacity;
use crate::clients::listeners::{Listeners, WorkerListeners};
use crate::memory::Memory;
use crate::replicas::sockets::Sockets;
use crate::settings::{ClientSettings, FILE_READERS_MAX, LocalEndpoints, SharedLimits};
use crate::telling::access_log::AccessLog;
use crate::telling::counters::{ServiceCounters, Shared};
use crate::travel::mirrored;
use crate::travel::routes::RoutesReader;
use crate::worker::{Start, Worker};

/// What the proxy is started with.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Who is routed to.
    pub routes: RoutesReader,
    /// Requests that are answered here.
    pub local: Option<Arc<dyn LocalEndpoints>>,
    /// How long requests may go on after the proxy was told to stop.
    pub drain_deadline: Duration,
    /// What clients may do.
    pub clients: ClientSettings,
    /// Where it is written down who asked for what.
    pub access_log: Option<AccessLog>,
    /// What all services together may use.
    pub limits: SharedLimits,
}

/// The running proxy.
#[derive(Debug)]
pub struct ProxyHandle {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    counters: ServiceCounters,
}

impl Listeners {
    /// Starts to listen, and to serve, with as many workers as the listeners were bound for.
    pub fn serve(self, settings: &ProxySettings) -> std::io::Result<ProxyHandle> {
        let (stop, stopped) = watch::channel(false);
        let defences = Arc::default();
        let capacity = Capacity::new(&settings.clients, self.workers(), Arc::clone(&defences));
        let workers = self.into_workers(&capacity)?;
        let connections = workers.iter().map(WorkerListeners::connections).collect();
        let sockets = Arc::new(Sockets::new(settings.limits.replica_connections));
        settings.routes.limit_requests(settings.limits.requests);
        let memory = Memory::new(settings.clients.memory_max, workers.len());
        let shared = Shared { defences, sockets: Arc::clone(&sockets), memory: Arc::clone(&memory) };
        let counters = ServiceCounters::new(settings.routes.clone(), connections, shared);
        let mut threads = Vec::new();
        for (number, listeners) in workers.into_iter().enumerate() {
            let start = Start {
                number,
                capacity: Arc::clone(&capacity),
                counters: counters.clone(),
                sockets: Arc::clone(&sockets),
                local: settings.local.clone(),
                clients: settings.clients.clone(),
                access_log: settings.access_log.clone(),
                drain_deadline: settings.drain_deadline,
                stop: stopped.clone(),
                memory: Arc::clone(&memory),
            };
            let routes = settings.routes.clone();
            let run = move || run(start, routes, listeners);
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

fn run(start: Start, mut routes: RoutesReader, listeners: WorkerListeners) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_READERS_MAX)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a worker could not start"),
    };
    let worker = Rc::new(Worker::new(start));
    let tasks = LocalSet::new();
    tend(&worker, &tasks);
    tasks.block_on(&runtime, async move {
        worker.adopt(routes.load());
        let routing = Rc::clone(&worker);
        tokio::task::spawn_local(async move { routing.follow_routes(routes).await });
        accept::accept(worker, listeners).await;
    });
    drop(tasks);
    // A disk that hangs holds up nobody's end.
    runtime.shutdown_background();
}

/// What a worker does as long as it lives, whoever comes.
pub(crate) fn tend(worker: &Rc<Worker>, tasks: &LocalSet) {
    let deadlines = Rc::clone(&worker.deadlines);
    tasks.spawn_local(async move { deadlines.keep().await });
    let resting = Rc::clone(worker);
    tasks.spawn_local(async move { resting.idle.tend(&resting.clients.timeouts).await });
    let making_room = Rc::clone(worker);
    tasks.spawn_local(async move { making_room.idle.follow_others().await });
    let tending = Rc::clone(worker);
    tasks.spawn_local(async move { tending.tend_pools().await });
    let giving_way = Rc::clone(worker);
    tasks.spawn_local(async move { giving_way.give_way().await });
    let copying = Rc::clone(worker);
    tasks.spawn_local(async move { mirrored::send_all(&copying).await });
    let minding = Rc::clone(worker);
    tasks.spawn_local(async move { minding.memory.keep(&minding.defences).await });
    let recording = Rc::clone(worker);
    tasks.spawn_local(async move {
        if let Some(log) = &recording.access_log {
            log.flush_regularly().await;
        }
    });
    let stopping = Rc::clone(worker);
    tasks.spawn_local(async move { stopping.follow_stop().await });
}
