//! What a service shows of itself: its fleet, and what only the reconciler knows. A copy for those who
//! ask, made when something changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use driver::Whereabouts;
use fleet::{FleetView, Life, Replica};

use crate::beginning::Beginning;
use crate::ejections::Ejections;

/// A service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// How far its start has come.
    pub beginning: Beginning,
    /// Its fleet; empty as long as it has not begun.
    pub fleet: FleetView,
    /// Until when requests are held back, if they are.
    pub paused_until: Option<SystemTime>,
    /// When the fleet's moment zero was, by the wall clock.
    pub began_at: SystemTime,
    /// Who was taken out of the table since the start, by kind.
    pub ejections: Ejections,
    /// Why what should run cannot be stored at present, if so.
    pub trouble: Option<String>,
    /// In which keys the configuration differs from what is run, since the start or the last rollout.
    pub differing: Vec<String>,
    /// Those that run.
    pub running: Running,
}

/// What there is to know of those that run beside their state: who is inside, and what they run as. How many are
/// inside changes all the time, which is no change of the view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running(pub(crate) BTreeMap<Life, Runner>);

/// One that runs.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) replica: Arc<Replica>,
    pub(crate) whereabouts: Option<Whereabouts>,
}

impl Running {
    /// How many requests are inside of a life.
    pub fn in_flight(&self, life: Life) -> Option<u64> {
        self.0.get(&life).map(|one| one.replica.gate.claims())
    }

    /// What a life runs as.
    pub fn whereabouts(&self, life: Life) -> Option<&Whereabouts> {
        self.0.get(&life).and_then(|one| one.whereabouts.as_ref())
    }
}

impl PartialEq for Runner {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.replica, &other.replica) && self.whereabouts == other.whereabouts
    }
}

impl Eq for Runner {}
