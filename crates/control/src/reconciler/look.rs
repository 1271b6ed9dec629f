//! The look at answers: takes from the replicas what was noted on the way of requests, and hands it to
//! the fleet as a fact.

use fleet::{Event, Life, Measured};

use super::Reconciler;

impl Reconciler {
    /// Looks at the answers of these. Those who gave none are told of as well, by their absence.
    pub(super) fn look(&mut self, is_meant: impl Fn(Life) -> bool) {
        let meant = self.replicas.values().filter(|replica| is_meant(replica.life));
        let measured = meant.filter_map(|replica| {
            let latencies = replica.responses.take_latencies()?;
            Some(Measured { life: replica.life, weight: replica.weight, latencies })
        });
        let measured = measured.collect();
        self.fleet.observe(&Event::Measured(measured), self.clock.now());
    }
}
