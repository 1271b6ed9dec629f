//! Replicas that speak HTTP/2: many requests on each of a few connections.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h1::{BadHead, BodyLength, Fields, HeadLimits, RequestHead, ResponseHead, Underscores};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, Reason, RecvStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::shared::Place;
use crate::respond::failure::Failure;
use crate::settings::{HTTP2_REPLICA_WINDOW, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW};
use crate::wire::fields;
use crate::wire::forward::{self, Passage};
use crate::wire::h2_body::{Incoming, Outgoing};
use crate::wire::peer::Broken;

/// How many streams a replica takes that has not said so: RFC 9113, 6.5.2 has no less in mind.
const UNTOLD_STREAMS: usize = 100;

/// One stream to a replica.
pub(crate) struct Http2Stream {
    place: Place,
    response: Option<ResponseFuture>,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    /// Whether the replica may have seen the request.
    pub(crate) has_sent: bool,
    /// The replica took none of it, on a connection that may be fine.
    pub(crate) is_refused: bool,
}

/// Begins to speak on a new connection; what drives it is a task of its own.
pub(crate) async fn connect<S>(
    stream: S,
    limits: &HeadLimits,
    timeout: Duration,
) -> Result<SendRequest<Bytes>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let handshake = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_REPLICA_WINDOW)
        .max_send_buffer_size(HTTP2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.head_max).unwrap_or(u32::MAX))
        .initial_max_send_streams(UNTOLD_STREAMS)
        .handshake(stream);
    let (sender, mut connection) = handshake.await.map_err(|_| Failure::Unreachable)?;
    let mut pings = connection.ping_pong();
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an HTTP/2 connection to a replica ended badly");
        }
    });
    // How many streams it takes is known when it has answered anything. One that is slow to do so gets
    // its first requests all the same.
    if let Some(pings) = &mut pings {
        let answered = tokio::time::timeout(timeout, pings.ping(Ping::opaque())).await;
        if matches!(answered, Ok(Err(_))) {
            return Err(Failure::Unreachable);
        }
    }
    Ok(sender)
}

impl Http2Stream {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            response: None,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            has_sent: false,
            is_refused: false,
        }
    }

    /// Sends the head. Whether that went well shows when the response is waited for; a head that HTTP/2 has
    /// no words for fails.
    pub(crate) fn begin_request(&mut self, head: &RequestHead, passage: &Passage<'_>) -> Result<(), BadHead> {
        let request = request(head, passage)?;
        let is_over = matches!(head.body(), BodyLength::None | BodyLength::Exact(0));
        if let Ok((response, stream)) = self.place.sender.send_request(request, is_over) {
            self.has_sent = true;
            self.response = Some(response);
            if !is_over {
                self.outgoing = Outgoing::new(stream);
            }
        }
        Ok(())
    }

    pub(crate) fn poll_response(
        &mut self,
        context: &mut Context<'_>,
        response: &mut ResponseHead,
        limits: &HeadLimits,
    ) -> Poll<Result<(), Broken>> {
        let Some(future) = &mut self.response else { return Poll::Ready(Err(Broken::Gone)) };
        match future.poll_informational(context) {
            Poll::Ready(Some(Ok(interim))) => return Poll::Ready(start(response, &interim, limits)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.broken(&error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let arrived = ready!(std::pin::Pin::new(future).poll(context));
        let arrived = match arrived {
            Ok(arrived) => arrived,
            Err(error) => return Poll::Ready(Err(self.broken(&error))),
        };
        let (parts, body) = arrived.into_parts();
        let started = start(response, &Response::from_parts(parts, ()), limits);
        self.take_body(response, body);
        Poll::Ready(started)
    }

    fn take_body(&mut self, response: &mut ResponseHead, body: RecvStream) {
        let has_body = !matches!(response.status(), 100..=199 | 204 | 304);
        match response.declared_length() {
            None if has_body && body.is_end_stream() => response.set_body(BodyLength::Exact(0)),
            // Trailers may follow, which would be lost with a body that is known to be none.
            Some(BodyLength::Exact(0)) if !body.is_end_stream() => response.set_body(BodyLength::Chunked),
            _ => {}
        }
        self.incoming = Incoming::new(body, Underscores::Keep);
    }

    /// A replica says of what it has not looked at: RFC 9113, 6.8 and 8.7. The library hands a GOAWAY only to
    /// the streams behind the last one that the replica has taken on.
    fn broken(&mut self, error: &h2::Error) -> Broken {
        self.is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        if self.is_refused {
            self.place.was_refused();
        }
        if self.is_refused || (error.is_go_away() && error.is_remote()) {
            self.has_sent = false;
        }
        if error.is_library() { Broken::Garbled } else { Broken::Gone }
    }

    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.incoming.trailers()
    }
}

fn start(response: &mut ResponseHead, arrived: &Response<()>, limits: &HeadLimits) -> Result<(), Broken> {
    response.start(arrived.status().as_u16());
    for (name, value) in arrived.headers() {
        response.push(name.as_str().as_bytes(), value.as_bytes());
    }
    if let Some(length) = fields::content_length(arrived.headers()) {
        response.set_body(BodyLength::Exact(length));
    }
    let is_known = (100..1000).contains(&response.status());
    if is_known && response.fields().len() <= limits.fields_max { Ok(()) } else { Err(Broken::Garbled) }
}

fn request(head: &RequestHead, passage: &Passage<'_>) -> Result<Request<()>, BadHead> {
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(head.method_name()).map_err(|_| BadHead::RequestLine)?;
    *request.uri_mut() = target(head, passage)?;
    let map = request.headers_mut();
    forward::request_fields(head, passage, |name, value| fields::append(map, name, value));
    if head.takes_trailers() {
        fields::append(map, b"te", b"trailers");
    }
    if let BodyLength::Exact(length) = forward::request_length(head) {
        map.insert(http::header::CONTENT_LENGTH, length.into());
    }
    Ok(request)
}

fn target(head: &RequestHead, passage: &Passage<'_>) -> Result<Uri, BadHead> {
    let host = passage.host(head);
    let mut origin = Vec::new();
    passage.write_target(head, &mut origin);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(host).map_err(|_| BadHead::Host)?);
    let origin = PathAndQuery::try_from(&origin[..]).or_else(|_| PathAndQuery::try_from(encoded(&origin)));
    parts.path_and_query = Some(origin.map_err(|_| BadHead::Target)?);
    Uri::from_parts(parts).map_err(|_| BadHead::Target)
}

/// The library has no words for some characters that pass everywhere else. They mean the same encoded, as
/// browsers send them.
fn encoded(origin: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(origin.len() + 16);
    for byte in origin {
        match byte {
            b'"' => encoded.extend(b"%22"),
            b'<' => encoded.extend(b"%3C"),
            b'>' => encoded.extend(b"%3E"),
            b'`' => encoded.extend(b"%60"),
            byte => encoded.push(*byte),
        }
    }
    encoded
}
