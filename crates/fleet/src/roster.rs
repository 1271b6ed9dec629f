//! The roster: who is meant to run. That is the desired state, those who are being added to it, and those
//! whom a rollout tries; and where keys live among them.

use placement::{NoRoom, Seat};

use crate::progress::{Change, Progress};
use crate::rollout::{Course, Rollout, Successor};
use crate::{Assignment, ChangeId, Desired, Life, Release, ReplicaName, RolloutSettings, Seating};

/// Who is meant to run.
#[derive(Clone, Debug)]
pub struct Roster {
    pub(crate) desired: Desired,
    pub(crate) progress: Progress,
    pub(crate) seating: Seating,
}

impl Roster {
    /// What was stored, in an empty placement: nobody is being added, and a rollout that was under way
    /// begins with nothing done.
    pub(crate) fn of_stored(mut desired: Desired, mut seating: Seating) -> Result<Self, NoRoom> {
        desired.replicas.iter_mut().try_for_each(|assignment| seating.restore(assignment))?;
        let begin = |transition| Rollout::begin(desired.generation, transition, RolloutSettings::default());
        let progress = Progress { rollout: desired.rollout.map(begin), ..Progress::default() };
        Ok(Self { desired, progress, seating })
    }

    /// The assignments of all seats in order of insertion, those that are being added last.
    pub fn assignments(&self) -> impl Iterator<Item = &Assignment> + Clone {
        let added = self.progress.changes.iter().flat_map(|change| &change.added);
        self.desired.replicas.iter().chain(added)
    }

    pub(crate) fn places_mut(&mut self) -> impl Iterator<Item = &mut Assignment> {
        let added = self.progress.changes.iter_mut().flat_map(|change| &mut change.added);
        self.desired.replicas.iter_mut().chain(added).chain(&mut self.desired.spares)
    }

    pub(crate) fn place_mut(&mut self, life: Life) -> Option<&mut Assignment> {
        self.places_mut().find(|place| place.life == life)
    }

    /// Whether some additions are not settled yet.
    pub fn has_changes(&self) -> bool {
        !self.progress.changes.is_empty()
    }

    /// The addition that brings a life, until it is settled.
    pub(crate) fn change_of(&self, life: Life) -> Option<&Change> {
        let brings = |change: &&Change| change.added.iter().any(|assignment| assignment.life == life);
        self.progress.changes.iter().find(brings)
    }

    pub(crate) fn assignment_of(&self, life: Life) -> Option<&Assignment> {
        self.assignments().find(|assignment| assignment.life == life)
    }

    /// The assignment of a seat.
    pub fn assignment_at(&self, seat: Seat) -> Option<&Assignment> {
        self.assignments().find(|assignment| assignment.seat == seat)
    }

    /// The seats that nobody has, lowest first, without end.
    pub(crate) fn free_seats(&self) -> impl Iterator<Item = Seat> {
        let is_free = |seat: &Seat| self.assignments().all(|assignment| assignment.seat != *seat);
        (0..).map(Seat::at_index).filter(is_free)
    }

    /// All that should run but what a rollout tries: the assignments of the fleet, and those of spares.
    pub fn places(&self) -> impl Iterator<Item = &Assignment> + Clone {
        self.assignments().chain(&self.desired.spares)
    }

    /// The assignment that a life has, in the fleet or as a spare.
    pub(crate) fn place_of(&self, life: Life) -> Option<&Assignment> {
        self.places().find(|assignment| assignment.life == life)
    }

    /// Whether a life waits for a seat.
    pub(crate) fn is_spare(&self, life: Life) -> bool {
        self.desired.spares.iter().any(|spare| spare.life == life)
    }

    /// What the life of an assignment, a spare, or a successor in a rollout, runs or will.
    pub fn release_of(&self, life: Life) -> Option<Release> {
        let of_successor =
            || self.successor(life).and(self.rollout_under_way()).map(|rollout| rollout.transition.to);
        self.place_of(life).map(|assignment| assignment.release).or_else(of_successor)
    }

    /// Whether somebody has a name, or may get it.
    pub(crate) fn holds_name(&self, name: &ReplicaName) -> bool {
        let of_successors = self.progress.rollout.iter().flat_map(|rollout| &rollout.successors);
        self.is_name_taken(name) || of_successors.into_iter().any(|successor| successor.name == *name)
    }

    pub(crate) fn is_name_taken(&self, name: &ReplicaName) -> bool {
        self.places().any(|assignment| assignment.name == *name)
    }

    /// The rollout that is under way.
    pub(crate) fn rollout_under_way(&self) -> Option<&Rollout> {
        self.progress.rollout.as_ref().filter(|rollout| rollout.course.is_under_way())
    }

    pub(crate) fn successor(&self, life: Life) -> Option<&Successor> {
        self.rollout_under_way()?.successors.iter().find(|successor| successor.life == life)
    }

    /// What the next life runs where this was run: the same, if the driver knows what that is.
    pub(crate) fn next_release(&self, release: Release) -> Release {
        let is_between = |rollout: &Rollout| rollout.can_run(release);
        let is_known = release == self.desired.release || self.rollout_under_way().is_some_and(is_between);
        if is_known { release } else { self.desired.release }
    }

    /// From here on this rollout is the one that is under way.
    pub(crate) fn begin_rollout(&mut self, rollout: Rollout) {
        self.desired.rollout = Some(rollout.transition);
        self.desired.release = rollout.transition.to;
        self.progress.rollout = Some(rollout);
    }

    /// The rollout ends like this, and is the last one from here on.
    pub(crate) fn end_rollout(&mut self, course: Course) {
        self.desired.rollout = None;
        if let Some(rollout) = &mut self.progress.rollout {
            rollout.course = course;
            rollout.successors.clear();
        }
    }

    /// The added replicas take traffic: they count, as if they had been added at this moment.
    pub(crate) fn commit(&mut self, id: ChangeId) {
        for mut added in self.take_change(id) {
            added.slots = self.seating.slots(added.seat);
            self.desired.replicas.push(added);
        }
        self.desired.generation += 1;
    }

    /// The change never was.
    pub(crate) fn undo(&mut self, id: ChangeId) {
        for undone in self.take_change(id) {
            self.vacate(undone.seat);
        }
    }

    fn take_change(&mut self, id: ChangeId) -> Vec<Assignment> {
        let changes = &mut self.progress.changes;
        let at = changes.iter().position(|change| change.id == id);
        at.map(|at| changes.remove(at).added).unwrap_or_default()
    }

    /// Nothing is meant to run any more.
    pub(crate) fn retire(&mut self) {
        let seats: Vec<Seat> = self.assignments().map(|assignment| assignment.seat).collect();
        seats.into_iter().for_each(|seat| self.seating.remove(seat));
        (self.desired.replicas, self.desired.spares, self.desired.rollout) = (Vec::new(), Vec::new(), None);
        (self.progress.changes, self.progress.rollout) = (Vec::new(), None);
    }

    /// Nobody is meant to sit there any more.
    pub(crate) fn vacate(&mut self, seat: Seat) {
        self.seating.remove(seat);
        if let Some(rollout) = &mut self.progress.rollout {
            rollout.forget(seat);
        }
    }

    /// The place of a life goes on with another one, which runs the same if that is still possible.
    pub(crate) fn succeed(&mut self, life: Life, successor: Life, name: &ReplicaName) {
        let Some(release) = self.place_of(life).map(|place| self.next_release(place.release)) else { return };
        if let Some(place) = self.place_mut(life) {
            place.hand_over(successor, name.clone(), release);
        }
    }
}
