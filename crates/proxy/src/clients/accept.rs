//! A worker accepts connections and serves them: from its sockets, and from workers that have more.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::clients::capacity::{Admission, Capacity};
use crate::clients::handshake::ClientTask;
use crate::clients::listeners::WorkerListeners;
use crate::clients::origin;
use crate::clients::queue::{Accepted, HandedOver, WorkerQueues};
use crate::memory::measured::Connected;
use crate::settings::ListenerSettings;
use crate::telling::defences::Defence;
use crate::worker::Worker;

/// How long a worker waits after it could not accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts and serves connections until the proxy is stopped and all of them have ended, or the
/// drain deadline has passed.
pub(crate) async fn accept(worker: Rc<Worker>, listeners: WorkerListeners) {
    let WorkerListeners { sockets, capacity, queues, mut handed_over } = listeners;
    // Every connection holds a sender; when the last is gone, so are the connections.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    let queues = Rc::new(queues);
    let server = Server { worker: Rc::clone(&worker), alive };
    let mut accepting = tokio::task::JoinSet::new();
    for (socket, settings) in sockets {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "a worker could not listen");
                continue;
            }
        };
        let capacity = Arc::clone(&capacity);
        let door = Door { server: server.clone(), settings, capacity, queues: Rc::clone(&queues) };
        accepting.spawn_local(async move { door.keep(socket).await });
    }
    drop(queues);
    let mut stop = worker.stop.clone();
    loop {
        tokio::select! {
            Some(handed_over) = handed_over.recv() => server.serve_handed_over(handed_over),
            _ = stop.wait_for(|is_stopping| *is_stopping) => break,
        }
    }
    // From here on the others keep what they accept; what they have handed over already is served.
    handed_over.close();
    while let Some(handed_over) = handed_over.recv().await {
        server.serve_handed_over(handed_over);
    }
    while accepting.join_next().await.is_some() {}
    drop(server);
    let _ = tokio::time::timeout(worker.drain_deadline, all_ended.recv()).await;
}

/// Begins to serve connections, each in a task of its own.
#[derive(Clone)]
struct Server {
    worker: Rc<Worker>,
    alive: mpsc::Sender<()>,
}

impl Server {
    fn serve_handed_over(&self, handed_over: HandedOver) {
        match TcpStream::from_std(handed_over.stream) {
            Ok(stream) => self.serve(stream, handed_over.accepted),
            Err(error) => tracing::warn!(%error, "a connection could not be served"),
        }
    }

    fn serve(&self, stream: TcpStream, accepted: Accepted) {
        let holding = self.worker.memory.open(accepted.peer.ip());
        let task = ClientTask::new(&self.worker, stream, accepted, self.alive.clone());
        tokio::task::spawn_local(Connected::new(&self.worker.memory, holding, task));
    }
}

/// One listener of one worker.
struct Door {
    server: Server,
    settings: Arc<ListenerSettings>,
    capacity: Arc<Capacity>,
    queues: Rc<WorkerQueues>,
}

impl Door {
    async fn keep(&self, socket: TcpListener) {
        let mut stop = self.server.worker.stop.clone();
        tokio::select! {
            () = self.accept_all(&socket) => {}
            _ = stop.wait_for(|is_stopping| *is_stopping) => {}
        }
        // A client that the kernel has told "connected" is served before the socket is closed.
        while let Some(admission) = self.capacity.try_admit() {
            match tokio::time::timeout(Duration::ZERO, socket.accept()).await {
                Ok(Ok((_, peer))) if self.refuses(peer) => {}
                Ok(Ok((stream, peer))) => self.take_in(stream, peer, admission),
                _ => break,
            }
        }
    }

    async fn accept_all(&self, socket: &TcpListener) {
        let own = self.queues.own_number();
        let tell_oldest = || self.server.worker.idle.tell_oldest();
        let mut is_failing = false;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    is_failing = false;
                    // Whoever has its part already need not make others go.
                    if self.refuses(peer) {
                        continue;
                    }
                    // One for whom there is no room waits here, those behind it in the kernel. Room is not
                    // taken before somebody comes: that could be what another listener is waiting for.
                    let Some(admission) = self.capacity.admit(own, tell_oldest).await else { return };
                    self.take_in(stream, peer, admission);
                }
                // The client was gone again before its turn came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "cannot accept connections; trying on");
                    }
                    // Most likely descriptors are short, and somebody idle can do without one.
                    self.capacity.ask_oldest(own, tell_oldest);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Whether nobody is let in from there: it has its part of all connections, or is not believed who the
    /// clients are that it speaks for.
    fn refuses(&self, peer: SocketAddr) -> bool {
        if self.knows_client() {
            return self.capacity.refuses(peer.ip());
        }
        let is_believed = origin::is_trusted(peer.ip(), &self.settings.proxy_protocol_from);
        if !is_believed {
            self.server.worker.defences.tell(Defence::RefusedProxyProtocol, Some(peer.ip()));
        }
        !is_believed
    }

    /// Whether the other end of a connection is its client. Behind the PROXY protocol it says who is.
    fn knows_client(&self) -> bool {
        !self.settings.proxy_protocol
    }

    fn take_in(&self, stream: TcpStream, peer: SocketAddr, mut admission: Admission) {
        if self.knows_client() && admission.of_client(peer.ip()).is_err() {
            return;
        }
        let other = self.queues.shorter();
        let counted = other.unwrap_or(self.queues.own()).count();
        let accepted = Accepted { peer, listener: Arc::clone(&self.settings), admission, counted };
        let Some(other) = other else { return self.server.serve(stream, accepted) };
        let handed_over = match stream.into_std() {
            Ok(stream) => HandedOver { stream, accepted },
            Err(error) => return tracing::warn!(%error, "a connection could not be handed over"),
        };
        if let Err(handed_over) = other.hand_over(handed_over) {
            self.server.serve_handed_over(handed_over);
        }
    }
}
