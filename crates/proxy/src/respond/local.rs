//! Requests that the balancer answers itself.

use bytes::Bytes;
use h1::{BadHead, RequestHead, ResponseHead};

use crate::clients::client::Client;
use crate::respond::failure::Failure;
use crate::respond::response::Reply;
use crate::respond::send;
use crate::settings::{LOCAL_BODY_MAX, LocalEndpoints};
use crate::travel::buffering::{self, Limit};
use crate::travel::context::RequestContext;

/// Whether a request is one of them.
pub(crate) fn is_local(local: &dyn LocalEndpoints, head: &RequestHead) -> bool {
    let method = http::Method::from_bytes(head.method_name());
    let path = std::str::from_utf8(head.path());
    matches!((method, path), (Ok(method), Ok(path)) if local.serves(&method, path))
}

/// Answers one of them.
pub(crate) async fn answer<C: Client>(
    local: &dyn LocalEndpoints,
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
) {
    request.style.set(local.style());
    match ask(local, request, head, client).await {
        Ok(reply) => send::reply(request, head, client, reply).await,
        Err(Failure::ClientLeft) => send::left(request, client),
        // Whoever speaks to the balancer itself is no browser, and no page is for it.
        Err(failure) => {
            let reply = send::failed(request, client, failure);
            send::reply(request, head, client, reply).await;
        }
    }
}

async fn ask<C: Client>(
    local: &dyn LocalEndpoints,
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
) -> Result<Reply, Failure> {
    let body = buffering::whole(request, head, client, Limit { bytes: LOCAL_BODY_MAX, end: None }).await?;
    let parts = parts(head).ok_or(Failure::BadHead(BadHead::Target))?;
    let client = request.origin.address.ip().to_canonical();
    Ok(into_reply(local.answer(parts, client, Bytes::from(body)).await))
}

fn parts(head: &RequestHead) -> Option<http::request::Parts> {
    let mut target = Vec::new();
    head.write_origin(&mut target);
    let mut request = http::Request::builder().method(head.method_name()).uri(target);
    for field in head.fields().iter() {
        request = request.header(field.name_bytes, field.value);
    }
    let mut parts = request.body(()).ok()?.into_parts().0;
    // HTTP/2 and targets with a host say it elsewhere.
    if let Some(host) = head.host() {
        parts.headers.insert(http::header::HOST, http::HeaderValue::from_bytes(host).ok()?);
    }
    Some(parts)
}

fn into_reply(response: http::Response<Bytes>) -> Reply {
    let (parts, body) = response.into_parts();
    let mut head = ResponseHead::default();
    head.start(parts.status.as_u16());
    for (name, value) in &parts.headers {
        head.push(name.as_str().as_bytes(), value.as_bytes());
    }
    Reply::new(head, body)
}
