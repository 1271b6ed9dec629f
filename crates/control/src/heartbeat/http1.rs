//! The question over HTTP/1.1, and the head of its answer, read by the same rules as the answers to requests: a
//! replica whose answers do not pass is not well, whatever a more lenient reader would make of them.

use h1::{BadHead, HeadEnd, HeadLimits, ResponseHead, Underscores};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most answers before the one that counts.
const INTERIM_MAX: usize = 100;
/// What one answer takes, as a rule.
const USUAL_BYTES: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("the connection broke")]
    Broken(#[from] std::io::Error),
    #[error("the connection ended before the answer did")]
    Ended,
    #[error("its head does not pass")]
    Head(#[from] BadHead),
    #[error("interim answers without end")]
    Interims,
}

/// Asks for a path, over a connection that is for this alone; the head of the answer.
pub(super) async fn ask<S>(mut stream: S, host: &str, path: &str) -> Result<Response<()>, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let question = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nuser-agent: evenkeel-heartbeat\r\n\r\n"
    );
    stream.write_all(question.as_bytes()).await?;
    let limits = HeadLimits { underscores: Underscores::Keep, ..HeadLimits::default() };
    let (mut bytes, mut head) = (Vec::with_capacity(USUAL_BYTES), ResponseHead::default());
    for _ in 0..=INTERIM_MAX {
        let mut end = HeadEnd::default();
        let length = loop {
            if let Some(length) = end.find(&bytes, &limits)? {
                break length;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(NoAnswer::Ended);
            }
        };
        head.parse(&bytes[..length], &limits)?;
        if !head.is_interim() {
            return Ok(answer(&head));
        }
        bytes.drain(..length);
    }
    Err(NoAnswer::Interims)
}

/// The same in the words of those who judge answers. What they could not read is left out.
fn answer(head: &ResponseHead) -> Response<()> {
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    for field in head.fields().iter() {
        let (name, value) = (HeaderName::from_bytes(field.name_bytes), HeaderValue::from_bytes(field.value));
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server's bytes are for who asks.
    async fn answered(bytes: &'static [u8]) -> Result<u16, NoAnswer> {
        let (client, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(bytes).await.unwrap();
        server.shutdown().await.unwrap();
        ask(client, "h", "/heartbeat").await.map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn what_is_no_answer_to_requests_is_none_to_heartbeats() {
        for (bytes, status) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], 200),
            (b"HTTP/1.1 200\r\n\r\n", 200),
            (b"HTTP/1.0 999 What\r\n\r\nbody", 999),
            (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204),
        ] {
            assert_eq!(answered(bytes).await.unwrap(), status);
        }
        for bytes in [
            &b"HTTP/1.1 200 OK\n\n"[..],
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(matches!(answered(bytes).await, Err(NoAnswer::Head(_))));
        }
        assert!(matches!(answered(b"HTTP/1.1 200 O").await, Err(NoAnswer::Ended)));
    }
}
