//! Whom heartbeats are to ask: every life that has an address, and that can still answer well.

use fleet::Fleet;

use crate::heartbeat::Targets;

pub(super) fn targets(fleet: &Fleet) -> Targets {
    let watched = fleet.observed().lives().filter(|(_, known)| known.is_watched());
    watched.filter_map(|(life, known)| Some((life, known.address.clone()?))).collect()
}
