//! What a replica runs as, for people who look for it.

use std::time::SystemTime;

/// What a replica runs as, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// `pid 4711`, or `container OWNER_NAME`, as the engine's commands take it.
    pub what: String,
    /// Since when it is there.
    pub since: SystemTime,
}
