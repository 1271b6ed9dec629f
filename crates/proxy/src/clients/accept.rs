//! A worker accepts connections and serves them: from its sockets, and from workers that have more.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::clients::handshake;
use crate::clients::listeners::WorkerListeners;
use crate::clients::queue::{Accepted, HandedOver, WorkerQueues};
use crate::settings::ListenerSettings;
use crate::worker::Worker;

/// How long a worker waits after it could not accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts and serves connections until the proxy is stopped and all of them have ended, or the
/// drain deadline has passed.
pub(crate) async fn accept(worker: Rc<Worker>, listeners: WorkerListeners) {
    let WorkerListeners { sockets, room, queues, mut handed_over } = listeners;
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
        let room = Arc::clone(&room);
        let door = Door { server: server.clone(), settings, room, queues: Rc::clone(&queues) };
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
        let Self { worker, alive } = self.clone();
        tokio::task::spawn_local(async move {
            handshake::serve(&worker, stream, accepted).await;
            drop(alive);
        });
    }
}

/// One listener of one worker.
struct Door {
    server: Server,
    settings: Arc<ListenerSettings>,
    room: Arc<Semaphore>,
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
        let other = self.queues.shorter();
        let admission = other.unwrap_or(self.queues.own()).admit(permit);
        let accepted = Accepted { peer, listener: Arc::clone(&self.settings), admission };
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
