//! Connections to replicas.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fleet::{Address, Life, NoConnection, Replica};
use h1::{BodyLength, Fields, HeadLimits, RequestHead, ResponseHead, Underscores};
use h2::client::SendRequest;
use tokio::net::{TcpStream, UnixStream};

use crate::replicas::idle::Idle;
use crate::respond::failure::Failure;
use crate::settings::Protocol;
use crate::wire::buffers::Buffers;
use crate::wire::connection::{Connection, HeadFault, Unsent};
use crate::wire::deadlines::Deadline;
use crate::wire::forward::{self, Passage};
use crate::wire::peer::{Broken, Peer};
use crate::wire::stream::Wire;
use by_seat::{BySeat, Holder};
use http2::Http2Stream;
use shared::{Joined, Shared};

/// How long to wait before a Unix socket is tried again whose queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

mod by_seat;
mod http2;
mod shared;

type IdleBySeat = Rc<RefCell<BySeat<Idle>>>;

/// The idle connections of one service in one worker, by replica.
pub(crate) struct Pool {
    idle: IdleBySeat,
    /// HTTP/2 connections, each for many requests at a time.
    shared: Shared,
    buffers: Rc<Buffers>,
    limits: HeadLimits,
    protocol: Protocol,
}

/// A connection that carries one request, or a part of one that carries many.
pub(crate) struct Lease {
    link: Link,
    holder: Holder,
    idle: IdleBySeat,
    limits: HeadLimits,
    /// How long it was idle, if it carried a request before. If it breaks, the replica may just have
    /// grown tired of it.
    idle_for: Option<Duration>,
}

#[allow(clippy::large_enum_variant, reason = "the larger one is the usual one")]
enum Link {
    Http1(Connection),
    Http2(Box<Http2Stream>),
}

impl Pool {
    pub(crate) fn new(buffers: &Rc<Buffers>, protocol: Protocol) -> Self {
        // Responses may have any names; only requests could pretend to come from a proxy.
        let limits = HeadLimits { underscores: Underscores::Keep, ..HeadLimits::default() };
        Self { idle: Rc::default(), shared: Shared::default(), buffers: Rc::clone(buffers), limits, protocol }
    }

    /// What is spoken on its connections.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The idle connection that was used last, if one is usable; `is_careful` as for [`Idle::take`].
    /// Connections for many requests are never idle in this sense.
    pub(crate) async fn take(&self, replica: &Replica, is_careful: bool) -> Option<Lease> {
        let holder = Holder { seat: replica.seat, life: replica.life };
        poll_fn(|context| {
            let mut idle = self.idle.borrow_mut();
            let taken = idle.get_mut(holder).and_then(|idle| idle.take(context, is_careful));
            let lease = |(connection, idle_for)| self.lease(Link::Http1(connection), holder, Some(idle_for));
            Poll::Ready(taken.map(lease))
        })
        .await
    }

    /// A new connection, or a part of one that is there or is being opened.
    pub(crate) async fn connect(&self, replica: &Replica, timeout: Duration) -> Result<Lease, Failure> {
        let holder = Holder { seat: replica.seat, life: replica.life };
        if self.protocol == Protocol::H2c {
            // In a box: every connection of a client would otherwise carry the room that this needs.
            let joined = Box::pin(self.shared.join(replica.life, self.open_http2(&replica.address, timeout)));
            let Joined { place, is_reused } = joined.await?;
            let idle_for = is_reused.then_some(Duration::ZERO);
            return Ok(self.lease(Link::Http2(Box::new(Http2Stream::new(place))), holder, idle_for));
        }
        let wire = match &replica.address {
            Address::Tcp(address) => Wire::Tcp(connect_tcp(*address, timeout).await?),
            Address::Unix(path) => Wire::Unix(in_time(timeout, connect_unix(path)).await?),
        };
        Ok(self.lease(Link::Http1(Connection::new(wire, &self.buffers)), holder, None))
    }

    async fn open_http2(&self, address: &Address, timeout: Duration) -> Result<SendRequest<Bytes>, Failure> {
        let limits = &self.limits;
        match address {
            Address::Tcp(address) => {
                http2::connect(connect_tcp(*address, timeout).await?, limits, timeout).await
            }
            Address::Unix(path) => {
                http2::connect(in_time(timeout, connect_unix(path)).await?, limits, timeout).await
            }
        }
    }

    /// Drops the idle connections to everyone else.
    pub(crate) fn keep_only(&self, is_kept: impl Fn(Life) -> bool) {
        self.idle.borrow_mut().keep_only(&is_kept);
        self.shared.keep_only(is_kept);
    }

    /// Closes connections that nobody has needed for a while, and those that are closed at the other end.
    pub(crate) fn tend(&self, now: Instant) {
        let mut nobody = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().values_mut().for_each(|idle| idle.look(&mut nobody));
        self.shared.retire(now);
    }

    fn lease(&self, link: Link, holder: Holder, idle_for: Option<Duration>) -> Lease {
        Lease { link, holder, idle: Rc::clone(&self.idle), limits: self.limits.clone(), idle_for }
    }
}

async fn connect_tcp(address: SocketAddr, timeout: Duration) -> Result<TcpStream, Failure> {
    let stream = in_time(timeout, TcpStream::connect(address)).await?;
    // On a socket that is gone already it does not matter.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn in_time<S>(
    timeout: Duration,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, Failure> {
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match NoConnection::of(&error) {
            NoConnection::Refused => Failure::Refused,
            NoConnection::OutOfSockets => Failure::OutOfSockets,
            NoConnection::Unreachable => Failure::Unreachable,
        }),
        Err(_) => Err(Failure::Unreachable),
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

impl Lease {
    /// Begins a request: its head is sent with what follows.
    pub(crate) fn begin_request(&mut self, head: &RequestHead, passage: &Passage<'_>) -> Result<(), Failure> {
        match &mut self.link {
            Link::Http1(connection) => {
                connection.bytes_sent = 0;
                connection.expect_head();
                forward::write_request(connection.output(), head, passage);
                connection.promise_body(head.body());
                Ok(())
            }
            Link::Http2(stream) => stream.begin_request(head, passage).map_err(Failure::BadHead),
        }
    }

    /// Goes on with a request that was begun on another connection.
    pub(crate) fn resume_request(&mut self, begun: Unsent) {
        match &mut self.link {
            Link::Http1(connection) => {
                connection.bytes_sent = 0;
                connection.expect_head();
                connection.take_over(begun);
            }
            // Nothing is ever taken back from one.
            Link::Http2(_) => {}
        }
    }

    /// Takes the request back, if nothing of it was sent.
    pub(crate) fn take_back(&mut self) -> Option<Unsent> {
        match &mut self.link {
            Link::Http1(connection) => connection.take_back(),
            Link::Http2(_) => None,
        }
    }

    /// Whether a request of which nothing was sent may go to the same replica again: what broke was a
    /// connection that others have used before.
    pub(crate) fn was_worn(&self) -> bool {
        let is_refused = matches!(&self.link, Link::Http2(stream) if stream.is_refused);
        self.is_reused() && !is_refused
    }

    /// Whether any of the request may have reached the replica.
    pub(crate) fn has_sent(&self) -> bool {
        match &self.link {
            Link::Http1(connection) => connection.bytes_sent > 0,
            Link::Http2(stream) => stream.has_sent,
        }
    }

    /// The head of the next response, interim or final.
    pub(crate) fn poll_response(
        &mut self,
        context: &mut Context<'_>,
        response: &mut ResponseHead,
    ) -> Poll<Result<(), Broken>> {
        let connection = match &mut self.link {
            Link::Http1(connection) => connection,
            Link::Http2(stream) => return stream.poll_response(context, response, &self.limits),
        };
        let parsed = match ready!(connection.poll_head(context, &self.limits)) {
            Ok(length) => {
                let parsed = response.parse(&connection.input.bytes()[..length], &self.limits);
                connection.input.consume(length);
                connection.expect_head();
                parsed
            }
            Err(HeadFault::Bad(fault)) => Err(fault),
            Err(HeadFault::Ended | HeadFault::Lost) => return Poll::Ready(Err(Broken::Gone)),
        };
        Poll::Ready(parsed.map_err(|fault| {
            tracing::debug!(%fault, "the head of a replica's answer does not pass");
            Broken::Garbled
        }))
    }

    /// The final head has come, and a body of this length follows it.
    pub(crate) fn expect_body(&mut self, length: BodyLength) {
        match &mut self.link {
            Link::Http1(connection) => connection.expect_body(length),
            // The library knows.
            Link::Http2(_) => {}
        }
    }

    /// The final head has come, and nobody wants what follows it. Whether its end is near enough for the
    /// connection to be used again.
    pub(crate) async fn discard_body(&mut self, length: BodyLength, deadline: &Deadline) -> bool {
        match &mut self.link {
            Link::Http1(connection) => {
                connection.expect_body(length);
                connection.discard_body(deadline).await
            }
            // Its stream is given up, and the connection goes on.
            Link::Http2(_) => true,
        }
    }

    /// The connection that has nothing but this response on it, if there is one.
    pub(crate) fn own_connection(&mut self) -> Option<&mut Connection> {
        match &mut self.link {
            Link::Http1(connection) => Some(connection),
            Link::Http2(_) => None,
        }
    }

    /// Both sides change to another protocol. HTTP/2 has none of that.
    pub(crate) fn become_raw(&mut self) {
        match &mut self.link {
            Link::Http1(connection) => connection.become_raw(),
            Link::Http2(_) => {}
        }
    }

    /// Says that nothing more will be sent, after a change of protocol.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.link {
            Link::Http1(connection) => connection.wire.poll_shutdown(context).map(drop),
            Link::Http2(_) => Poll::Ready(()),
        }
    }

    /// The exchange is over, and all of the request was sent: the connection may carry another, if all of
    /// the response was read, nothing came behind it, and nobody wants to close.
    pub(crate) fn give_back(self, response: &ResponseHead) {
        let connection = match self.link {
            Link::Http1(connection) => connection,
            // Its connection was never taken away.
            Link::Http2(_) => return,
        };
        let is_usable = response.keeps_alive() && connection.is_body_read() && connection.is_clean();
        if !is_usable {
            return;
        }
        self.idle.borrow_mut().of(self.holder).put(connection);
    }

    /// Whether it carried a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.idle_for.is_some()
    }

    /// It broke before a response came.
    pub(crate) fn broke(&self) {
        if let Some(idle_for) = self.idle_for {
            self.idle.borrow_mut().of(self.holder).broke_after(idle_for);
        }
    }
}

impl Peer for Lease {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        match &mut self.link {
            Link::Http1(connection) => connection.poll_body(context),
            Link::Http2(stream) => stream.incoming.poll_body(context),
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.link {
            Link::Http1(connection) => connection.consume(count),
            Link::Http2(stream) => stream.incoming.consume(count),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        match &self.link {
            Link::Http1(connection) => connection.trailers(),
            Link::Http2(stream) => stream.trailers(),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        match &mut self.link {
            Link::Http1(connection) => connection.poll_send(context, bytes),
            Link::Http2(stream) => stream.outgoing.poll_send(context, bytes),
        }
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        match &mut self.link {
            Link::Http1(connection) => connection.finish(trailers),
            Link::Http2(stream) => stream.outgoing.finish(trailers),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match &mut self.link {
            Link::Http1(connection) => connection.poll_flush(context),
            Link::Http2(_) => Poll::Ready(Ok(())),
        }
    }
}
