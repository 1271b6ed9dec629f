//! A pause: requests wait, in the waiting room, until it ends or somebody ends it. It is of the routing
//! table and not of what should run: replicas are looked after as ever, and a restart knows nothing of it.

use std::time::{Duration, SystemTime};

use fleet::Moment;

/// The longest pause; whoever means for ever means something else.
pub const PAUSE_MAX: Duration = Duration::from_mins(10);

/// Until when requests are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: Moment,
    /// The same for people.
    pub(super) shown: SystemTime,
}

impl Pause {
    /// One that begins now.
    pub(super) fn begin(length: Duration, now: Moment) -> Self {
        Self { until: now + length, shown: SystemTime::now() + length }
    }
}
