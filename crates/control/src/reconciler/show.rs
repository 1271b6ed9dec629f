//! What a reconciler shows of its fleet: gates, routing table, heartbeat targets, view, log, journal.

use std::sync::Arc;

use fleet::{Action, Gate, Life, Replica, Standing};

use super::{Published, Reconciler};
use crate::heartbeat::Targets;

impl Reconciler {
    /// Brings gates, routing table, heartbeats and view in line with what the fleet is now.
    pub(super) fn show(&mut self) {
        let mut targets = Targets::new();
        let mut routable = Vec::new();
        self.replicas.retain(|life, _| self.fleet.observed().get(*life).is_some());
        for (life, known) in self.fleet.observed().lives() {
            let Some(address) = &known.address else { continue };
            let replica = self.replicas.entry(life).or_insert_with(|| {
                let gate = Gate::default();
                gate.close();
                let weight = self.fleet.weight(life.seat);
                let (name, address) = (known.name.clone(), address.clone());
                Arc::new(Replica { life, name, address, weight, gate })
            });
            match self.fleet.standing(life) {
                Standing::Open => {
                    replica.gate.open();
                    routable.push(life);
                }
                Standing::Closed => replica.gate.close(),
                Standing::Condemned => replica.gate.condemn(),
            }
            if known.is_watched() {
                targets.insert(life, address.clone());
            }
        }
        self.heartbeats.set_targets(targets);
        self.publish(routable);
        let view = self.fleet.view(self.clock.now());
        self.view.send_if_modified(|current| {
            let is_new = **current != view;
            if is_new {
                *current = Arc::new(view);
            }
            is_new
        });
        self.edits.answer(&Arc::clone(&self.view.borrow()));
    }

    fn publish(&mut self, routable: Vec<Life>) {
        let desired = self.fleet.desired();
        let seats = desired.berths().iter().map(|berth| berth.life.seat).collect();
        let now = Published { generation: desired.generation(), seats, routable };
        if now == self.published {
            return;
        }
        self.record_table(&now.routable);
        let replicas: Vec<_> =
            now.routable.iter().filter_map(|life| self.replicas.get(life)).cloned().collect();
        let placement = self.fleet.placement().clone();
        self.publisher.publish(placement, &replicas, self.load_factor);
        self.published = now;
    }

    /// Writes down who came into the table and who left it.
    fn record_table(&self, routable: &[Life]) {
        let before = &self.published.routable;
        for life in routable.iter().filter(|life| !before.contains(life)) {
            self.record(*life, "ready", None);
        }
        for life in before.iter().filter(|life| !routable.contains(life)) {
            self.record(*life, "out of the table", None);
        }
    }

    fn record(&self, life: Life, event: &str, reason: Option<String>) {
        let name = self.fleet.observed().get(life).map(|known| &known.name);
        self.journal.record(&self.performer.service, (life, name), (event, reason));
    }

    pub(super) fn log(&self, action: &Action) {
        let service = &self.performer.service;
        match action {
            Action::Start(life, name) => {
                tracing::info!(%service, seat = %life.seat, "replica '{name}' is being started");
                self.journal.record(service, (*life, Some(name)), ("starting", None));
            }
            Action::Replace(life, death) => {
                let name = self.fleet.observed().get(*life).map_or("?", |known| known.name.as_str());
                tracing::warn!(%service, seat = %life.seat, "replica '{name}' is replaced: {death}");
                self.record(*life, "replaced", Some(death.to_string()));
            }
            Action::Undo(_, why) => tracing::warn!(%service, "an addition is undone: {why}"),
            Action::Drain(life) => self.record(*life, "draining", None),
            Action::Stop(life, _) => self.record(*life, "stopping", None),
            Action::Inspect(_) | Action::Commit(_) => tracing::debug!(%service, "{action}"),
        }
    }
}
