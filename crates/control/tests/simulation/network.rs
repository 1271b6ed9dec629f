//! The network between heartbeats and replicas: it delays, drops, refuses, and is cut now and then.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use control::{HeartbeatSettings, Probed, Prober};
use fleet::{Address, ProbeResult};
use futures_util::future::{BoxFuture, FutureExt};

use crate::containers::Stage;
use crate::sabotage::Sabotage;
use crate::world::{State, World};

pub(crate) struct Network(pub(crate) Arc<World>);

/// A question that was not answered when nobody waits for its answer any more is one more miss.
struct Question<'a> {
    world: &'a World,
    address: &'a Address,
    is_answered: bool,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if !self.is_answered && state.has_balancer() {
            state.note(|_| format!("heartbeat {}: no answer", self.address));
            let now = state.fair_now();
            state.judge.missed(self.address, now);
        }
    }
}

impl Prober for Network {
    fn probe<'a>(
        &'a self,
        address: &'a Address,
        settings: &'a HeartbeatSettings,
    ) -> BoxFuture<'a, Option<Probed>> {
        async move {
            let delay = self.0.enter().await.way_to(address, settings);
            let mut question = Question { world: &self.0, address, is_answered: false };
            match delay {
                Some(delay) => self.0.wait(delay).await,
                None => pending().await,
            }
            let answer = self.0.state().answer(address);
            match answer {
                Some(probe_result) => {
                    question.is_answered = true;
                    probe_result.map(Probed::from)
                }
                None => pending().await,
            }
        }
        .boxed()
    }
}

impl State {
    pub(crate) fn is_cut(&self, address: &Address) -> bool {
        let is_cut = self.cuts.get(address).is_some_and(|until| *until > self.now());
        is_cut || self.blackout_until > self.now()
    }

    /// How long a question and its answer are under way, if they arrive.
    fn way_to(&mut self, address: &Address, settings: &HeartbeatSettings) -> Option<Duration> {
        if self.is_cut(address) || self.chance.happens(self.faults.beat_lost) {
            return None;
        }
        let mut delay = self.chance.milliseconds(1..15);
        if self.chance.happens(self.faults.beat_late) {
            let timeout = settings.timeout.as_millis() as u64;
            delay += self.chance.milliseconds(timeout / 2..timeout * 2);
        }
        Some(delay)
    }

    /// What comes back; nothing if nothing ever does. The inner nothing is a question that could not
    /// be put.
    fn answer(&mut self, address: &Address) -> Option<Option<ProbeResult>> {
        let (refused, ours) = (self.faults.beat_refused, self.faults.beat_ours);
        if self.chance.happens(ours) {
            return Some(None);
        }
        let now = self.now();
        let container = self.container_at(address).cloned();
        let probe_result = match container.as_ref().map(|container| &container.stage) {
            // Nobody is there who could even refuse, or the host refuses in its place.
            None | Some(Stage::Created | Stage::Exited(_)) => {
                self.chance.happens(500).then_some(ProbeResult::Refused)
            }
            Some(Stage::Frozen) => None,
            Some(Stage::Running) => {
                let container = container.as_ref()?;
                let is_well = container.well_from.is_some_and(|from| from <= now);
                match (is_well, container.boots_aloud) {
                    (true, _) if self.chance.happens(refused) => Some(ProbeResult::Refused),
                    (true, _) if container.sick_until > now => Some(ProbeResult::Unwell),
                    (true, _) => Some(ProbeResult::Good),
                    (false, _) if self.sabotage == Some(Sabotage::FalseHealth) => {
                        return Some(Some(ProbeResult::Good));
                    }
                    (false, true) => Some(ProbeResult::Unwell),
                    (false, false) => Some(ProbeResult::Refused),
                }
            }
        };
        let now = self.fair_now();
        match probe_result {
            Some(ProbeResult::Good) => self.judge.good(address, now, self.writes > 0),
            Some(ProbeResult::Refused) => {
                self.judge.refused(address);
                self.judge.missed(address, now);
            }
            Some(ProbeResult::Missed | ProbeResult::Unwell) => self.judge.missed(address, now),
            None => {}
        }
        if probe_result.is_some() {
            self.note(|_| format!("heartbeat {address}: {probe_result:?}"));
        }
        probe_result.map(Some)
    }
}
