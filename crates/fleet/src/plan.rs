//! The only place where anything is decided: (desired, observed, now) → actions.
//!
//! Each rule looks at one thing and is repeatable: asked again before its action was carried out,
//! it gives the same answer. Carrying out is somebody else's; it makes no choices.

mod rollout;

use std::time::Duration;

use crate::facts::{Facts, is_mass_illness};
use crate::names::draw_for;
use crate::observed::SeatRecord;
use crate::progress::Change;
use crate::{Action, Assignment, ChangeId, Death, Known, Life, Moment, Observed, Phase, Plan, StopHow};

/// How long replicas are pardoned that are silent together with more than half of the fleet, in
/// start timeouts. After that they are replaced, one at a time.
const PARDON_START_TIMEOUTS: u32 = 2;

/// How often a pending replica may fail before its change is given up.
const PENDING_FAILURES_MAX: u32 = 3;

/// Decides. Total and pure.
pub(crate) fn plan(facts: Facts<'_>) -> Plan {
    let mut plan = Plan::default();
    let Facts { roster, observed, .. } = facts;
    let mut decided: Vec<ChangeId> = Vec::new();
    for change in &roster.progress.changes {
        if plan_change(&mut plan, change, facts) {
            decided.push(change.id);
        }
    }
    let mut pardon = Pardon {
        is_mass_illness: is_mass_illness(roster, observed),
        mass_illness_at: observed.mass_illness_at,
        may_end: !is_anyone_coming_up(facts),
    };
    // The assignments of a change that is decided now are looked at when it has been carried out.
    let undecided = roster.progress.changes.iter().filter(|change| !decided.contains(&change.id));
    let added = undecided.flat_map(|change| &change.added);
    let places = roster.desired.replicas.iter().chain(added).chain(&roster.desired.spares);
    for assignment in places {
        match observed.get(assignment.life) {
            None => plan_start(&mut plan, assignment, facts),
            Some(known) if waits_for_reason(&mut plan, assignment, known, facts) => {}
            Some(known) => {
                let one = One { life: assignment.life, known };
                plan_assignment(&mut plan, one, &mut pardon, facts);
                plan_half_open(&mut plan, one, facts);
            }
        }
    }
    rollout::plan_rollout(&mut plan, facts);
    for (life, known) in observed.lives() {
        if roster.place_of(life).is_none() && roster.successor(life).is_none() {
            plan_leaving(&mut plan, One { life, known }, facts);
        }
    }
    plan
}

/// A life, and what is known of it.
#[derive(Clone, Copy)]
struct One<'a> {
    life: Life,
    known: &'a Known,
}

/// What is held against killing those who look ill.
struct Pardon {
    is_mass_illness: bool,
    /// When it was there the last time.
    mass_illness_at: Option<Moment>,
    /// Whether one who was pardoned long enough may be replaced now.
    may_end: bool,
}

impl Pardon {
    /// Lets one go, if there is nothing more to be said for it.
    fn ends_for(&mut self, plan: &mut Plan, known: &Known, facts: Facts<'_>) -> bool {
        let Facts { settings, now, .. } = facts;
        if !known.signs.are_soft() {
            return true;
        }
        // An illness of all ends for one after the other. To be among the last is no guilt.
        let is_forgotten =
            self.mass_illness_at.is_none_or(|at| plan.wait_until(at + settings.start_timeout, now));
        if !self.is_mass_illness && is_forgotten {
            return true;
        }
        let since = known.signs.silent_since().unwrap_or(now);
        let is_over = plan.wait_until(since + settings.start_timeout * PARDON_START_TIMEOUTS, now);
        // One at a time: the next one follows when this one's successor serves.
        is_over && std::mem::replace(&mut self.may_end, false)
    }
}

fn is_anyone_coming_up(facts: Facts<'_>) -> bool {
    let is_coming_up = |assignment: &Assignment| {
        let phase = facts.observed.get(assignment.life).map(|known| &known.phase);
        matches!(phase, None | Some(Phase::Starting | Phase::Booting))
    };
    facts.roster.assignments().any(is_coming_up)
}

/// Whether the change is decided, one way or the other.
fn plan_change(plan: &mut Plan, change: &Change, facts: Facts<'_>) -> bool {
    let Facts { settings, observed, now, .. } = facts;
    let assignments = || change.added.iter();
    let is_up = |assignment: &Assignment| {
        observed.get(assignment.life).is_some_and(|known| known.phase == Phase::Serving && known.is_well())
    };
    let record = |assignment: &Assignment| observed.seats.get(&assignment.seat);
    let has_failed = |assignment: &&Assignment| {
        record(assignment).is_some_and(|record| record.failures >= PENDING_FAILURES_MAX)
    };
    if assignments().all(is_up) {
        plan.act(Action::Commit(change.id));
        true
    } else if let Some(failed) = assignments().find(has_failed) {
        let why = record(failed).map(SeatRecord::why).unwrap_or_default();
        plan.act(Action::Undo(
            change.id,
            format!("replica '{}' of seat {}: {why}", failed.name, failed.seat),
        ));
        true
    } else if plan.wait_until(change.deadline, now) {
        let late: Vec<String> = assignments()
            .filter(|assignment| !is_up(assignment))
            .map(|assignment| late(assignment, observed))
            .collect();
        let (late, timeout) = (late.join(", "), settings.start_timeout);
        plan.act(Action::Undo(change.id, format!("not healthy within {timeout:?} (start_timeout): {late}")));
        true
    } else {
        false
    }
}

/// Who is late, and what became of earlier attempts.
fn late(assignment: &Assignment, observed: &Observed) -> String {
    let record = observed.seats.get(&assignment.seat).filter(|record| record.failures > 0);
    let death = record.and_then(|record| record.last_death.as_ref());
    let heard = observed.get(assignment.life).and_then(|known| known.heard.as_ref());
    match (death, heard) {
        (Some((_, death)), _) => format!("{} ({death})", assignment.name),
        (None, Some(heard)) => format!("{} ({heard})", assignment.name),
        (None, None) => assignment.name.to_string(),
    }
}

fn plan_start(plan: &mut Plan, assignment: &Assignment, facts: Facts<'_>) {
    let Facts { observed, now, .. } = facts;
    let not_before = observed.seats.get(&assignment.seat).map_or(now, |record| record.not_before);
    // Two containers cannot carry one name: what is left of its last bearer goes first.
    if !observed.holds_name(&assignment.name) && plan.wait_until(not_before, now) {
        plan.act(Action::Start(assignment.life, assignment.name.clone()));
    }
}

/// Whether whoever added this one is better served with a reason for its end a little later.
fn waits_for_reason(plan: &mut Plan, assignment: &Assignment, known: &Known, facts: Facts<'_>) -> bool {
    let Phase::Over(death) = &known.phase else { return false };
    let is_added = facts.roster.change_of(assignment.life).is_some();
    is_added && !death.is_told() && !plan.wait_until(known.since + Death::REASON_WAIT, facts.now)
}

fn plan_assignment(plan: &mut Plan, one: One<'_>, pardon: &mut Pardon, facts: Facts<'_>) {
    let One { life, known } = one;
    let Facts { settings, now, .. } = facts;
    match &known.phase {
        Phase::Over(death) => plan.act(Action::Replace(life, death.clone())),
        Phase::Booting if settings.is_owned => {
            let signs = facts.signs(known);
            if signs.len() >= 2 {
                plan.act(Action::Replace(life, Death::Ill(signs.join(", "))));
            } else if plan.wait_until(known.begun_at + settings.start_timeout, now) {
                plan.act(Action::Replace(life, Death::NeverHealthy(known.heard.clone())));
            }
        }
        Phase::Serving if settings.is_owned && !known.is_well() => {
            let signs = facts.signs(known);
            if signs.len() >= 2 && pardon.ends_for(plan, known, facts) {
                plan.act(Action::Replace(life, Death::Ill(signs.join(", "))));
            } else if known.signs.call_for_a_look() {
                plan.act(Action::Inspect(life));
            } else if let Some(since) = known.signs.silent_since() {
                plan.wait_until(since + known.signs.silence_max(settings), now);
            }
        }
        // Booting and ill replicas that are not ours are left alone; the rest is as it should be.
        Phase::Booting | Phase::Serving | Phase::Starting => {}
        // An assignment's life is drained or stopped only after it has lost the assignment.
        Phase::Draining { .. } | Phase::Stopping(_) => {}
    }
}

/// Whose responses were bad is asked again after a while, by one request at a time.
fn plan_half_open(plan: &mut Plan, one: One<'_>, facts: Facts<'_>) {
    let One { life, known } = one;
    if known.phase == Phase::Serving && known.signs.are_of_responses_only() {
        let random = draw_for(facts.roster.desired.seed, Life { incarnation: !life.incarnation, ..life });
        let at = known.signs.outlier.next_admission(&facts.settings.health, random);
        if at.is_some_and(|at| plan.wait_until(at, facts.now)) {
            plan.act(Action::Admit(life));
        }
    }
}

fn plan_leaving(plan: &mut Plan, one: One<'_>, facts: Facts<'_>) {
    let One { life, known } = one;
    let Facts { settings, now, .. } = facts;
    match &known.phase {
        Phase::Serving => plan.act(Action::Drain(life)),
        Phase::Draining { is_empty } => {
            if *is_empty || plan.wait_until(known.since + settings.drain_deadline, now) {
                plan.act(Action::Stop(life, StopHow::Graceful));
            }
        }
        Phase::Booting => plan.act(Action::Stop(life, StopHow::Graceful)),
        // Between the judgement and its end a slow disk may have stood: who is well again has time to end.
        Phase::Over(Death::Ill(_)) if facts.signs(known).len() < 2 => {
            plan.act(Action::Stop(life, StopHow::Graceful));
        }
        Phase::Over(_) => plan.act(Action::Stop(life, StopHow::Now)),
        // What is being started must first be there to be stopped.
        Phase::Starting | Phase::Stopping(_) => {}
    }
}

/// How long a seat waits before its next life, after so many failures in a row: at once, then
/// 0.1 s doubling up to 30 s, with a quarter of jitter either way so that seats do not march in step.
pub(crate) fn backoff(failures: u32, random: u64) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);
    if failures <= 1 {
        return Duration::ZERO;
    }
    let doubled = FIRST.saturating_mul(1 << (failures - 2).min(16)).min(LONGEST);
    doubled * 3 / 4 + doubled / 2 * (random % 1000) as u32 / 1000
}
