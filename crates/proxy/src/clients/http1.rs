//! Clients that speak HTTP/1: one request after the other.

mod responses;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use h1::{BadHead, Method, RequestHead, Version};

use crate::clients::client::Client;
use crate::clients::origin::Origin;
use crate::respond::failure::Failure;
use crate::respond::response::ResponseStyle;
use crate::settings::{DISCARD_BYTES_MAX, DISCARD_TIMEOUT};
use crate::travel::context::RequestContext;
use crate::travel::dispatch;
use crate::wire::connection::{Connection, HeadFault};
use crate::wire::deadlines::{Deadline, TICK};
use crate::worker::Worker;

/// What HTTP/2 with prior knowledge begins with: RFC 9113, 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's connection, and what its request said about the response.
pub(crate) struct Http1Client {
    pub(crate) connection: Connection,
    worker: Rc<Worker>,
    method: Method,
    version: Version,
    /// Whether the client has said that it understands trailers.
    takes_trailers: bool,
    /// Whether a request has come already, so that the protocol is known.
    is_known: bool,
    /// Whether another request may follow.
    keeps_alive: bool,
    request_id: Option<Vec<u8>>,
    /// Whether the head of a response has been written.
    is_answered: bool,
}

enum Next {
    Request(Box<RequestHead>),
    Failed(Failure),
    Http2,
    Over,
}

/// Serves a connection to its end, or gives it back: its client speaks HTTP/2 and has sent its preface.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    connection: Connection,
    origin: &Origin,
) -> Option<Connection> {
    let deadline = worker.deadlines.join();
    let mut client = Http1Client::new(connection, worker);
    let mut count = 0;
    loop {
        let mut head = match client.next_request(&deadline).await {
            Next::Request(head) => head,
            Next::Failed(failure) => {
                client.refuse(&deadline, failure).await;
                return None;
            }
            Next::Http2 => return Some(client.connection),
            Next::Over => return None,
        };
        count += 1;
        client.keeps_alive &= count < worker.clients.requests_max;
        let request = RequestContext::begin(worker, origin, &deadline);
        client.request_id = request.request_id(&head);
        dispatch::answer(&request, &mut head, &mut client).await;
        worker.buffers.put_request(head);
        if !client.is_ready_for_more(&deadline).await {
            let connection = &client.connection;
            let is_all_read = connection.is_body_read() && connection.input.is_empty();
            client.close(&deadline, is_all_read).await;
            return None;
        }
    }
}

impl Http1Client {
    fn new(connection: Connection, worker: &Rc<Worker>) -> Self {
        Self {
            connection,
            worker: Rc::clone(worker),
            method: Method::Get,
            version: Version::Http11,
            takes_trailers: false,
            is_known: false,
            keeps_alive: true,
            request_id: None,
            is_answered: false,
        }
    }

    /// Waits for the next head: idle for a while, then with a deadline from its first byte on.
    async fn next_request(&mut self, deadline: &Deadline) -> Next {
        let timeouts = &self.worker.clients.timeouts;
        let idle_due = deadline.now() + if self.is_known { timeouts.idle } else { timeouts.head };
        let mut head_due: Option<Instant> = None;
        self.connection.expect_head();
        // Nothing is known of it yet: what is answered to half a head is not the last one's affair.
        (self.method, self.version) = (Method::Get, Version::Http11);
        deadline.wake_at(Some(idle_due + TICK));
        let worker = Rc::clone(&self.worker);
        let found = poll_fn(|context| {
            deadline.register(context.waker());
            let found = self.poll_request(context);
            if found.is_ready() {
                return found;
            }
            // The empty line that some clients send behind a body begins nothing.
            let has_begun = !matches!(self.connection.input.bytes(), b"" | b"\r\n");
            if !has_begun && worker.is_over.get() {
                return Poll::Ready(Next::Over);
            }
            if has_begun && head_due.is_none() {
                let due = deadline.now() + worker.clients.timeouts.head;
                head_due = Some(due);
                deadline.wake_at(Some(due + TICK));
            }
            match head_due {
                Some(due) if deadline.now() > due => Poll::Ready(Next::Failed(Failure::ClientTooSlow)),
                None if deadline.now() > idle_due => Poll::Ready(Next::Over),
                _ => Poll::Pending,
            }
        });
        let found = found.await;
        deadline.wake_at(None);
        found
    }

    fn poll_request(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        let limits = &self.worker.clients.head;
        let found = self.connection.poll_head(context, limits);
        if !self.is_known && self.connection.input.bytes().starts_with(&HTTP2_PREFACE[..4]) {
            return self.poll_preface(context);
        }
        let is_empty = matches!(self.connection.input.bytes(), b"" | b"\r\n");
        found.map(|found| match found {
            Ok(length) => self.take_head(length),
            Err(HeadFault::Bad(fault)) => Next::Failed(Failure::BadHead(fault)),
            Err(HeadFault::Lost) => Next::Over,
            Err(HeadFault::Ended) if is_empty => Next::Over,
            Err(HeadFault::Ended) => Next::Failed(Failure::ClientBroke),
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
        Poll::Ready(if is_preface { Next::Http2 } else { Next::Failed(Failure::BadHead(BadHead::Version)) })
    }

    fn take_head(&mut self, length: usize) -> Next {
        let mut head = self.worker.buffers.take_request();
        let parsed = head.parse(&self.connection.input.bytes()[..length], &self.worker.clients.head);
        self.connection.input.consume(length);
        self.is_answered = false;
        self.request_id = None;
        (self.method, self.version) = (head.method(), head.version());
        if let Err(fault) = parsed {
            self.worker.buffers.put_request(head);
            return Next::Failed(Failure::BadHead(fault));
        }
        self.is_known = true;
        self.takes_trailers = head.takes_trailers();
        self.keeps_alive = head.keeps_alive();
        self.connection.expect_body(head.body());
        Next::Request(head)
    }

    /// Answers what is no request, and closes.
    async fn refuse(&mut self, deadline: &Deadline, failure: Failure) {
        self.keeps_alive = false;
        self.connection.is_ended = false;
        let reply = ResponseStyle::default().of_failure(failure);
        self.begin_response(&reply.head, reply.length(self.method));
        if self.method != Method::Head {
            self.connection.output().extend_from_slice(&reply.body);
        }
        self.close(deadline, false).await;
    }

    /// Whether the next request can be read, after what is left of this one's body was looked through.
    async fn is_ready_for_more(&mut self, deadline: &Deadline) -> bool {
        if !self.keeps_alive || !self.is_answered || self.connection.is_ended {
            return false;
        }
        self.connection.discard_body(deadline).await
    }

    /// Sends what is left, and closes so that the client can still read it: a socket that is closed with
    /// something unread in it takes back what it has sent. Where all that was sent has been read, nothing
    /// of the kind is likely, and a look for more would cost as much as a request.
    async fn close(&mut self, deadline: &Deadline, is_all_read: bool) {
        let timeouts = &self.worker.clients.timeouts;
        let due = deadline.now() + timeouts.write;
        deadline.wake_at(Some(due));
        let flushed = poll_fn(|context| {
            deadline.register(context.waker());
            match self.connection.poll_send_kept(context) {
                Poll::Pending if deadline.now() > due => Poll::Ready(false),
                sent => sent.map(|sent| sent.is_ok()),
            }
        });
        if !flushed.await || self.connection.is_ended {
            return;
        }
        if self.version == Version::Http10 {
            self.connection.wire.reset_when_closed(false);
        }
        if is_all_read && self.connection.wire.is_plain() {
            return;
        }
        let due = deadline.now() + DISCARD_TIMEOUT;
        deadline.wake_at(Some(due));
        let (mut seen, mut is_shut) = (0, false);
        poll_fn(|context| {
            deadline.register(context.waker());
            let connection = &mut self.connection;
            is_shut = is_shut || connection.wire.poll_shutdown(context).is_ready();
            if !is_shut && deadline.now() <= due {
                return Poll::Pending;
            }
            if is_all_read {
                return Poll::Ready(());
            }
            loop {
                match connection.input.poll_discard(context, &mut connection.wire) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => seen += count as u64,
                    Poll::Pending if deadline.now() > due => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
                if seen > DISCARD_BYTES_MAX {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
