//! The shapes of the admin API's JSON, for the server here and for clients of it.

use fleet::{FleetView, ReplicaView};
use serde::{Deserialize, Serialize};

/// A service with its replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceShape {
    /// Its name.
    pub name: String,
    /// Rises with each accepted change.
    pub generation: u64,
    /// How many replicas there should be.
    pub desired: usize,
    /// How many of them take traffic.
    pub ready: usize,
    /// Those that should be there, in order of insertion.
    pub replicas: Vec<ReplicaShape>,
    /// Those that are being added or are on their way out.
    pub others: Vec<ReplicaShape>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaShape {
    /// Its name.
    pub name: String,
    /// Its seat, from 1.
    pub seat: u32,
    /// Which life of the seat it is, from 1.
    pub incarnation: u64,
    /// `waiting`, `starting`, `ready`, `ill`, `draining` or `stopping`.
    pub state: String,
    /// Where it listens, if it runs.
    pub address: Option<String>,
    /// More about the state.
    pub reason: Option<String>,
}

/// The body of an addition or a removal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditShape {
    /// How many; if absent, as many as there are names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Which, or what the first ones shall be called.
    #[serde(default)]
    pub names: Vec<String>,
}

/// The body of a scaling.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleShape {
    /// How many there shall be.
    pub replicas: u32,
}

impl ServiceShape {
    pub(crate) fn new(name: &str, view: &FleetView) -> Self {
        Self {
            name: name.to_string(),
            generation: view.generation,
            desired: view.replicas.len(),
            ready: view.ready(),
            replicas: view.replicas.iter().map(ReplicaShape::new).collect(),
            others: view.others.iter().map(ReplicaShape::new).collect(),
        }
    }
}

impl ReplicaShape {
    fn new(view: &ReplicaView) -> Self {
        Self {
            name: view.name.to_string(),
            seat: view.life.seat.number(),
            incarnation: view.life.incarnation,
            state: view.state.as_str().to_string(),
            address: view.address.map(|address| address.to_string()),
            reason: view.reason.clone(),
        }
    }
}
