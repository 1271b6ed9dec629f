//! What a reconciler shows of its fleet: gates, routing table, heartbeat targets, view, log, journal.

use std::sync::Arc;

use fleet::{
    Action, Assignment, CrashLoop, Exit, Gate, Life, Phase, Replica, ReplicaName, Responses, Standing, Step,
    StopHow,
};
use placement::Seat;

use super::{Published, Reconciler, Standings};
use crate::ejections::EjectionKind;
use crate::heartbeat::Targets;
use crate::view::ServiceView;

impl Reconciler {
    /// Brings gates, routing table, heartbeats and view in line with what the fleet is now.
    pub(super) fn show(&mut self) {
        let mut targets = Targets::new();
        let mut standings = Standings::default();
        let mut closed = Vec::new();
        self.replicas.retain(|life, _| self.fleet.observed().get(*life).is_some());
        for (life, known) in self.fleet.observed().lives() {
            let Some(address) = &known.address else { continue };
            // A spare that has taken a seat is another replica for requests; none of them has met it.
            let has_moved = |assignment: &Assignment| assignment.life == life && assignment.seat != life.seat;
            if let Some(assignment) =
                self.fleet.roster().assignments().find(|assignment| has_moved(assignment))
                && self.replicas.get(&life).is_some_and(|replica| replica.seat != assignment.seat)
            {
                self.replicas.remove(&life);
            }
            let replica = self.replicas.entry(life).or_insert_with(|| {
                let gate = Gate::default();
                gate.close();
                let seat = self.fleet.seat_of(life);
                let weight = self.fleet.weight(seat);
                let (name, address) = (known.name.clone(), address.clone());
                let responses = Responses::new(self.failures_max);
                Arc::new(Replica { seat, life, name, address, weight, gate, responses })
            });
            match self.fleet.standing(life) {
                Standing::Open => {
                    replica.gate.open();
                    standings.routable.push(life);
                }
                Standing::HalfOpen => {
                    replica.gate.restrict();
                    standings.half_open.push(life);
                }
                Standing::Closed => closed.push(Arc::clone(replica)),
                // Before the table changes: those inside look up when it does, and not again.
                Standing::Abandoned => {
                    replica.gate.abandon();
                    standings.abandoned.push(life);
                }
            }
            if known.is_watched() {
                targets.insert(life, address.clone());
            }
        }
        self.heartbeats.set_targets(targets);
        self.publish(standings);
        // After the table has changed: where a seat passes to its next life, no key is without a replica.
        closed.iter().for_each(|replica| replica.gate.close());
        let view = ServiceView {
            fleet: self.fleet.view(self.clock.now()),
            paused_until: self.pause.map(|pause| pause.shown),
            began_at: self.began_at,
        };
        self.view.send_if_modified(|current| {
            let is_new = **current != view;
            if is_new {
                *current = Arc::new(view);
            }
            is_new
        });
        self.edits.answer(&Arc::clone(&self.view.borrow()));
    }

    fn publish(&mut self, standings: Standings) {
        let seats = self.fleet.roster().assignments().map(|assignment| assignment.seat).collect();
        let pause = self.pause;
        let now = Published { generation: self.fleet.desired().generation, seats, pause, standings };
        if now == self.published {
            return;
        }
        self.record_table(&now.standings);
        let lives = now.standings.routable.iter().chain(&now.standings.half_open);
        let replicas: Vec<_> = lives.filter_map(|life| self.replicas.get(life)).cloned().collect();
        let placement = self.fleet.placement().clone();
        match now.pause {
            Some(pause) => {
                let hold = pause.until.saturating_sub(self.clock.now());
                self.publisher.publish_held(placement, hold);
            }
            None => self.publisher.publish(placement, &replicas, self.load_factor),
        }
        self.published = now;
    }

    /// Writes down who came into the table and who left it, and why.
    fn record_table(&self, now: &Standings) {
        let before = &self.published.standings;
        for life in now.routable.iter().filter(|life| !before.routable.contains(life)) {
            self.record(*life, "ready", None);
        }
        for life in before.routable.iter().filter(|life| !now.routable.contains(life)) {
            let (kind, reason) = self.reason_out(*life);
            if let Some(kind) = kind {
                self.ejections.count(kind);
            }
            if let (Some(EjectionKind::Ill(_)), Some(reason)) = (kind, &reason) {
                let (service, name) = (&self.performer.service, self.name(*life));
                tracing::warn!(%service, seat = %self.seat(*life), "replica '{name}' is out of the table: {reason}");
            }
            self.record(*life, "out of the table", reason);
        }
        for life in now.half_open.iter().filter(|life| !before.half_open.contains(life)) {
            self.record(*life, "half-open", None);
        }
    }

    /// Why a life is not routed to any more: the kind of illness or death, if it is one, and in words.
    fn reason_out(&self, life: Life) -> (Option<EjectionKind>, Option<String>) {
        if let Some((sign, words)) = self.fleet.illness(life, self.clock.now()) {
            return (Some(EjectionKind::Ill(sign)), Some(words));
        }
        match self.fleet.observed().get(life).map(|known| &known.phase) {
            Some(Phase::Over(death)) => (Some(EjectionKind::Dead), Some(death.to_string())),
            // How it ended is told by the line about its replacement.
            Some(Phase::Stopping(StopHow::Now)) | None => (Some(EjectionKind::Dead), None),
            Some(_) => (None, None),
        }
    }

    fn record(&self, life: Life, event: &str, reason: Option<String>) {
        let name = self.fleet.observed().get(life).map(|known| &known.name);
        let who = (self.seat(life), life, name);
        self.journal.record(&self.performer.service, who, (event, reason));
    }

    /// The seat of a life, or the one that it had.
    fn seat(&self, life: Life) -> Seat {
        let had = || self.replicas.get(&life).map_or(life.seat, |replica| replica.seat);
        Some(self.fleet.seat_of(life)).filter(|seat| *seat != life.seat).unwrap_or_else(had)
    }

    fn name(&self, life: Life) -> &str {
        self.fleet.observed().get(life).map_or("?", |known| known.name.as_str())
    }

    /// How one ended may be known only after it was replaced.
    pub(super) fn log_exit(&self, life: Life, exit: &Exit) {
        let (service, name) = (&self.performer.service, self.name(life));
        tracing::info!(%service, seat = %self.seat(life), "replica '{name}': {exit}");
        self.record(life, "ended", Some(exit.to_string()));
    }

    pub(super) fn log(&self, action: &Action) {
        let service = &self.performer.service;
        match action {
            Action::Start(life, name) => {
                tracing::info!(%service, seat = %life.seat, "replica '{name}' is being started");
                self.log_crash_loop(*life, name);
                self.journal.record(service, (life.seat, *life, Some(name)), ("starting", None));
            }
            Action::Replace(life, death) => {
                let name = self.name(*life);
                tracing::warn!(%service, seat = %self.seat(*life), "replica '{name}' is replaced: {death}");
                self.record(*life, "replaced", Some(death.to_string()));
            }
            Action::Undo(_, why) => tracing::warn!(%service, "an addition is undone: {why}"),
            Action::Rollout(step) => self.log_step(step),
            Action::Drain(life) => self.record(*life, "draining", None),
            Action::Stop(life, _) => self.record(*life, "stopping", None),
            Action::Inspect(_) | Action::Admit(_) | Action::Commit(_) => {
                tracing::debug!(%service, "{action}");
            }
        }
    }

    /// Says that a spare has taken a seat, if one has: somebody has it who runs already.
    pub(super) fn log_taking(&self, seat: Seat) {
        let assignment = self.fleet.roster().assignment_at(seat);
        let taken = assignment.filter(|assignment| self.fleet.observed().get(assignment.life).is_some());
        let Some(Assignment { life, name, .. }) = taken else { return };
        let service = &self.performer.service;
        tracing::info!(%service, %seat, "spare '{name}' takes the seat");
        self.journal.record(service, (seat, *life, Some(name)), ("takes the seat", None));
    }

    /// Says of a seat that its lives keep failing, each time that another one begins.
    fn log_crash_loop(&self, life: Life, name: &ReplicaName) {
        let is_in_assignment = self.fleet.roster().places().any(|assignment| assignment.life == life);
        let Some(crash_loop) = self.fleet.crash_loop(life.seat).filter(|_| is_in_assignment) else { return };
        let CrashLoop { failures, death, last_output, .. } = &crash_loop;
        let service = &self.performer.service;
        let reason = format!("{failures} failures in a row; the last one {death}");
        tracing::warn!(%service, seat = %life.seat, "crash loop: {reason}");
        self.journal.record_output(service, (life, name), (&reason, last_output));
    }

    fn log_step(&self, step: &Step) {
        let service = &self.performer.service;
        match step {
            Step::Try(life) => tracing::debug!(%service, seat = %self.seat(*life), "a successor is tried"),
            Step::Abandon(life, death) => {
                let name = self.fleet.observed().get(*life).map_or("?", |known| known.name.as_str());
                tracing::warn!(%service, seat = %life.seat, "successor '{name}' is abandoned: {death}");
                self.record(*life, "abandoned", Some(death.to_string()));
            }
            Step::Pass(life) => self.record(*life, "has its seat", None),
            Step::TurnBack(failure) => {
                tracing::warn!(%service, "the rollout is undone: {failure}");
                self.journal.record_of_service(service, "rolling back", Some(failure.to_string()));
            }
            Step::GiveUp(failure) => {
                tracing::warn!(%service, "the rollout is given up: {failure}");
                self.journal.record_of_service(service, "rollout given up", Some(failure.to_string()));
            }
            Step::Finish => {
                tracing::info!(%service, "the rollout has ended");
                self.journal.record_of_service(service, "rollout ended", None);
            }
        }
    }
}
