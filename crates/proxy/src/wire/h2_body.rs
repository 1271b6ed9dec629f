//! The two bodies of an HTTP/2 stream, for whichever end of it we are.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h1::{Fields, Underscores};
use h2::{Reason, RecvStream, SendStream};

use crate::wire::fields;
use crate::wire::peer::Broken;

/// The body that comes in.
#[derive(Default)]
pub(crate) struct Incoming {
    stream: Option<RecvStream>,
    /// What came last and was not used yet.
    chunk: Bytes,
    trailers: Option<Fields>,
    underscores: Option<Underscores>,
    is_ended: bool,
}

impl Incoming {
    /// `underscores` says what becomes of trailers with such names.
    pub(crate) fn new(stream: RecvStream, underscores: Underscores) -> Self {
        Self {
            is_ended: stream.is_end_stream(),
            stream: Some(stream),
            underscores: Some(underscores),
            ..Self::default()
        }
    }

    pub(crate) fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<&[u8], Broken>> {
        while self.chunk.is_empty() && !self.is_ended {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Err(Broken::Gone)) };
            match ready!(stream.poll_data(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(_)) => return Poll::Ready(Err(Broken::Gone)),
                None => {
                    let trailers = ready!(stream.poll_trailers(context)).map_err(|_| Broken::Gone)?;
                    let underscores = self.underscores.unwrap_or(Underscores::Drop);
                    self.trailers = trailers.map(|map| fields::from_trailers(&map, underscores));
                    self.is_ended = true;
                }
            }
        }
        Poll::Ready(Ok(&self.chunk))
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
        if let Some(stream) = &mut self.stream {
            // A stream that is gone gives no credit back.
            let _ = stream.flow_control().release_capacity(count);
        }
    }

    pub(crate) fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }
}

/// The body that goes out. Without a stream it has ended.
#[derive(Default)]
pub(crate) struct Outgoing {
    stream: Option<SendStream<Bytes>>,
}

impl Outgoing {
    pub(crate) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream: Some(stream) }
    }

    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Broken>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(Broken::Gone)) };
        stream.reserve_capacity(bytes.len());
        let mut capacity = stream.capacity();
        while capacity == 0 {
            capacity = match ready!(stream.poll_capacity(context)) {
                Some(Ok(capacity)) => capacity,
                Some(Err(_)) | None => return Poll::Ready(Err(Broken::Gone)),
            };
        }
        let count = capacity.min(bytes.len());
        let sent = stream.send_data(Bytes::copy_from_slice(&bytes[..count]), false);
        Poll::Ready(sent.map(|()| count).map_err(|_| Broken::Gone))
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        let Some(mut stream) = self.stream.take() else { return };
        // If it fails the stream is gone, and the other side knows already.
        let _ = match trailers {
            Some(trailers) => stream.send_trailers(fields::to_trailers(trailers)),
            None => stream.send_data(Bytes::new(), true),
        };
    }

    /// Whether all of it was handed over.
    pub(crate) fn is_finished(&self) -> bool {
        self.stream.is_none()
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(mut stream) = self.stream.take() {
            stream.send_reset(reason);
        }
    }

    /// Whether the other side has given the stream up.
    pub(crate) fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(context).map(drop),
            None => Poll::Pending,
        }
    }
}
