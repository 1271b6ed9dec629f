//! The only place where anything is decided: (desired, observed, now) → actions.
//!
//! Each rule looks at one thing and is repeatable: asked again before its action was carried out,
//! it gives the same answer. Carrying out is somebody else's; it makes no choices.

mod rollout;

use std::fmt;
use std::time::Duration;

use placement::draw;

use crate::desired::Change;
use crate::observed::SeatRecord;
use crate::{
    Assignment, ChangeId, Death, Desired, FleetSettings, Known, Life, Moment, Observed, Phase, ReplicaName,
};

pub use rollout::Step;

/// How long replicas are pardoned that are silent together with more than half of the fleet, in
/// start timeouts. After that they are replaced, one at a time.
const PARDON_START_TIMEOUTS: u32 = 2;

/// How long an end that nobody waits to see replaced waits for its reason.
const REASON_WAIT: Duration = Duration::from_millis(500);

/// How often a pending replica may fail before its change is given up.
const PENDING_FAILURES_MAX: u32 = 3;

/// How to stop a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    /// Ask, wait for the stop timeout, then kill.
    Graceful,
    /// Kill.
    Now,
}

/// A deed that is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the application as this life, under this name.
    Start(Life, ReplicaName),
    /// This life is over: its seat goes on with another one.
    Replace(Life, Death),
    /// Ask the driver whether it is frozen.
    Inspect(Life),
    /// Let one request try whether its answers are good again.
    Admit(Life),
    /// Close its gate and say when nobody is inside.
    Drain(Life),
    /// Stop it and remove what is left.
    Stop(Life, StopHow),
    /// All its replicas take traffic: the change counts.
    Commit(ChangeId),
    /// Its replicas do not come up: the change never was.
    Undo(ChangeId, String),
    /// A rollout goes on, back, or ends.
    Rollout(Step),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(life, name) => write!(f, "start {life} {name}"),
            Self::Replace(life, death) => write!(f, "replace {life}: {death}"),
            Self::Inspect(life) => write!(f, "inspect {life}"),
            Self::Admit(life) => write!(f, "admit one to {life}"),
            Self::Drain(life) => write!(f, "drain {life}"),
            Self::Stop(life, StopHow::Graceful) => write!(f, "stop {life}"),
            Self::Stop(life, StopHow::Now) => write!(f, "kill {life}"),
            Self::Commit(change) => write!(f, "commit {}", change.0),
            Self::Undo(change, why) => write!(f, "undo {}: {why}", change.0),
            Self::Rollout(step) => step.fmt(f),
        }
    }
}

/// What to do now, and when to ask again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// At most one for each life and change.
    pub actions: Vec<Action>,
    /// When time alone will call for something.
    pub again_at: Option<Moment>,
}

impl Plan {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// True when the moment has come; otherwise the plan is asked for again then.
    fn is_due(&mut self, at: Moment, now: Moment) -> bool {
        if now < at {
            self.again_at = Some(self.again_at.map_or(at, |other| other.min(at)));
        }
        now >= at
    }
}

/// Decides. Total and pure.
pub fn plan(settings: &FleetSettings, desired: &Desired, observed: &Observed, now: Moment) -> Plan {
    let mut plan = Plan::default();
    let mut decided = Vec::new();
    for change in &desired.changes {
        if plan_change(&mut plan, change, (settings, desired, observed), now) {
            decided.push(Some(change.id));
        }
    }
    let mut pardon = Pardon {
        is_mass_illness: is_mass_illness(desired, observed),
        mass_illness_at: observed.mass_illness_at,
        may_end: !is_anyone_coming_up(desired, observed),
    };
    // The assignments of a change that is decided now are looked at when it has been carried out.
    for assignment in desired.places().filter(|assignment| !decided.contains(&assignment.pending)) {
        match observed.get(assignment.life) {
            None => plan_start(&mut plan, assignment, observed, now),
            Some(known) if is_unexplained(&mut plan, (assignment, known), now) => {}
            Some(known) => {
                plan_assignment(&mut plan, (assignment.life, known), (settings, &mut pardon), now);
                plan_half_open(&mut plan, (assignment.life, known), (settings, desired.seed), now);
            }
        }
    }
    rollout::plan_rollout(&mut plan, (settings, desired, observed), now);
    for (life, known) in observed.lives() {
        if desired.place_of(life).is_none() && desired.successor(life).is_none() {
            plan_leaving(&mut plan, (life, known), settings, now);
        }
    }
    plan
}

/// Whether more than half of those who serve look ill to heartbeats or by their answers alone. Then it
/// is rather the checker, the machine or something that they all depend on: nobody is ejected and
/// nobody is killed for it. Who is ill beyond that serves nobody, and is not counted; so health alone
/// never leaves the table empty.
pub(crate) fn is_mass_illness(desired: &Desired, observed: &Observed) -> bool {
    let known = desired.assignments.iter().filter_map(|assignment| observed.get(assignment.life));
    let serving = known.filter(|known| known.phase == Phase::Serving);
    let (mut ill, mut all) = (0, 0);
    for known in serving {
        let is_soft = known.signs.are_soft();
        ill += usize::from(is_soft);
        all += usize::from(is_soft || known.is_well());
    }
    ill * 2 > all
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
    fn is_over_for(
        &mut self,
        plan: &mut Plan,
        known: &Known,
        (settings, now): (&FleetSettings, Moment),
    ) -> bool {
        if !known.signs.are_soft() {
            return true;
        }
        // An illness of all ends for one after the other. To be among the last is no guilt.
        let is_forgotten =
            self.mass_illness_at.is_none_or(|at| plan.is_due(at + settings.start_timeout, now));
        if !self.is_mass_illness && is_forgotten {
            return true;
        }
        let since = known.signs.silent_since().unwrap_or(now);
        let is_over = plan.is_due(since + settings.start_timeout * PARDON_START_TIMEOUTS, now);
        // One at a time: the next one follows when this one's successor serves.
        is_over && std::mem::replace(&mut self.may_end, false)
    }
}

fn is_anyone_coming_up(desired: &Desired, observed: &Observed) -> bool {
    let is_coming_up = |assignment: &Assignment| {
        let phase = observed.get(assignment.life).map(|known| &known.phase);
        matches!(phase, None | Some(Phase::Starting | Phase::Booting))
    };
    desired.assignments.iter().any(is_coming_up)
}

/// Whether the change is decided, one way or the other.
fn plan_change(
    plan: &mut Plan,
    change: &Change,
    (settings, desired, observed): (&FleetSettings, &Desired, &Observed),
    now: Moment,
) -> bool {
    let assignments =
        || desired.assignments.iter().filter(|assignment| assignment.pending == Some(change.id));
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
    } else if plan.is_due(change.deadline, now) {
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
    match record.and_then(|record| record.last_death.as_ref()) {
        Some((_, death)) => format!("{} ({death})", assignment.name),
        None => assignment.name.to_string(),
    }
}

fn plan_start(plan: &mut Plan, assignment: &Assignment, observed: &Observed, now: Moment) {
    let not_before = observed.seats.get(&assignment.seat).map_or(now, |record| record.not_before);
    // Two containers cannot carry one name: what is left of its last bearer goes first.
    if !observed.holds_name(&assignment.name) && plan.is_due(not_before, now) {
        plan.act(Action::Start(assignment.life, assignment.name.clone()));
    }
}

/// Whether whoever added this one is better served with a reason for its end a little later.
fn is_unexplained(plan: &mut Plan, (assignment, known): (&Assignment, &Known), now: Moment) -> bool {
    let Phase::Over(death) = &known.phase else { return false };
    assignment.pending.is_some() && !death.is_told() && !plan.is_due(known.since + REASON_WAIT, now)
}

fn plan_assignment(
    plan: &mut Plan,
    (life, known): (Life, &Known),
    (settings, pardon): (&FleetSettings, &mut Pardon),
    now: Moment,
) {
    match &known.phase {
        Phase::Over(death) => plan.act(Action::Replace(life, death.clone())),
        Phase::Booting if settings.is_owned => {
            let signs = known.signs_in_words(settings, now);
            if signs.len() >= 2 {
                plan.act(Action::Replace(life, Death::Ill(signs.join(", "))));
            } else if plan.is_due(known.begun_at + settings.start_timeout, now) {
                plan.act(Action::Replace(life, Death::NeverHealthy));
            }
        }
        Phase::Serving if settings.is_owned && !known.is_well() => {
            let signs = known.signs_in_words(settings, now);
            if signs.len() >= 2 && pardon.is_over_for(plan, known, (settings, now)) {
                plan.act(Action::Replace(life, Death::Ill(signs.join(", "))));
            } else if known.signs.call_for_a_look() {
                plan.act(Action::Inspect(life));
            } else if let Some(since) = known.signs.silent_since() {
                plan.is_due(since + settings.start_timeout, now);
            }
        }
        // Booting and ill replicas that are not ours are left alone; the rest is as it should be.
        Phase::Booting | Phase::Serving | Phase::Starting => {}
        // An assignment's life is drained or stopped only after it has lost the assignment.
        Phase::Draining { .. } | Phase::Stopping(_) => {}
    }
}

/// Whose answers were bad is asked again after a while, by one request at a time.
fn plan_half_open(
    plan: &mut Plan,
    (life, known): (Life, &Known),
    (settings, seed): (&FleetSettings, u64),
    now: Moment,
) {
    if known.phase == Phase::Serving && known.signs.are_of_responses_only() {
        let random = draw(draw(seed, u64::from(life.seat.number())), !life.incarnation);
        let at = known.signs.outlier.next_admission(&settings.health, random);
        if at.is_some_and(|at| plan.is_due(at, now)) {
            plan.act(Action::Admit(life));
        }
    }
}

fn plan_leaving(plan: &mut Plan, (life, known): (Life, &Known), settings: &FleetSettings, now: Moment) {
    match known.phase {
        Phase::Serving => plan.act(Action::Drain(life)),
        Phase::Draining { is_empty } => {
            if is_empty || plan.is_due(known.since + settings.drain_deadline, now) {
                plan.act(Action::Stop(life, StopHow::Graceful));
            }
        }
        Phase::Booting => plan.act(Action::Stop(life, StopHow::Graceful)),
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
