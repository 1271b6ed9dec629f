//! Clients that speak HTTP/1: one request after the other.

mod closing;
mod half_closed;
mod responses;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use h1::{BadHead, HeadEnd, Method, RequestHead, Version};

use crate::clients::client::{Preface, Visit};
use crate::clients::idle::Place;
use crate::respond::failure::Failure;
use crate::travel::context::RequestContext;
use crate::travel::dispatch;
use crate::wire::connection::{Connection, HeadFault};
use crate::wire::deadlines::{Deadline, TICK};
use crate::wire::stream::Wire;
use crate::worker::Worker;
use half_closed::Questions;

/// What HTTP/2 with prior knowledge begins with: RFC 9113, 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long an idle connection is ready for the next request before all is given back that it does not need.
const READY: Duration = TICK;

/// How far a connection was served.
pub(crate) enum Served {
    /// Until it became idle.
    Idle(Wire),
    /// Until its client turned out to speak HTTP/2, and had sent its preface.
    Http2(Connection),
    /// To its end.
    Over,
}

/// A client's connection, and what its request said about the response.
pub(crate) struct Http1Client<'a> {
    pub(crate) connection: Connection,
    worker: Rc<Worker>,
    place: &'a Place,
    method: Method,
    version: Version,
    /// Whether the client has said that it understands trailers.
    takes_trailers: bool,
    preface: Preface,
    /// Whether a request has come already, so that the protocol is known.
    is_known: bool,
    /// Whether another request may follow.
    keeps_alive: bool,
    request_id: Option<Vec<u8>>,
    /// Whether the head of a response has been written.
    is_answered: bool,
    /// Whether the end of the connection must not look like that of a response.
    is_spoilt: bool,
    /// Once it has said that it sends nothing more.
    questions: Option<Box<Questions>>,
}

enum Next {
    Request(Box<RequestHead>),
    /// What came is no request, but for what can be made out of it.
    Failed(Failure, Box<RequestHead>),
    Http2,
    Idle,
    Over,
}

/// Serves a connection on which something has come, until it is idle again.
pub(crate) async fn serve(worker: &Rc<Worker>, wire: Wire, visit: &mut Visit) -> Served {
    let deadline = worker.deadlines.join();
    let origin = visit.origin();
    let Visit { place, requests, preface, listener, .. } = visit;
    let mut client = Http1Client::new(Connection::new(wire, &worker.buffers), worker, place, *preface);
    client.is_known = *requests > 0;
    loop {
        let mut head = match client.next_request(&deadline).await {
            Next::Request(head) => head,
            Next::Failed(failure, mut head) => {
                let request = RequestContext::begin(worker, &origin, listener, &deadline);
                dispatch::refuse(&request, &mut head, &mut client, failure).await;
                worker.buffers.put_request(head);
                client.close(&deadline, false).await;
                return Served::Over;
            }
            Next::Http2 => return Served::Http2(client.connection),
            Next::Idle => return Served::Idle(client.connection.into_wire()),
            Next::Over => {
                client.close(&deadline, true).await;
                return Served::Over;
            }
        };
        *requests += 1;
        client.keeps_alive &= *requests < worker.clients.requests_max;
        let request = RequestContext::begin(worker, &origin, listener, &deadline);
        client.request_id = request.request_id(&head);
        dispatch::answer(&request, &mut head, &mut client).await;
        worker.buffers.put_request(head);
        if !client.is_ready_for_more(&deadline).await {
            let connection = &client.connection;
            let is_all_read = connection.is_body_read() && connection.input.is_empty();
            client.close(&deadline, is_all_read).await;
            return Served::Over;
        }
    }
}

impl<'a> Http1Client<'a> {
    fn new(connection: Connection, worker: &Rc<Worker>, place: &'a Place, preface: Preface) -> Self {
        Self {
            connection,
            preface,
            worker: Rc::clone(worker),
            place,
            method: Method::Get,
            version: Version::Http11,
            takes_trailers: false,
            is_known: false,
            keeps_alive: true,
            request_id: None,
            is_answered: false,
            is_spoilt: false,
            questions: None,
        }
    }

    /// Waits for the next head: for a moment, then with a deadline from its first byte on. All the while it
    /// goes if it is told to.
    async fn next_request(&mut self, deadline: &Deadline) -> Next {
        if let Some(holding) = self.worker.memory.current() {
            holding.forget();
        }
        let ready_due = deadline.now() + READY;
        let mut head_due: Option<Instant> = None;
        self.connection.expect_head();
        // Nothing is known of it yet: what is answered to half a head is not the last one's affair.
        (self.method, self.version) = (Method::Get, Version::Http11);
        deadline.wake_at(Some(ready_due));
        let worker = Rc::clone(&self.worker);
        let found = poll_fn(|context| {
            deadline.register(context.waker());
            let found = self.poll_request(context);
            if found.is_ready() {
                return found;
            }
            // The empty line that some clients send behind a body begins nothing.
            let has_begun = !matches!(self.connection.input.bytes(), b"" | b"\r\n");
            if self.is_known {
                self.place.rest();
            }
            if self.place.poll_told(context).is_ready() {
                return Poll::Ready(Next::Over);
            }
            if has_begun && head_due.is_none() {
                self.place.begin();
                let due = deadline.now() + worker.clients.timeouts.head;
                head_due = Some(due);
                deadline.wake_at(Some(due + TICK));
            }
            match head_due {
                Some(due) if deadline.now() > due => Poll::Ready(self.fail(Failure::ClientTooSlow)),
                None if deadline.now() >= ready_due && self.connection.is_clean() => Poll::Ready(Next::Idle),
                _ => Poll::Pending,
            }
        });
        let found = found.await;
        if matches!(found, Next::Request(_) | Next::Failed(..)) {
            self.place.work();
        }
        deadline.wake_at(None);
        found
    }

    fn poll_request(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let limits = &self.worker.clients.head;
        let found = self.connection.poll_head(context, limits, HeadEnd::find_in_request);
        if self.preface == Preface::BeginsHttp2
            && !self.is_known
            && self.connection.input.bytes().starts_with(&HTTP2_PREFACE[..4])
        {
            return self.poll_preface(context);
        }
        let is_empty = matches!(self.connection.input.bytes(), b"" | b"\r\n");
        found.map(|found| match found {
            Ok(length) => self.take_head(length),
            Err(HeadFault::Bad(fault)) => self.fail(Failure::BadHead(fault)),
            Err(HeadFault::Lost) => Next::Over,
            Err(HeadFault::Ended) if is_empty => Next::Over,
            Err(HeadFault::Ended) => self.fail(Failure::ClientBroke),
        })
    }

    fn poll_preface(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let connection = &mut self.connection;
        while connection.input.bytes().len() < HTTP2_PREFACE.len() {
            match ready!(connection.input.poll_fill(context, &mut connection.wire, false)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Next::Over),
            }
        }
        let is_preface = connection.input.bytes().starts_with(HTTP2_PREFACE);
        Poll::Ready(if is_preface { Next::Http2 } else { self.fail(Failure::BadHead(BadHead::Version)) })
    }

    fn take_head(&mut self, length: usize) -> Next {
        let mut head = self.worker.buffers.take_request();
        let parsed = head.parse(&self.connection.input.bytes()[..length], &self.worker.clients.head);
        if let Err(fault) = parsed {
            self.worker.buffers.put_request(head);
            return self.fail(Failure::BadHead(fault));
        }
        self.connection.input.consume(length);
        self.is_answered = false;
        self.request_id = None;
        (self.method, self.version) = (head.method(), head.version());
        self.is_known = true;
        self.takes_trailers = head.takes_trailers();
        self.keeps_alive = head.keeps_alive();
        self.connection.expect_body(head.body(), &self.worker.clients.head);
        Next::Request(head)
    }

    /// What is here is no request, for this reason.
    fn fail(&mut self, failure: Failure) -> Next {
        let mut head = self.worker.buffers.take_request();
        head.sketch(self.connection.input.bytes(), &self.worker.clients.head);
        (self.method, self.version) = (head.method(), head.version());
        (self.is_answered, self.request_id) = (false, None);
        Next::Failed(failure, head)
    }

    /// Whether the next request can be read, after what is left of this one's body was looked through.
    async fn is_ready_for_more(&mut self, deadline: &Deadline) -> bool {
        // Who sends nothing more may have sent several before.
        let is_last = self.connection.is_ended && self.connection.input.is_empty();
        if !self.keeps_alive || !self.is_answered || self.is_spoilt || is_last {
            return false;
        }
        self.connection.discard_body(deadline).await
    }
}
