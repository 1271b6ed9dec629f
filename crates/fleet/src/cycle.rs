//! The cycle of a fleet: edits and events come in, plans go out, and actions that were accepted count.

use std::time::Duration;

use crate::facts::is_mass_illness;
use crate::plan::{backoff, plan};
use crate::{Action, Death, Edit, Event, Fleet, Known, Life, Moment, Outcome, Phase, Plan, Refusal, Roster};

/// A life that served at least this long was no failure of its seat's.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// A life that served, if only for a moment, may have been ended from outside. So many of them in
/// a row are followed at once.
const FREE_RESTARTS: u32 = 10;

impl Fleet {
    /// Applies an edit, whole or not at all.
    pub fn edit(&mut self, edit: &Edit, now: Moment) -> Result<Outcome, Refusal> {
        let before = self.roster.clone();
        let change = self.amend(edit, now).inspect_err(|_| self.roster = before.clone())?;
        for assignment in self.roster.assignments() {
            if before.assignment_at(assignment.seat).is_none() {
                // A new tenant is not to blame for the seat's past.
                self.observed.record(assignment.seat).forgive(now);
            }
        }
        Ok(change.map_or(Outcome::Settled, Outcome::Pending))
    }

    /// Takes in a fact.
    pub fn observe(&mut self, event: &Event, now: Moment) {
        self.observed.observe(event, &self.settings.health, now);
        if let (Event::Exited(life, exit), Some(rollout)) = (event, &mut self.roster.progress.rollout) {
            rollout.refine(*life, exit);
        }
        self.watch_rollout(now);
        self.note_mass_illness(now);
    }

    /// What to do now.
    pub fn plan(&self, now: Moment) -> Plan {
        plan(self.facts(now))
    }

    /// Notes that an action is being carried out, so that it is not planned again.
    pub fn accept(&mut self, action: &Action, now: Moment) {
        let mut enter = |life: &Life, phase| self.observed.change(*life, |known| known.enter(phase, now));
        match action {
            Action::Start(life, name) => self.observed.insert(*life, Known::starting(name.clone(), now)),
            Action::Replace(life, death) => {
                enter(life, Phase::Over(death.clone()));
                self.watch_rollout(now);
                self.count_death(*life, death);
                self.replace(*life, now);
            }
            Action::Inspect(life) => self.observed.change(*life, |known| known.signs.note_look()),
            Action::Admit(life) => self.observed.change(*life, |known| known.signs.outlier.admit(now)),
            Action::Drain(life) => enter(life, Phase::Draining { is_empty: false }),
            Action::Stop(life, how) => enter(life, Phase::Stopping(*how)),
            Action::Commit(change) => self.roster.commit(*change),
            Action::Undo(change, _) => self.roster.undo(*change),
            Action::Rollout(step) => self.accept_step(step, now),
        }
        self.note_mass_illness(now);
    }

    /// Nothing is desired any more, so that every replica is drained and stopped. What is stored is not
    /// concerned.
    pub fn retire(&mut self) {
        self.roster.retire();
    }

    /// Goes back to an earlier roster, when what came after it could not be stored.
    pub fn roll_back(&mut self, earlier: Roster) {
        self.roster = earlier;
    }

    fn note_mass_illness(&mut self, now: Moment) {
        if is_mass_illness(&self.roster, &self.observed) {
            self.observed.mass_illness_at = Some(now);
        }
    }

    fn replace(&mut self, life: Life, now: Moment) {
        let Some(place) = self.roster.place_of(life).cloned() else { return };
        let Some(known) = self.observed.get(life) else { return };
        let has_served = known.healthy_at.is_some();
        let served = known.healthy_at.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let Phase::Over(death) = known.phase.clone() else { return };
        let dead = known.name.clone();
        let successor = Life { seat: place.seat, incarnation: self.observed.next_incarnation(place.seat) };
        let is_awaited = self.roster.change_of(life).is_some();
        let new_name = self.random_name(successor);
        let jitter = self.draw_for(successor);
        let record = self.observed.record(place.seat);
        record.failures = if served >= STABLE_AFTER { 1 } else { record.failures + 1 };
        record.unserved = if has_served { 0 } else { record.unserved + 1 };
        // Whoever asked for a name is still waiting for it, and one under which nobody served can be had
        // again. A replica that served gives its name up, and so does one that could not even be started:
        // its name may be what it cannot have.
        let is_own_fault = matches!(death, Death::Exited(_) | Death::NeverHealthy(_));
        let is_unused = record.unserved == record.failures && is_own_fault;
        let name = if is_awaited || is_unused { place.name } else { new_name };
        // Lives that served may have been ended from outside, and count for little: together as one,
        // until there are too many of them.
        let has_other_failures = record.failures > record.unserved;
        let in_vain = if has_served { 0 } else { record.unserved + u32::from(has_other_failures) };
        let unforgiven = record.failures.saturating_sub(FREE_RESTARTS);
        record.strikes = in_vain.max(unforgiven);
        record.not_before = now + backoff(record.strikes, jitter);
        record.last_name = Some(dead);
        record.last_output = death.last_output().to_vec();
        record.last_death = Some((life, death));
        // Where so many have died in a row, spares would only die as well.
        match self.spare_for(life).filter(|_| unforgiven == 0) {
            Some(spare) => self.give_seat(life, spare, now),
            None => self.roster.succeed(life, successor, &name),
        }
    }
}
