//! Every failure, and the answer that it becomes. The client is told little, the log everything.

use bytes::Bytes;
use fleet::Claim;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use crate::body::{self, AnswerBody};
use crate::forward;
use crate::upstream::Lease;
use crate::worker::Service;

/// Why an attempt, or all of them, came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody listens there.
    Refused,
    /// No connection in time, or the network said no.
    Unreachable,
    /// The connection was gone before anything was sent on it.
    Unsent,
    /// The connection broke after something was sent and before an answer began.
    Broken,
    /// The replica was given up while we waited for its answer.
    Condemned,
    /// No answer within the limit.
    TimedOut,
    /// What came was no HTTP.
    Garbled,
    /// The client's body broke off or was no HTTP.
    ClientBroke,
    /// The client's body did not arrive in time.
    ClientTooSlow,
    /// We had no socket left for another connection.
    OutOfSockets,
    /// CONNECT or TRACE.
    MethodNotForwarded,
    /// Not exactly one `Host`, so that two readers could disagree about whom it is for.
    BadHost,
    /// The service has no replica at all, by its operator's will.
    NoReplicas,
    /// No replica took traffic within the time that a request may wait.
    WaitedInVain,
    /// Too many wait already.
    RoomFull,
}

/// When a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// Nothing was sent.
    Always,
    /// The replica may have acted on it.
    IfIdempotent,
    /// It would not help.
    Never,
}

impl Failure {
    /// The status that the client gets when this was the last word.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Refused | Self::Unreachable | Self::Unsent => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken | Self::Condemned | Self::Garbled => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientBroke | Self::BadHost => StatusCode::BAD_REQUEST,
            Self::ClientTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::MethodNotForwarded => StatusCode::METHOD_NOT_ALLOWED,
            Self::OutOfSockets | Self::NoReplicas | Self::WaitedInVain | Self::RoomFull => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Whether the request may be sent again.
    pub(crate) fn replay(self) -> Replay {
        match self {
            Self::Refused | Self::Unreachable | Self::Unsent => Replay::Always,
            Self::Broken | Self::Condemned => Replay::IfIdempotent,
            // Every replica that is asked again could be kept busy as long.
            Self::TimedOut | Self::Garbled => Replay::Never,
            Self::ClientBroke | Self::ClientTooSlow => Replay::Never,
            Self::MethodNotForwarded | Self::BadHost => Replay::Never,
            Self::OutOfSockets | Self::NoReplicas | Self::WaitedInVain | Self::RoomFull => Replay::Never,
        }
    }

    /// Whether it speaks against the replica that it happened with.
    pub(crate) fn is_suspicious(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::Broken | Self::TimedOut | Self::Garbled)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Refused | Self::Unreachable | Self::Unsent => "no replica could be reached",
            Self::Broken | Self::Condemned => "the replica failed while it worked on this request",
            Self::TimedOut => "the replica did not answer in time",
            Self::Garbled => "the replica's answer was not valid HTTP",
            Self::ClientBroke => "the request body ended early or was not valid HTTP",
            Self::ClientTooSlow => "the request body did not arrive in time",
            Self::OutOfSockets => "no connection is left for another request",
            Self::BadHost => "HTTP/1.1 needs exactly one Host header",
            Self::MethodNotForwarded => "CONNECT and TRACE are not forwarded",
            Self::NoReplicas => "this service has no replicas",
            Self::WaitedInVain => "no replica could serve this request in time",
            Self::RoomFull => "too many requests are waiting for a replica",
        }
    }
}

/// A replica's answer on its way to the client.
pub(crate) fn relay(
    service: &Service,
    path: &str,
    answer: Response<Incoming>,
    (lease, claim): (Lease, Claim),
) -> Response<AnswerBody> {
    let (mut head, incoming) = answer.into_parts();
    let body = AnswerBody::relayed(incoming, lease, claim);
    if service.settings.is_contract && head.status == StatusCode::NOT_FOUND {
        body::discard(body);
        let text = format!("'{path}' endpoint does not exist in server replicas");
        return contract_failure(StatusCode::BAD_REQUEST, &text);
    }
    forward::strip_hop_by_hop(&mut head.headers);
    head.version = hyper::Version::HTTP_11;
    head.extensions.clear();
    Response::from_parts(head, body)
}

/// The answer to a request that no replica answered.
pub(crate) fn failed(service: &Service, failure: Failure) -> Response<AnswerBody> {
    let status = failure.status();
    let mut answer = if service.settings.is_contract {
        contract_failure(status, failure.text())
    } else {
        problem(status, failure.text())
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// A failure in the shape of the original contract.
pub(crate) fn contract_failure(status: StatusCode, text: &str) -> Response<AnswerBody> {
    let body = serde_json::json!({"message": format!("<Error> {text}"), "status": "failure"});
    json(status, "application/json", &body)
}

/// A failure as RFC 9457 has it.
pub(crate) fn problem(status: StatusCode, text: &str) -> Response<AnswerBody> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({"title": title, "status": status.as_u16(), "detail": text});
    json(status, "application/problem+json", &body)
}

fn json(status: StatusCode, content_type: &'static str, body: &serde_json::Value) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::own(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
