//! Connections to replicas: the client half of the HTTP library stays in here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use fleet::{Address, Life, Replica};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::body::RequestBody;
use crate::respond::Failure;
use crate::settings::{CONNECT_TIMEOUT, HEAD_BYTES_MAX, HEADERS_MAX, IDLE_CONNECTIONS_MAX};

/// How long to wait before knocking again at a Unix socket whose queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

type Sender = http1::SendRequest<RequestBody>;
type Idle = Rc<RefCell<HashMap<Life, Vec<Sender>>>>;

/// The idle connections of one service in one worker, by replica.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Idle,
}

/// A connection that carries one request.
pub(crate) struct Lease {
    sender: Sender,
    life: Life,
    idle: Idle,
    /// Whether it carried a request before. If it breaks, the replica may just have grown tired
    /// of an idle connection.
    pub(crate) is_reused: bool,
}

/// What became of a request that got no answer.
pub(crate) enum Unanswered {
    /// Not a byte was sent; here it is again.
    Unsent(Box<Request<RequestBody>>),
    /// Some of it may have been sent.
    Sent(hyper::Error),
}

impl Pool {
    /// The idle connection that was used last, if one is usable.
    pub(crate) fn take(&self, life: Life) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let senders = idle.get_mut(&life)?;
        // One that is not ready has an upload left over from its last request: not reused.
        let sender = std::iter::from_fn(|| senders.pop()).find(Sender::is_ready)?;
        Some(Lease { sender, life, idle: Rc::clone(&self.idle), is_reused: true })
    }

    /// A new connection.
    pub(crate) async fn connect(&self, replica: &Replica) -> Result<Lease, Failure> {
        match &replica.address {
            Address::Tcp(address) => {
                let stream = in_time(TcpStream::connect(address)).await?;
                let _ = stream.set_nodelay(true);
                self.shake_hands(replica.life, stream).await
            }
            Address::Unix(path) => self.shake_hands(replica.life, in_time(connect_unix(path)).await?).await,
        }
    }

    async fn shake_hands<S>(&self, life: Life, stream: S) -> Result<Lease, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|_| Failure::Unreachable)?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a replica ended badly");
            }
        });
        Ok(Lease { sender, life, idle: Rc::clone(&self.idle), is_reused: false })
    }

    /// Drops the idle connections to everyone else.
    pub(crate) fn keep_only(&self, is_kept: impl Fn(Life) -> bool) {
        self.idle.borrow_mut().retain(|life, _| is_kept(*life));
    }
}

async fn in_time<S>(connecting: impl Future<Output = io::Result<S>>) -> Result<S, Failure> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        // Nobody listens either where a socket has been removed.
        Ok(Err(error)) if matches!(error.kind(), ConnectionRefused | NotFound) => Err(Failure::Refused),
        Ok(Err(error)) if is_our_own(&error) => Err(Failure::OutOfSockets),
        Ok(Err(_)) | Err(_) => Err(Failure::Unreachable),
    }
}

/// Where too many wait to be accepted, a Unix socket turns the next one away; TCP lets them wait.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_PAUSE).await,
            connected => return connected,
        }
    }
}

/// Whether a connection failed for want of descriptors or ports, which is not the replica's fault.
fn is_our_own(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) || error.kind() == io::ErrorKind::AddrNotAvailable
}

impl Lease {
    /// Sends a request and returns the answer's head, its body still to come.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(request) => Unanswered::Unsent(Box::new(request)),
            None => Unanswered::Sent(error.into_error()),
        })
    }

    /// The answer was read to its end: the connection may carry another.
    pub(crate) fn give_back(self) {
        let mut idle = self.idle.borrow_mut();
        let senders = idle.entry(self.life).or_default();
        if senders.len() < IDLE_CONNECTIONS_MAX && !self.sender.is_closed() {
            senders.push(self.sender);
        }
    }
}
