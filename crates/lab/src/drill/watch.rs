//! Watching a fleet while a fault lasts: when the victim is out of the table, and when the fleet is whole
//! again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use api::{EventShape, ServiceShape};
use fleet::Life;

use super::error::DrillError;
use super::fault::Fault;
use super::under_way::UnderWay;
use super::view;
use crate::http::AdminApi;

/// How long the load runs before the fault, and after the fleet is whole again.
pub(super) const CALM: Duration = Duration::from_secs(2);
/// How often somebody looks whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is watched, since when, and for how long.
pub(super) struct Watch<'a> {
    pub(super) admin: &'a AdminApi,
    /// How long a fault lasts that has an end of its own.
    pub(super) length: Duration,
    pub(super) recover_within: Duration,
    pub(super) fault: Fault,
    pub(super) service: &'a ServiceShape,
    pub(super) life: Life,
    pub(super) begun: Instant,
    /// The same moment by the system's clock.
    pub(super) begun_at: SystemTime,
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
        let limit = self.recover_within.max(self.length) + CALM;
        loop {
            pause(self.is_interrupted)?;
            // A balancer that does not answer for a moment is looked at again.
            let seen = view::service(self.admin, Some(&self.service.name)).ok();
            let now = self.begun.elapsed();
            if let Some(service) = &seen {
                self.note(&mut watched, service, now);
            }
            watched.is_gone |= seen.is_some_and(|service| !view::has(&service, self.life));
            let is_over = now >= self.length || self.fault == Fault::Kill;
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

    fn note(&self, watched: &mut Watched, service: &ServiceShape, now: Duration) {
        let is_out = !view::routes_to(service, self.life);
        if is_out && watched.out_after.is_none() {
            watched.out_after = Some(now);
            watched.sign_after = Some(now);
        }
        let is_whole = service.ready >= self.service.desired && view::is_whole(service);
        // One that was never taken out is well again when its fault has ended.
        let has_been_hit = watched.out_after.is_some()
            || (watched.undone_after.is_some() && !self.fault.has_to_eject())
            || watched.undone_after.is_some_and(|after| now >= after + CALM);
        if !is_whole {
            // It was too early to be glad.
            watched.whole_after = None;
        } else if has_been_hit && watched.whole_after.is_none() {
            watched.whole_after = Some(now);
        }
    }

    /// The balancer's own times are better than those of somebody who looks now and then.
    pub(super) fn with_events(&self, watched: Watched) -> Watched {
        let Ok(events) = view::events(self.admin) else { return watched };
        let is_about =
            |event: &&EventShape| event.service == self.service.name && view::is_about(event, self.life);
        let of_life = events.iter().filter(is_about);
        let after = |event: &EventShape| view::at(event)?.duration_since(self.begun_at).ok();
        let first = |wanted: Option<&str>| {
            let is_wanted = |event: &&EventShape| wanted.is_none_or(|wanted| event.event == wanted);
            of_life.clone().filter(is_wanted).find_map(after)
        };
        Watched {
            sign_after: first(None).or(watched.sign_after),
            out_after: first(Some("out of the table")).or(watched.out_after),
            ..watched
        }
    }
}

/// A moment, at whose end it may turn out that somebody has interrupted.
pub(super) fn pause(is_interrupted: &AtomicBool) -> Result<(), DrillError> {
    std::thread::sleep(LOOK_EVERY);
    if is_interrupted.load(Ordering::Relaxed) { Err(DrillError::Interrupted) } else { Ok(()) }
}
