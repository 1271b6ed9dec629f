//! What a request must pass between its route and the first attempt: a flat list, in order, of which the
//! first objection is the last word. Each policy that may answer instead of a replica is one line here, and what
//! it asks stands in its own file in `policies`. Nothing is read from the client, and no replica is chosen.

use std::sync::Arc;

use h1::{BadHead, BodyLength, Method, OddPath, RequestHead};

use crate::policies::certificate;
use crate::policies::protection::Guard;
use crate::policies::rate::Asking;
use crate::policies::redirect::{NoHost, Redirection};
use crate::policies::refusal::PolicyAnswer;
use crate::respond::failure::Failure;
use crate::service::{Companions, Service};
use crate::travel::context::RequestContext;

/// What is known of where a request goes, beside its service.
#[derive(Default)]
pub(crate) struct Addressee {
    /// The place of its location among those of its service.
    pub(crate) location: Option<usize>,
    /// It is sent there.
    pub(crate) redirection: Option<Arc<Redirection>>,
    /// Who else may get it.
    pub(crate) companions: Companions,
    /// Why its path does not say where it goes.
    pub(crate) odd: Option<OddPath>,
}

/// Why a request does not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// It cannot, or nobody is for it.
    Failure(Failure),
    /// An operator has it answered so.
    Policy(PolicyAnswer),
}

impl From<Failure> for Objection {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<PolicyAnswer> for Objection {
    fn from(answer: PolicyAnswer) -> Self {
        Self::Policy(answer)
    }
}

/// The service that the request may go to.
pub(crate) fn pass<'a>(
    request: &'a RequestContext<'_>,
    addressee: Addressee,
    head: &RequestHead,
) -> Result<&'a Service, Objection> {
    is_method_forwarded(head)?;
    addressee.odd.map_or(Ok(()), |odd| Err(Failure::OddPath(odd)))?;
    is_https(request, head)?;
    addressee.redirection.map_or(Ok(()), |redirection| Err(redirection.answer(head)))?;
    let service = request.service().ok_or(Failure::NoService)?;
    has_sure_path(service, head)?;
    is_let_in(request, service.guards.at(addressee.location), head)?;
    Ok(service)
}

/// By where it comes from, by how often, by how much it brings: who may not come at all is not counted, and who
/// comes too often is not asked further questions.
pub(crate) fn is_let_in(
    request: &RequestContext<'_>,
    guard: &Guard,
    head: &RequestHead,
) -> Result<(), Objection> {
    if let Some(networks) = &guard.networks
        && let Some(answer) = networks.refuse(request.client(head))
    {
        return Err(answer.into());
    }
    if guard.needs_certificate && request.origin.certificate.is_none() {
        return Err(certificate::missing().into());
    }
    if let Some(limiter) = &guard.rate
        && let Some(service) = request.service()
    {
        let settings = &service.settings;
        let asking = Asking { head, client: request.client(head), rule: &settings.key };
        if let Some(answer) = limiter.refuse(asking, &settings.name) {
            return Err(answer.into());
        }
    }
    if let Some(max_body) = guard.max_body {
        request.body_max.set(max_body);
        if matches!(head.body(), BodyLength::Exact(length) if length > max_body) {
            return Err(PolicyAnswer::body_too_large().into());
        }
    }
    Ok(())
}

/// The bytes behind a CONNECT would be for whoever it names, and a TRACE gives back what others have added.
fn is_method_forwarded(head: &RequestHead) -> Result<(), Failure> {
    match head.method() {
        Method::Connect | Method::Trace => Err(Failure::MethodNotForwarded),
        _ => Ok(()),
    }
}

/// Where a prefix of the path is replaced, no other reading of the path may lead round that.
fn has_sure_path(service: &Service, head: &RequestHead) -> Result<(), Failure> {
    match &service.settings.policies.rewrite {
        Some(rewrite) if !head.has_plain_path() => rewrite.check(head.path()).map_err(Failure::OddPath),
        _ => Ok(()),
    }
}

/// Where a listener sends everybody to HTTPS, who has come by it to a trusted proxy in front stays; so does who
/// names a host that nobody here is for, and gets what nobody's requests get: what we say of a host that is not
/// ours could be kept, and believed, by others.
fn is_https(request: &RequestContext<'_>, head: &RequestHead) -> Result<(), Objection> {
    let Some(redirect) = &request.listener.redirect else { return Ok(()) };
    if request.is_secure(head) || !request.worker.knows_host(head) {
        return Ok(());
    }
    match redirect.answer(head) {
        None => Ok(()),
        Some(Ok(answer)) => Err(answer.into()),
        Some(Err(NoHost)) => Err(Failure::BadHead(BadHead::Host).into()),
    }
}
