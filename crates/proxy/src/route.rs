//! From a request to the service that it is for: by host, then by the longest path prefix.

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};

use crate::attempt;
use crate::body::{self, AnswerBody};
use crate::forward::Client;
use crate::respond::{self, Failure};
use crate::settings::{LOCAL_BODY_MAX, LocalEndpoints, ServiceSettings};
use crate::worker::{Service, Worker};

/// Answers one request. Never fails: every failure has an answer.
pub(crate) async fn answer(
    worker: &Worker,
    request: Request<Incoming>,
    client: &Client,
) -> Response<AnswerBody> {
    let mut answer = match &worker.local {
        Some(local) if local.serves(request.method(), request.uri().path()) => {
            answer_here(local.as_ref(), request).await
        }
        _ => forward(worker, request, client).await,
    };
    if worker.is_stopping.get() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn forward(worker: &Worker, request: Request<Incoming>, client: &Client) -> Response<AnswerBody> {
    let Some(service) = find(&worker.services, &request) else {
        return respond::problem(StatusCode::NOT_FOUND, "no service is configured for this host and path");
    };
    let answer = if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        respond::failed(service, Failure::MethodNotForwarded)
    } else if !has_good_host(&request) {
        respond::failed(service, Failure::BadHost)
    } else {
        attempt::travel(service, request, client).await
    };
    service.counters.count_answer(answer.status());
    answer
}

/// Exactly one, or at most one before HTTP/1.1.
fn has_good_host(request: &Request<Incoming>) -> bool {
    let count = request.headers().get_all(HOST).iter().count();
    if request.version() == Version::HTTP_11 { count == 1 } else { count <= 1 }
}

async fn answer_here(local: &dyn LocalEndpoints, request: Request<Incoming>) -> Response<AnswerBody> {
    let (head, incoming) = request.into_parts();
    match body::read_whole(incoming, LOCAL_BODY_MAX).await {
        Err(body::Unread::TooSlow) => {
            respond::contract_failure(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")
        }
        Ok(bytes) => local.answer(head, bytes).await.map(AnswerBody::own),
        Err(body::Unread::TooLarge) => {
            let text = format!("the body is larger than {LOCAL_BODY_MAX} bytes");
            respond::contract_failure(StatusCode::PAYLOAD_TOO_LARGE, &text)
        }
        Err(body::Unread::Broken) => {
            respond::contract_failure(StatusCode::BAD_REQUEST, "the body ended early")
        }
    }
}

fn find<'a>(services: &'a [Service], request: &Request<Incoming>) -> Option<&'a Service> {
    let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok());
    let host = host.map(|host| without_port(host).to_ascii_lowercase()).unwrap_or_default();
    // `OPTIONS *` is about the server as a whole.
    let path = if request.uri().path() == "*" { "/" } else { request.uri().path() };
    let matching = services.iter().filter(|service| matches(&service.settings, &host, path));
    // The more of the host is spelled out the better, then the longer the path.
    matching.max_by_key(|service| (host_rank(&service.settings.host), service.settings.path.len()))
}

fn matches(service: &ServiceSettings, host: &str, path: &str) -> bool {
    let host_matches = match service.host.strip_prefix('*') {
        Some("") => true,
        Some(rest) => host.len() > rest.len() && host.ends_with(rest),
        None => service.host == host,
    };
    // A prefix ends at a slash: /api is for /api and /api/x, not for /apis.
    let rest = path.strip_prefix(service.path.trim_end_matches('/'));
    host_matches && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn host_rank(host: &str) -> (bool, usize) {
    (!host.starts_with('*'), host.len())
}

fn without_port(host: &str) -> &str {
    let end_of_name = host.rfind(']').unwrap_or(0);
    match host[end_of_name..].find(':') {
        Some(colon) => &host[..end_of_name + colon],
        None => host,
    }
}
