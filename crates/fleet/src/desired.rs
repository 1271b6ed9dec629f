//! What should run: one assignment for each replica, in the order in which they were added.

use placement::{Holding, Member, NoRoom, Placement, Seat};

use crate::rollout::Rollout;
use crate::spares::is_spare_seat;
use crate::{Life, Moment, Release, ReplicaName, RolloutSettings};

/// Names a change that is not yet settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub(crate) u64);

/// The life that a seat should have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The place in the fleet.
    pub seat: Seat,
    /// Who has it: a life that began in this seat, or one that began as a spare.
    pub life: Life,
    /// What the replica is called.
    pub name: ReplicaName,
    /// What it runs.
    pub release: Release,
    /// The change that adds it, until that change is settled.
    pub pending: Option<ChangeId>,
}

impl Assignment {
    /// Whether it is out of the fleet, and who has it waits for a seat.
    pub(crate) fn is_spare(&self) -> bool {
        is_spare_seat(self.seat)
    }
}

/// An assignment as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAssignment {
    /// The place in the fleet.
    pub seat: Seat,
    /// Who has it.
    pub life: Life,
    /// What the replica is called.
    pub name: ReplicaName,
    /// What it runs.
    pub release: Release,
    /// The slots that the classic placement gave it.
    pub slots: Option<Vec<u16>>,
}

/// An addition whose replicas do not all take traffic yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) id: ChangeId,
    /// When it is given up.
    pub(crate) deadline: Moment,
    /// Whether it was to bring the fleet to a certain size, so that no other may come between.
    pub(crate) is_alone: bool,
}

/// What should run.
#[derive(Clone, Debug)]
pub struct Desired {
    pub(crate) generation: u64,
    /// What names and draws are made from; random, once.
    pub(crate) seed: u64,
    pub(crate) placement: Placement,
    /// Of seats 1, 2, 3, …; those behind the end have 1.
    pub(crate) weights: Vec<u32>,
    pub(crate) assignments: Vec<Assignment>,
    /// The assignments of those that wait for a seat; each is in a seat of its own, out of the fleet.
    pub(crate) spares: Vec<Assignment>,
    pub(crate) changes: Vec<Change>,
    /// What new replicas run.
    pub(crate) release: Release,
    /// The rollout under way, or the last one.
    pub(crate) rollout: Option<Rollout>,
}

impl Desired {
    /// An empty fleet with this (empty) placement, and the weights of seats 1, 2, 3, …; seats behind
    /// the end of `weights` have 1.
    pub fn new(seed: u64, placement: Placement, weights: Vec<u32>) -> Self {
        Self {
            generation: 0,
            seed,
            placement,
            weights,
            assignments: Vec::new(),
            spares: Vec::new(),
            changes: Vec::new(),
            release: Release::default(),
            rollout: None,
        }
    }

    /// The fleet that was stored. Slots that the placement's settings no longer allow are
    /// forgotten; their seats are placed anew.
    pub fn restore(&mut self, generation: u64, stored: Vec<StoredAssignment>) -> Result<(), NoRoom> {
        self.generation = generation;
        for StoredAssignment { seat, life, name, release, slots } in stored {
            let is_placed = match (&mut self.placement, slots) {
                (Placement::Classic(classic), Some(slots)) => classic.restore(Holding { seat, slots }),
                _ => false,
            };
            if !is_placed {
                self.placement.insert(self.member(seat))?;
            }
            self.assignments.push(Assignment { seat, life, name, release, pending: None });
        }
        Ok(())
    }

    /// A rollout between these releases was under way when the wish was stored.
    pub fn restore_rollout(&mut self, from: Release, to: Release) {
        self.rollout = Some(Rollout::begin(self.generation, (from, to), RolloutSettings::default()));
    }

    /// What is to be kept on disk: settled assignments only, so that a change that nobody was told of
    /// is undone by a restart.
    pub fn to_store(&self) -> Vec<StoredAssignment> {
        let stored = self.settled().map(|assignment| StoredAssignment {
            seat: assignment.seat,
            life: assignment.life,
            name: assignment.name.clone(),
            release: assignment.release,
            slots: self.slots(assignment.seat),
        });
        stored.collect()
    }

    /// Rises with each accepted change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What names and draws are made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All assignments, in order of insertion, pending ones last.
    pub fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// A seat with the weight that it was given.
    pub(crate) fn member(&self, seat: Seat) -> Member {
        Member { seat, weight: self.weights.get(seat.index()).copied().unwrap_or(1) }
    }

    /// Where keys live.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The assignments that callers were told of.
    pub fn settled(&self) -> impl Iterator<Item = &Assignment> {
        self.assignments.iter().filter(|assignment| assignment.pending.is_none())
    }

    /// Whether some additions are not settled yet.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn assignment_of(&self, life: Life) -> Option<&Assignment> {
        self.assignments.iter().find(|assignment| assignment.life == life)
    }

    /// The assignment of a seat.
    pub fn assignment_at(&self, seat: Seat) -> Option<&Assignment> {
        self.assignments.iter().find(|assignment| assignment.seat == seat)
    }

    /// The seats that nobody has, lowest first, without end.
    pub(crate) fn free_seats(&self) -> impl Iterator<Item = Seat> {
        let is_free = |seat: &Seat| self.assignments.iter().all(|assignment| assignment.seat != *seat);
        (0..).map(Seat::at_index).filter(is_free)
    }

    /// The added replicas take traffic: they count, as if they had been added at this moment.
    pub(crate) fn commit(&mut self, change: ChangeId) {
        let (mut added, mut assignments): (Vec<Assignment>, Vec<Assignment>) =
            self.assignments.drain(..).partition(|assignment| assignment.pending == Some(change));
        added.iter_mut().for_each(|assignment| assignment.pending = None);
        let settled = assignments.partition_point(|assignment| assignment.pending.is_none());
        assignments.splice(settled..settled, added);
        self.assignments = assignments;
        self.generation += 1;
        self.changes.retain(|other| other.id != change);
    }

    /// The change never was.
    pub(crate) fn undo(&mut self, change: ChangeId) {
        let (undone, kept): (Vec<Assignment>, Vec<Assignment>) =
            self.assignments.drain(..).partition(|assignment| assignment.pending == Some(change));
        for assignment in undone {
            self.vacate(assignment.seat);
        }
        self.assignments = kept;
        self.changes.retain(|other| other.id != change);
    }

    pub(crate) fn retire(&mut self) {
        for assignment in std::mem::take(&mut self.assignments) {
            self.placement.remove(assignment.seat);
        }
        self.spares.clear();
        self.changes.clear();
        self.rollout = None;
    }

    /// Nobody is meant to sit there any more.
    pub(crate) fn vacate(&mut self, seat: Seat) {
        self.placement.remove(seat);
        if let Some(rollout) = &mut self.rollout {
            rollout.forget(seat);
        }
    }

    /// The seat goes on with another life.
    pub(crate) fn succeed(&mut self, life: Life, successor: Life, name: &ReplicaName) {
        let Some(release) = self.place_of(life).map(|place| self.next_release(place.release)) else { return };
        let places = self.assignments.iter_mut().chain(&mut self.spares);
        for place in places.filter(|place| place.life == life) {
            (place.life, place.name, place.release) = (successor, name.clone(), release);
        }
    }

    fn slots(&self, seat: Seat) -> Option<Vec<u16>> {
        let Placement::Classic(classic) = &self.placement else { return None };
        let holding = classic.holdings().iter().find(|holding| holding.seat == seat)?;
        Some(holding.slots.clone())
    }
}
