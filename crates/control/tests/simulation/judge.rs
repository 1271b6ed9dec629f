//! The judge: looks at every order, every table, every view and every answer, and says which promise it
//! breaks, by the evidence. It knows nothing of how the balancer decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleet::{
    FleetView, Found, FoundState, Life, Replica, ReplicaName, ReplicaState, ReplicaView, RoutingTable,
    StopHow,
};

use crate::containers::{Container, Ticket};
use crate::world::State;

impl State {
    pub(crate) fn judge_start(&mut self, life: Life, name: &ReplicaName) {
        let now = self.fair_now();
        // What the engine was told by a balancer that is gone, and did too late for the next one's first
        // list, nobody can know.
        let can_be_known = |by: u64| by == self.balancer || self.judge.records.contains_key(&life);
        let is_known = |one: &Container| one.life == life && can_be_known(one.ordered_by);
        let is_left = self.containers.values().any(is_known);
        let waits =
            |ticket: &Ticket| ticket.life == life && ticket.start.is_some() && can_be_known(ticket.balancer);
        if is_left || self.tickets.values().any(waits) {
            self.violate(format!("{life} '{name}' is started while something of that life is left"));
        }
        self.judge.of(life, now);
    }

    /// A container is removed because another one is to have its name.
    pub(crate) fn judge_taking_name(&mut self, holder: Life, name: &ReplicaName) {
        let record = self.judge.records.get(&holder);
        let is_routed = record.and_then(|record| record.replica.as_ref()).is_some_and(|it| it.gate.is_open());
        if is_routed {
            self.violate(format!("the name '{name}' of {holder}, which is routed to, is given away"));
        }
    }

    pub(crate) fn judge_stop(&mut self, life: Life, how: StopHow) {
        let (now, rules) = (self.fair_now(), self.judge.rules.clone());
        let Some(record) = self.judge.records.get_mut(&life) else {
            return self.violate(format!("{life} is stopped, and nobody has spoken of it"));
        };
        // A stop that failed is tried again.
        if std::mem::replace(&mut record.is_stopped, true) {
            return;
        }
        let signs = record.signs(now);
        let problem = match (how, &record.replica) {
            (StopHow::Graceful, Some(replica)) if replica.gate.is_open() => {
                Some(format!("{life} is stopped while it is routed to"))
            }
            (StopHow::Graceful, Some(replica)) => {
                let claims = replica.gate.claims();
                let waited = record.left_table_at.map_or(Duration::ZERO, |since| now - since);
                let is_early = claims > 0 && waited < rules.drain_deadline;
                is_early.then(|| format!("{life} is stopped after {waited:?} with {claims} requests inside"))
            }
            (StopHow::Graceful, None) => None,
            (StopHow::Now, _) => {
                let is_late = record.well_since.is_none() && now - record.known_since >= rules.start_timeout;
                let is_right = record.is_told_dead || is_late || signs.count(&rules, now) >= 2;
                (!is_right).then(|| format!("{life} is killed without two signs: {record:?}"))
            }
        };
        let is_for_silence = how == StopHow::Now && record.replica.is_some() && record.is_only_silent(now);
        let silent_since = signs.silent_since.filter(|_| is_for_silence);
        if let Some(problem) = problem {
            self.violate(problem);
        } else if silent_since.is_some_and(|since| self.judge.is_pardoned(since, now)) {
            self.violate(format!("{life} is killed for a silence of all: {:?}", self.judge.blackout));
        }
    }

    /// What a list told.
    pub(crate) fn judge_listing(&mut self, found: &[Found]) {
        let now = self.fair_now();
        for one in found {
            let record = self.judge.of(one.life, now);
            match &one.state {
                FoundState::Running { address, is_frozen } => {
                    record.address = Some(address.clone());
                    record.signs.is_frozen |= *is_frozen;
                }
                FoundState::Exited(_) => record.is_told_dead = true,
            }
            // Which of two containers a life is cannot be said.
            record.is_told_dead |= found.iter().filter(|other| other.life == one.life).count() > 1;
        }
        let up: BTreeSet<Life> =
            self.containers.values().filter(|one| one.is_up()).map(|one| one.life).collect();
        for (life, record) in &mut self.judge.records {
            record.is_told_dead |= !up.contains(life) && found.iter().all(|one| one.life != *life);
        }
    }

    /// Looks at the table and the view of this moment.
    pub(crate) fn judge_table(&mut self, table: &RoutingTable, view: &FleetView) {
        if self.is_over() {
            return;
        }
        let now = self.fair_now();
        // Who is half-open is in the table as well, behind a gate that lets in one at a time.
        let is_half_open =
            |one: &&ReplicaView| one.reason.as_ref().is_some_and(|why| why.contains("half-open"));
        let half_open: BTreeSet<Life> =
            view.replicas.iter().chain(&view.others).filter(is_half_open).map(|one| one.life).collect();
        let routed: BTreeMap<Life, &Arc<Replica>> = table
            .replicas()
            .filter(|replica| !half_open.contains(&replica.life))
            .map(|replica| (replica.life, replica))
            .collect();
        let mut problems = Vec::new();
        for (life, replica) in &routed {
            let record = self.judge.of(*life, now);
            if record.well_since.is_none() {
                problems.push(format!("{life} is routed to, and never was well"));
            }
            if record.is_stopped {
                problems.push(format!("{life} is routed to, and was told to stop"));
            }
            if !replica.gate.is_open() {
                problems.push(format!("{life} is in the table, and its gate is closed"));
            }
            record.replica = Some(Arc::clone(replica));
            record.left_table_at = None;
        }
        for one in view.replicas.iter().chain(&view.others) {
            if let Some(record) = self.judge.records.get_mut(&one.life) {
                record.is_serving = matches!(one.state, ReplicaState::Ready | ReplicaState::Ill);
                record.signs.is_failing |= one.reason.as_ref().is_some_and(|why| why.contains("answers"));
            }
        }
        for (life, record) in &mut self.judge.records {
            if record.replica.is_some() && !routed.contains_key(life) {
                record.left_table_at.get_or_insert(now);
                if record.replica.as_ref().is_some_and(|replica| replica.gate.is_open()) {
                    problems.push(format!("{life} is not in the table, and its gate is open"));
                }
            }
        }
        self.seated_spares.extend(routed.keys().filter(|life| life.began_as_spare()));
        problems.extend(judge_view(&routed.keys().copied().collect(), view));
        problems.into_iter().for_each(|problem| self.violate(problem));
    }
}

fn judge_view(routed: &BTreeSet<Life>, view: &FleetView) -> Vec<String> {
    let mut problems = Vec::new();
    let all = || view.replicas.iter().chain(&view.others);
    let ready: BTreeSet<Life> =
        all().filter(|one| one.state == ReplicaState::Ready).map(|one| one.life).collect();
    if ready != *routed {
        problems.push(format!("the view has {ready:?} ready, the table has {routed:?}"));
    }
    let places = || view.replicas.iter().chain(&view.spares);
    let seats: BTreeSet<_> = places().map(|one| one.seat).collect();
    let names: BTreeSet<_> = places().map(|one| &one.name).collect();
    let lives: BTreeSet<_> = all().chain(&view.spares).map(|one| one.life).collect();
    let (places, all_lives) = (places().count(), all().chain(&view.spares).count());
    if seats.len() < places || names.len() < places || lives.len() < all_lives {
        problems.push(format!("a seat, a name or a life is there twice: {view:?}"));
    }
    // Who is ill is out of the table; but never all of them for silence alone.
    let ill: Vec<_> = all().filter(|one| one.state == ReplicaState::Ill).collect();
    let is_silence = |reason: &str| !reason.contains("refused") && !reason.contains("frozen");
    if routed.is_empty()
        && !ill.is_empty()
        && ill.iter().all(|one| one.reason.as_deref().is_some_and(is_silence))
    {
        problems.push(format!("the table is empty for silence alone: {ill:?}"));
    }
    problems
}
