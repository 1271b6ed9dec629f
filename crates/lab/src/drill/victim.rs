//! The victim of a drill: the process or container of a replica, found from outside, and proof that it
//! belongs to the balancer that was asked.

use std::sync::Arc;

use api::{ReplicaShape, ServiceShape};
use fleet::{Address, Life};

use super::engine::{self, Container};
use super::error::DrillError;
use super::processes::{self, Processes, is_below};
use super::{sockets, view};

/// The variable in which a process that may outlive its balancer carries whose and which life it is:
/// `OWNER/SERVICE/SEAT.INCARNATION/…`.
const TOKEN: &str = "EVENKEEL_LIFE";

/// What a replica runs as.
#[derive(Debug)]
pub(super) enum Body {
    Processes(Arc<Processes>),
    Container(Container),
}

/// What a keeper is called. Who has none is below the balancer that started it.
const KEEPER: &str = "evenkeel-keep";

/// A replica that something will be done to.
#[derive(Debug)]
pub(super) struct Victim {
    pub(super) name: String,
    pub(super) life: Life,
    pub(super) address: Address,
    pub(super) body: Body,
}

/// Finds a replica of this service. Refuses what does not belong to the balancer behind this admin
/// API, unless `is_forced`.
pub(super) fn find(
    service: &ServiceShape,
    replica: &ReplicaShape,
    admin: &Address,
    is_forced: bool,
) -> Result<Victim, DrillError> {
    let name = replica.name.clone();
    let refused = |text: String| DrillError::Refused(format!("replica '{name}': {text}"));
    let written = replica.address.as_deref().ok_or_else(|| refused("it has no address".into()))?;
    let address: Address = written.parse().map_err(|_| refused(format!("'{written}' is no address")))?;
    let life = view::life(replica).ok_or_else(|| refused("it has no seat".into()))?;
    if let Some(container) = engine::container(&service.name, &name, life, written) {
        return Ok(Victim { name, life, address, body: Body::Container(container) });
    }
    let holders = sockets::holders(&address);
    let processes = Processes::with_descendants(&holders)
        .map_err(|error| refused(format!("its processes cannot be held: {error}")))?;
    if processes.is_empty() {
        let text = format!(
            "no process that can be seen from here listens on {address}; run the drill on the balancer's host, in its network and as its user or root"
        );
        return Err(refused(text));
    }
    let balancers = sockets::holders(admin);
    let is_its_own = |pid: &i32| {
        is_below(*pid, &balancers)
            || (is_kept(processes::variable(*pid, TOKEN).as_deref(), &service.name, life)
                && processes::is_below_one_called(*pid, KEEPER))
    };
    if !holders.iter().all(is_its_own) && !is_forced {
        let text = format!(
            "what listens on {address} was not started by the balancer behind {}, so nobody might start it again; --force does it all the same",
            admin.url()
        );
        return Err(refused(text));
    }
    Ok(Victim { name, life, address, body: Body::Processes(Arc::new(processes)) })
}

/// Whether a process is this life of the service, started by a balancer whose processes may outlive it,
/// so that it need not be below the one that looks after it now.
fn is_kept(token: Option<&str>, service: &str, life: Life) -> bool {
    let mut parts = token.unwrap_or_default().split('/').skip(1);
    parts.next() == Some(service) && parts.next() == Some(&*life.to_string())
}

impl std::fmt::Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "replica '{}' in seat {} (", self.name, self.life.seat)?;
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
        let life = Life { seat: placement::Seat::at_index(0), incarnation: 4 };
        for (token, expected) in [
            ("127.0.0.1:5000/web/1.4/abc", true),
            ("127.0.0.1:5000/web/1.5/abc", false),
            ("127.0.0.1:5000/shop/1.4/abc", false),
            ("web/1.4/abc", false),
            ("", false),
        ] {
            assert_eq!(is_kept(Some(token), "web", life), expected, "{token}");
        }
        assert!(!is_kept(None, "web", life));
    }
}
