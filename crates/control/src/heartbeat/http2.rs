//! The same question over HTTP/2, for replicas that speak nothing else; and in gRPC's own way.

use bytes::Bytes;
use fleet::ProbeResult;
use h2::client;
use hyper::Method;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::http::{Request, Response, request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::prober::{AGENT, GRPC_HEALTH, HeartbeatSettings, Probed};

/// An empty message: not compressed, no bytes. It asks for the server as a whole.
const GRPC_QUESTION: &[u8] = &[0, 0, 0, 0, 0];
/// A message of two bytes: field 1, `status`, is 1, `SERVING`.
const GRPC_SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 1];
/// No code of gRPC's is longer.
const GRPC_STATUS_BYTES_MAX: usize = 4;
/// The most of an answer that is looked at.
const ANSWER_BYTES_MAX: usize = 1024;

/// Probes a replica. One that says nothing that we understand has missed it. The deadline is the
/// caller's.
pub(super) async fn probe<S>(stream: S, host: &str, settings: &HeartbeatSettings) -> Probed
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = match client::handshake(stream).await {
        Ok(connected) => connected,
        Err(error) => return Probed::not_understood(&error),
    };
    // The connection is driven beside the request; whatever came of it, it ends here.
    let driven = tokio::spawn(connection);
    let called = settings.question.host.as_ref().and_then(|called| called.to_str().ok());
    let host = called.unwrap_or(host);
    let understood = match settings.path == GRPC_HEALTH {
        true => ask_grpc(sender, host, settings).await,
        false => ask(sender, host, settings).await,
    };
    driven.abort();
    understood.unwrap_or_else(|error| Probed::not_understood(&*error))
}

/// Whatever came instead of an answer.
type Unanswered = Box<dyn std::error::Error + Send + Sync>;

fn question(method: &Method, host: &str, settings: &HeartbeatSettings) -> request::Builder {
    let mut builder = Request::builder().method(method).uri(format!("http://{host}{}", settings.path));
    let headers = &settings.question.headers;
    if !headers.contains_key(USER_AGENT) {
        builder = builder.header(USER_AGENT, AGENT);
    }
    headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value))
}

async fn ask(
    sender: client::SendRequest<Bytes>,
    host: &str,
    settings: &HeartbeatSettings,
) -> Result<Probed, Unanswered> {
    let request = question(&settings.question.method, host, settings).body(())?;
    let (answer, _) = sender.ready().await?.send_request(request, true)?;
    let answer = answer.await?;
    Ok(settings.question.judge(answer.status(), answer.headers()))
}

async fn ask_grpc(
    sender: client::SendRequest<Bytes>,
    host: &str,
    settings: &HeartbeatSettings,
) -> Result<Probed, Unanswered> {
    let request = question(&Method::POST, host, settings)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut body) = sender.ready().await?.send_request(request, false)?;
    body.send_data(Bytes::from_static(GRPC_QUESTION), true)?;
    let answer: Response<h2::RecvStream> = answer.await?;
    let (parts, mut body) = answer.into_parts();
    let mut message = Vec::new();
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        message.extend_from_slice(&bytes);
        if message.len() > ANSWER_BYTES_MAX {
            return Err("it is too long".into());
        }
    }
    let trailers = body.trailers().await?;
    let of_trailers = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    let status = of_trailers.or_else(|| parts.headers.get("grpc-status"));
    Ok(match status.map(HeaderValue::as_bytes) {
        Some(b"0") if message == GRPC_SERVING => ProbeResult::Good.into(),
        Some(b"0") => Probed::new(ProbeResult::Unwell, "another status than SERVING"),
        Some(code) => {
            let code = String::from_utf8_lossy(&code[..code.len().min(GRPC_STATUS_BYTES_MAX)]);
            Probed::new(ProbeResult::Unwell, format!("grpc-status {code}"))
        }
        None => Probed::new(ProbeResult::Unwell, format!("{} without a grpc-status", parts.status)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::HeaderMap;
    use tokio::io::DuplexStream;

    use super::super::prober::{HeartbeatProtocol, Question};
    use super::*;

    /// Answers one request, then goes on until the other side ends: with a status, and with a message and
    /// trailers if there is one.
    async fn replica(stream: DuplexStream, status: u16, message: &'static [u8]) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let is_grpc = request.uri().path() == GRPC_HEALTH;
            assert_eq!(request.method(), if is_grpc { Method::POST } else { Method::GET });
            let answer = Response::builder().status(status).body(()).unwrap();
            let mut body = respond.send_response(answer, message.is_empty()).unwrap();
            if !message.is_empty() {
                body.send_data(Bytes::from_static(message), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                body.send_trailers(trailers).unwrap();
            }
        }
    }

    async fn result(path: &str, status: u16, message: &'static [u8]) -> ProbeResult {
        let (ours, theirs) = tokio::io::duplex(4096);
        let replica = tokio::spawn(replica(theirs, status, message));
        let probed = probe(ours, "replica", &settings(path)).await;
        replica.abort();
        probed.result
    }

    fn settings(path: &str) -> HeartbeatSettings {
        HeartbeatSettings {
            path: path.into(),
            question: Question::default(),
            protocol: HeartbeatProtocol::H2c,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn a_good_status_is_a_good_answer() {
        assert_eq!(result("/heartbeat", 200, b"").await, ProbeResult::Good);
        assert_eq!(result("/heartbeat", 204, b"").await, ProbeResult::Good);
        assert_eq!(result("/heartbeat", 500, b"").await, ProbeResult::Unwell);
    }

    #[tokio::test]
    async fn it_is_asked_as_it_is_set() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let replica = tokio::spawn(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let authority = request.uri().authority().map(ToString::to_string);
                let is_right = authority.as_deref() == Some("shop.example")
                    && request.method() == Method::HEAD
                    && request.headers().get("x-who").is_some_and(|who| who == "us");
                let answer = Response::builder().status(if is_right { 401 } else { 200 }).body(()).unwrap();
                respond.send_response(answer, true).unwrap();
            }
        });
        let mut headers = HeaderMap::new();
        headers.insert("x-who", HeaderValue::from_static("us"));
        let host = Some(HeaderValue::from_static("shop.example"));
        let question =
            Question { method: Method::HEAD, host, headers, statuses: vec![401..=401], port: None };
        let settings = HeartbeatSettings { question, ..settings("/up") };
        assert_eq!(probe(ours, "replica", &settings).await.result, ProbeResult::Good);
        replica.abort();
    }

    #[tokio::test]
    async fn only_serving_is_a_good_answer_of_grpc() {
        assert_eq!(result(GRPC_HEALTH, 200, GRPC_SERVING).await, ProbeResult::Good);
        assert_eq!(result(GRPC_HEALTH, 200, &[0, 0, 0, 0, 2, 0x08, 2]).await, ProbeResult::Unwell);
        assert_eq!(result(GRPC_HEALTH, 200, b"").await, ProbeResult::Unwell);
    }

    #[tokio::test]
    async fn one_that_speaks_no_http_2_has_missed_it() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        drop(theirs);
        assert_eq!(probe(ours, "replica", &settings("/")).await.result, ProbeResult::Missed);
    }
}
