//! Listener sockets and client connections: the server half of the HTTP library stays in here.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::body::AnswerBody;
use crate::forward::Client;
use crate::route;
use crate::settings::{CLIENT_HEAD_TIMEOUT, HEAD_BYTES_MAX, HEADERS_MAX, STOP_GRACE};
use crate::worker::Worker;

/// Connections that the kernel holds for a worker that is busy.
const BACKLOG: i32 = 4096;

/// How long a worker waits after it could not accept, for descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Bound sockets, one for each worker. Nobody can connect before they are served.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<Socket>,
    address: SocketAddr,
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
    /// Binds an address for so many workers. With port 0 the system chooses one port for all.
    pub fn bind(address: SocketAddr, workers: usize) -> Result<Self, ListenError> {
        let bind_all = || -> io::Result<Self> {
            // Sockets that share a port can be joined by another program of the same user
            // without any error, so the port is first tried by one that shares nothing.
            if address.port() != 0 {
                bind_one(address, false)?;
            }
            let first = bind_one(address, true)?;
            let address = first.local_addr()?.as_socket().unwrap_or(address);
            let mut sockets = vec![first];
            for _ in 1..workers {
                sockets.push(bind_one(address, true)?);
            }
            Ok(Self { sockets, address })
        };
        bind_all().map_err(|source| ListenError { address, source })
    }

    /// Where clients can connect once this is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn into_sockets(self) -> io::Result<Vec<TcpListener>> {
        let listen = |socket: Socket| {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        };
        self.sockets.into_iter().map(listen).collect()
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

/// Accepts and serves connections until the proxy is stopped and all of them have ended, or the
/// drain deadline has passed.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a worker could not listen"),
    };
    // Every connection holds a sender; when the last is gone, so are the connections.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    let mut stop = worker.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|is_stopping| *is_stopping) => break,
        };
        match accepted {
            Ok((stream, peer)) => start(&worker, stream, peer, &alive),
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    worker.is_stopping.set(true);
    // Whom the kernel has told "connected" is served before the socket is closed.
    while let Ok(Ok((stream, peer))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        start(&worker, stream, peer, &alive);
    }
    drop((listener, alive));
    let _ = tokio::time::timeout(worker.drain_deadline, all_ended.recv()).await;
}

fn start(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, alive: &mpsc::Sender<()>) {
    let (worker, alive) = (Rc::clone(worker), alive.clone());
    tokio::task::spawn_local(async move {
        serve(worker, stream, peer).await;
        drop(alive);
    });
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    // Without it small answers wait for acknowledgements; that it fails on a dead socket is fine.
    let _ = stream.set_nodelay(true);
    let mut stop = worker.stop.clone();
    let shared = Rc::new((worker, Client::new(peer)));
    let answer = service_fn(move |request: Request<Incoming>| {
        let shared = Rc::clone(&shared);
        async move { Ok::<Response<AnswerBody>, Infallible>(route::answer(&shared.0, request, &shared.1).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.wait_for(|is_stopping| *is_stopping) => {
            // The library closes a connection at once that looks idle to it, also one whose
            // request it has not read yet.
            match tokio::time::timeout(STOP_GRACE, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a client connection ended badly");
    }
}
