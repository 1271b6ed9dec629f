//! What a rollout does next: who is tried, who gets the seat, and when it turns back.

use crate::facts::Facts;
use crate::rollout::{FAILURES_MAX, Passed, Rollout, RolloutFailure, Successor};
use crate::{Action, Course, Death, Phase, Plan, Step};

pub(super) fn plan_rollout(plan: &mut Plan, facts: Facts<'_>) {
    let Some(rollout) = facts.roster.rollout_under_way() else { return };
    if let Some(failure) = why_not_on(plan, rollout, facts) {
        let step = if rollout.may_turn_back() { Step::TurnBack(failure) } else { Step::GiveUp(failure) };
        return plan.act(Action::Rollout(step));
    }
    for successor in &rollout.successors {
        plan_successor(plan, rollout, successor, facts);
    }
    let is_unproven = |passed: &&Passed| !wait_until_proven(plan, rollout, passed, facts);
    let unproven = rollout.passed.iter().filter(is_unproven).count();
    let at_once = usize::try_from(rollout.settings.at_once).unwrap_or(usize::MAX);
    let free = at_once.saturating_sub(rollout.successors.len() + unproven);
    // One that is being added is waited for: whether it ever counts is not known yet.
    let settled = |seat| facts.roster.desired.replicas.iter().find(|assignment| assignment.seat == seat);
    let turns = rollout.left.iter().filter_map(|seat| settled(*seat));
    for assignment in turns.take(free) {
        plan.act(Action::Rollout(Step::Try(assignment.life)));
    }
    if rollout.left.is_empty() && rollout.successors.is_empty() && unproven == 0 {
        plan.act(Action::Rollout(Step::Finish));
    }
}

/// Waits for a seat to stay well for the bake time. True when it has.
fn wait_until_proven(plan: &mut Plan, rollout: &Rollout, passed: &Passed, facts: Facts<'_>) -> bool {
    let bake = rollout.settings.bake;
    passed.is_proven || passed.well_since.is_some_and(|since| plan.wait_until(since + bake, facts.now))
}

fn plan_successor(plan: &mut Plan, rollout: &Rollout, successor: &Successor, facts: Facts<'_>) {
    let Facts { observed, now, .. } = facts;
    let life = successor.life;
    let Some(known) = observed.get(life) else {
        if !observed.holds_name(&successor.name) && plan.wait_until(successor.not_before, now) {
            plan.act(Action::Start(life, successor.name.clone()));
        }
        return;
    };
    let signs = facts.signs(known);
    match &known.phase {
        // How it ended may be told a little later, and nobody waits for this one.
        Phase::Over(death) => {
            if death.is_told() || plan.wait_until(known.since + Death::REASON_WAIT, now) {
                plan.act(Action::Rollout(Step::Abandon(life, death.clone())));
            }
        }
        Phase::Booting | Phase::Serving if signs.len() >= 2 => {
            plan.act(Action::Rollout(Step::Abandon(life, Death::Ill(signs.join(", ")))));
        }
        Phase::Serving => {
            let baked = successor.well_since.map(|since| since + rollout.settings.bake);
            if baked.is_some_and(|baked| plan.wait_until(baked, now)) {
                plan.act(Action::Rollout(Step::Pass(life)));
            }
        }
        // Nobody drains or stops it as long as it is a successor.
        Phase::Starting | Phase::Booting | Phase::Draining { .. } | Phase::Stopping(_) => {}
    }
}

/// What speaks against the new release, if enough does.
fn why_not_on(plan: &mut Plan, rollout: &Rollout, facts: Facts<'_>) -> Option<RolloutFailure> {
    let Facts { settings, roster, observed, now } = facts;
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
        if !is_baked && end.is_some_and(|end| plan.wait_until(end, now)) {
            return Some(successor.failed(&Death::NeverHealthy(known.heard.clone())));
        }
    }
    for passed in &rollout.passed {
        let end = passed.at + settings.start_timeout + rollout.settings.bake;
        if !wait_until_proven(plan, rollout, passed, facts)
            && plan.wait_until(end, now)
            && let Some(assignment) = roster.assignment_at(passed.seat)
        {
            let heard = observed.get(assignment.life).and_then(|known| known.heard.clone());
            return Some(assignment.failed(&Death::NeverHealthy(heard)));
        }
    }
    let is_worse = rollout.failures > rollout.failures_before;
    // On the way back there is nothing better to turn to.
    let is_broken = rollout.is_broken && rollout.course == Course::Forward;
    let is_enough = is_broken || rollout.failures >= FAILURES_MAX;
    if is_worse && is_enough { rollout.last_failure.clone() } else { None }
}
