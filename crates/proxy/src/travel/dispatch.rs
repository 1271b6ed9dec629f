//! Where a request begins its way: it is for the balancer itself, for a service, or for nobody.

use h1::RequestHead;

use crate::clients::client::Client;
use crate::respond::failure::Failure;
use crate::respond::local;
use crate::respond::send;
use crate::service::Service;
use crate::travel::context::{Beginning, RequestContext};
use crate::travel::errand::Errand;
use crate::travel::guards;
use crate::travel::rounds;

/// Answers one request. Never fails: every failure has a response, and where that is too late the client
/// sees that what it got is not whole.
pub(crate) async fn answer<C: Client>(request: &RequestContext<'_>, head: &mut RequestHead, client: &mut C) {
    let begun = request.worker.access_log.as_ref().map(|_| Beginning::now(client.request_id()));
    let service = request.worker.find(head);
    match &request.worker.local {
        Some(local) if local::is_local(local.as_ref(), head) => {
            local::answer(local.as_ref(), request, head, client).await;
        }
        _ => forward(request, service.as_deref(), head, client).await,
    }
    if let Some(begun) = &begun {
        let name = service.as_ref().map(|service| service.settings.name.as_str());
        request.log(begun, head, name);
    }
}

async fn forward<C: Client>(
    request: &RequestContext<'_>,
    service: Option<&Service>,
    head: &RequestHead,
    client: &mut C,
) {
    if let Some(service) = service {
        request.style.set(service.settings.style);
    }
    let service = match guards::pass(service, head) {
        Ok(service) => service,
        Err(failure) => return send::fail(request, head, client, failure).await,
    };
    let errand = Errand { request, service, head, client: &mut *client };
    match rounds::travel(errand).await {
        Ok(()) => {}
        Err(Failure::ClientLeft) => send::left(request, client),
        Err(failure) => send::fail(request, head, client, failure).await,
    }
    service.counters.count_response(request.account.status.get());
}
