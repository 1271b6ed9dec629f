//! The question over HTTP/1.1, and the head of its answer, read by the same rules as the answers to requests: a
//! replica whose answers do not pass is not well, whatever a more lenient reader would make of them.

use h1::{BadHead, HeadEnd, HeadLimits, ResponseHead, Underscores};
use hyper::header::{HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::prober::{AGENT, HeartbeatSettings, Question};

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

/// Asks over a connection that is for this alone; the head of the answer.
pub(super) async fn ask<S>(
    mut stream: S,
    host: &str,
    settings: &HeartbeatSettings,
) -> Result<Response<()>, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&head(host, settings)).await?;
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

/// The head of the question. There is no body, and whoever may expect one is told so.
fn head(host: &str, settings: &HeartbeatSettings) -> Vec<u8> {
    let Question { method, host: called, headers, .. } = &settings.question;
    let mut bytes = format!("{method} {} HTTP/1.1\r\n", settings.path).into_bytes();
    let mut add = |name: &[u8], value: &[u8]| {
        [name, b": ", value, b"\r\n"].iter().for_each(|part| bytes.extend_from_slice(part));
    };
    add(b"host", called.as_ref().map_or(host.as_bytes(), |called| called.as_bytes()));
    add(b"connection", b"close");
    if !headers.contains_key(USER_AGENT) {
        add(b"user-agent", AGENT.as_bytes());
    }
    if *method == Method::POST {
        add(b"content-length", b"0");
    }
    headers.iter().for_each(|(name, value)| add(name.as_str().as_bytes(), value.as_bytes()));
    bytes.extend_from_slice(b"\r\n");
    bytes
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
    use std::time::Duration;

    use hyper::HeaderMap;

    use super::super::prober::HeartbeatProtocol;
    use super::*;

    /// What a server's bytes are for who asks.
    async fn answered(bytes: &'static [u8]) -> Result<u16, NoAnswer> {
        let (client, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(bytes).await.unwrap();
        server.shutdown().await.unwrap();
        ask(client, "h", &settings(Question::default())).await.map(|answer| answer.status().as_u16())
    }

    fn settings(question: Question) -> HeartbeatSettings {
        HeartbeatSettings {
            path: "/heartbeat".into(),
            question,
            protocol: HeartbeatProtocol::Http1,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_question_is_asked_as_it_is_set_and_plainly_otherwise() {
        let plain = String::from_utf8(head("10.0.0.1:80", &settings(Question::default()))).unwrap();
        let expected = "GET /heartbeat HTTP/1.1\r\nhost: 10.0.0.1:80\r\nconnection: close\r\nuser-agent: evenkeel-heartbeat\r\n\r\n";
        assert_eq!(plain, expected);
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", "me".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let host = Some(HeaderValue::from_static("shop.example"));
        let question = Question { method: Method::POST, host, headers, ..Question::default() };
        let set = String::from_utf8(head("10.0.0.1:80", &settings(question))).unwrap();
        let expected = "POST /heartbeat HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\ncontent-length: 0\r\n\
                        user-agent: me\r\nx-forwarded-proto: https\r\n\r\n";
        assert_eq!(set, expected);
    }

    #[test]
    fn other_statuses_are_good_answers_where_they_are_said_to_be() {
        let status = |status: u16| StatusCode::from_u16(status).unwrap();
        let is_good = |question: &Question, code| {
            question.judge(status(code), &HeaderMap::new()).result == fleet::ProbeResult::Good
        };
        let usual = Question::default();
        assert_eq!(
            [199, 200, 299, 300, 401].map(|code| is_good(&usual, code)),
            [false, true, true, false, false]
        );
        let set = Question { statuses: vec![200..=399, 401..=401], ..Question::default() };
        assert_eq!(
            [200, 302, 400, 401, 402].map(|code| is_good(&set, code)),
            [true, true, false, true, false]
        );
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
