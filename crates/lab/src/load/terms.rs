//! What a load is: what is sent to whom, how fast, and for how long. Nothing here sends anything.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::check::Check;
use crate::plan::{RequestPlan, Target};

/// The most requests of one load; each leaves a sample of 16 bytes.
pub const REQUESTS_MAX: u64 = 20_000_000;

/// In which rhythm requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// This many clients, each of which waits for its response before it asks again.
    Closed {
        /// How many.
        clients: NonZeroU32,
    },
    /// This many requests a second, whatever becomes of the earlier ones. Latencies count from when a
    /// request was meant to begin, so that a stall shows in all who would have met it.
    Open {
        /// Requests a second.
        rate: NonZeroU32,
        /// The most connections at a time. A request that would need one more is not sent, and
        /// counted as that.
        connections_max: NonZeroU32,
    },
}

/// When a load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After this many requests; never more than [`REQUESTS_MAX`].
    pub requests: u64,
    /// After so long, at the latest; what is under way is still waited for.
    pub duration: Duration,
    /// How long a request may take, connecting included.
    pub response: Duration,
}

/// What is sent to whom, how fast, and for how long.
pub struct Load {
    /// Whom it is sent to.
    pub target: Target,
    /// What is asked for.
    pub plan: RequestPlan,
    /// In which rhythm.
    pub pace: Pace,
    /// When it ends.
    pub limits: Limits,
    /// What the keys of requests are drawn from.
    pub seed: u64,
    /// What a right response is.
    pub check: Check,
}
