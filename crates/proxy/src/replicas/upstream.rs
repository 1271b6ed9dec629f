//! Connections to replicas.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fleet::{Address, Life, Replica};
use h1::{BodyLength, HeadLimits, RequestHead, ResponseHead, Underscores};
use h2::client::SendRequest;

use crate::replicas::idle::{Idle, Taken};
use crate::replicas::sockets::{Holding, Socket, Spare, WorkerSockets};
use crate::respond::failure::Failure;
use crate::respond::limit::Limit;
use crate::settings::Protocol;
use crate::telling::garbled::BrokenRule;
use crate::wire::buffers::Buffers;
use crate::wire::connection::{Connection, HeadFault, Unsent};
use crate::wire::deadlines::Deadline;
use crate::wire::forward::{self, Passage};
use crate::wire::peer::Broken;
use crate::wire::stream::Wire;
use by_seat::{BySeat, Holder};
use connect::{tcp, unix};
use http2::Http2Stream;
use shared::{Joined, Shared};

mod by_seat;
mod connect;
mod body;
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
    sockets: Rc<WorkerSockets>,
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
    /// What was wrong with a head that came, if something was.
    broken_rule: Option<BrokenRule>,
}

#[allow(clippy::large_enum_variant, reason = "the larger one is the usual one")]
enum Link {
    Http1(Connection, Socket),
    Http2(Box<Http2Stream>),
}

impl Pool {
    pub(crate) fn new(buffers: &Rc<Buffers>, protocol: Protocol, sockets: &Rc<WorkerSockets>) -> Rc<Self> {
        // Responses may have any names; only requests could pretend to come from a proxy.
        let limits = HeadLimits { underscores: Underscores::Keep, ..HeadLimits::default() };
        let pool = Rc::new(Self {
            idle: Rc::default(),
            shared: Shared::default(),
            buffers: Rc::clone(buffers),
            limits,
            protocol,
            sockets: Rc::clone(sockets),
        });
        let weak: Weak<Self> = Rc::downgrade(&pool);
        sockets.enroll(weak);
        pool
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
            Poll::Ready(taken.map(|taken| {
                let Taken { connection, socket, idle_for } = taken;
                self.lease(Link::Http1(connection, socket), holder, Some(idle_for))
            }))
        })
        .await
    }

    /// Waits for the socket of a new connection.
    pub(crate) async fn wait_for_socket(&self) -> Socket {
        self.sockets.wait().await
    }

    /// A new connection, or a part of one that is there or is being opened; over this socket, if there is one
    /// already and it is needed.
    pub(crate) async fn connect(
        &self,
        replica: &Replica,
        timeout: Duration,
        socket: Option<Socket>,
    ) -> Result<Lease, Failure> {
        let holder = Holder { seat: replica.seat, life: replica.life };
        if self.protocol == Protocol::H2c {
            // In a box: every connection of a client would otherwise carry the room that this needs.
            let joined =
                Box::pin(self.shared.join(replica.life, self.open_http2(&replica.address, timeout, socket)));
            let Joined { place, is_reused } = joined.await?;
            let idle_for = is_reused.then_some(Duration::ZERO);
            return Ok(self.lease(Link::Http2(Box::new(Http2Stream::new(place))), holder, idle_for));
        }
        let socket = self.socket(socket)?;
        let wire = match &replica.address {
            Address::Tcp(address) => Wire::Tcp(tcp(*address, timeout).await?),
            Address::Unix(path) => Wire::Unix(unix(path, timeout).await?),
        };
        Ok(self.lease(Link::Http1(Connection::new(wire, &self.buffers), socket), holder, None))
    }

    async fn open_http2(
        &self,
        address: &Address,
        timeout: Duration,
        socket: Option<Socket>,
    ) -> Result<SendRequest<Bytes>, Failure> {
        let (limits, socket) = (&self.limits, self.socket(socket)?);
        match address {
            Address::Tcp(address) => {
                let stream = tcp(*address, timeout).await?;
                http2::connect(Holding::new(stream, socket), limits, timeout).await
            }
            Address::Unix(path) => {
                let stream = unix(path, timeout).await?;
                http2::connect(Holding::new(stream, socket), limits, timeout).await
            }
        }
    }

    /// The one that was waited for, or one that is free.
    fn socket(&self, waited_for: Option<Socket>) -> Result<Socket, Failure> {
        waited_for.or_else(|| self.sockets.take()).ok_or(Failure::TooMany(Limit::ReplicaConnections))
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
        Lease {
            link,
            holder,
            idle: Rc::clone(&self.idle),
            limits: self.limits.clone(),
            idle_for,
            broken_rule: None,
        }
    }
}

impl Spare for Pool {
    fn longest_idle(&self) -> Option<Instant> {
        let idle = self.idle.borrow_mut().values_mut().filter_map(|idle| idle.longest()).min();
        idle.into_iter().chain(self.shared.longest_idle()).min()
    }

    fn close_longest_idle(&self) {
        match self.protocol {
            Protocol::H2c => self.shared.close_longest_idle(),
            Protocol::Http1 => {
                let mut idle = self.idle.borrow_mut();
                let with_any = idle.values_mut().filter_map(|idle| Some((idle.longest()?, idle)));
                if let Some((_, idle)) = with_any.min_by_key(|(since, _)| *since) {
                    idle.close_longest();
                }
            }
        }
    }
}

impl Lease {
    /// Begins a request: its head is sent with what follows.
    pub(crate) fn begin_request(&mut self, head: &RequestHead, passage: &Passage<'_>) -> Result<(), Failure> {
        match &mut self.link {
            Link::Http1(connection, _) => {
                connection.bytes_sent = 0;
                connection.expect_head();
                forward::write_request(connection.output(), head, passage);
                connection.promise_body(head.body());
                Ok(())
            }
            Link::Http2(_) if head.is_tunnel() => Err(Failure::NotChanged),
            Link::Http2(stream) => stream.begin_request(head, passage).map_err(Failure::BadHead),
        }
    }

    /// Goes on with a request that was begun on another connection.
    pub(crate) fn resume_request(&mut self, begun: Unsent) {
        match &mut self.link {
            Link::Http1(connection, _) => {
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
            Link::Http1(connection, _) => connection.take_back(),
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
            Link::Http1(connection, _) => connection.bytes_sent > 0,
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
            Link::Http1(connection, _) => connection,
            Link::Http2(stream) => return stream.poll_response(context, response, &self.limits),
        };
        let parsed = match ready!(connection.poll_head(context, &self.limits, h1::HeadEnd::find)) {
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
            self.broken_rule = Some(BrokenRule::Head(fault));
            Broken::Garbled
        }))
    }

    /// The final head has come, and a body of this length follows it.
    pub(crate) fn expect_body(&mut self, length: BodyLength) {
        match &mut self.link {
            Link::Http1(connection, _) => connection.expect_body(length, &self.limits),
            // The library knows.
            Link::Http2(_) => {}
        }
    }

    /// The final head has come, and nobody wants what follows it. Whether its end is near enough for the
    /// connection to be used again.
    pub(crate) async fn discard_body(&mut self, length: BodyLength, deadline: &Deadline) -> bool {
        match &mut self.link {
            Link::Http1(connection, _) => {
                connection.expect_body(length, &self.limits);
                connection.discard_body(deadline).await
            }
            // Its stream is given up, and the connection goes on.
            Link::Http2(_) => true,
        }
    }

    /// The connection that has nothing but this response on it, if there is one.
    pub(crate) fn own_connection(&mut self) -> Option<&mut Connection> {
        match &mut self.link {
            Link::Http1(connection, _) => Some(connection),
            Link::Http2(_) => None,
        }
    }

    /// Both sides change to another protocol. HTTP/2 has none of that.
    pub(crate) fn become_raw(&mut self) {
        match &mut self.link {
            Link::Http1(connection, _) => connection.become_raw(),
            Link::Http2(_) => {}
        }
    }

    /// Says that nothing more will be sent, after a change of protocol.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.link {
            Link::Http1(connection, _) => connection.wire.poll_shutdown(context).map(drop),
            Link::Http2(_) => Poll::Ready(()),
        }
    }

    /// The exchange is over, and all of the request was sent: the connection may carry another, if all of
    /// the response was read, nothing came behind it, and nobody wants to close.
    pub(crate) fn give_back(self, response: &ResponseHead) {
        let (connection, socket) = match self.link {
            Link::Http1(connection, socket) => (connection, socket),
            // Its connection was never taken away.
            Link::Http2(_) => return,
        };
        let is_usable = response.keeps_alive() && connection.is_body_read() && connection.is_clean();
        if !is_usable {
            return;
        }
        // Whoever waits for a socket needs it more than those who may come.
        if !socket.is_wanted() {
            self.idle.borrow_mut().of(self.holder).put(connection, socket);
        }
    }

    /// Whether it carried a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.idle_for.is_some()
    }

    /// What came breaks this rule.
    pub(crate) fn note_rule(&mut self, rule: BrokenRule) {
        self.broken_rule = Some(rule);
    }

    /// Which rule it was that what came has broken.
    pub(crate) fn broken_rule(&self) -> BrokenRule {
        self.broken_rule.unwrap_or(match &self.link {
            Link::Http1(..) => BrokenRule::Body,
            Link::Http2(_) => BrokenRule::Http2,
        })
    }

    /// It broke before a response came.
    pub(crate) fn broke(&self) {
        if let Some(idle_for) = self.idle_for {
            self.idle.borrow_mut().of(self.holder).broke_after(idle_for);
        }
    }
}
