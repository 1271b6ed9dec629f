//! Rollouts: from one release to another, seat by seat, and back if the new one does no good.
//!
//! A seat's next life is tried beside the one that serves. When it has stayed well for the bake time
//! the seat passes to it, and the earlier life is drained like any that has lost its assignment. Then the
//! new one has to prove itself among the requests for as long again before the next seat has its turn.
//! What is decided about all this is decided by the plan, and what a step makes of a fleet is told elsewhere;
//! here is how far a rollout has come.

use std::fmt;

use placement::Seat;

use crate::{Assignment, Death, Exit, Life, Moment, Release, ReplicaName, RolloutSettings, Transition};

/// How often successors may fail, of one seat or in all, before the rollout is given up.
pub(crate) const FAILURES_MAX: u32 = 3;

/// Why a rollout does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutFailure {
    /// In which seat.
    pub seat: Seat,
    /// Which life failed.
    pub life: Life,
    /// What it was called.
    pub name: ReplicaName,
    /// What became of it.
    pub death: Death,
}

impl fmt::Display for RolloutFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replica '{}' of seat {}: {}", self.name, self.seat, self.death)
    }
}

/// Where a rollout is, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// On its way to the new release.
    Forward,
    /// On its way back to the old one.
    Back(RolloutFailure),
    /// Every seat has the new release.
    Done,
    /// Every seat has the old release again.
    RolledBack(RolloutFailure),
    /// It went neither forward nor back; seats keep what they have.
    Stuck(RolloutFailure),
}

impl Course {
    /// A few words, as shown to people and programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Forward => "rolling out",
            Self::Back(_) => "rolling back",
            Self::Done => "done",
            Self::RolledBack(_) => "rolled back",
            Self::Stuck(_) => "stuck",
        }
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<&RolloutFailure> {
        match self {
            Self::Forward | Self::Done => None,
            Self::Back(failure) | Self::RolledBack(failure) | Self::Stuck(failure) => Some(failure),
        }
    }

    /// Whether it has not ended yet.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Forward | Self::Back(_))
    }
}

/// A rollout, under way or the last one that was.
#[derive(Clone, Debug)]
pub(crate) struct Rollout {
    /// The generation of the desired state that it made.
    pub(crate) number: u64,
    pub(crate) transition: Transition,
    pub(crate) settings: RolloutSettings,
    pub(crate) course: Course,
    /// Whether those have their turn too that run what is asked for.
    pub(crate) is_forced: bool,
    /// Whether the driver knows what the release before was.
    pub(crate) knows_before: bool,
    /// Seats that have not had their turn.
    pub(crate) left: Vec<Seat>,
    pub(crate) successors: Vec<Successor>,
    pub(crate) passed: Vec<Passed>,
    /// How often lives of the new release have failed meanwhile, and the last time.
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<RolloutFailure>,
    /// How often lives of the old one have.
    pub(crate) failures_before: u32,
    /// Set when one died, or gave nothing but bad responses, that had just taken its seat.
    pub(crate) is_broken: bool,
}

/// A seat's next life, beside the one that has the seat. It begins in that seat.
#[derive(Clone, Debug)]
pub(crate) struct Successor {
    pub(crate) life: Life,
    pub(crate) name: ReplicaName,
    /// It does not begin before this.
    pub(crate) not_before: Moment,
    pub(crate) failures: u32,
    pub(crate) well_since: Option<Moment>,
}

/// A seat that has passed to its successor.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) seat: Seat,
    pub(crate) at: Moment,
    pub(crate) well_since: Option<Moment>,
    /// Whether it stayed well for the bake time.
    pub(crate) is_proven: bool,
}

impl Rollout {
    pub(crate) fn begin(number: u64, transition: Transition, settings: RolloutSettings) -> Self {
        Self {
            number,
            transition,
            settings,
            course: Course::Forward,
            is_forced: false,
            knows_before: true,
            left: Vec::new(),
            successors: Vec::new(),
            passed: Vec::new(),
            failures: 0,
            last_failure: None,
            failures_before: 0,
            is_broken: false,
        }
    }

    pub(crate) fn with_seats(self, left: Vec<Seat>) -> Self {
        Self { left, ..self }
    }

    /// Nobody sits there any more.
    pub(crate) fn forget(&mut self, seat: Seat) {
        self.left.retain(|left| *left != seat);
        self.successors.retain(|successor| successor.life.seat != seat);
        self.passed.retain(|passed| passed.seat != seat);
    }

    /// Whether the driver knows what a release is because of it.
    pub(crate) fn can_run(&self, release: Release) -> bool {
        let Transition { from, to, is_return: _ } = self.transition;
        release == to || (release == from && self.knows_before)
    }

    /// Whether there is something to turn back to.
    pub(crate) fn may_turn_back(&self) -> bool {
        self.course == Course::Forward && self.knows_before && !self.transition.is_return
    }

    /// The first word of an exit may come before anybody knows how it ended; a later one may tell.
    pub(crate) fn refine(&mut self, life: Life, exit: &Exit) {
        let of_course = match &mut self.course {
            Course::Back(failure) | Course::RolledBack(failure) | Course::Stuck(failure) => Some(failure),
            Course::Forward | Course::Done => None,
        };
        for failure in of_course.into_iter().chain(&mut self.last_failure) {
            if failure.life == life {
                failure.death.refine(exit);
            }
        }
    }

    pub(crate) fn note_failure(&mut self, failure: RolloutFailure) {
        self.failures += 1;
        self.last_failure = Some(failure);
    }
}

impl Assignment {
    pub(crate) fn failed(&self, death: &Death) -> RolloutFailure {
        let Self { seat, life, .. } = *self;
        RolloutFailure { seat, life, name: self.name.clone(), death: death.clone() }
    }
}

impl Successor {
    pub(crate) fn failed(&self, death: &Death) -> RolloutFailure {
        let (seat, life) = (self.life.seat, self.life);
        RolloutFailure { seat, life, name: self.name.clone(), death: death.clone() }
    }
}
