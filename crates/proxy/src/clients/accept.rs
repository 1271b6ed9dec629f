//! Listener sockets: where client connections come in, how many may be here at a time, and which
//! worker serves them.
//!
//! Each worker has sockets of its own and accepts by itself. The kernel spreads connections over them by
//! chance, so that a few long ones may all meet the same worker: one that has clearly more than another
//! hands a new one over before anything was read from it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::clients::handshake::welcome;
use crate::settings::{ClientSettings, ListenerSettings};
use crate::worker::Worker;

/// Connections that the kernel holds for a worker that is busy.
const BACKLOG: i32 = 4096;

/// How long a worker waits after it could not accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many connections may be on their way from one worker to another.
const HANDED_OVER_MAX: usize = 1024;

/// A worker keeps a new connection if it has at most this part more than another worker.
const SLACK: usize = 8;

/// Bound sockets, one of each listener for each worker. Nobody can connect before they are served.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<Bound>,
    workers: usize,
}

#[derive(Debug)]
struct Bound {
    settings: ListenerSettings,
    sockets: Vec<Socket>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl Listeners {
    /// Binds addresses for so many workers. With port 0 the system chooses one port for all.
    pub fn bind(listeners: &[ListenerSettings], workers: usize) -> Result<Self, ListenError> {
        let bind_all = |settings: &ListenerSettings| -> io::Result<Bound> {
            // Sockets that share a port can be joined by another program of the same user
            // without any error, so the port is first tried by one that shares nothing.
            if settings.address.port() != 0 {
                bind_one(settings.address, false)?;
            }
            let first = bind_one(settings.address, true)?;
            let address = first.local_addr()?.as_socket().unwrap_or(settings.address);
            let mut sockets = vec![first];
            for _ in 1..workers {
                sockets.push(bind_one(address, true)?);
            }
            Ok(Bound { settings: ListenerSettings { address, ..settings.clone() }, sockets })
        };
        let bind = |settings: &ListenerSettings| {
            bind_all(settings).map_err(|source| ListenError { address: settings.address, source })
        };
        let listeners = listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { listeners, workers })
    }

    /// Where clients can connect once this is served, in the order in which it was asked for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|bound| bound.settings.address).collect()
    }

    /// What each worker listens on.
    pub(crate) fn into_workers(self, clients: &ClientSettings) -> io::Result<Vec<WorkerListeners>> {
        let room = Arc::new(Semaphore::new(clients.connections_max.min(Semaphore::MAX_PERMITS)));
        let channels: Vec<_> = (0..self.workers).map(|_| mpsc::channel(HANDED_OVER_MAX)).collect();
        let desks: Vec<Desk> = channels
            .iter()
            .map(|(sender, _)| Desk { connections: Arc::default(), hand_over: sender.clone() })
            .collect();
        let mut workers: Vec<WorkerListeners> = channels
            .into_iter()
            .enumerate()
            .map(|(own, (_, handed_over))| WorkerListeners {
                sockets: Vec::new(),
                room: Arc::clone(&room),
                desks: desks.clone(),
                own,
                handed_over,
            })
            .collect();
        for bound in self.listeners {
            let settings = Arc::new(bound.settings);
            for (worker, socket) in workers.iter_mut().zip(bound.sockets) {
                socket.listen(BACKLOG)?;
                worker.sockets.push((socket.into(), Arc::clone(&settings)));
            }
        }
        Ok(workers)
    }
}

fn bind_one(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What one worker listens on, and its part in spreading connections.
pub(crate) struct WorkerListeners {
    sockets: Vec<(std::net::TcpListener, Arc<ListenerSettings>)>,
    room: Arc<Semaphore>,
    desks: Vec<Desk>,
    own: usize,
    handed_over: mpsc::Receiver<HandedOver>,
}

impl WorkerListeners {
    /// How many connections the worker has.
    pub(crate) fn connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.desks[self.own].connections)
    }
}

/// Where a worker can be given connections, and how many it has.
#[derive(Clone)]
struct Desk {
    connections: Arc<AtomicUsize>,
    hand_over: mpsc::Sender<HandedOver>,
}

/// A connection that nothing was read from yet.
pub(crate) struct Accepted {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Arc<ListenerSettings>,
    pub(crate) seat: Seat,
}

/// A connection between two workers: known to neither of their runtimes.
type HandedOver = (std::net::TcpStream, Accepted);

/// A connection's part of what is limited; dropping it leaves.
pub(crate) struct Seat {
    connections: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts and serves connections until the proxy is stopped and all of them have ended, or the
/// drain deadline has passed.
pub(crate) async fn accept(worker: Rc<Worker>, listeners: WorkerListeners) {
    let WorkerListeners { sockets, room, desks, own, mut handed_over } = listeners;
    // Every connection holds a sender; when the last is gone, so are the connections.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    let desks = Rc::new(desks);
    let mut accepting = tokio::task::JoinSet::new();
    for (socket, settings) in sockets {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "a worker could not listen");
                continue;
            }
        };
        let door = Door {
            worker: Rc::clone(&worker),
            alive: alive.clone(),
            settings,
            room: Arc::clone(&room),
            desks: Rc::clone(&desks),
            own,
        };
        accepting.spawn_local(async move { door.keep(socket).await });
    }
    drop(desks);
    let mut stop = worker.stop.clone();
    loop {
        tokio::select! {
            Some(handed_over) = handed_over.recv() => start_handed_over(&worker, handed_over, &alive),
            _ = stop.wait_for(|is_stopping| *is_stopping) => break,
        }
    }
    // From here on the others keep what they accept; what they have handed over already is served.
    handed_over.close();
    while let Some(handed_over) = handed_over.recv().await {
        start_handed_over(&worker, handed_over, &alive);
    }
    while accepting.join_next().await.is_some() {}
    drop(alive);
    let _ = tokio::time::timeout(worker.drain_deadline, all_ended.recv()).await;
}

fn start_handed_over(worker: &Rc<Worker>, (stream, accepted): HandedOver, alive: &mpsc::Sender<()>) {
    match TcpStream::from_std(stream) {
        Ok(stream) => start(worker, (stream, accepted), alive),
        Err(error) => tracing::warn!(%error, "a connection could not be served"),
    }
}

fn start(worker: &Rc<Worker>, (stream, accepted): (TcpStream, Accepted), alive: &mpsc::Sender<()>) {
    let (worker, alive) = (Rc::clone(worker), alive.clone());
    tokio::task::spawn_local(async move {
        welcome(&worker, stream, accepted).await;
        drop(alive);
    });
}

/// One listener of one worker.
struct Door {
    worker: Rc<Worker>,
    alive: mpsc::Sender<()>,
    settings: Arc<ListenerSettings>,
    room: Arc<Semaphore>,
    desks: Rc<Vec<Desk>>,
    own: usize,
}

impl Door {
    async fn keep(&self, socket: TcpListener) {
        let mut stop = self.worker.stop.clone();
        tokio::select! {
            () = self.accept_all(&socket) => {}
            _ = stop.wait_for(|is_stopping| *is_stopping) => {}
        }
        // Whom the kernel has told "connected" is served before the socket is closed.
        while let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            match tokio::time::timeout(Duration::ZERO, socket.accept()).await {
                Ok(Ok((stream, peer))) => self.take_in(stream, peer, permit),
                _ => break,
            }
        }
    }

    async fn accept_all(&self, socket: &TcpListener) {
        let mut is_failing = false;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    is_failing = false;
                    // One for whom there is no room waits here, those behind it in the kernel. Room is not
                    // taken before somebody comes: that could be what another listener is waiting for.
                    let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
                    self.take_in(stream, peer, permit);
                }
                // The client was gone again before its turn came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "cannot accept connections; trying on");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take_in(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let own = &self.desks[self.own];
        let count = own.connections.load(Ordering::Relaxed);
        let loads = self.desks.iter().map(|desk| (desk.connections.load(Ordering::Relaxed), desk));
        let least = loads.min_by_key(|(count, _)| *count);
        let desk = match least {
            Some((least, desk)) if count > least + least / SLACK => desk,
            _ => own,
        };
        desk.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { connections: Arc::clone(&desk.connections), _permit: permit };
        let accepted = Accepted { peer, listener: Arc::clone(&self.settings), seat };
        if std::ptr::eq(desk, own) {
            return start(&self.worker, (stream, accepted), &self.alive);
        }
        let handed_over = match stream.into_std() {
            Ok(stream) => (stream, accepted),
            Err(error) => return tracing::warn!(%error, "a connection could not be handed over"),
        };
        // A worker that is too busy to take it, or has ended, leaves it to us.
        if let Err(error) = desk.hand_over.try_send(handed_over) {
            start_handed_over(&self.worker, error.into_inner(), &self.alive);
        }
    }
}
