//! Bodies of the admin API: JSON that came, read with limits, and what it means; and what is sent.

use std::convert::Infallible;
use std::time::Duration;

use api::{EditShape, PauseShape, Problem, ScaleShape};
use bytes::Bytes;
use control::PAUSE_MAX;
use fleet::{Edit, ReplicaName, harmless_json};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problems::{bad_request, problem};

/// The largest body of an admin request.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a client may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests are held back unless somebody says.
const PAUSE_DEFAULT: Duration = Duration::from_secs(30);

/// What is sent.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// The body of a request.
pub(crate) async fn read_json<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Problem> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| problem(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?;
    let body = body.map_err(|_| {
        let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes, or ended early");
        problem(StatusCode::PAYLOAD_TOO_LARGE, detail)
    })?;
    parse_json(&body.to_bytes())
}

/// From the bytes of a body, whatever they are, to what an endpoint takes.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // An array would pass as the fields in their order; nobody means that.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad_request("the body must be a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| bad_request(format!("the body is not what this endpoint takes: {error}")))
}

/// The edit that adds replicas.
pub fn addition(shape: &EditShape) -> Result<Edit, Problem> {
    let names = names(shape)?;
    Ok(Edit::Add { count: count(shape, &names)?, names })
}

/// The edit that removes replicas.
pub fn removal(shape: &EditShape) -> Result<Edit, Problem> {
    let names = names(shape)?;
    Ok(Edit::Remove { count: count(shape, &names)?, names })
}

/// The edit that leaves this many.
pub(crate) fn scaling(shape: &ScaleShape) -> Edit {
    Edit::Scale { count: shape.replicas }
}

fn names(shape: &EditShape) -> Result<Vec<ReplicaName>, Problem> {
    let names: Result<Vec<_>, _> = shape.names.iter().map(|name| ReplicaName::parse(name)).collect();
    names.map_err(|error| bad_request(error.to_string()))
}

fn count(shape: &EditShape, names: &[ReplicaName]) -> Result<u32, Problem> {
    let count = shape.count.unwrap_or(names.len() as u32);
    if count == 0 {
        return Err(bad_request("give a count of at least 1, or names"));
    }
    Ok(count)
}

/// For how long requests are to be held back.
pub fn pause_length(shape: &PauseShape) -> Result<Duration, Problem> {
    let Some(text) = &shape.length else { return Ok(PAUSE_DEFAULT) };
    let length = humantime::parse_duration(text);
    let length = length.map_err(|error| bad_request(format!("\"for\" is no duration like 30s: {error}")))?;
    if length.is_zero() || length > PAUSE_MAX {
        let max = humantime::format_duration(PAUSE_MAX);
        return Err(bad_request(format!("\"for\" must be more than nothing and at most {max}")));
    }
    Ok(length)
}

/// A response with text.
pub(crate) fn text(body: String) -> Response<AnswerBody> {
    of_type("text/plain; charset=utf-8", Bytes::from(body))
}

/// A response with JSON. Words of replicas and engines stand in it, and terminals show it.
pub(crate) fn json(body: &impl Serialize) -> Response<AnswerBody> {
    let text = serde_json::to_string(body).expect("our shapes hold nothing that JSON cannot");
    of_type("application/json", Bytes::from(harmless_json(&text).into_owned()))
}

/// A response that says no.
pub(crate) fn refusal(problem: &Problem) -> Response<AnswerBody> {
    let mut response = json(problem);
    let status = StatusCode::from_u16(problem.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    response
}

/// A response of this media type.
pub(crate) fn of_type(media_type: &'static str, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
