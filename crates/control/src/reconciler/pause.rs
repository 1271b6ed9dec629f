//! A pause: requests wait, in the waiting room, until it ends or somebody ends it. It is of the routing
//! table and not of the wish: replicas are looked after as ever, and a restart knows nothing of it.

use std::time::{Duration, SystemTime};

use fleet::Moment;

use super::Reconciler;

/// The longest pause; whoever means for ever means something else.
pub const PAUSE_MAX: Duration = Duration::from_mins(10);

/// Until when requests are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: Moment,
    /// The same for people.
    pub(super) shown: SystemTime,
}

impl Reconciler {
    /// Begins a pause, or sets another end to the one that is.
    pub(super) fn pause(&mut self, length: Duration) {
        let length = length.min(PAUSE_MAX);
        self.pause = Some(Pause { until: self.clock.now() + length, shown: SystemTime::now() + length });
        let service = &self.performer.service;
        tracing::info!(%service, "requests are held back for {length:?}");
        self.journal.record_of_service(service, "paused", Some(format!("for {length:?}")));
    }

    /// Ends a pause, if there is one.
    pub(super) fn resume(&mut self, why: &str) {
        if self.pause.take().is_some() {
            let service = &self.performer.service;
            tracing::info!(%service, "requests are no longer held back: {why}");
            self.journal.record_of_service(service, "resumed", Some(why.to_string()));
        }
    }

    /// Ends a pause whose time is over.
    pub(super) fn end_pause_in_time(&mut self) {
        if self.pause.is_some_and(|pause| pause.until <= self.clock.now()) {
            self.resume("its time is over");
        }
    }
}
