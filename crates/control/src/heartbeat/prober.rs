//! What a probe asks, and the trait for how it reaches a replica. When to probe, and what to make of
//! silence, is not known here.

use std::time::Duration;

use fleet::{Address, ProbeResult};
use futures_util::future::BoxFuture;

/// How a service's replicas are probed.
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    /// The path to ask for; any 2xx is a good answer.
    pub path: String,
    /// What replicas speak.
    pub protocol: HeartbeatProtocol,
    /// Time from one probe to the next.
    pub every: Duration,
    /// Time for an answer.
    pub timeout: Duration,
}

/// What replicas speak when they are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatProtocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2 without TLS. With the path `/grpc.health.v1.Health/Check` the question is gRPC's own, and
    /// `SERVING` the good answer.
    H2c,
}

/// How a probe reaches a replica and its result comes back.
pub trait Prober: Send + Sync + 'static {
    /// Probes once, without a deadline: dropping the future ends the probe. Nothing, if it was not the
    /// replica's doing that there was no answer.
    fn probe<'a>(
        &'a self,
        address: &'a Address,
        settings: &'a HeartbeatSettings,
    ) -> BoxFuture<'a, Option<ProbeResult>>;
}
