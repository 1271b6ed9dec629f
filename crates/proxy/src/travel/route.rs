//! From a request to the service that it is for: by host, then by the longest path prefix.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h1::{BadHead, BodyLength, Method, RequestHead, ResponseHead};

use crate::clients::client::Client;
use crate::respond::failure::{self as respond, Failure, Reply};
use crate::settings::{DISCARD_BYTES_MAX, LOCAL_BODY_MAX, LocalEndpoints, ServiceSettings};
use crate::telling::access_log::Ending;
use crate::travel::attempt;
use crate::travel::buffering as gather;
use crate::travel::context::{Clocks, Journey};
use crate::wire::peer::Broken;
use crate::worker::Service;

/// Answers one request. Never fails: every failure has an answer, and where that is too late the client
/// sees that what it got is not whole.
pub(crate) async fn answer<C: Client>(journey: &Journey<'_>, head: &mut RequestHead, client: &mut C) {
    let begun =
        journey.worker.access_log.as_ref().map(|_| (Clocks::read(), client.request_id().map(<[u8]>::to_vec)));
    let service = find(&journey.worker.services, head);
    match &journey.worker.local {
        Some(local) if is_local(local.as_ref(), head) => {
            answer_here(local.as_ref(), journey, head, client).await;
        }
        _ => forward(journey, service, head, client).await,
    }
    if let Some((begun, id)) = &begun {
        let name = service.map(|service| service.settings.name.as_str());
        journey.log(begun, head, (name, id.as_deref()));
    }
}

async fn forward<C: Client>(
    journey: &Journey<'_>,
    service: Option<&Service>,
    head: &RequestHead,
    client: &mut C,
) {
    if matches!(head.method(), Method::Connect | Method::Trace) {
        return fail(journey, service, (head, client), Failure::MethodNotForwarded).await;
    }
    let Some(service) = service else {
        return fail(journey, None, (head, client), Failure::NoService).await;
    };
    let outcome = attempt::travel(journey, service, (head, &mut *client)).await;
    match outcome {
        Ok(()) => {}
        Err(Failure::ClientLeft) => left(journey, client),
        Err(failure) => fail(journey, Some(service), (head, client), failure).await,
    }
    service.counters.count_answer(journey.account.status.get());
}

/// Nobody is there to be answered.
fn left<C: Client>(journey: &Journey<'_>, client: &mut C) {
    journey.account.ending.set(Ending::ClientLeft);
    journey.account.status.set(Failure::ClientLeft.status());
    client.spoil();
}

/// Sends the answer that a failure becomes.
pub(crate) async fn fail<C: Client>(
    journey: &Journey<'_>,
    service: Option<&Service>,
    (head, client): (&RequestHead, &mut C),
    failure: Failure,
) {
    if failure.ends_connection() {
        client.end_after_this();
    }
    reply(journey, (head, client), &respond::failed(service, failure)).await;
}

/// Sends an answer of ours.
pub(crate) async fn reply<C: Client>(
    journey: &Journey<'_>,
    (head, client): (&RequestHead, &mut C),
    reply: &Reply,
) {
    journey.account.status.set(reply.head.status());
    if !poll_fn(|context| Poll::Ready(is_body_at_hand(client, context))).await {
        client.end_after_this();
    }
    let length = reply.length(head.method());
    client.begin_answer(&reply.head, length);
    let due = journey.watch.now() + journey.worker.clients.timeouts.write;
    journey.watch.wake_at(Some(due));
    let mut rest = if length == BodyLength::None { &[][..] } else { &reply.body[..] };
    let mut is_finished = false;
    let sent = poll_fn(|context| {
        journey.watch.register(context.waker());
        if journey.watch.now() > due {
            return Poll::Ready(Err(Broken::Gone));
        }
        while !rest.is_empty() {
            let sent = ready!(client.poll_send(context, rest))?;
            rest = &rest[sent..];
        }
        if !is_finished {
            client.finish(None);
            is_finished = true;
        }
        client.poll_flush(context)
    });
    if sent.await.is_err() {
        journey.account.ending.set(Ending::ClientLeft);
        client.spoil();
    }
    journey.account.bytes.set(reply.body.len() as u64);
}

/// Looks through a body that nobody wants: whether all of it has come already, and is no larger than what
/// is worth reading for the sake of the connection.
fn is_body_at_hand<C: Client>(client: &mut C, context: &mut Context<'_>) -> bool {
    let mut seen = 0;
    while seen <= DISCARD_BYTES_MAX {
        let length = match client.poll_body(context) {
            Poll::Ready(Ok([])) => return true,
            Poll::Ready(Ok(bytes)) => bytes.len(),
            Poll::Ready(Err(_)) | Poll::Pending => return false,
        };
        client.consume(length);
        seen += length as u64;
    }
    false
}

fn is_local(local: &dyn LocalEndpoints, head: &RequestHead) -> bool {
    let method = http::Method::from_bytes(head.method_name());
    let path = std::str::from_utf8(head.path());
    matches!((method, path), (Ok(method), Ok(path)) if local.serves(&method, path))
}

async fn answer_here<C: Client>(
    local: &dyn LocalEndpoints,
    journey: &Journey<'_>,
    head: &RequestHead,
    client: &mut C,
) {
    let service = journey.worker.services.first();
    let body = match gather::whole(journey, (head, client), (LOCAL_BODY_MAX, None)).await {
        Ok(body) => body,
        Err(Failure::ClientLeft) => return left(journey, client),
        Err(failure) => return fail(journey, service, (head, client), failure).await,
    };
    match parts(head) {
        Some(parts) => {
            let answer = into_reply(local.answer(parts, Bytes::from(body)).await);
            reply(journey, (head, client), &answer).await;
        }
        None => fail(journey, service, (head, client), Failure::BadHead(BadHead::Target)).await,
    }
}

fn parts(head: &RequestHead) -> Option<http::request::Parts> {
    let mut target = Vec::new();
    head.write_origin(&mut target);
    let mut request = http::Request::builder().method(head.method_name()).uri(target);
    for field in head.fields().iter() {
        request = request.header(field.name_bytes, field.value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

fn into_reply(answer: http::Response<Bytes>) -> Reply {
    let (parts, body) = answer.into_parts();
    let mut head = ResponseHead::default();
    head.start(parts.status.as_u16());
    for (name, value) in &parts.headers {
        head.push(name.as_str().as_bytes(), value.as_bytes());
    }
    Reply { head, body }
}

fn find<'a>(services: &'a [Service], head: &RequestHead) -> Option<&'a Service> {
    let host = head.host().map(name_of).unwrap_or_default();
    // `OPTIONS *` is about the server as a whole.
    let path = if head.path() == b"*" { b"/" } else { head.path() };
    let matching = services.iter().filter(|service| matches(&service.settings, host, path));
    // The more of the host is spelled out the better, then the longer the path.
    matching.max_by_key(|service| (host_rank(&service.settings.host), service.settings.path.len()))
}

fn matches(service: &ServiceSettings, host: &[u8], path: &[u8]) -> bool {
    let host_matches = match service.host.strip_prefix('*') {
        Some("") => true,
        Some(rest) => {
            let start = host.len().saturating_sub(rest.len());
            start > 0 && host[start..].eq_ignore_ascii_case(rest.as_bytes())
        }
        None => host.eq_ignore_ascii_case(service.host.as_bytes()),
    };
    // A prefix ends at a slash: /api is for /api and /api/x, not for /apis.
    let rest = path.strip_prefix(service.path.trim_end_matches('/').as_bytes());
    host_matches && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn host_rank(host: &str) -> (bool, usize) {
    (!host.starts_with('*'), host.len())
}

/// A host without its port, and without the dot that an absolute name may end with.
fn name_of(host: &[u8]) -> &[u8] {
    let end_of_address = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host[end_of_address..].iter().position(|byte| *byte == b':');
    let name = colon.map_or(host, |colon| &host[..end_of_address + colon]);
    name.strip_suffix(b".").unwrap_or(name)
}
