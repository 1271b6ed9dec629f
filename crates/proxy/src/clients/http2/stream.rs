//! One stream of a client, as its request sees it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h1::{BodyLength, FieldName, Fields, Method, ResponseHead};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Response;

use super::streams::Open;
use crate::clients::client::Client;
use crate::telling::defences::Defence;
use crate::wire::connection::Connection;
use crate::wire::fields;
use crate::wire::forward;
use crate::wire::h2_body::{Incoming, Outgoing};
use crate::wire::peer::{Broken, Peer};
use crate::worker::Worker;

/// One stream of a client.
pub(super) struct Http2Client<'a> {
    worker: &'a Worker,
    open: &'a Open,
    respond: SendResponse<Bytes>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What stands behind its body.
    trailers: Option<Fields>,
    pub(super) method: Method,
    pub(super) request_id: Option<Vec<u8>>,
    pub(super) is_answered: bool,
    /// Its stream carries another protocol.
    is_tunnel: bool,
}

impl<'a> Http2Client<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        open: &'a Open,
        respond: SendResponse<Bytes>,
        body: RecvStream,
    ) -> Self {
        let incoming = Incoming::new(body, worker.clients.head.underscores);
        let (outgoing, method) = (Outgoing::default(), Method::default());
        let (trailers, request_id, is_answered, is_tunnel) = (None, None, false, false);
        Self {
            worker,
            open,
            respond,
            incoming,
            outgoing,
            trailers,
            method,
            request_id,
            is_answered,
            is_tunnel,
        }
    }
}

impl Client for Http2Client<'_> {
    fn request_id(&self) -> Option<&[u8]> {
        self.request_id.as_deref()
    }

    fn begin_response(&mut self, head: &ResponseHead, length: BodyLength) {
        self.is_answered = true;
        // A change of protocol is agreed to in other words here: RFC 8441, 5.
        self.is_tunnel = head.status() == 101;
        let status = if self.is_tunnel { 200 } else { head.status() };
        let mut response = Response::new(());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        let map = response.headers_mut();
        forward::response_fields(head, |name, value| fields::append(map, name, value));
        if !map.contains_key(http::header::DATE) {
            fields::append(map, b"date", self.worker.date.text().as_bytes());
        }
        if self.is_tunnel {
            map.remove("sec-websocket-accept");
        }
        if let Some(id) = &self.request_id {
            map.remove("x-request-id");
            fields::append(map, b"x-request-id", id);
        }
        let declared = match length {
            BodyLength::None if self.method == Method::Head || head.status() == 304 => head.declared_length(),
            other => Some(other),
        };
        let is_declared = head.fields().all(FieldName::ContentLength).next().is_some();
        if let Some(BodyLength::Exact(length)) = declared
            && (length > 0 || is_declared)
        {
            map.insert(http::header::CONTENT_LENGTH, length.into());
        }
        let has_none =
            matches!(length, BodyLength::None | BodyLength::Exact(0)) || self.method == Method::Head;
        let is_over = has_none && !self.is_tunnel;
        // If it fails the stream is gone, which the next look at it shows.
        if let Ok(stream) = self.respond.send_response(response, is_over)
            && !is_over
        {
            self.outgoing = Outgoing::new(stream);
        }
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        // No window holds these back. All but 100 are hints.
        if head.status() != 100 && self.worker.memory.is_short() {
            return;
        }
        let mut response = Response::new(());
        *response.status_mut() =
            http::StatusCode::from_u16(head.status()).unwrap_or(http::StatusCode::PROCESSING);
        forward::response_fields(head, |name, value| fields::append(response.headers_mut(), name, value));
        // Not worth failing a request for.
        let _ = self.respond.send_informational(response);
    }

    fn is_shut(&self) -> bool {
        self.open.streams.progress.is_shut()
    }

    fn hung_up_for(&self) -> Option<Defence> {
        self.open.streams.hung_up_for.get()
    }

    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_answered {
            self.outgoing.poll_reset(context)
        } else {
            self.respond.poll_reset(context).map(drop)
        }
    }

    // Streams end by themselves.
    fn end_after_this(&mut self) {}

    fn spoil(&mut self) {
        if self.is_tunnel && self.outgoing.is_finished() {
            return;
        }
        self.outgoing.reset(Reason::INTERNAL_ERROR);
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }

    fn become_raw(&mut self) -> bool {
        self.is_tunnel
    }

    fn own_connection(&mut self) -> Option<&mut Connection> {
        None
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Peer for Http2Client<'_> {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        let body = ready!(self.incoming.poll_body(context))?;
        if body.is_empty()
            && let Some(trailers) = self.open.streams.arrivals.take_trailers(self.open.number)
        {
            self.trailers = Some(trailers.map_err(|_| Broken::Garbled)?);
        }
        Poll::Ready(Ok(body))
    }

    fn consume(&mut self, count: usize) {
        self.incoming.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        // What stands behind a response to HEAD is for nobody.
        if self.method == Method::Head {
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.worker.memory.poll_room(context));
        self.outgoing.poll_send(context, bytes)
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.outgoing.finish(trailers);
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}
