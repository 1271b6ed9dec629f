//! A fleet: what should run, what is known to run, and the bookkeeping between the two.

use std::time::Duration;

use placement::{Placement, Seat, draw};

use crate::plan::{backoff, is_mass_illness, plan};
use crate::{
    Action, ChangeId, Desired, Edit, Event, FleetSettings, FleetView, Known, Life, Moment, Observed, Phase,
    Plan, Refusal, Sign, StopHow,
};

/// A life that served at least this long was no failure of its seat's.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A life that served, if only for a moment, may have been ended from outside. So many of them in
/// a row are followed at once.
const FREE_RESTARTS: u32 = 10;

/// What came of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Settled,
    /// It counts, or never was, when this change is committed or undone.
    Pending(ChangeId),
}

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

/// Owned by one reconciler.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub(crate) settings: FleetSettings,
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

impl Fleet {
    /// A fleet of which nothing is known to run yet.
    pub fn new(settings: FleetSettings, desired: Desired) -> Self {
        Self { settings, desired, observed: Observed::default() }
    }

    /// Applies an edit, whole or not at all.
    pub fn edit(&mut self, edit: &Edit, now: Moment) -> Result<Outcome, Refusal> {
        let seats_before: Vec<_> =
            self.desired.assignments.iter().map(|assignment| assignment.seat).collect();
        let change = self.desired.apply(edit, &self.settings, (&self.observed, now))?;
        for assignment in &self.desired.assignments {
            if !seats_before.contains(&assignment.seat) {
                // A new tenant is not to blame for the seat's past.
                self.observed.record(assignment.seat).forgive(now);
            }
        }
        Ok(change.map_or(Outcome::Settled, Outcome::Pending))
    }

    /// Takes in a fact.
    pub fn observe(&mut self, event: &Event, now: Moment) {
        self.observed.observe(event, &self.settings.health, now);
        if let Event::Exited(life, exit) = event {
            self.desired.refine_rollout(*life, exit);
        }
        self.desired.watch_rollout(&self.observed, &self.settings, now);
        self.note_mass_illness(now);
    }

    /// What to do now.
    pub fn plan(&self, now: Moment) -> Plan {
        plan(&self.settings, &self.desired, &self.observed, now)
    }

    /// Notes that an action is being carried out, so that it is not planned again.
    pub fn accept(&mut self, action: &Action, now: Moment) {
        let mut enter = |life: &Life, phase| self.observed.change(*life, |known| known.enter(phase, now));
        match action {
            Action::Start(life, name) => self.observed.insert(*life, Known::starting(name.clone(), now)),
            Action::Replace(life, death) => {
                enter(life, Phase::Over(death.clone()));
                self.desired.watch_rollout(&self.observed, &self.settings, now);
                self.count_death(*life, death);
                self.replace(*life, now);
            }
            Action::Inspect(life) => self.observed.change(*life, |known| known.signs.note_look()),
            Action::Admit(life) => self.observed.change(*life, |known| known.signs.outlier.admit(now)),
            Action::Drain(life) => enter(life, Phase::Draining { is_empty: false }),
            Action::Stop(life, how) => enter(life, Phase::Stopping(*how)),
            Action::Commit(change) => self.desired.commit(*change),
            Action::Undo(change, _) => self.desired.undo(*change),
            Action::Rollout(step) => self.accept_step(step, now),
        }
        self.note_mass_illness(now);
    }

    /// Wishes for nothing more, so that every replica is drained and stopped. The stored wish
    /// is not concerned.
    pub fn retire(&mut self) {
        self.desired.retire();
    }

    /// Goes back to an earlier wish, when a later one could not be stored.
    pub fn roll_back(&mut self, earlier: Desired) {
        self.desired = earlier;
    }

    /// What should run.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// What is known to run.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The seat that a life has in the fleet, or the one that it began in.
    pub fn seat_of(&self, life: Life) -> Seat {
        self.desired.assignment_of(life).map_or(life.seat, |assignment| assignment.seat)
    }

    /// The weight of a seat.
    pub fn weight(&self, seat: Seat) -> u32 {
        self.desired.member(seat).weight
    }

    /// Where keys live.
    pub fn placement(&self) -> &Placement {
        self.desired.placement()
    }

    /// What the gate of a life should be.
    pub fn standing(&self, life: Life) -> Standing {
        let Some(known) = self.observed.get(life) else { return Standing::Abandoned };
        let is_desired = self.desired.assignment_of(life).is_some();
        match &known.phase {
            Phase::Serving if !is_desired => Standing::Closed,
            Phase::Serving if known.is_well() => Standing::Open,
            Phase::Serving if known.signs.are_soft() && is_mass_illness(&self.desired, &self.observed) => {
                Standing::Open
            }
            Phase::Serving if !known.signs.are_of_responses_only() => Standing::Abandoned,
            Phase::Serving if known.signs.outlier.is_half_open() => Standing::HalfOpen,
            // Who is inside may yet get a good answer.
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
        let is_out = self.standing(life) != Standing::Open && self.desired.place_of(life).is_some();
        is_out.then(|| (sign, known.signs_in_words(&self.settings, now).join(", ")))
    }

    /// Whether every replica that callers were told of takes traffic.
    pub fn is_whole(&self) -> bool {
        self.desired.settled().all(|assignment| self.standing(assignment.life) == Standing::Open)
    }

    /// What there is to show.
    pub fn view(&self, now: Moment) -> FleetView {
        FleetView::of(self, now)
    }

    fn note_mass_illness(&mut self, now: Moment) {
        if is_mass_illness(&self.desired, &self.observed) {
            self.observed.mass_illness_at = Some(now);
        }
    }

    fn replace(&mut self, life: Life, now: Moment) {
        let Some(place) = self.desired.place_of(life).cloned() else { return };
        let Some(known) = self.observed.get(life) else { return };
        let has_served = known.healthy_at.is_some();
        let served = known.healthy_at.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let Phase::Over(death) = known.phase.clone() else { return };
        let successor = Life { seat: place.seat, incarnation: self.observed.next_incarnation(place.seat) };
        // Whoever asked for a name is still waiting for it; a replica that served gives its name up.
        let name = match place.pending {
            Some(_) => place.name,
            None => self.desired.random_name(successor, &self.settings, &self.observed),
        };
        let jitter = self.draw_for(successor);
        let record = self.observed.record(place.seat);
        record.failures = if served >= STABLE_AFTER { 1 } else { record.failures + 1 };
        record.unserved = if has_served { 0 } else { record.unserved + 1 };
        // Lives that served may have been ended from outside, and count for little: together as one,
        // until there are too many of them.
        let has_other_failures = record.failures > record.unserved;
        let in_vain = if has_served { 0 } else { record.unserved + u32::from(has_other_failures) };
        let unforgiven = record.failures.saturating_sub(FREE_RESTARTS);
        record.strikes = in_vain.max(unforgiven);
        record.not_before = now + backoff(record.strikes, jitter);
        record.last_output = death.last_output().to_vec();
        record.last_death = Some((life, death));
        // Where so many have died in a row, spares would only die as well.
        match self.spare_for(life).filter(|_| unforgiven == 0) {
            Some(spare) => self.give_seat(life, spare, now),
            None => self.desired.succeed(life, successor, &name),
        }
    }

    /// A number that looks random and is the same for a life whenever it is asked for.
    pub(crate) fn draw_for(&self, life: Life) -> u64 {
        draw(draw(self.desired.seed, u64::from(life.seat.number())), life.incarnation)
    }
}
