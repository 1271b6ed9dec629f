//! Clients that speak HTTP/2: many requests at a time, each a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h1::{BadHead, BodyLength, Fields, Method, RequestHead, ResponseHead, Underscores};
use h2::server::{Connection as Http2Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};

use crate::clients::client::Client;
use crate::clients::origin::Origin;
use crate::respond::failure::Failure;
use crate::respond::send;
use crate::settings::{
    HTTP2_CLIENT_WINDOW, HTTP2_GIVEN_UP_AGE, HTTP2_GIVEN_UP_MAX, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW,
    HTTP2_STREAMS_MAX,
};
use crate::telling::access_log::line::Ending;
use crate::travel::context::RequestContext;
use crate::travel::dispatch;
use crate::wire::connection::Connection;
use crate::wire::deadlines::Deadline;
use crate::wire::discard::discard;
use crate::wire::fields;
use crate::wire::forward;
use crate::wire::h2_body::{Incoming, Outgoing};
use crate::wire::peer::{Broken, Peer};
use crate::worker::Worker;
use transport::{Progress, Transport};

mod transport;

/// What its streams tell a connection.
#[derive(Default)]
struct Streams {
    /// How many are under way.
    open: Cell<usize>,
    /// How many more were given up at once than were not.
    given_up: Cell<u32>,
}

/// Serves a connection whose first bytes, if any were read, are still in its input.
pub(crate) async fn serve(worker: &Rc<Worker>, connection: Connection, origin: Origin) {
    let deadline = worker.deadlines.join();
    let origin = Rc::new(origin);
    let (transport, progress) = Transport::new(connection, &worker.deadlines);
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .initial_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CLIENT_WINDOW)
        .max_send_buffer_size(HTTP2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(worker.clients.head.head_max).unwrap_or(u32::MAX))
        .handshake::<_, Bytes>(transport);
    let shaken = tokio::time::timeout(worker.clients.timeouts.head, Box::pin(handshake)).await;
    let Ok(Ok(http2)) = shaken else {
        return tracing::debug!(peer = %origin.address, "an HTTP/2 connection did not come about");
    };
    let mut served = Served {
        worker,
        http2,
        deadline,
        progress,
        streams: Rc::default(),
        idle_since: None,
        ending_since: None,
    };
    while let Some(accepted) = served.next_stream().await {
        let (request, respond) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(peer = %origin.address, %error, "an HTTP/2 connection ended badly");
                break;
            }
        };
        let streams = Rc::clone(&served.streams);
        streams.open.set(streams.open.get() + 1);
        let (worker, origin) = (Rc::clone(worker), Rc::clone(&origin));
        tokio::task::spawn_local(async move {
            let was_given_up = answer(&worker, &origin, request, respond).await;
            let given_up = streams.given_up.get();
            streams.given_up.set(if was_given_up { given_up + 1 } else { given_up.saturating_sub(1) });
            streams.open.set(streams.open.get() - 1);
        });
    }
}

/// A connection that is served.
struct Served<'a> {
    worker: &'a Worker,
    http2: Http2Connection<Transport, Bytes>,
    deadline: Deadline,
    progress: Rc<Progress>,
    streams: Rc<Streams>,
    idle_since: Option<Instant>,
    /// When the client was told to go elsewhere.
    ending_since: Option<Instant>,
}

type AcceptedStream = Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

impl Served<'_> {
    /// The next request; nothing at the end. Sees to it that the connection ends when it is idle for too
    /// long, when its client takes nothing from it, or when the proxy is to stop.
    async fn next_stream(&mut self) -> Option<AcceptedStream> {
        poll_fn(|context| {
            self.deadline.register(context.waker());
            if let Poll::Ready(accepted) = self.http2.poll_accept(context) {
                self.idle_since = None;
                return Poll::Ready(accepted);
            }
            if self.is_to_end() {
                // What that has to send is sent on the way to the next wait.
                if let Poll::Ready(accepted) = self.http2.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
            }
            if self.is_lost() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Tells the client to go elsewhere if it is time for that; whether it was told just now.
    fn is_to_end(&mut self) -> bool {
        let now = self.deadline.now();
        let is_idle = self.streams.open.get() == 0;
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        let idle_due = self.idle_since.unwrap_or(now) + self.worker.clients.timeouts.idle;
        self.deadline.wake_at(Some(idle_due));
        if self.ending_since.is_some() {
            return false;
        }
        let is_too_wild = self.streams.given_up.get() > HTTP2_GIVEN_UP_MAX;
        if is_too_wild {
            self.http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        } else if now >= idle_due || self.worker.is_stopping.get() {
            self.http2.graceful_shutdown();
        } else {
            return false;
        }
        self.ending_since = Some(now);
        true
    }

    /// Whether nobody is there any more, or behaves so: it takes nothing of what is sent to it, or does not
    /// go although nothing is under way.
    fn is_lost(&self) -> bool {
        let limit = self.worker.clients.timeouts.write;
        let ending = self.ending_since.filter(|_| self.streams.open.get() == 0);
        let ending = ending.map(|since| since.max(self.progress.taken()));
        let due = self.progress.held_up_since().into_iter().chain(ending).min().map(|since| since + limit);
        match due {
            Some(due) if self.deadline.now() >= due => true,
            Some(due) => {
                self.deadline.wake_at(Some(due));
                false
            }
            None => false,
        }
    }
}

/// Answers one request; whether its client gave it up at once.
async fn answer(
    worker: &Worker,
    origin: &Origin,
    arrived: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> bool {
    let deadline = worker.deadlines.join();
    let request = RequestContext::begin(worker, origin, &deadline);
    let mut head = worker.buffers.take_request();
    let (parts, body) = arrived.into_parts();
    let taken = take_head(worker, &mut head, &parts, body.is_end_stream());
    let mut client = Http2Client {
        worker,
        respond,
        incoming: Incoming::new(body, worker.clients.head.underscores),
        outgoing: Outgoing::default(),
        method: head.method(),
        request_id: None,
        is_answered: false,
    };
    client.request_id = request.request_id(&head);
    match taken {
        Ok(()) => dispatch::answer(&request, &mut head, &mut client).await,
        Err(fault) => send::fail(&request, &head, &mut client, Failure::BadHead(fault)).await,
    }
    worker.buffers.put_request(head);
    if client.is_answered {
        // What is not read to its end is broken off with the stream, which some clients take for a failure
        // although they have the whole response.
        discard(&mut client, &deadline).await;
    }
    let has_left = request.account.ending.get() == Ending::ClientLeft && !client.is_answered;
    has_left && deadline.now() < request.begun + HTTP2_GIVEN_UP_AGE
}

/// A head in our own form. What HTTP/2's library lets through is checked as strictly as in HTTP/1: it
/// may go to a replica that speaks that.
fn take_head(
    worker: &Worker,
    head: &mut RequestHead,
    parts: &http::request::Parts,
    has_ended: bool,
) -> Result<(), BadHead> {
    let limits = &worker.clients.head;
    let host = single(&parts.headers, &http::header::HOST).map_err(|()| BadHead::Host)?;
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let (Some(host), Some(authority)) = (host, authority)
        && !host.eq_ignore_ascii_case(authority)
    {
        return Err(BadHead::HostDisagrees);
    }
    let origin = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if origin.len() > limits.request_line_max {
        return Err(BadHead::RequestLineTooLong);
    }
    // Browsers send each cookie by itself; it is one field all the same.
    let cookies = parts.headers.get_all(http::header::COOKIE).iter().count();
    if parts.headers.len() - cookies.saturating_sub(1) > limits.fields_max {
        return Err(BadHead::TooManyFields);
    }
    let authority = authority.or(host).ok_or(BadHead::Host)?;
    head.start(parts.method.as_str().as_bytes(), origin.as_bytes(), Some(authority))?;
    push_fields(head, &parts.headers, limits.underscores)?;
    let expected = single(&parts.headers, &http::header::EXPECT).map_err(|()| BadHead::Expectation)?;
    if expected.is_some_and(|expected| !expected.eq_ignore_ascii_case(b"100-continue")) {
        return Err(BadHead::Expectation);
    }
    single(&parts.headers, &http::header::CONTENT_LENGTH).map_err(|()| BadHead::ContentLength)?;
    head.set_body(match fields::content_length(&parts.headers) {
        Some(length) => BodyLength::Exact(length),
        None if has_ended => BodyLength::None,
        None => BodyLength::Chunked,
    });
    Ok(())
}

/// The value of a field of which there must not be two.
fn single<'a>(fields: &'a HeaderMap, name: &http::HeaderName) -> Result<Option<&'a [u8]>, ()> {
    let mut values = fields.get_all(name).iter();
    let value = values.next().map(http::HeaderValue::as_bytes);
    if values.next().is_some() { Err(()) } else { Ok(value) }
}

fn push_fields(head: &mut RequestHead, fields: &HeaderMap, underscores: Underscores) -> Result<(), BadHead> {
    let mut cookies = Vec::new();
    for (name, value) in fields {
        if name == http::header::COOKIE {
            // In pieces here, in one elsewhere: RFC 9113, 8.2.3.
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
            continue;
        }
        let has_underscore = name.as_str().contains('_');
        match underscores {
            Underscores::Reject if has_underscore => return Err(BadHead::Underscore),
            Underscores::Drop if has_underscore => {}
            _ if name == http::header::HOST => {}
            _ => head.push(name.as_str().as_bytes(), value.as_bytes()),
        }
    }
    if !cookies.is_empty() {
        head.push(b"cookie", &cookies);
    }
    Ok(())
}

/// One stream of a client.
struct Http2Client<'a> {
    worker: &'a Worker,
    respond: SendResponse<Bytes>,
    incoming: Incoming,
    outgoing: Outgoing,
    method: Method,
    request_id: Option<Vec<u8>>,
    is_answered: bool,
}

impl Client for Http2Client<'_> {
    fn request_id(&self) -> Option<&[u8]> {
        self.request_id.as_deref()
    }

    fn begin_response(&mut self, head: &ResponseHead, length: BodyLength) {
        self.is_answered = true;
        let mut response = Response::new(());
        *response.status_mut() =
            http::StatusCode::from_u16(head.status()).unwrap_or(http::StatusCode::BAD_GATEWAY);
        let map = response.headers_mut();
        forward::response_fields(head, |name, value| fields::append(map, name, value));
        if !map.contains_key(http::header::DATE) {
            fields::append(map, b"date", self.worker.date.text().as_bytes());
        }
        if let Some(id) = &self.request_id {
            map.remove("x-request-id");
            fields::append(map, b"x-request-id", id);
        }
        let declared = match length {
            BodyLength::None if self.method == Method::Head || head.status() == 304 => head.declared_length(),
            other => Some(other),
        };
        if let Some(BodyLength::Exact(length @ 1..)) = declared {
            map.insert(http::header::CONTENT_LENGTH, length.into());
        }
        let is_over =
            matches!(length, BodyLength::None | BodyLength::Exact(0)) || self.method == Method::Head;
        // If it fails the stream is gone, which the next look at it shows.
        if let Ok(stream) = self.respond.send_response(response, is_over)
            && !is_over
        {
            self.outgoing = Outgoing::new(stream);
        }
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        let mut response = Response::new(());
        *response.status_mut() =
            http::StatusCode::from_u16(head.status()).unwrap_or(http::StatusCode::PROCESSING);
        forward::response_fields(head, |name, value| fields::append(response.headers_mut(), name, value));
        // Not worth failing a request for.
        let _ = self.respond.send_informational(response);
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
        self.outgoing.reset(Reason::INTERNAL_ERROR);
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }

    fn become_raw(&mut self) -> bool {
        false
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
        self.incoming.poll_body(context)
    }

    fn consume(&mut self, count: usize) {
        self.incoming.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.incoming.trailers()
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        // What stands behind a response to HEAD is for nobody.
        if self.method == Method::Head {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.outgoing.poll_send(context, bytes)
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.outgoing.finish(trailers);
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}
