//! Asks another service whether a request may pass. The question goes the way of a request to that service, with its
//! limits, tries and timeouts, but for its own policies at the door: nobody is asked about questions, so there is no
//! circle. Whatever is not a clear yes keeps the request out.

use std::rc::Rc;

use h1::{RequestHead, ResponseHead};
use tokio::time::{Instant, timeout};

use crate::clients::client::Client;
use crate::policies::forward_auth::{ForwardAuth, METHOD_NAME, URI_NAME, Word};
use crate::policies::mark::Mark;
use crate::policies::vouched::Vouched;
use crate::respond::failure::Failure;
use crate::respond::response::Reply;
use crate::travel::asker::Asker;
use crate::travel::context::RequestContext;
use crate::travel::errand::Errand;
use crate::travel::guards::Objection;
use crate::travel::rounds;

/// Why a request does not pass.
pub(crate) enum Denial {
    Objection(Objection),
    /// The client gets this, as the service has said it.
    Reply(Reply),
}

impl<T: Into<Objection>> From<T> for Denial {
    fn from(objection: T) -> Self {
        Self::Objection(objection.into())
    }
}

/// An answer, as far as it was kept.
struct Answer {
    head: ResponseHead,
    body: Vec<u8>,
    is_whole: bool,
    is_too_long: bool,
}

/// Asks, and notes what replicas are to hear of the answer.
pub(crate) async fn ask<C: Client>(
    request: &RequestContext<'_>,
    auth: &ForwardAuth,
    head: &RequestHead,
    client: &mut C,
) -> Result<(), Denial> {
    let begun = Instant::now();
    let answered = timeout(auth.timeout, travel(request, auth, head, client)).await;
    let account = &request.account;
    account.waited.set(account.waited.get() + begun.elapsed());
    let answer = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(Failure::ClientLeft)) => return Err(Failure::ClientLeft.into()),
        Ok(Err(failure)) => {
            tracing::debug!(service = auth.service, ?failure, "nobody says whether a request may pass");
            return Err(auth.unanswered().into());
        }
        Err(_) => return Err(auth.unanswered().into()),
    };
    match Word::of(answer.head.status()) {
        Word::Yes if answer.is_whole || answer.is_too_long => {
            let mut vouched = account.vouched.borrow_mut();
            copy(&answer.head, auth, vouched.get_or_insert_default());
            Ok(())
        }
        Word::No if answer.is_whole => {
            request.mark(Mark::ForwardRefused);
            account.objection.replace(Some(format!("service '{}' answers instead", auth.service).into()));
            Err(Denial::Reply(Reply::new(answer.head, answer.body.into())))
        }
        Word::Yes | Word::No | Word::None => Err(auth.misunderstood().into()),
    }
}

async fn travel<C: Client>(
    request: &RequestContext<'_>,
    auth: &ForwardAuth,
    head: &RequestHead,
    client: &mut C,
) -> Result<Answer, Failure> {
    let service = request.worker.service(&auth.service).ok_or(Failure::NoService)?;
    let question = auth.question(head).ok_or(Failure::NoService)?;
    let inner = request.about(Rc::clone(&service));
    let so_far = request.account.vouched.borrow().clone().unwrap_or_default();
    inner.account.vouched.replace(Some(Box::new(about(head, *so_far))));
    if !service.settings.policies.certificate.is_empty() {
        inner.tell_certificate(&service.settings.policies.certificate);
    }
    let request_id = client.request_id().map(<[u8]>::to_vec);
    let mut left = |context: &mut std::task::Context<'_>| client.poll_left(context);
    let mut asker = Asker::new(request_id.as_deref(), &mut left);
    let errand = Errand { request: &inner, service: &service, head: &question, client: &mut asker };
    let outcome = rounds::travel(errand).await;
    // Nobody is to be woken for the sake of the question any more.
    request.deadline.wake_at(None);
    let Asker { answer, body, is_too_long, is_spoilt, .. } = asker;
    service.counters.count_response(answer.as_ref().map_or(503, ResponseHead::status));
    outcome?;
    let head = answer.ok_or(Failure::Broken)?;
    Ok(Answer { head, body, is_whole: !is_spoilt, is_too_long })
}

/// What the service hears of the request beside what is known of who has sent it: its path in the one form that counts.
fn about(head: &RequestHead, mut vouched: Vouched) -> Vouched {
    let mut target = Vec::new();
    head.write_origin(&mut target);
    vouched.say(METHOD_NAME, head.method_name());
    vouched.say(URI_NAME, &target);
    vouched
}

/// What replicas hear of the answer.
fn copy(answer: &ResponseHead, auth: &ForwardAuth, vouched: &mut Vouched) {
    for name in &auth.copy {
        vouched.reserve(name);
        for value in answer.fields().all_named(name.as_bytes()) {
            vouched.add(name, value);
        }
    }
}
