//! The shapes of the admin API's JSON. How they are filled is the server's affair.

use std::net::IpAddr;

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
    /// Those that wait for a seat; the state of one that can take any is `spare`.
    #[serde(default)]
    pub spares: Vec<ReplicaShape>,
    /// Those that are being added or are on their way out.
    pub others: Vec<ReplicaShape>,
    /// The rollout under way, or the last one since the start.
    #[serde(default)]
    pub rollout: Option<RolloutShape>,
    /// Until when requests are held back, as RFC 3339 in UTC, if they are.
    #[serde(default)]
    pub paused_until: Option<String>,
    /// Why no change is possible at present, if so: what should run cannot be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// In which keys the configuration differs from what was deployed last and is run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<String>,
    /// Why it has not been started, if so; it is tried again, and what should run is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
    /// The folder whose files it answers with, if it does; then it has no replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutShape {
    /// Tells one rollout from another.
    pub number: u64,
    /// What replicas run before it, by a hash.
    pub from: String,
    /// What they run after it.
    pub to: String,
    /// `rolling out`, `rolling back`, `done`, `rolled back` or `stuck`.
    pub state: String,
    /// Whether it has not ended yet.
    pub is_under_way: bool,
    /// Seats that have passed, in this direction.
    pub done: usize,
    /// Seats that have to, in this direction.
    pub total: usize,
    /// Why it was undone or given up, if it was.
    pub reason: Option<String>,
    /// The last lines that the replica wrote that was the reason.
    pub last_output: Vec<String>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaShape {
    /// Its name.
    pub name: String,
    /// Its seat, from 1; of one without a seat of the fleet, the number that it was begun with.
    pub seat: u32,
    /// Which life it is of the seat that it was begun in, from 1.
    pub incarnation: u64,
    /// The seat that it was begun in, a point, and its incarnation: what is written on its container. For one
    /// that began as a spare, this alone tells it from another one that had its seat.
    #[serde(default)]
    pub life: String,
    /// `waiting`, `starting`, `crash-looping`, `baking`, `ready`, `spare`, `ill`, `draining` or `stopping`.
    pub state: String,
    /// What it runs, by a hash; nothing if its seat is no longer its own.
    #[serde(default)]
    pub release: Option<String>,
    /// Where it listens, if it runs.
    pub address: Option<String>,
    /// More about the state.
    pub reason: Option<String>,
    /// What there is to say of its seat, if lives keep failing there.
    #[serde(default)]
    pub crash_loop: Option<CrashLoopShape>,
    /// Who died in its seat last, if anybody did.
    #[serde(default)]
    pub last_end: Option<LastEndShape>,
    /// What it runs as: `pid 4711` or `container OWNER_NAME`; nothing if somebody else runs it.
    #[serde(default)]
    pub runs_as: Option<String>,
    /// Since when it runs, as RFC 3339 in UTC.
    #[serde(default)]
    pub since: Option<String>,
    /// How many requests are inside, if it runs.
    #[serde(default)]
    pub in_flight: Option<u64>,
}

/// The last one that died in a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEndShape {
    /// What it was called.
    pub name: String,
    /// How it ended.
    pub reason: String,
    /// The last lines that it wrote, the oldest first.
    pub last_output: Vec<String>,
}

/// A seat whose lives keep failing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashLoopShape {
    /// How many failed in a row.
    pub failures: u32,
    /// How the last one ended.
    pub reason: String,
    /// When the next one begins, as RFC 3339 in UTC, if it has not begun.
    pub next_try: Option<String>,
    /// The last lines that the last one wrote, the oldest first.
    pub last_output: Vec<String>,
}

/// A line of what a replica writes, or a word about that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputShape {
    /// What it is called.
    pub replica: String,
    /// What the text is.
    pub kind: OutputKind,
    /// The line, or the words.
    pub text: String,
}

/// What a text about an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// A line that the replica wrote.
    Line,
    /// Lines are missing here: they came quicker than they were taken.
    LeftOut,
    /// It cannot be read any further, for this reason; the replica may run on.
    Broken,
    /// The replica has ended, in this way. Nothing comes behind it.
    Ended,
}

/// Something that happened to a replica, or to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventShape {
    /// Rises by one with each.
    #[serde(default)]
    pub number: u64,
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// Whose replica it is.
    pub service: String,
    /// Its seat; absent if it happened to the service as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<u32>,
    /// Which life of the seat it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// The same, with the seat that it was begun in before it, and a point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<String>,
    /// Its name, if it was known.
    pub replica: Option<String>,
    /// `starting`, `ready`, `out of the table`, `half-open`, `replaced`, `takes the seat` (of a spare),
    /// `crash-looping`, `draining`, `stopping` or `ended`; in a rollout also `abandoned` and `has its seat`.
    /// Of a service `rolling back`, `rollout given up`, `rollout ended`, `paused`, `resumed`, `cannot store`,
    /// `can store again`, `cannot start` or `can start`.
    pub event: String,
    /// More about it.
    pub reason: Option<String>,
    /// The last lines that a replica wrote, with `crash-looping`.
    #[serde(default)]
    pub last_output: Vec<String>,
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

/// The body of a deployment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployShape {
    /// Whether replicas are replaced too that run what the configuration asks for.
    #[serde(default)]
    pub force: bool,
}

/// What came of a deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeployedShape {
    /// Whether a rollout has begun; the service tells how it goes on.
    pub has_begun: bool,
    /// Why not, if it has not.
    pub reason: Option<String>,
    /// What else the configuration asks for now that no deployment brings about, and what does.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The service.
    pub service: ServiceShape,
}

/// The body of a pause.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseShape {
    /// For how long, as in `30s`, which it is if absent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
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
    /// The name of the listener that it comes in by; the one without a name if absent.
    #[serde(default)]
    pub listener: Option<String>,
}

/// A rule about whom requests are for, and what it says to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteShape {
    /// The host that it is for, as in the configuration; `default` for whatever is left.
    pub host: String,
    /// The path, as in the configuration.
    pub path: String,
    /// The listeners that it is bound to; all if there is none.
    pub listeners: Vec<String>,
    /// The service that it leads to; none where the request is sent elsewhere.
    pub service: Option<String>,
    /// Where the request is sent then.
    #[serde(default)]
    pub to: Option<String>,
    /// Whether it is the one that counts, or why it is not.
    pub verdict: String,
}

impl RouteShape {
    /// The verdict of the rule that counts.
    pub const CHOSEN: &str = "chosen";

    /// Whether it is the one that counts.
    pub fn is_chosen(&self) -> bool {
        self.verdict == Self::CHOSEN
    }
}

/// A policy that the request would go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyShape {
    /// Its name, as in metrics and in the access log.
    pub policy: String,
    /// What it does.
    pub does: String,
}

/// The way that a request would take now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplanationShape {
    /// The service's key rule, as in the configuration, or `sticky` if its session comes first.
    pub key_rule: String,
    /// Whether the request has no key, so that this is the way of one draw of many.
    pub is_random: bool,
    /// The replica that would get it; none if it would have to wait.
    pub replica: Option<String>,
    /// Every seat, in the order of the key.
    pub order: Vec<ChoiceShape>,
    /// The limits that are set, and how far they are used.
    #[serde(default)]
    pub limits: Vec<LimitShape>,
    /// How many requests of the service wait now, for a limit or for a replica.
    #[serde(default)]
    pub waiting: usize,
    /// Whom such a request is for: the rules in the order in which they count, the first of them.
    #[serde(default)]
    pub routes: Vec<RouteShape>,
    /// What requests of the service go through beside.
    #[serde(default)]
    pub policies: Vec<PolicyShape>,
    /// What it is answered with, if that is a file of a folder; then no replica gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// A limit of requests or connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitShape {
    /// Its name, as in the configuration and in the access log.
    pub name: String,
    /// How many there are now.
    pub in_use: usize,
    /// How many there may be for this service.
    pub most: usize,
}

/// One seat in the order of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceShape {
    /// The seat.
    pub seat: u32,
    /// Who sits in it and may be routed to.
    pub replica: Option<String>,
    /// `chosen`, `next`, or why it is passed over: `empty`, `closed`, `over bound`, `full`.
    pub verdict: String,
    /// Requests under way there.
    pub in_flight: u64,
    /// The most that may be, if there is a bound.
    pub bound: Option<u64>,
}
