//! Responses of our own on their way to a client, and what is noted of them.

use std::future::poll_fn;
use std::task::{Poll, ready};

use h1::{BodyLength, RequestHead};

use crate::clients::client::Client;
use crate::policies::refusal::PolicyAnswer;
use crate::respond::failure::Failure;
use crate::respond::response::Reply;
use crate::telling::access_log::line::Ending;
use crate::travel::context::RequestContext;
use crate::wire::discard;
use crate::wire::peer::Broken;

/// What the access log has for a request that gets no answer, as nginx has it. Nobody is sent it.
const UNANSWERED_STATUS: u16 = 444;

/// Nobody is there to be answered.
pub(crate) fn left<C: Client>(request: &RequestContext<'_>, client: &mut C) {
    request.account.ending.set(Ending::ClientLeft);
    request.account.failure.set(Some(Failure::ClientLeft));
    request.account.status.set(Failure::ClientLeft.status());
    client.spoil();
}

/// Sends what a failure becomes.
pub(crate) async fn fail<C: Client>(
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
    failure: Failure,
) {
    let answer = failed(request, client, failure);
    refuse(request, head, client, answer).await;
}

/// What a failure becomes, for those who have their own way to send it.
pub(crate) fn failed<C: Client>(request: &RequestContext<'_>, client: &mut C, failure: Failure) -> Reply {
    request.account.failure.set(Some(failure));
    if failure.ends_connection() {
        client.end_after_this();
    }
    request.style.get().of_failure(failure)
}

/// Sends an answer of ours, or the page that an operator has stand for it.
pub(crate) async fn refuse<C: Client>(
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
    mut answer: Reply,
) {
    request.put_page(&mut answer);
    reply(request, head, client, answer).await;
}

/// Sends what a policy has answered instead of a replica.
pub(crate) async fn answer_of_policy<C: Client>(
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
    answer: PolicyAnswer,
) {
    request.mark(answer.mark);
    let answered = request.style.get().of_policy(&answer);
    request.account.objection.replace(answer.text);
    refuse(request, head, client, answered).await;
}

/// Sends nothing, and ends what the request came on.
pub(crate) fn nothing<C: Client>(request: &RequestContext<'_>, client: &mut C, failure: Failure) {
    request.account.failure.set(Some(failure));
    request.account.status.set(UNANSWERED_STATUS);
    client.spoil();
}

/// Sends a response of ours.
pub(crate) async fn reply<C: Client>(
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
    mut reply: Reply,
) {
    request.account.status.set(reply.head.status());
    request.edit_response(&mut reply.head);
    // A body that nobody has read is looked through, for the sake of the connection.
    if !discard::is_at_hand(client).await {
        client.end_after_this();
    }
    let length = reply.length(head.method());
    client.begin_response(&reply.head, length);
    let due = request.deadline.now() + request.worker.clients.timeouts.write;
    request.deadline.wake_at(Some(due));
    let mut rest = if length == BodyLength::None { &[][..] } else { &reply.body[..] };
    let mut is_finished = false;
    let sent = poll_fn(|context| {
        request.deadline.register(context.waker());
        if request.deadline.now() > due {
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
        request.account.ending.set(Ending::ClientLeft);
        client.spoil();
    }
    request.account.bytes.set(reply.body.len() as u64);
}
