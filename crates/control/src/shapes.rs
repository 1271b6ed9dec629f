//! The shapes of the admin API's JSON, for the server here and for clients of it.

use std::net::IpAddr;

use fleet::{Choice, FleetView, ReplicaView, Verdict};
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

/// Something that happened to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventShape {
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// Whose replica it is.
    pub service: String,
    /// Its seat.
    pub seat: u32,
    /// Which life of the seat it is.
    pub incarnation: u64,
    /// Its name, if it was known.
    pub replica: Option<String>,
    /// `starting`, `ready`, `out of the table`, `replaced`, `draining` or `stopping`.
    pub event: String,
    /// More about it.
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

/// A request whose way is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainShape {
    /// Path and query; `/` if absent.
    #[serde(default)]
    pub path: Option<String>,
    /// Headers, by name and value; a cookie is a header too.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The client's address; 127.0.0.1 if absent.
    #[serde(default)]
    pub client: Option<IpAddr>,
}

/// The way that a request would take now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplanationShape {
    /// The service's key rule, as in the configuration.
    pub key_rule: String,
    /// Whether the request has no key, so that this is the way of one draw of many.
    pub is_random: bool,
    /// The replica that would get it; none if it would have to wait.
    pub replica: Option<String>,
    /// Every seat, in the order of the key.
    pub order: Vec<ChoiceShape>,
}

/// One seat in the order of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceShape {
    /// The seat.
    pub seat: u32,
    /// Who sits in it and may be routed to.
    pub replica: Option<String>,
    /// `chosen`, `next`, or why it is passed over: `empty`, `closed`, `over bound`.
    pub verdict: String,
    /// Requests under way there.
    pub in_flight: u64,
    /// The most that may be, if there is a bound.
    pub bound: Option<u64>,
}

impl ExplanationShape {
    /// The explanation that a routing table gives.
    pub fn new(key_rule: String, is_random: bool, choices: &[Choice]) -> Self {
        let name = |choice: &Choice| choice.replica.as_ref().map(|replica| replica.name.to_string());
        let chosen = choices.iter().find(|choice| choice.verdict == Verdict::Chosen);
        let order = choices.iter().map(|choice| ChoiceShape {
            seat: choice.seat.number(),
            replica: name(choice),
            verdict: choice.verdict.as_str().to_string(),
            in_flight: choice.replica.as_ref().map_or(0, |replica| replica.gate.claims()),
            bound: choice.bound,
        });
        Self { key_rule, is_random, replica: chosen.and_then(name), order: order.collect() }
    }
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
            address: view.address.as_ref().map(ToString::to_string),
            reason: view.reason.clone(),
        }
    }
}
