//! Which service gets a request that has found the one that it is for: that one, or a canary of it. What a
//! session has begun with, it stays with.

use h1::RequestHead;

use crate::policies::canary::{self, Canary};
use crate::policies::mark::Mark;
use crate::settings::ServiceSettings;
use crate::travel::key::KeyRule;

use std::borrow::Cow;
use std::net::IpAddr;

/// A canary that gets a request, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Diversion {
    /// Its place among the canaries of the service.
    pub(crate) place: usize,
    pub(crate) mark: Mark,
}

/// Whom a request goes to that is for this service and has these canaries; nothing if it stays. Each canary has a
/// part of all who may come, one behind the other in the order of the configuration.
pub(crate) fn choose<'a>(
    service: &ServiceSettings,
    canaries: impl Iterator<Item = &'a ServiceSettings> + Clone,
    head: &RequestHead,
    client: IpAddr,
) -> Option<Diversion> {
    let settings = |one: &'a ServiceSettings| Some((one, one.policies.canary.as_ref()?));
    let canaries = canaries.enumerate().filter_map(|(place, one)| {
        let (settings, canary) = settings(one)?;
        Some(Candidate { place, settings, canary })
    });
    if let Some(asked) = canaries.clone().find(|one| one.canary.is_asked_for(head)) {
        return Some(Diversion { place: asked.place, mark: Mark::CanaryAsked });
    }
    let has_session =
        |settings: &ServiceSettings| settings.sticky.as_ref().is_some_and(|it| it.session(head).is_some());
    if has_session(service) {
        return None;
    }
    if let Some(home) = canaries.clone().find(|one| has_session(one.settings)) {
        return Some(Diversion { place: home.place, mark: Mark::CanarySession });
    }
    let own_place = canary::place_among_all(&service.name, &who(service, head, client));
    let mut end = 0.0;
    let chosen = canaries.clone().find(|one| {
        end += one.canary.part();
        own_place < end
    })?;
    // Whoever did not ask for something new is not to wait for it.
    let has_replica = || chosen.settings.table.load().replicas().any(|replica| replica.gate.is_open());
    let takes_requests = chosen.settings.files.is_some() || has_replica();
    takes_requests.then_some(Diversion { place: chosen.place, mark: Mark::CanaryShare })
}

struct Candidate<'a> {
    place: usize,
    settings: &'a ServiceSettings,
    canary: &'a Canary,
}

/// Who a request is from, as far as can be known: what its service places it by, if that is about visitors, or else
/// the address of its client.
fn who<'a>(service: &'a ServiceSettings, head: &'a RequestHead, client: IpAddr) -> Cow<'a, [u8]> {
    let key = match &service.key {
        KeyRule::Random | KeyRule::Path | KeyRule::ClientIp => None,
        rule => rule.value(head, client),
    };
    key.unwrap_or_else(|| client.to_canonical().to_string().into_bytes().into())
}
