//! What a service shows of itself: its fleet, and what only the reconciler knows. A copy for those who
//! ask, made when something changed.

use std::ops::Deref;
use std::time::SystemTime;

use fleet::FleetView;

/// A service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its fleet.
    pub fleet: FleetView,
    /// Until when requests are held back, if they are.
    pub paused_until: Option<SystemTime>,
    /// When the fleet's moment zero was, by the wall clock.
    pub began_at: SystemTime,
}

impl Deref for ServiceView {
    type Target = FleetView;

    fn deref(&self) -> &FleetView {
        &self.fleet
    }
}
