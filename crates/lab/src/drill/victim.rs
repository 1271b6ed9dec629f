//! The victim of a drill: the process or container of a replica, found from outside, and proof that it
//! belongs to the balancer that was asked.

use std::sync::Arc;

use super::DrillError;
use super::engine::{self, Container};
use super::processes::{self, Processes, is_below};
use super::sockets::{self, Place};
use super::view::{Replica, Service};
use crate::http::Door;

/// The variable in which a process that may outlive its balancer carries whose and which life it is:
/// `OWNER/SERVICE/SEAT.INCARNATION/…`.
const TOKEN: &str = "EVENKEEL_LIFE";

/// What a replica runs as.
#[derive(Debug)]
pub(super) enum Body {
    Processes(Arc<Processes>),
    Container(Container),
}

/// A replica that something will be done to.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) name: String,
    pub(super) life: (u32, u64),
    pub(super) place: Place,
    pub(super) body: Body,
}

/// Finds a replica of this service. Refuses what does not belong to the balancer behind this admin
/// API, unless `is_forced`.
pub(super) fn find(
    service: &Service,
    replica: &Replica,
    (admin, is_forced): (&Door, bool),
) -> Result<Victim, DrillError> {
    let name = replica.name.clone();
    let refused = |text: String| DrillError::Refused(format!("replica '{name}': {text}"));
    let address = replica.address.as_deref().ok_or_else(|| refused("it has no address".into()))?;
    let place = Place::parse(address).ok_or_else(|| refused(format!("'{address}' is no address")))?;
    let life = replica.life();
    if let Some(container) = engine::container((&service.name, &name), life, address) {
        return Ok(Victim { name, life, place, body: Body::Container(container) });
    }
    let holders = sockets::holders(&place);
    let processes = Processes::with_descendants(&holders)
        .map_err(|error| refused(format!("its processes cannot be held: {error}")))?;
    if processes.is_empty() {
        let text = format!(
            "no process that can be seen from here listens on {address}; run the drill on the balancer's host, in its network and as its user or root"
        );
        return Err(refused(text));
    }
    let balancers = Place::of(admin).map(|place| sockets::holders(&place)).unwrap_or_default();
    let is_its_own = |pid: &i32| {
        is_below(*pid, &balancers) || is_kept(processes::variable(*pid, TOKEN).as_deref(), service, life)
    };
    if !holders.iter().all(is_its_own) && !is_forced {
        let text = format!(
            "what listens on {address} was not started by the balancer behind {admin}, so nobody might start it again; --force does it all the same"
        );
        return Err(refused(text));
    }
    Ok(Victim { name, life, place, body: Body::Processes(Arc::new(processes)) })
}

/// Whether a process is this life of the service, started by a balancer whose processes may outlive it,
/// so that it need not be below the one that looks after it now.
fn is_kept(token: Option<&str>, service: &Service, (seat, incarnation): (u32, u64)) -> bool {
    let mut parts = token.unwrap_or_default().split('/').skip(1);
    parts.next() == Some(&*service.name) && parts.next() == Some(&*format!("{seat}.{incarnation}"))
}

impl Place {
    fn of(door: &Door) -> Option<Self> {
        match door {
            Door::Tcp(address) => Some(Self::Tcp(*address)),
            Door::Unix(path) => path.to_str().map(|path| Self::Unix(path.to_owned())),
        }
    }
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seat, _) = self.life;
        write!(f, "replica '{}' in seat {seat} (", self.name)?;
        match &self.body {
            Body::Processes(processes) => {
                let pids: Vec<String> = processes.pids().map(|pid| pid.to_string()).collect();
                let noun = if pids.len() == 1 { "process" } else { "processes" };
                write!(f, "{noun} {})", pids.join(", "))
            }
            Body::Container(container) => write!(f, "container {:.12})", container.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_speaks_of_one_life_of_one_service() {
        let service = Service { name: "web".into(), desired: 0, ready: 0, replicas: Vec::new() };
        for (token, expected) in [
            ("127.0.0.1:5000/web/1.4/abc", true),
            ("127.0.0.1:5000/web/1.5/abc", false),
            ("127.0.0.1:5000/shop/1.4/abc", false),
            ("web/1.4/abc", false),
            ("", false),
        ] {
            assert_eq!(is_kept(Some(token), &service, (1, 4)), expected, "{token}");
        }
        assert!(!is_kept(None, &service, (1, 4)));
    }
}
