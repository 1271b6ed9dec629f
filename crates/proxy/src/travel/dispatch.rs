//! Where a request begins its way: it is for the balancer itself, for a service, or for nobody.

use std::rc::Rc;

use h1::RequestHead;

use crate::clients::client::Client;
use crate::documents;
use crate::documents::answer::Unserved;
use crate::documents::door::Door;
use crate::respond::failure::Failure;
use crate::respond::local;
use crate::respond::send;
use crate::service::{Companions, Found, Service};
use crate::settings::Unmatched;
use crate::travel::context::{Asked, Beginning, RequestContext};
use crate::travel::diversion;
use crate::travel::errand::Errand;
use crate::travel::guards::{self, Addressee, Objection};
use crate::travel::inquiry::Denial;
use crate::travel::rounds;
use crate::travel::sign_in;
use crate::travel::written::Written;

/// Answers one request. Never fails: every failure has a response, and where that is too late the client
/// sees that what it got is not whole.
pub(crate) async fn answer<C: Client>(request: &RequestContext<'_>, head: &mut RequestHead, client: &mut C) {
    let mut written = Written::begin(request, head, client);
    let Found { service, location, companions, redirection, odd, sent } =
        request.worker.find(written.head, &request.listener.name);
    written.sent = sent;
    if let Some(service) = service {
        request.set_service(service);
    }
    match &request.worker.local {
        Some(local) if local::is_local(local.as_ref(), written.head) => {
            local::answer(local.as_ref(), request, written.head, client).await;
        }
        _ => {
            let addressee = Addressee { location, redirection, odd, companions };
            forward(request, addressee, written.head, client).await;
            if let Some(service) = request.service() {
                service.counters.count_response(request.account.status.get());
            }
        }
    }
    written.end(client);
}

/// Answers what has come to no service, because it is no request, and writes it down. The head is what can be
/// made out of it.
pub(crate) async fn refuse<C: Client>(
    request: &RequestContext<'_>,
    head: &mut RequestHead,
    client: &mut C,
    failure: Failure,
) {
    let written = Written::begin(request, head, client);
    request.worker.refusals.count(failure);
    send::fail(request, written.head, client, failure).await;
    written.end(client);
}

/// Nobody waits for an answer, and nobody has looked at the request.
pub(crate) fn forget<C: Client>(request: &RequestContext<'_>, head: &RequestHead, client: &mut C) {
    send::left(request, client);
    write_down(request, head, client.request_id());
}

/// Writes down what became of a request without anybody having answered it.
pub(crate) fn tell(request: &RequestContext<'_>, head: &RequestHead, failure: Failure) {
    request.worker.refusals.count(failure);
    request.account.failure.set(Some(failure));
    request.account.status.set(failure.status());
    write_down(request, head, None);
}

fn write_down(request: &RequestContext<'_>, head: &RequestHead, request_id: Option<&[u8]>) {
    if request.worker.access_log.is_some() {
        request.log(&Beginning::now(request_id), Asked { head, target: None });
    }
}

async fn forward<C: Client>(
    request: &RequestContext<'_>,
    mut addressee: Addressee,
    head: &RequestHead,
    client: &mut C,
) {
    let Companions { canaries, mirrors } = std::mem::take(&mut addressee.companions);
    if let Some(service) = request.service() {
        request.style.set(service.settings.style);
    }
    let location = addressee.location;
    let service = match guards::pass(request, addressee, head) {
        Ok(service) => service,
        Err(objection) => return object(request, head, client, objection).await,
    };
    if let Some(reserved) = &service.guards.reserved {
        request.account.vouched.replace(Some(reserved.clone()));
    }
    let guard = service.guards.at(location);
    if guard.asks_who() {
        // Boxed, as whatever is seldom needed: requests carry the room for all of their way.
        if let Err(denial) = Box::pin(sign_in::pass(request, guard, head, client)).await {
            return deny(request, head, client, denial).await;
        }
    }
    if !service.settings.policies.certificate.is_empty() {
        request.tell_certificate(&service.settings.policies.certificate);
    }
    if !mirrors.is_empty() {
        request.set_mirrors(mirrors);
    }
    let door = Door { guards: &service.guards, location };
    let service = if canaries.is_empty() { service } else { divert(request, service, &canaries, head) };
    let errand = Errand { request, service, head, client: &mut *client };
    let outcome = match &service.settings.files {
        None => rounds::travel(errand).await,
        // Boxed, so that the others do not carry the room for it.
        Some(folder) => match Box::pin(documents::answer::answer(errand, folder, door)).await {
            Err(Unserved::Denied(denial)) => return deny(request, head, client, denial).await,
            Err(Unserved::Failed(failure)) => Err(failure),
            Ok(()) => Ok(()),
        },
    };
    match outcome {
        Ok(()) => {}
        Err(Failure::ClientLeft) => send::left(request, client),
        Err(failure) => send::fail(request, head, client, failure).await,
    }
}

/// Who gets a request that has passed: its service, or a canary of it, whose request it is from here on.
fn divert<'a>(
    request: &'a RequestContext<'_>,
    service: &'a Service,
    canaries: &[Rc<Service>],
    head: &RequestHead,
) -> &'a Service {
    let settings = canaries.iter().map(|canary| &*canary.settings);
    let Some(diversion) = diversion::choose(&service.settings, settings, head, request.client(head)) else {
        return service;
    };
    request.divert(Rc::clone(&canaries[diversion.place]));
    request.mark(diversion.mark);
    request.service().unwrap_or(service)
}

async fn deny<C: Client>(request: &RequestContext<'_>, head: &RequestHead, client: &mut C, denial: Denial) {
    match denial {
        Denial::Objection(objection) => object(request, head, client, objection).await,
        Denial::Reply(reply) => send::reply(request, head, client, reply).await,
    }
}

/// Answers what does not pass.
async fn object<C: Client>(
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
    objection: Objection,
) {
    match objection {
        Objection::Policy(answer) => send::answer_of_policy(request, head, client, answer).await,
        Objection::Failure(Failure::ClientLeft) => send::left(request, client),
        Objection::Failure(failure) => {
            request.worker.refusals.count(failure);
            if failure == Failure::NoService && request.listener.unmatched == Unmatched::Close {
                return send::nothing(request, client, failure);
            }
            send::fail(request, head, client, failure).await;
        }
    }
}
