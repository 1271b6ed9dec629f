//! What a balancer's admin API says about a service, as far as a drill needs it.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::DrillError;
use crate::http::Door;

/// How long a question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);

/// A service and its replicas.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) desired: usize,
    pub(super) ready: usize,
    pub(super) replicas: Vec<Replica>,
}

/// A replica.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Replica {
    pub(super) name: String,
    seat: u32,
    incarnation: u64,
    life: Option<String>,
    pub(super) state: String,
    pub(super) address: Option<String>,
}

/// Something that happened to a replica, or to a service as a whole.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Event {
    at: String,
    pub(super) service: String,
    seat: Option<u32>,
    incarnation: Option<u64>,
    life: Option<String>,
    pub(super) event: String,
}

impl Event {
    pub(super) fn at(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.at).ok()
    }

    /// Whether it happened to this very life.
    pub(super) fn is_about(&self, life: (u32, u64)) -> bool {
        begun(self.life.as_deref()).or_else(|| self.seat.zip(self.incarnation)) == Some(life)
    }
}

impl Replica {
    /// The seat that it was begun in, which is not the one that it has if it was a spare, and its incarnation.
    pub(super) fn life(&self) -> (u32, u64) {
        begun(self.life.as_deref()).unwrap_or((self.seat, self.incarnation))
    }
}

/// A life as a balancer writes it that knows spares.
fn begun(life: Option<&str>) -> Option<(u32, u64)> {
    let (seat, incarnation) = life?.split_once('.')?;
    Some((seat.parse().ok()?, incarnation.parse().ok()?))
}

impl Service {
    pub(super) fn is_whole(&self) -> bool {
        self.ready == self.desired && self.replicas.iter().all(|replica| replica.state == "ready")
    }

    /// Whether this very life is in the routing table.
    pub(super) fn routes_to(&self, life: (u32, u64)) -> bool {
        let is_life = |replica: &&Replica| replica.life() == life;
        self.replicas.iter().find(is_life).is_some_and(|replica| replica.state == "ready")
    }

    /// Whether this very life is still there, in whatever state.
    pub(super) fn has(&self, life: (u32, u64)) -> bool {
        self.replicas.iter().any(|replica| replica.life() == life)
    }
}

/// The service with this name, or the only one.
pub(super) fn service(admin: &Door, name: Option<&str>) -> Result<Service, DrillError> {
    let mut services: Vec<Service> = ask(admin, "/v1/services")?;
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
pub(super) fn events(admin: &Door) -> Result<Vec<Event>, DrillError> {
    ask(admin, "/v1/events")
}

/// How often the balancer has sent a request again since its start.
pub(super) fn replays(admin: &Door, service: &str) -> Option<u64> {
    let page = admin.get("/metrics", QUESTION_LIMIT).ok()?.text();
    let label = format!("service=\"{service}\"");
    let is_it = |line: &&str| line.starts_with("evenkeel_replays_total{") && line.contains(&label);
    page.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

fn ask<T: serde::de::DeserializeOwned>(admin: &Door, path: &str) -> Result<T, DrillError> {
    let reply = admin.get(path, QUESTION_LIMIT).map_err(|error| DrillError::NoBalancer(Box::new(error)))?;
    let not_ours = || DrillError::Refused(format!("{admin} is not the admin API of an Evenkeel balancer"));
    if reply.status != 200 {
        return Err(not_ours());
    }
    serde_json::from_slice(&reply.body).map_err(|_| not_ours())
}
