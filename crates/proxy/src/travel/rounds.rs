//! Which replica next, and is it tried again: the rounds that a request goes until it has a response. What
//! one attempt is stands in `attempt`, the rule for another one in `replay`.

use fleet::{Claim, Life, RoutingTable, Suspicion, SuspicionKind};
use placement::Key;
use tokio::time::Instant;

use crate::clients::client::Client;
use crate::respond::failure::Failure;
use crate::telling::counters::add_one;
use crate::travel::attempt::Delivery;
use crate::travel::errand::Errand;
use crate::travel::history::{Attempt, History};
use crate::travel::replay::{self, Decision};
use crate::travel::upload::Upload;
use crate::travel::wait::{Waited, Waits};

/// Takes a request to a replica, and to another one if that is needed and safe. Without a failure the
/// client has got a response.
pub(crate) async fn travel<C: Client>(mut errand: Errand<'_, C>) -> Result<(), Failure> {
    let (request, service) = (errand.request, errand.service);
    service.budget.borrow_mut().deposit();
    let key = key(&errand);
    let upload = Upload::take_on(&mut errand).await?;
    let response = request.worker.buffers.take_response();
    let delivery = Delivery { errand, upload, unsent: None, response };
    let mut rounds = Rounds { delivery, key, history: History::default(), waits: Waits::default() };
    let outcome = rounds.go().await;
    if let Err(failure) = outcome {
        let attempts = rounds.history.len();
        tracing::debug!(service = %service.settings.name, ?failure, attempts, "a request failed");
        add_one(&service.counters.unserved);
    }
    request.worker.buffers.put_response(rounds.delivery.response);
    outcome
}

/// What the request is placed by; one without a key is placed by chance.
fn key<C>(errand: &Errand<'_, C>) -> Key {
    let settings = &errand.service.settings;
    let trusted = &errand.request.worker.clients.trusted_proxies;
    let address = errand.request.origin.client(errand.head, trusted);
    let key = settings.key.key(errand.head, address, settings.key_hash);
    key.unwrap_or_else(|| Key::from_number(fastrand::u64(..)))
}

/// A request that goes its rounds.
struct Rounds<'a, C> {
    delivery: Delivery<'a, C>,
    key: Key,
    history: History,
    waits: Waits,
}

impl<C: Client> Rounds<'_, C> {
    async fn go(&mut self) -> Result<(), Failure> {
        let service = self.delivery.errand.service;
        loop {
            let (claim, version) = {
                let table = service.settings.table.load();
                (self.claim(&table), table.version())
            };
            let Some(claim) = claim else {
                self.wait(version).await?;
                continue;
            };
            // After a kept connection broke, only new ones.
            let Err(attempt) = self.delivery.attempt(claim, !self.history.has_broken()).await else {
                return Ok(());
            };
            self.suspect(attempt);
            self.history.add(attempt);
            match replay::may_replay(&self.history, self.delivery.remains()) {
                Decision::Replay => {}
                Decision::ReplayAtCost if service.budget.borrow_mut().withdraw(Instant::now().into_std()) => {
                }
                Decision::ReplayAtCost | Decision::GiveUp => return Err(attempt.failure),
            }
            add_one(&service.counters.replays);
        }
    }

    /// The next replica. One half-open gets a request that it can do no harm to.
    fn claim(&self, table: &RoutingTable) -> Option<Claim> {
        let is_first = self.history.is_empty() && self.delivery.is_replayable();
        let half_open = if is_first { table.claim_half_open(self.key) } else { None };
        half_open.or_else(|| table.claim(self.key, &self.history.tried().collect::<Vec<Life>>()))
    }

    /// Nobody can be asked now.
    async fn wait(&mut self, version: u64) -> Result<(), Failure> {
        // Boxed, as whatever is seldom needed: idle connections carry the room for all of a request's way.
        match Box::pin(self.waits.for_news(&mut self.delivery.errand, &self.history, version)).await? {
            Waited::News => {}
            Waited::Pause => self.history.reconsider_full_ones(),
        }
        Ok(())
    }

    fn suspect(&self, attempt: Attempt) {
        let Attempt { life, failure, .. } = attempt;
        let kind = if failure == Failure::Refused { SuspicionKind::Refused } else { SuspicionKind::Broken };
        if failure.is_suspicious() {
            // Full or closed: the heartbeats will find out.
            let _ = self.delivery.errand.service.settings.suspicions.try_send(Suspicion { life, kind });
        }
    }
}
