//! One request from its head to the end of its stream.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h1::{BodyLength, Method, RequestHead};
use h2::RecvStream;
use h2::server::SendResponse;

use super::arrivals::Arrived;
use super::stream::Http2Client;
use super::streams::Open;
use crate::clients::client::Client;
use crate::clients::origin::Origin;
use crate::respond::failure::Failure;
use crate::settings::{BUFFER_PATIENCE, HTTP2_GIVEN_UP_AGE};
use crate::telling::access_log::line::Ending;
use crate::travel::context::RequestContext;
use crate::travel::dispatch;
use crate::wire::discard::discard;
use crate::wire::peer::Peer;
use crate::worker::Worker;

/// A request, and the two ends of its stream.
pub(super) struct Asked {
    pub(super) arrived: Arrived,
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
}

/// Whether a request was given up before anybody has looked at it.
async fn has_left(client: &mut Http2Client<'_>) -> bool {
    poll_fn(|context| Poll::Ready(client.poll_left(context).is_ready())).await
}

/// Whether a body that had not ended with its head turns out to be none. For those that hardly ever have one
/// that is waited for a moment.
async fn has_none(request: &RequestContext<'_>, head: &RequestHead, client: &mut Http2Client<'_>) -> bool {
    let is_unusual = matches!(head.method(), Method::Get | Method::Head | Method::Options | Method::Delete);
    let patience = if is_unusual && !head.expects_continue() { BUFFER_PATIENCE } else { Duration::ZERO };
    let due = request.deadline.now() + patience;
    poll_fn(|context| {
        request.deadline.register(context.waker());
        match client.poll_body(context) {
            Poll::Ready(Ok([])) => Poll::Ready(client.trailers().is_none()),
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if request.deadline.now() >= due => Poll::Ready(false),
            Poll::Pending => {
                request.deadline.wake_at(Some(due));
                Poll::Pending
            }
        }
    })
    .await
}

/// Answers one request; whether its client gave it up at once.
pub(super) async fn answer(worker: &Worker, origin: &Origin, open: &Open, asked: Asked) -> bool {
    let deadline = worker.deadlines.join();
    let request = RequestContext::begin(worker, origin, &open.streams.visit.listener, &deadline);
    let Asked { arrived: Arrived { mut head, taken }, body, respond } = asked;
    let mut client = Http2Client::new(worker, open, respond, body);
    client.method = head.method();
    client.request_id = request.request_id(&head);
    match taken {
        _ if has_left(&mut client).await => dispatch::forget(&request, &head, &mut client),
        Ok(()) => {
            if head.body() == BodyLength::Chunked && has_none(&request, &head, &mut client).await {
                head.set_body(BodyLength::None);
            }
            dispatch::answer(&request, &mut head, &mut client).await;
        }
        Err(fault) => dispatch::refuse(&request, &mut head, &mut client, Failure::BadHead(fault)).await,
    }
    worker.buffers.put_request(head);
    if client.is_answered {
        // What is not read to its end is broken off with the stream, which some clients take for a failure
        // although they have the whole response.
        discard(&mut client, &deadline).await;
    }
    let has_left = request.account.ending.get() == Ending::ClientLeft && !client.is_answered;
    has_left && deadline.now() < request.begun + HTTP2_GIVEN_UP_AGE
}
