//! Rollouts: from one release to another, seat by seat, and back if the new one does no good.
//!
//! A seat's next life is tried beside the one that serves. When it has stayed well for the bake time
//! the seat passes to it, and the earlier life is drained like any that has lost its assignment. Then the
//! new one has to prove itself among the requests for as long again before the next seat has its turn.
//! What is decided about all this is decided by the plan; here is what is known of it.

mod steps;

use std::fmt;
use std::time::Duration;

use placement::Seat;

use crate::{
    Assignment, Death, Desired, Exit, FleetSettings, Known, Life, Moment, Observed, Phase, Refusal, Release,
    ReplicaName, Sign,
};

/// How often successors may fail, of one seat or in all, before the rollout is given up.
pub(crate) const FAILURES_MAX: u32 = 3;

/// How careful a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutSettings {
    /// How many seats have their turn at a time.
    pub at_once: u32,
    /// How long a successor must stay well before it gets the seat, and how long in it.
    pub bake: Duration,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self { at_once: 1, bake: Duration::from_secs(1) }
    }
}

/// What an operator wants rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// What all replicas are to run.
    pub release: Release,
    /// Whether those are replaced too that run it already.
    pub is_forced: bool,
    /// How careful to be.
    pub settings: RolloutSettings,
}

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
    /// The generation of the wish that it made.
    pub(crate) number: u64,
    pub(crate) from: Release,
    pub(crate) to: Release,
    pub(crate) settings: RolloutSettings,
    pub(crate) course: Course,
    /// Whether those have their turn too that run what is asked for.
    pub(crate) is_forced: bool,
    /// Whether the driver knows what the release before was.
    pub(crate) may_turn_back: bool,
    /// Seats that have not had their turn.
    pub(crate) left: Vec<Seat>,
    pub(crate) successors: Vec<Successor>,
    pub(crate) passed: Vec<Passed>,
    /// How often lives of the new release have failed meanwhile, and the last time.
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<RolloutFailure>,
    /// How often lives of the old one have.
    pub(crate) failures_before: u32,
    /// Set when one died, or gave nothing but bad answers, that had just taken its seat.
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
    pub(crate) fn begin(number: u64, (from, to): (Release, Release), settings: RolloutSettings) -> Self {
        Self {
            number,
            from,
            to,
            settings,
            course: Course::Forward,
            is_forced: false,
            may_turn_back: true,
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

    fn note_failure(&mut self, failure: RolloutFailure) {
        self.failures += 1;
        self.last_failure = Some(failure);
    }
}

impl Desired {
    /// The rollout that is under way.
    pub(crate) fn rollout_under_way(&self) -> Option<&Rollout> {
        self.rollout.as_ref().filter(|rollout| rollout.course.is_under_way())
    }

    /// Releases between which a rollout is on its way, from and to.
    pub fn rolling(&self) -> Option<(Release, Release)> {
        self.rollout_under_way().map(|rollout| (rollout.from, rollout.to))
    }

    /// What the life of an assignment, a spare, or one on successor for an assignment, runs or will.
    pub fn release_of(&self, life: Life) -> Option<Release> {
        let of_successor = || self.successor(life).and(self.rollout.as_ref()).map(|rollout| rollout.to);
        self.place_of(life).map(|assignment| assignment.release).or_else(of_successor)
    }

    pub(crate) fn successor(&self, life: Life) -> Option<&Successor> {
        self.rollout_under_way()?.successors.iter().find(|successor| successor.life == life)
    }

    /// Whether the driver knows what a release is.
    pub(crate) fn can_run(&self, release: Release) -> bool {
        let is_between =
            |rollout: &Rollout| release == rollout.to || (release == rollout.from && rollout.may_turn_back);
        release == self.release || self.rollout_under_way().is_some_and(is_between)
    }

    pub(crate) fn deploy(&mut self, deployment: &Deployment) -> Result<(), Refusal> {
        if self.rollout_under_way().is_some() {
            return Err(Refusal::RolloutUnderWay);
        }
        let Deployment { release, is_forced, settings } = deployment.clone();
        let is_outdated = |assignment: &&Assignment| is_forced || assignment.release != release;
        let left: Vec<Seat> =
            self.assignments.iter().filter(is_outdated).map(|assignment| assignment.seat).collect();
        if left.is_empty() && release == self.release {
            return Err(Refusal::NothingToDeploy);
        }
        self.generation += 1;
        let rollout = Rollout::begin(self.generation, (self.release, release), settings);
        self.rollout = Some(Rollout { is_forced, ..rollout.with_seats(left) });
        self.release = release;
        Ok(())
    }

    /// The first word of an exit may come before anybody knows how it ended; a later one may tell.
    pub(crate) fn refine_rollout(&mut self, life: Life, exit: &Exit) {
        let Some(rollout) = &mut self.rollout else { return };
        let of_course = match &mut rollout.course {
            Course::Back(failure) | Course::RolledBack(failure) | Course::Stuck(failure) => Some(failure),
            Course::Forward | Course::Done => None,
        };
        for failure in of_course.into_iter().chain(&mut rollout.last_failure) {
            if failure.life == life {
                failure.death.refine(exit);
            }
        }
    }

    /// Takes in how those do that are new.
    pub(crate) fn watch_rollout(&mut self, observed: &Observed, settings: &FleetSettings, now: Moment) {
        let Some(rollout) = self.rollout.as_mut().filter(|rollout| rollout.course.is_under_way()) else {
            return;
        };
        let is_well = |known: Option<&Known>| known.is_some_and(|k| k.phase == Phase::Serving && k.is_well());
        for successor in &mut rollout.successors {
            note(&mut successor.well_since, is_well(observed.get(successor.life)), now);
        }
        // What has come over those of the old release too is not the new one's fault.
        let is_failing =
            |known: Option<&Known>| known.is_some_and(|known| known.signs.first() == Some(Sign::Failing));
        let of_old = self.assignments.iter().filter(|assignment| assignment.release == rollout.from);
        let are_old_failing = of_old.into_iter().any(|assignment| is_failing(observed.get(assignment.life)));
        let mut failed = Vec::new();
        for passed in &mut rollout.passed {
            let Some(assignment) = self.assignments.iter().find(|assignment| assignment.seat == passed.seat)
            else {
                continue;
            };
            let known = observed.get(assignment.life);
            let was_well_since = passed.well_since;
            passed.is_proven |= was_well_since.is_some_and(|since| now >= since + rollout.settings.bake);
            note(&mut passed.well_since, is_well(known), now);
            if was_well_since.is_some() && passed.well_since.is_none() && !passed.is_proven {
                let (failure, is_dead) = failure_in_seat(assignment, known, (settings, now));
                failed.push((failure, is_dead || (is_failing(known) && !are_old_failing)));
            }
        }
        for (failure, is_grave) in failed {
            rollout.note_failure(failure);
            rollout.is_broken |= is_grave;
        }
    }
}

/// When it began, if it is so.
fn note(since: &mut Option<Moment>, is_so: bool, now: Moment) {
    if is_so { _ = since.get_or_insert(now) } else { *since = None }
}

/// What happened to one that had taken its seat, and whether that was its end.
fn failure_in_seat(
    assignment: &Assignment,
    known: Option<&Known>,
    (settings, now): (&FleetSettings, Moment),
) -> (RolloutFailure, bool) {
    match known.map(|known| (known, &known.phase)) {
        Some((_, Phase::Over(death))) => (assignment.failed(death), true),
        Some((known, _)) => {
            let signs = known.signs_in_words(settings, now).join(", ");
            (assignment.failed(&Death::Ill(signs)), false)
        }
        None => (assignment.failed(&Death::Vanished), true),
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
