//! A worker without listeners, for whoever gives it all kinds of bytes. There only with the feature `fuzzing`.
//!
//! It shows what clients leave behind and nothing else, so that the inside of a protocol can change.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::clients::capacity::Capacity;
use crate::clients::handshake::ClientTask;
use crate::clients::queue::{Accepted, HANDED_OVER_MAX, WorkerQueue};
use crate::memory::Memory;
use crate::memory::measured::Connected;
use crate::replicas::sockets::Sockets;
use crate::settings::ListenerSettings;
use crate::telling::counters::{ServiceCounters, Shared};
use crate::worker::{Start, Worker};
use crate::workers::{ProxySettings, tend};

/// A worker with a runtime of its own, whose clients are brought to it.
pub struct LoneWorker {
    runtime: Runtime,
    tasks: LocalSet,
    worker: Rc<Worker>,
    capacity: Arc<Capacity>,
    queue: WorkerQueue,
    listener: Arc<ListenerSettings>,
    _stop: watch::Sender<bool>,
}

impl LoneWorker {
    /// One that serves plain HTTP in both versions, by the first routes of these settings.
    pub fn new(settings: &ProxySettings) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let defences = Arc::default();
        let capacity = Capacity::new(&settings.clients, 1, Arc::clone(&defences));
        let queue = WorkerQueue::new(mpsc::channel(HANDED_OVER_MAX).0);
        let sockets = Arc::new(Sockets::new(settings.limits.replica_connections));
        let memory = Memory::new(settings.clients.memory_max, 1);
        let shared = Shared { defences, sockets: Arc::clone(&sockets), memory: Arc::clone(&memory) };
        let mut routes = settings.routes.clone();
        let start = Start {
            number: 0,
            capacity: Arc::clone(&capacity),
            counters: ServiceCounters::new(routes.clone(), Vec::new(), shared),
            sockets,
            local: settings.local.clone(),
            clients: settings.clients.clone(),
            access_log: settings.access_log.clone(),
            drain_deadline: settings.drain_deadline,
            stop: stopped,
            memory,
        };
        let worker = Rc::new(Worker::new(start));
        let tasks = LocalSet::new();
        tend(&worker, &tasks);
        let adopting = Rc::clone(&worker);
        tasks.block_on(&runtime, async move { adopting.adopt(routes.load()) });
        let listener = Arc::new(ListenerSettings::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        Ok(Self { runtime, tasks, worker, capacity, queue, listener, _stop: stop })
    }

    /// Serves one client, who is at the other end of this stream and does all this, until both are done.
    /// The stream must not block.
    pub fn serve(&self, stream: TcpStream, client: impl Future<Output = ()>) -> io::Result<()> {
        let peer = self.listener.address;
        self.tasks.block_on(&self.runtime, async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let mut admission = self.capacity.try_admit().ok_or(io::ErrorKind::QuotaExceeded)?;
            admission.of_client(peer.ip()).map_err(io::Error::other)?;
            let counted = self.queue.count();
            let accepted = Accepted { peer, listener: Arc::clone(&self.listener), admission, counted };
            let (alive, mut is_over) = mpsc::channel(1);
            let holding = self.worker.memory.open(peer.ip());
            let task = ClientTask::new(&self.worker, stream, accepted, alive);
            tokio::task::spawn_local(Connected::new(&self.worker.memory, holding, task));
            tokio::join!(client, is_over.recv());
            Ok(())
        })
    }

    /// How many hold on to what a worker lends out: its own tasks do, and each connection, request, place,
    /// deadline and buffer. Without clients it is always the same.
    pub fn ties(&self) -> [usize; 6] {
        let Worker { memory, buffers, pipes, deadlines, idle, .. } = &*self.worker;
        [
            Rc::strong_count(&self.worker),
            Rc::strong_count(memory),
            Rc::strong_count(buffers),
            Rc::strong_count(pipes),
            Rc::strong_count(deadlines),
            Rc::strong_count(idle),
        ]
    }

    /// Lets the tasks of requests whose connection has ended take notice of that.
    pub fn settle(&self) {
        self.tasks.block_on(&self.runtime, async {
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
        });
    }
}
