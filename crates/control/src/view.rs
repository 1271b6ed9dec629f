//! What a service shows of itself: its fleet, and what only the reconciler knows. A copy for those who
//! ask, made when something changed.

use std::time::SystemTime;

use fleet::FleetView;

use crate::ejections::Ejections;

/// A service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its fleet.
    pub fleet: FleetView,
    /// Until when requests are held back, if they are.
    pub paused_until: Option<SystemTime>,
    /// When the fleet's moment zero was, by the wall clock.
    pub began_at: SystemTime,
    /// Who was taken out of the table since the start, by kind.
    pub ejections: Ejections,
    /// Why what should run cannot be stored at present, if so.
    pub trouble: Option<String>,
}
