//! A client connection as a task: its first moments (whose it is, whether it is encrypted, which protocol is
//! spoken on it), and then by turns what serves it and next to nothing.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::clients::capacity::Admission;
use crate::clients::certificate::ClientCertificate;
use crate::clients::client::{Preface, Visit};
use crate::clients::http1::{self, Served};
use crate::clients::http2;
use crate::clients::origin;
use crate::clients::proxy_protocol;
use crate::clients::queue::{Accepted, Counted};
use crate::clients::tls;
use crate::settings::ListenerSettings;
use crate::telling::handshakes::Obstacle;
use crate::wire::connection::Connection;
use crate::wire::stream::Wire;
use crate::worker::Worker;

/// A connection from its first byte to its end. While it is idle there is only this, which is small: all that
/// a request needs is made when something has come, and lives in a box of its own.
pub(crate) struct ClientTask {
    stage: Stage,
    worker: Rc<Worker>,
    _counted: Counted,
    /// When all are gone, so are the connections.
    _alive: mpsc::Sender<()>,
}

enum Stage {
    /// Something is under way. In the end the connection is idle, or over.
    Busy(Pin<Box<dyn Future<Output = Option<Idle>>>>),
    Idle(Idle),
    Over,
}

/// A connection on which nothing is under way.
struct Idle {
    wire: Wire,
    visit: Visit,
}

impl ClientTask {
    pub(crate) fn new(
        worker: &Rc<Worker>,
        stream: TcpStream,
        accepted: Accepted,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let Accepted { peer, listener, admission, counted } = accepted;
        let place = worker.idle.arrive();
        // Who has TLS chooses in the handshake, and not again.
        let may_choose = listener.is_http2 && listener.tls.is_none();
        let preface = if may_choose { Preface::BeginsHttp2 } else { Preface::Nonsense };
        let (is_tls, is_trusted) = (false, false);
        let visit = Visit {
            address: peer,
            is_tls,
            certificate: None,
            is_trusted,
            preface,
            place,
            admission,
            listener: Arc::clone(&listener),
            requests: 0,
        };
        // Without it small responses wait for acknowledgements; that it fails on a dead socket is fine.
        let _ = stream.set_nodelay(true);
        let worker = Rc::clone(worker);
        let stage = if listener.tls.is_none() && !listener.proxy_protocol {
            Stage::Idle(Idle::new(&worker, Wire::Tcp(stream), visit))
        } else {
            let worker = Rc::clone(&worker);
            Stage::Busy(Box::pin(async move { begin(&worker, stream, &listener, visit).await }))
        };
        Self { stage, worker, _counted: counted, _alive: alive }
    }
}

impl Future for ClientTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.stage {
                Stage::Busy(work) => {
                    self.stage = ready!(work.as_mut().poll(context)).map_or(Stage::Over, Stage::Idle);
                }
                Stage::Idle(idle) => {
                    let has_come = ready!(idle.poll_come(context));
                    if !has_come {
                        idle.wire.say_goodbye(context);
                    }
                    if let Stage::Idle(idle) = std::mem::replace(&mut self.stage, Stage::Over)
                        && has_come
                    {
                        let worker = Rc::clone(&self.worker);
                        self.stage = Stage::Busy(Box::pin(async move { idle.serve(&worker).await }));
                    }
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }
}

impl Idle {
    fn new(worker: &Worker, wire: Wire, mut visit: Visit) -> Self {
        visit.is_tls = !wire.is_plain();
        if let Wire::Tls(stream) = &wire {
            visit.certificate = stream.client_certificate().map(|der| Arc::new(ClientCertificate::read(der)));
        }
        visit.is_trusted = origin::is_trusted(visit.address.ip(), &worker.clients.trusted_proxies);
        Self { wire, visit }
    }

    /// Whether something has come, or else the connection is to go. What has come counts, also for one who
    /// is to go.
    fn poll_come(&self, context: &mut Context<'_>) -> Poll<bool> {
        match self.wire.poll_readable(context) {
            Poll::Pending => self.visit.place.poll_told(context).map(|_| false),
            Poll::Ready(_) => Poll::Ready(true),
        }
    }

    /// Serves what has come and what follows, until nothing does.
    async fn serve(self, worker: &Rc<Worker>) -> Option<Self> {
        let Self { wire, mut visit } = self;
        match http1::serve(worker, wire, &mut visit).await {
            Served::Idle(wire) => Some(Self { wire, visit }),
            Served::Http2(connection) => {
                Box::pin(http2::serve(worker, connection, visit)).await;
                None
            }
            Served::Over => None,
        }
    }
}

/// The first moments, unless they last too long or the room is needed.
async fn begin(
    worker: &Rc<Worker>,
    stream: TcpStream,
    listener: &ListenerSettings,
    mut visit: Visit,
) -> Option<Idle> {
    let Visit { address, admission, place, .. } = &mut visit;
    let wire = match place.unless_told(shake(stream, listener, address, admission)).await {
        Some(Ok(wire)) => wire,
        Some(Err(Unmet::Failed { obstacle, error })) => {
            worker.handshakes.tell(obstacle, visit.address, &tls::explained(&error));
            return None;
        }
        // That was counted where it was found.
        Some(Err(Unmet::TooMany)) => return None,
        None => {
            worker.handshakes.tell(Obstacle::TooSlow, visit.address, &"it did not come to an end in time");
            return None;
        }
    };
    let is_http2 = matches!(&wire, Wire::Tls(stream) if tls::is_http2(stream));
    let idle = Idle::new(worker, wire, visit);
    if is_http2 {
        let connection = Connection::new(idle.wire, &worker.buffers);
        Box::pin(http2::serve(worker, connection, idle.visit)).await;
        return None;
    }
    // The first request may have come together with the end of the handshake.
    idle.serve(worker).await
}

/// What a listener asks for and did not get.
enum Unmet {
    Failed {
        obstacle: Obstacle,
        error: io::Error,
    },
    /// Its client has as many connections as it may.
    TooMany,
}

/// What a listener asks for before the first request.
async fn shake(
    stream: TcpStream,
    listener: &ListenerSettings,
    address: &mut SocketAddr,
    admission: &mut Admission,
) -> Result<Wire, Unmet> {
    if listener.proxy_protocol {
        let read = proxy_protocol::read_source(&stream).await;
        let source = read.map_err(|error| {
            let obstacle = Obstacle::in_proxy_header(&error);
            Unmet::Failed { obstacle, error }
        })?;
        *address = source.unwrap_or(*address);
        admission.of_client(address.ip()).map_err(|_| Unmet::TooMany)?;
    }
    let Some(server) = &listener.tls else { return Ok(Wire::Tcp(stream)) };
    let accepted = server.accept(stream).await;
    accepted.map(|stream| Wire::Tls(Box::new(stream))).map_err(|error| {
        let obstacle = Obstacle::in_tls(&error);
        Unmet::Failed { obstacle, error }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tls_stream::TlsStream;

    /// Ten thousand idle connections carry it, and what they need besides: a socket and its place.
    #[test]
    fn a_connection_takes_little_memory() {
        let size = size_of::<ClientTask>();
        assert!(size <= 192, "{size} bytes");
        let size = size_of::<TlsStream>();
        assert!(size <= 1344, "{size} bytes more with TLS");
    }
}
