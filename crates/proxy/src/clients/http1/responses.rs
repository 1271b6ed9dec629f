//! What an HTTP/1 client is sent: the head and the framing of each response, and what ends with it. No
//! request is read here.

use std::rc::Rc;
use std::task::{Context, Poll};

use h1::{BodyLength, Fields, Method, ResponseHead, Version, write_decimal, write_field};

use super::Http1Client;
use crate::clients::client::Client;
use crate::respond::response;
use crate::settings::DISCARD_BYTES_MAX;
use crate::wire::connection::Connection;
use crate::wire::forward;
use crate::wire::peer::{Broken, Peer};

impl Http1Client<'_> {
    fn write_status(&mut self, head: &ResponseHead) {
        let output = self.connection.output();
        output.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(output, u64::from(head.status()));
        output.push(b' ');
        let is_ours = head.version() == Version::Http2;
        let reason = if is_ours { response::reason(head.status()).as_bytes() } else { head.reason() };
        output.extend_from_slice(reason);
        output.extend_from_slice(b"\r\n");
    }

    /// Whether nothing can follow this response, or nothing will be waited for. A client that is refused while
    /// more of its body is to come than is worth reading hears that it need not send it.
    fn is_last(&self, head: &ResponseHead) -> bool {
        let connection = &self.connection;
        let is_over = connection.is_ended && connection.input.is_empty();
        let is_much_left =
            !connection.is_body_read() && connection.body_left().is_none_or(|left| left > DISCARD_BYTES_MAX);
        is_over || (is_much_left && head.status() >= 400)
    }

    /// How the body leaves here: whoever does not know chunks gets it until the connection ends.
    fn framing(&mut self, head: &ResponseHead, length: BodyLength) -> BodyLength {
        match length {
            BodyLength::None => match head.declared_length() {
                // What a GET would have got, or what the client has already.
                Some(BodyLength::Exact(length)) if self.method == Method::Head || head.status() == 304 => {
                    BodyLength::Exact(length)
                }
                _ => BodyLength::None,
            },
            BodyLength::Exact(length) => BodyLength::Exact(length),
            BodyLength::Chunked | BodyLength::UntilClose if self.version == Version::Http10 => {
                self.keeps_alive = false;
                BodyLength::UntilClose
            }
            BodyLength::Chunked | BodyLength::UntilClose => BodyLength::Chunked,
        }
    }
}

impl Client for Http1Client<'_> {
    fn request_id(&self) -> Option<&[u8]> {
        self.request_id.as_deref()
    }

    fn begin_response(&mut self, head: &ResponseHead, length: BodyLength) {
        self.is_answered = true;
        self.write_status(head);
        let framing = self.framing(head, length);
        if framing == BodyLength::UntilClose {
            // Whatever ends us before the body ends must not look like its end.
            self.connection.wire.reset_when_closed(true);
        }
        let worker = Rc::clone(&self.worker);
        self.keeps_alive &= !worker.is_stopping.get() && !self.is_last(head);
        let keeps_alive = self.keeps_alive;
        let is_http10 = self.version == Version::Http10;
        let request_id = self.request_id.take();
        let output = self.connection.output();
        let mut has_date = false;
        forward::response_fields(head, |name, value| {
            has_date |= name.eq_ignore_ascii_case(b"date");
            if request_id.is_none() || !name.eq_ignore_ascii_case(b"x-request-id") {
                write_field(output, name, value);
            }
        });
        if !has_date {
            write_field(output, b"date", worker.date.text().as_bytes());
        }
        if let Some(id) = &request_id {
            write_field(output, b"x-request-id", id);
        }
        // What is told to change to, or does, must hear to what: RFC 9110, 15.5.22.
        if matches!(head.status(), 101 | 426) {
            for value in head.fields().all(h1::FieldName::Upgrade) {
                write_field(output, b"upgrade", value);
            }
            let close_too =
                if keeps_alive || head.status() == 101 { &b"upgrade"[..] } else { b"upgrade, close" };
            write_field(output, b"connection", close_too);
        } else if !keeps_alive {
            write_field(output, b"connection", b"close");
        } else if is_http10 {
            write_field(output, b"connection", b"keep-alive");
        }
        forward::write_length(output, framing);
        output.extend_from_slice(b"\r\n");
        // What is still to be told of this request goes by its name.
        self.request_id = request_id;
        self.connection.promise_body(framing);
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        // HTTP/1.0 knows of none: RFC 9110, 15.2.
        if self.version == Version::Http10 {
            return;
        }
        self.write_status(head);
        let output = self.connection.output();
        forward::response_fields(head, |name, value| write_field(output, name, value));
        output.extend_from_slice(b"\r\n");
    }

    fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_gone(context)
    }

    fn spoil(&mut self) {
        self.keeps_alive = false;
        self.is_spoilt = true;
        // Where the end of the connection is the end of the body, only a reset tells that it is none.
        if self.version == Version::Http10 {
            self.connection.wire.reset_when_closed(true);
        }
    }

    fn end_after_this(&mut self) {
        self.keeps_alive = false;
    }

    fn become_raw(&mut self) -> bool {
        self.keeps_alive = false;
        self.connection.become_raw();
        true
    }

    fn own_connection(&mut self) -> Option<&mut Connection> {
        Some(&mut self.connection)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.connection.wire.poll_shutdown(context).map(drop)
    }
}

impl Peer for Http1Client<'_> {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        self.connection.poll_body(context)
    }

    fn consume(&mut self, count: usize) {
        self.connection.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.connection.trailers()
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        self.connection.poll_send(context, bytes)
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.connection.finish(trailers.filter(|_| self.takes_trailers));
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.connection.poll_flush(context)
    }
}
