//! What a rollout does next: who is tried, who gets the seat, and when it turns back.

use crate::plan::{Plan, REASON_WAIT};
use crate::rollout::{FAILURES_MAX, Passed, Rollout, RolloutFailure, Successor};
use crate::{Action, Course, Death, Desired, FleetSettings, Life, Moment, Observed, Phase};

/// A step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This life's seat has its turn: a successor is begun.
    Try(Life),
    /// A successor is over, or is to be: another one is begun in its place.
    Abandon(Life, Death),
    /// The seat passes to this successor.
    Pass(Life),
    /// It goes back to the release before.
    TurnBack(RolloutFailure),
    /// It ends where it is.
    GiveUp(RolloutFailure),
    /// Every seat has had its turn.
    Finish,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Try(life) => write!(f, "try beside {life}"),
            Self::Abandon(life, death) => write!(f, "abandon {life}: {death}"),
            Self::Pass(life) => write!(f, "pass to {life}"),
            Self::TurnBack(failure) => write!(f, "turn back: {failure}"),
            Self::GiveUp(failure) => write!(f, "give up: {failure}"),
            Self::Finish => f.write_str("finish"),
        }
    }
}

type Facts<'a> = (&'a FleetSettings, &'a Desired, &'a Observed);

pub(super) fn plan_rollout(plan: &mut Plan, facts: Facts<'_>, now: Moment) {
    let (_, desired, _) = facts;
    let Some(rollout) = desired.rollout_under_way() else { return };
    if let Some(failure) = why_not_on(plan, rollout, facts, now) {
        let may_turn_back = rollout.course == Course::Forward && rollout.may_turn_back;
        let step = if may_turn_back { Step::TurnBack(failure) } else { Step::GiveUp(failure) };
        return plan.act(Action::Rollout(step));
    }
    for successor in &rollout.successors {
        plan_successor(plan, (rollout, successor), facts, now);
    }
    let is_unproven = |passed: &&Passed| !is_proven(plan, (rollout, passed), now);
    let unproven = rollout.passed.iter().filter(is_unproven).count();
    let at_once = usize::try_from(rollout.settings.at_once).unwrap_or(usize::MAX);
    let free = at_once.saturating_sub(rollout.successors.len() + unproven);
    // One that is being added is waited for: whether it ever counts is not known yet.
    let settled = |seat| desired.settled().find(|assignment| assignment.seat == seat);
    let turns = rollout.left.iter().filter_map(|seat| settled(*seat));
    for assignment in turns.take(free) {
        plan.act(Action::Rollout(Step::Try(assignment.life)));
    }
    if rollout.left.is_empty() && rollout.successors.is_empty() && unproven == 0 {
        plan.act(Action::Rollout(Step::Finish));
    }
}

fn is_proven(plan: &mut Plan, (rollout, passed): (&Rollout, &Passed), now: Moment) -> bool {
    let bake = rollout.settings.bake;
    passed.is_proven || passed.well_since.is_some_and(|since| plan.is_due(since + bake, now))
}

fn plan_successor(
    plan: &mut Plan,
    (rollout, successor): (&Rollout, &Successor),
    (settings, _, observed): Facts<'_>,
    now: Moment,
) {
    let life = successor.life;
    let Some(known) = observed.get(life) else {
        if !observed.holds_name(&successor.name) && plan.is_due(successor.not_before, now) {
            plan.act(Action::Start(life, successor.name.clone()));
        }
        return;
    };
    let signs = known.signs_in_words(settings, now);
    match &known.phase {
        // How it ended may be told a little later, and nobody waits for this one.
        Phase::Over(death) => {
            if death.is_told() || plan.is_due(known.since + REASON_WAIT, now) {
                plan.act(Action::Rollout(Step::Abandon(life, death.clone())));
            }
        }
        Phase::Booting | Phase::Serving if signs.len() >= 2 => {
            plan.act(Action::Rollout(Step::Abandon(life, Death::Ill(signs.join(", ")))));
        }
        Phase::Serving => {
            let baked = successor.well_since.map(|since| since + rollout.settings.bake);
            if baked.is_some_and(|baked| plan.is_due(baked, now)) {
                plan.act(Action::Rollout(Step::Pass(life)));
            }
        }
        // Nobody drains or stops it as long as it is on successor.
        Phase::Starting | Phase::Booting | Phase::Draining { .. } | Phase::Stopping(_) => {}
    }
}

/// What speaks against the new release, if enough does.
fn why_not_on(
    plan: &mut Plan,
    rollout: &Rollout,
    (settings, desired, observed): Facts<'_>,
    now: Moment,
) -> Option<RolloutFailure> {
    for successor in &rollout.successors {
        if successor.failures >= FAILURES_MAX {
            return rollout.last_failure.clone();
        }
        let Some(known) = observed.get(successor.life) else { continue };
        let end = match known.phase {
            Phase::Booting => Some(known.begun_at + settings.start_timeout),
            Phase::Serving => known.healthy_at.map(|at| at + settings.start_timeout + rollout.settings.bake),
            _ => None,
        };
        // One that was well for long enough is about to get its seat.
        let is_baked = successor.well_since.is_some_and(|since| now >= since + rollout.settings.bake);
        if !is_baked && end.is_some_and(|end| plan.is_due(end, now)) {
            return Some(successor.failed(&Death::NeverHealthy));
        }
    }
    for passed in &rollout.passed {
        let end = passed.at + settings.start_timeout + rollout.settings.bake;
        if !is_proven(plan, (rollout, passed), now)
            && plan.is_due(end, now)
            && let Some(assignment) = desired.assignment_at(passed.seat)
        {
            return Some(assignment.failed(&Death::NeverHealthy));
        }
    }
    let is_worse = rollout.failures > rollout.failures_before;
    // On the way back there is nothing better to turn to.
    let is_broken = rollout.is_broken && rollout.course == Course::Forward;
    let is_enough = is_broken || rollout.failures >= FAILURES_MAX;
    if is_worse && is_enough { rollout.last_failure.clone() } else { None }
}
