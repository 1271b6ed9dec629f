//! What each step of a rollout makes of a fleet, and what is seen of those who run the new release.

use placement::Seat;

use crate::facts::Facts;
use crate::plan::backoff;
use crate::rollout::{Course, Passed, Rollout, RolloutFailure, Successor};
use crate::{Assignment, Death, Fleet, Known, Life, Moment, Phase, Sign, Step};

/// What happened to one that had taken its seat.
struct Mishap {
    failure: RolloutFailure,
    /// Whether it was the end of that one, or more than chance.
    is_grave: bool,
}

impl Fleet {
    /// Notes that a step of a rollout is being done.
    pub(crate) fn accept_step(&mut self, step: &Step, now: Moment) {
        match step {
            Step::Try(life) => self.try_beside(*life, now),
            Step::Abandon(life, death) => self.abandon(*life, death, now),
            Step::Pass(life) => self.pass(*life, now),
            Step::TurnBack(failure) => self.turn_back(failure),
            Step::GiveUp(failure) => self.end_rollout(Course::Stuck(failure.clone())),
            Step::Finish => {
                let course = self.roster.progress.rollout.as_ref().map(|rollout| rollout.course.clone());
                self.end_rollout(match course {
                    Some(Course::Back(failure)) => Course::RolledBack(failure),
                    _ => Course::Done,
                });
            }
        }
        self.watch_rollout(now);
    }

    /// Counts a death in a seat for or against the new release.
    pub(crate) fn count_death(&mut self, life: Life, death: &Death) {
        let Some(assignment) = self.roster.assignment_of(life).cloned() else { return };
        let Some(rollout) = self.rollout_under_way_mut() else { return };
        let passed = rollout.passed.iter().find(|passed| passed.seat == assignment.seat);
        match passed {
            None if assignment.release == rollout.transition.from => rollout.failures_before += 1,
            // The death of one that was not proven yet was counted when it was seen.
            Some(passed) if passed.is_proven => {
                rollout.note_failure(assignment.failed(death));
            }
            None | Some(_) => {}
        }
    }

    /// Takes in how those do that are new.
    pub(crate) fn watch_rollout(&mut self, now: Moment) {
        let is_meant = |rollout: &mut Rollout| rollout.course.is_under_way();
        let Some(mut rollout) = self.roster.progress.rollout.take_if(is_meant) else { return };
        let facts = self.facts(now);
        let is_well = |known: Option<&Known>| known.is_some_and(|k| k.phase == Phase::Serving && k.is_well());
        for successor in &mut rollout.successors {
            note(&mut successor.well_since, is_well(facts.observed.get(successor.life)), now);
        }
        // What has come over those of the old release too is not the new one's fault.
        let is_old = |assignment: &&Assignment| assignment.release == rollout.transition.from;
        let are_failing = |assignment: &Assignment| is_failing(facts.observed.get(assignment.life));
        let are_old_failing = facts.roster.assignments().filter(is_old).any(are_failing);
        let mut mishaps = Vec::new();
        for passed in &mut rollout.passed {
            let Some(assignment) = facts.roster.assignment_at(passed.seat) else { continue };
            let known = facts.observed.get(assignment.life);
            let was_well_since = passed.well_since;
            passed.is_proven |= was_well_since.is_some_and(|since| now >= since + rollout.settings.bake);
            note(&mut passed.well_since, is_well(known), now);
            if was_well_since.is_some() && passed.well_since.is_none() && !passed.is_proven {
                let mishap = mishap(assignment, known, facts);
                let is_grave = mishap.is_grave || (is_failing(known) && !are_old_failing);
                mishaps.push(Mishap { is_grave, ..mishap });
            }
        }
        for Mishap { failure, is_grave } in mishaps {
            rollout.note_failure(failure);
            rollout.is_broken |= is_grave;
        }
        self.roster.progress.rollout = Some(rollout);
    }

    fn rollout_under_way_mut(&mut self) -> Option<&mut Rollout> {
        self.roster.progress.rollout.as_mut().filter(|rollout| rollout.course.is_under_way())
    }

    fn try_beside(&mut self, life: Life, now: Moment) {
        let Some(turn) = self.roster.assignment_of(life).map(|assignment| assignment.seat) else { return };
        let successor = self.new_successor(turn, now);
        if let Some(rollout) = &mut self.roster.progress.rollout {
            rollout.left.retain(|seat| *seat != turn);
            rollout.successors.push(successor);
        }
    }

    fn new_successor(&mut self, seat: Seat, now: Moment) -> Successor {
        let begun_here = self.roster.assignment_at(seat).filter(|assignment| assignment.life.seat == seat);
        let after_assignment = begun_here.map_or(0, |assignment| assignment.life.incarnation) + 1;
        let life = Life { seat, incarnation: self.observed.next_incarnation(seat).max(after_assignment) };
        // Taken, though nothing runs yet: the seat's present life may have to be replaced meanwhile.
        self.observed.record(seat).last_incarnation = life.incarnation;
        Successor { life, name: self.random_name(life), not_before: now, failures: 0, well_since: None }
    }

    fn abandon(&mut self, life: Life, death: &Death, now: Moment) {
        self.observed.change(life, |known| known.enter(Phase::Over(death.clone()), now));
        let Some(before) = self.roster.successor(life).cloned() else { return };
        let failures = before.failures + 1;
        let jitter = self.draw_for(life);
        let next = self.new_successor(life.seat, now);
        let next = Successor { failures, not_before: now + backoff(failures + 1, jitter), ..next };
        let Some(rollout) = &mut self.roster.progress.rollout else { return };
        rollout.note_failure(before.failed(death));
        rollout.successors.retain(|successor| successor.life != life);
        rollout.successors.push(next);
    }

    fn pass(&mut self, life: Life, now: Moment) {
        let Some(rollout) = &mut self.roster.progress.rollout else { return };
        let Some(at) = rollout.successors.iter().position(|successor| successor.life == life) else { return };
        let successor = rollout.successors.remove(at);
        rollout.passed.push(Passed { seat: life.seat, at: now, well_since: None, is_proven: false });
        let release = rollout.transition.to;
        let before = self.roster.assignment_at(life.seat).map(|assignment| assignment.life);
        if let Some(assignment) = before.and_then(|before| self.roster.place_mut(before)) {
            assignment.hand_over(life, successor.name, release);
        }
        // The new tenant is not to blame for the seat's past.
        self.observed.record(life.seat).forgive(now);
    }

    /// From here on it goes the other way, with those that have passed, the latest first.
    fn turn_back(&mut self, failure: &RolloutFailure) {
        let Some(rollout) = self.roster.progress.rollout.take() else { return };
        let transition = rollout.transition;
        let has_new = |seat: &Seat| {
            let assignment = self.roster.assignment_at(*seat);
            assignment.is_some_and(|assignment| assignment.release == transition.to)
                && transition.to != transition.from
        };
        let mut left: Vec<Seat> = rollout.passed.iter().rev().map(|passed| passed.seat).collect();
        // Those that were added meanwhile have the new release as well.
        let seats: Vec<Seat> = self.roster.assignments().map(|assignment| assignment.seat).collect();
        for seat in seats.into_iter().rev() {
            if !left.contains(&seat) {
                left.push(seat);
            }
        }
        left.retain(has_new);
        let back = Rollout::begin(rollout.number, transition.reversed(), rollout.settings);
        let course = Course::Back(failure.clone());
        self.roster.begin_rollout(Rollout { course, ..back.with_seats(left) });
    }

    fn end_rollout(&mut self, course: Course) {
        let Some(rollout) = &self.roster.progress.rollout else { return };
        let is_all_new = rollout.is_forced && course == Course::Done;
        self.roster.end_rollout(course);
        self.renew_spares(is_all_new);
    }
}

/// When it began, if it is so.
fn note(since: &mut Option<Moment>, is_so: bool, now: Moment) {
    if is_so { _ = since.get_or_insert(now) } else { *since = None }
}

fn is_failing(known: Option<&Known>) -> bool {
    known.is_some_and(|known| known.signs.first() == Some(Sign::Failing))
}

fn mishap(assignment: &Assignment, known: Option<&Known>, facts: Facts<'_>) -> Mishap {
    match known.map(|known| (known, &known.phase)) {
        Some((_, Phase::Over(death))) => Mishap { failure: assignment.failed(death), is_grave: true },
        Some((known, _)) => {
            let death = Death::Ill(facts.signs(known).join(", "));
            Mishap { failure: assignment.failed(&death), is_grave: false }
        }
        None => Mishap { failure: assignment.failed(&Death::Vanished), is_grave: true },
    }
}
