//! The desired state of a fleet: what should run. A plain value, which is stored and shared whole: it knows
//! nothing of how far anything has come, and there is no moment in it.

use placement::Seat;

use crate::life::is_spare_seat;
use crate::{Life, Release, ReplicaName};

/// What should run.
///
/// Two of them are equal when the same should run. How it is stored is not this room's affair; what was
/// stored becomes a fleet through [`Fleet::new`](crate::Fleet::new).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Rises with each accepted change.
    pub generation: u64,
    /// What names and draws are made from; random, once.
    pub seed: u64,
    /// The replicas that callers were told of, in the order in which they were added.
    pub replicas: Vec<Assignment>,
    /// Those that wait for a seat; each is in a seat of its own, out of the fleet.
    pub spares: Vec<Assignment>,
    /// What whoever begins from now on runs: what was deployed last, or gone back to. Not told where an
    /// earlier version has stored it.
    pub release: Release,
    /// The rollout that is under way.
    pub rollout: Option<Transition>,
}

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
    /// The slots that the classic placement gave the seat. Which it gives depends on who was there before,
    /// so that they cannot be found out again.
    pub slots: Option<Vec<u16>>,
}

/// A way from one release to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What was run before.
    pub from: Release,
    /// What is to be run.
    pub to: Release,
    /// Whether it leads back, after one that did no good: there is nothing better to turn to.
    pub is_return: bool,
}

impl Desired {
    /// Nothing, and nobody was ever told anything else.
    pub fn new(seed: u64) -> Self {
        let (replicas, spares, release) = (Vec::new(), Vec::new(), Release::default());
        Self { generation: 0, seed, replicas, spares, release, rollout: None }
    }

    /// The releases that somebody may be started with, now or when a rollout turns back.
    pub fn releases(&self) -> impl Iterator<Item = Release> {
        let ends = self.rollout.map(|rollout| [rollout.from, rollout.to]);
        std::iter::once(self.release).chain(ends.into_iter().flatten())
    }

    /// Which seats somebody has who began as a spare: a balancer that knows only what runs cannot tell.
    pub fn seats_of_spares(&self) -> Vec<(Seat, Life)> {
        let began_as_spare = self.replicas.iter().filter(|assignment| assignment.life.began_as_spare());
        began_as_spare.map(|assignment| (assignment.seat, assignment.life)).collect()
    }
}

impl Assignment {
    /// Whether it is out of the fleet, and who has it waits for a seat.
    pub(crate) fn is_spare(&self) -> bool {
        is_spare_seat(self.seat)
    }

    /// The seat goes on with another life.
    pub(crate) fn hand_over(&mut self, life: Life, name: ReplicaName, release: Release) {
        (self.life, self.name, self.release) = (life, name, release);
    }
}

impl Transition {
    /// The way back.
    pub(crate) fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, is_return: !self.is_return }
    }
}
