//! Standing: whether requests may go to a replica, and why they do not.

use crate::facts::is_mass_illness;
use crate::{Fleet, Life, Moment, Phase, Sign, StopHow};

/// What a replica's gate should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Routed to.
    Open,
    /// In the table for the few requests that are admitted to try it.
    HalfOpen,
    /// Not routed to; who is inside may finish.
    Closed,
    /// Not routed to; who is inside should look elsewhere.
    Abandoned,
}

impl Fleet {
    /// What the gate of a life should be.
    pub fn standing(&self, life: Life) -> Standing {
        let Some(known) = self.observed.get(life) else { return Standing::Abandoned };
        let is_desired = self.roster.assignment_of(life).is_some();
        match &known.phase {
            Phase::Serving if !is_desired => Standing::Closed,
            Phase::Serving if known.is_well() => Standing::Open,
            Phase::Serving if known.signs.are_soft() && is_mass_illness(&self.roster, &self.observed) => {
                Standing::Open
            }
            Phase::Serving if !known.signs.are_of_responses_only() => Standing::Abandoned,
            Phase::Serving if known.signs.outlier.is_half_open() => Standing::HalfOpen,
            // Who is inside may yet get a good response.
            Phase::Serving => Standing::Closed,
            Phase::Starting | Phase::Booting | Phase::Draining { .. } => Standing::Closed,
            Phase::Stopping(StopHow::Graceful) => Standing::Closed,
            Phase::Stopping(StopHow::Now) | Phase::Over(_) => Standing::Abandoned,
        }
    }

    /// Why a life that serves is not routed to, or would not be if it had a seat, if that is for its health.
    pub fn illness(&self, life: Life, now: Moment) -> Option<(Sign, String)> {
        let known = self.observed.get(life).filter(|known| known.phase == Phase::Serving)?;
        let sign = known.signs.first()?;
        let is_out = self.standing(life) != Standing::Open && self.roster.place_of(life).is_some();
        is_out.then(|| (sign, known.signs_in_words(&self.settings, now).join(", ")))
    }

    /// Whether every replica that callers were told of takes traffic.
    pub fn is_whole(&self) -> bool {
        self.desired().replicas.iter().all(|assignment| self.standing(assignment.life) == Standing::Open)
    }
}
