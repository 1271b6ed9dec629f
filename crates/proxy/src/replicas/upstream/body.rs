//! The bodies of an exchange with a replica, whatever it speaks.

use std::task::{Context, Poll};

use h1::Fields;

use super::{Lease, Link};
use crate::wire::peer::{Broken, Peer};

impl Peer for Lease {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        match &mut self.link {
            Link::Http1(connection, _) => connection.poll_body(context),
            Link::Http2(stream) => stream.incoming.poll_body(context),
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.link {
            Link::Http1(connection, _) => connection.consume(count),
            Link::Http2(stream) => stream.incoming.consume(count),
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        match &self.link {
            Link::Http1(connection, _) => connection.trailers(),
            Link::Http2(stream) => stream.trailers(),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        match &mut self.link {
            Link::Http1(connection, _) => connection.poll_send(context, bytes),
            Link::Http2(stream) => stream.outgoing.poll_send(context, bytes),
        }
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        match &mut self.link {
            Link::Http1(connection, _) => connection.finish(trailers),
            Link::Http2(stream) => stream.outgoing.finish(trailers),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match &mut self.link {
            Link::Http1(connection, _) => connection.poll_flush(context),
            Link::Http2(_) => Poll::Ready(Ok(())),
        }
    }
}
