//! Watching a fleet while a fault lasts: when the victim is out of the table, and when the fleet is whole
//! again.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::fault::{Fault, UnderWay};
use super::view::{self, Service};
use super::{Drill, DrillError, pause};

pub(super) struct Watch<'a> {
    pub(super) drill: &'a Drill,
    pub(super) fault: Fault,
    pub(super) service: &'a Service,
    pub(super) life: (u32, u64),
    pub(super) begun: Instant,
    pub(super) is_interrupted: &'a AtomicBool,
}

/// What was seen, counted from the begin of the fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// The first thing that the balancer says about the victim.
    pub(super) sign_after: Option<Duration>,
    /// No new requests go to it.
    pub(super) out_after: Option<Duration>,
    /// Since when as many replicas take traffic as should.
    pub(super) whole_after: Option<Duration>,
    /// The fault was undone.
    pub(super) undone_after: Option<Duration>,
    /// Somebody else is in the victim's place, so that the fault has nobody left to hit.
    pub(super) is_gone: bool,
}

impl Watch<'_> {
    /// Looks until the fault is over and the fleet is whole, or for as long as that may take. The fault
    /// is undone when its time is over, or when it has nobody left to hit.
    pub(super) fn follow(&self, under_way: &mut UnderWay) -> Result<Watched, DrillError> {
        let mut watched = Watched::default();
        // A fault that ends by itself may end after the time to recover; then it is seen to its end.
        let limit = self.drill.objective.recover_within.max(self.drill.length) + super::CALM;
        loop {
            pause(self.is_interrupted)?;
            // A balancer that does not answer for a moment is looked at again.
            let seen = view::service(&self.drill.admin, Some(&self.service.name)).ok();
            let now = self.begun.elapsed();
            if let Some(service) = &seen {
                self.note(&mut watched, service, now);
            }
            watched.is_gone |= seen.is_some_and(|service| !service.has(self.life));
            let is_over = now >= self.drill.length || self.fault == Fault::Kill;
            if watched.undone_after.is_none() && (is_over || watched.is_gone) {
                // Whoever comes after the victim may have its address, and is not meant.
                under_way.undo().map_err(DrillError::NotUndone)?;
                watched.undone_after = Some(self.begun.elapsed());
            }
            let is_settled = watched.undone_after.is_some() && watched.whole_after.is_some();
            // A fault lasts as long as was asked for, unless it has nobody left to hit.
            if (is_settled && (is_over || watched.is_gone)) || now >= limit {
                return Ok(watched);
            }
        }
    }

    fn note(&self, watched: &mut Watched, service: &Service, now: Duration) {
        let is_out = !service.routes_to(self.life);
        if is_out && watched.out_after.is_none() {
            watched.out_after = Some(now);
            watched.sign_after = Some(now);
        }
        let is_whole = service.ready >= self.service.desired && service.is_whole();
        // One that was never taken out is well again when its fault has ended.
        let has_been_hit = watched.out_after.is_some()
            || (watched.undone_after.is_some() && !self.fault.has_to_eject())
            || watched.undone_after.is_some_and(|after| now >= after + super::CALM);
        if !is_whole {
            // It was too early to be glad.
            watched.whole_after = None;
        } else if has_been_hit && watched.whole_after.is_none() {
            watched.whole_after = Some(now);
        }
    }
}
