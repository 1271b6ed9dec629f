//! What a balancer's admin API says about a service, as far as a drill needs it.

use std::time::{Duration, SystemTime};

use api::{EventShape, Problem, ReplicaShape, Route, ServiceShape};
use fleet::Life;
use placement::Seat;

use super::error::DrillError;
use crate::http::AdminApi;

/// How long a question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);

/// When something happened.
pub(super) fn at(event: &EventShape) -> Option<SystemTime> {
    humantime::parse_rfc3339(&event.at).ok()
}

/// Whether it happened to this very life.
pub(super) fn is_about(event: &EventShape, life: Life) -> bool {
    let begun = event.life.as_deref().and_then(begun);
    begun.or_else(|| life_of(event.seat?, event.incarnation?)) == Some(life)
}

/// Which life a replica is: the seat that it was begun in, which is not the one that it has if it was a
/// spare, and its incarnation.
pub(super) fn life(replica: &ReplicaShape) -> Option<Life> {
    begun(&replica.life).or_else(|| life_of(replica.seat, replica.incarnation))
}

/// A life as a balancer writes it that knows spares.
fn begun(life: &str) -> Option<Life> {
    let (seat, incarnation) = life.split_once('.')?;
    life_of(seat.parse().ok()?, incarnation.parse().ok()?)
}

fn life_of(seat: u32, incarnation: u64) -> Option<Life> {
    Seat::new(seat).map(|seat| Life { seat, incarnation })
}

/// Whether as many replicas take traffic as should, and no other is there.
pub(super) fn is_whole(service: &ServiceShape) -> bool {
    service.ready == service.desired && service.replicas.iter().all(|replica| replica.state == "ready")
}

/// Whether this very life is in the routing table.
pub(super) fn routes_to(service: &ServiceShape, wanted: Life) -> bool {
    let is_life = |replica: &&ReplicaShape| life(replica) == Some(wanted);
    service.replicas.iter().find(is_life).is_some_and(|replica| replica.state == "ready")
}

/// Whether this very life is still there, in whatever state.
pub(super) fn has(service: &ServiceShape, wanted: Life) -> bool {
    service.replicas.iter().any(|replica| life(replica) == Some(wanted))
}

/// The service with this name, or the only one.
pub(super) fn service(admin: &AdminApi, name: Option<&str>) -> Result<ServiceShape, DrillError> {
    let mut services: Vec<ServiceShape> = ask(admin, Route::Services)?;
    let names = || services.iter().map(|service| service.name.clone()).collect::<Vec<_>>().join(", ");
    let position = match name {
        Some(name) => services.iter().position(|service| service.name == name),
        None if services.len() == 1 => Some(0),
        None => {
            let text = format!("there are several services, choose one with --service: {}", names());
            return Err(DrillError::Refused(text));
        }
    };
    let missing = || DrillError::Refused(format!("there is no such service; there are: {}", names()));
    let position = position.ok_or_else(missing)?;
    Ok(services.swap_remove(position))
}

/// What happened lately, the oldest first.
pub(super) fn events(admin: &AdminApi) -> Result<Vec<EventShape>, DrillError> {
    ask(admin, Route::Events)
}

/// How often the balancer has sent a request again since its start.
pub(super) fn replays(admin: &AdminApi, service: &str) -> Option<u64> {
    let page = admin.get(&Route::Metrics.path(""), QUESTION_LIMIT).ok()?.text();
    let label = format!("service=\"{service}\"");
    let is_it = |line: &&str| line.starts_with("evenkeel_replays_total{") && line.contains(&label);
    page.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

/// What a route shows that is about no service.
fn ask<T: serde::de::DeserializeOwned>(admin: &AdminApi, route: Route) -> Result<T, DrillError> {
    let reply = admin.get(&route.path(""), QUESTION_LIMIT);
    let reply = reply.map_err(|error| DrillError::NoBalancer(Box::new(error)))?;
    let url = admin.address.url();
    let not_ours = || DrillError::Refused(format!("{url} is not the admin API of an Evenkeel balancer"));
    // It says itself what it wants of whom.
    match (reply.status, serde_json::from_slice::<Problem>(&reply.body)) {
        (200, _) => {}
        (_, Ok(problem)) => return Err(DrillError::Refused(format!("{url}: {}", problem.detail))),
        _ => return Err(not_ours()),
    }
    serde_json::from_slice(&reply.body).map_err(|_| not_ours())
}
