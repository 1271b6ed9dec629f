//! Responses of the balancer's own, and what they look like.

use bytes::Bytes;
use fleet::harmless_json;
use h1::{BodyLength, Method, ResponseHead};
use http::StatusCode;

use crate::policies::refusal::PolicyAnswer;
use crate::respond::failure::Failure;

/// What responses of our own look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseStyle {
    /// Problem details as in RFC 9457.
    #[default]
    Problem,
    /// The shape of the original contract. A path that replicas do not have is a failure of ours, too.
    Contract,
}

/// A response of ours, whole.
pub(crate) struct Reply {
    pub(crate) head: ResponseHead,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(head: ResponseHead, body: Bytes) -> Self {
        Self { head, body }
    }

    fn of_kind(status: u16, content_type: &str, body: Bytes) -> Self {
        let mut head = ResponseHead::default();
        head.start(status);
        head.push(b"content-type", content_type.as_bytes());
        head.set_body(BodyLength::Exact(body.len() as u64));
        Self::new(head, body)
    }

    /// A status that says all.
    pub(crate) fn bare(status: u16) -> Self {
        let mut head = ResponseHead::default();
        head.start(status);
        head.set_body(BodyLength::Exact(0));
        Self::new(head, Bytes::new())
    }

    /// How long the body is for who has asked in this way.
    pub(crate) fn length(&self, asked: Method) -> BodyLength {
        match asked {
            Method::Head => BodyLength::None,
            _ => BodyLength::Exact(self.body.len() as u64),
        }
    }
}

impl ResponseStyle {
    /// What a request gets that no replica has answered.
    pub(crate) fn of_failure(self, failure: Failure) -> Reply {
        let status = failure.status();
        let mut reply = self.told(status, &failure.text());
        let proxy_status = format!("evenkeel; error={}", failure.proxy_status());
        reply.head.push(b"proxy-status", proxy_status.as_bytes());
        if status == 503 {
            reply.head.push(b"retry-after", b"1");
        }
        if status == 405 {
            let allowed = match failure {
                Failure::File(_) => &b"GET, HEAD"[..],
                _ => b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH",
            };
            reply.head.push(b"allow", allowed);
        }
        reply
    }

    /// What a request gets that a policy has answered.
    pub(crate) fn of_policy(self, answer: &PolicyAnswer) -> Reply {
        let mut reply = match &answer.text {
            Some(text) => self.told(answer.status, text),
            None => Reply::bare(answer.status),
        };
        for field in &answer.fields {
            reply.head.push(field.name.as_bytes(), &field.value);
        }
        reply
    }

    /// What a request gets instead of a replica's response with this status, if it does.
    pub(crate) fn instead_of(self, status: u16, path: &[u8]) -> Option<Reply> {
        match self {
            Self::Contract if status == 404 => {
                let path = String::from_utf8_lossy(path);
                Some(self.told(400, &format!("'{path}' endpoint does not exist in server replicas")))
            }
            Self::Contract | Self::Problem => None,
        }
    }

    /// A status, and what there is to say of it.
    pub(crate) fn told(self, status: u16, text: &str) -> Reply {
        match self {
            Self::Problem => {
                let body = serde_json::json!({"title": reason(status), "status": status, "detail": text});
                Reply::of_kind(status, "application/problem+json", json(&body))
            }
            Self::Contract => {
                let body = serde_json::json!({"message": format!("<Error> {text}"), "status": "failure"});
                Reply::of_kind(status, "application/json", json(&body))
            }
        }
    }
}

/// Paths of clients stand in it, and terminals show it.
fn json(body: &serde_json::Value) -> Bytes {
    Bytes::from(harmless_json(&body.to_string()).into_owned())
}

/// What stands behind a status of ours.
pub(crate) fn reason(status: u16) -> &'static str {
    let code = StatusCode::from_u16(status).ok();
    code.and_then(|code| code.canonical_reason()).unwrap_or_default()
}
