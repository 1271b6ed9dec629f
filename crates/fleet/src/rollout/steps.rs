//! What each step of a rollout makes of a fleet, and what becomes of a rollout that a restart interrupted.

use placement::Seat;

use super::{Course, Passed, Rollout, RolloutFailure, Successor};
use crate::plan::backoff;
use crate::{Death, Fleet, Life, Moment, Phase, Release, Step};

impl Fleet {
    /// Notes that a step of a rollout is being done.
    pub(crate) fn accept_step(&mut self, step: &Step, now: Moment) {
        match step {
            Step::Try(life) => {
                let Some(turn) = self.desired.assignment_of(*life).map(|assignment| assignment.seat) else {
                    return;
                };
                let successor = self.new_successor(turn, now);
                if let Some(rollout) = &mut self.desired.rollout {
                    rollout.left.retain(|seat| *seat != turn);
                    rollout.successors.push(successor);
                }
            }
            Step::Abandon(life, death) => self.abandon(*life, death, now),
            Step::Pass(life) => self.pass(*life, now),
            Step::TurnBack(failure) => self.turn_back(failure),
            Step::GiveUp(failure) => self.end_rollout(Course::Stuck(failure.clone())),
            Step::Finish => {
                let course = self.desired.rollout.as_ref().map(|rollout| rollout.course.clone());
                self.end_rollout(match course {
                    Some(Course::Back(failure)) => Course::RolledBack(failure),
                    _ => Course::Done,
                });
            }
        }
        self.desired.watch_rollout(&self.observed, &self.settings, now);
    }

    /// Counts a death in a seat for or against the new release.
    pub(crate) fn count_death(&mut self, life: Life, death: &Death) {
        let Some(assignment) = self.desired.assignment_of(life).cloned() else { return };
        let Some(rollout) = self.desired.rollout.as_mut().filter(|rollout| rollout.course.is_under_way())
        else {
            return;
        };
        let passed = rollout.passed.iter().find(|passed| passed.seat == assignment.seat);
        match passed {
            None if assignment.release == rollout.from => rollout.failures_before += 1,
            // The death of one that was not proven yet was counted when it was seen.
            Some(passed) if passed.is_proven => {
                rollout.note_failure(assignment.failed(death));
            }
            None | Some(_) => {}
        }
    }

    fn new_successor(&mut self, seat: Seat, now: Moment) -> Successor {
        let begun_here = self.desired.assignment_at(seat).filter(|assignment| assignment.life.seat == seat);
        let after_assignment = begun_here.map_or(0, |assignment| assignment.life.incarnation) + 1;
        let life = Life { seat, incarnation: self.observed.next_incarnation(seat).max(after_assignment) };
        // Taken, though nothing runs yet: the seat's present life may have to be replaced meanwhile.
        self.observed.record(seat).last_incarnation = life.incarnation;
        let name = self.desired.random_name(life, &self.settings, &self.observed);
        Successor { life, name, not_before: now, failures: 0, well_since: None }
    }

    fn abandon(&mut self, life: Life, death: &Death, now: Moment) {
        self.observed.change(life, |known| known.enter(Phase::Over(death.clone()), now));
        let Some(before) = self.desired.successor(life).cloned() else { return };
        let failures = before.failures + 1;
        let jitter = self.draw_for(life);
        let next = self.new_successor(life.seat, now);
        let next = Successor { failures, not_before: now + backoff(failures + 1, jitter), ..next };
        let Some(rollout) = &mut self.desired.rollout else { return };
        rollout.note_failure(before.failed(death));
        rollout.successors.retain(|successor| successor.life != life);
        rollout.successors.push(next);
    }

    fn pass(&mut self, life: Life, now: Moment) {
        let Some(rollout) = &mut self.desired.rollout else { return };
        let Some(at) = rollout.successors.iter().position(|successor| successor.life == life) else { return };
        let successor = rollout.successors.remove(at);
        rollout.passed.push(Passed { seat: life.seat, at: now, well_since: None, is_proven: false });
        let release = rollout.to;
        if let Some(assignment) =
            self.desired.assignments.iter_mut().find(|assignment| assignment.seat == life.seat)
        {
            (assignment.life, assignment.name, assignment.release) = (life, successor.name, release);
        }
        // The new tenant is not to blame for the seat's past.
        self.observed.record(life.seat).forgive(now);
    }

    /// From here on it goes the other way, with those that have passed, the latest first.
    fn turn_back(&mut self, failure: &RolloutFailure) {
        let Some(rollout) = self.desired.rollout.take() else { return };
        let has_new = |seat: &Seat| {
            self.desired
                .assignment_at(*seat)
                .is_some_and(|assignment| assignment.release == rollout.to && rollout.to != rollout.from)
        };
        let mut left: Vec<Seat> = rollout.passed.iter().rev().map(|passed| passed.seat).collect();
        // Those that were added meanwhile have the new release as well.
        for assignment in self.desired.assignments.iter().rev() {
            if !left.contains(&assignment.seat) {
                left.push(assignment.seat);
            }
        }
        left.retain(has_new);
        let back = Rollout::begin(rollout.number, (rollout.to, rollout.from), rollout.settings.clone());
        self.desired.release = rollout.from;
        self.desired.rollout =
            Some(Rollout { course: Course::Back(failure.clone()), ..back.with_seats(left) });
    }

    fn end_rollout(&mut self, course: Course) {
        let Some(rollout) = &mut self.desired.rollout else { return };
        let is_all_new = rollout.is_forced && course == Course::Done;
        rollout.course = course;
        rollout.successors.clear();
        self.renew_spares(is_all_new);
    }

    /// After the start of a balancer: what is to be run from now on, and what the replicas run that
    /// were found. A rollout that was under way goes on, or is undone, if what is to be run is one of its
    /// two ends. Returns how many replicas run something else and are left alone.
    pub fn settle_releases(
        &mut self,
        current: Release,
        release_of: impl Fn(Life) -> Option<Release>,
    ) -> usize {
        let stored = self.desired.rollout.take();
        self.desired.release = current;
        let mut outdated = Vec::new();
        for assignment in self.desired.assignments.iter_mut().chain(&mut self.desired.spares) {
            let known = self.observed.get(assignment.life);
            let runs = known.is_some_and(|known| !matches!(known.phase, Phase::Over(_)));
            assignment.release =
                if runs { release_of(assignment.life).unwrap_or(assignment.release) } else { current };
            if assignment.release != current && !assignment.is_spare() {
                outdated.push(assignment.seat);
            }
        }
        let Some(stored) = stored.filter(|stored| [stored.from, stored.to].contains(&current)) else {
            self.renew_spares(false);
            return outdated.len();
        };
        let from = if current == stored.to { stored.from } else { stored.to };
        let rollout = Rollout::begin(stored.number, (from, current), self.settings.rollout.clone());
        self.desired.rollout = Some(Rollout { may_turn_back: false, ..rollout.with_seats(outdated) });
        0
    }
}
