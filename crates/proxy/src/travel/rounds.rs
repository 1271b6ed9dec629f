//! Which replica next, and is it tried again: the rounds that a request goes until it has a response. What
//! one attempt is stands in `attempt`, the rule for another one in `replay`.

use std::sync::Arc;

use fleet::{Claim, Life, Preference, RoutingTable, Suspicion, SuspicionKind};
use placement::Key;
use tokio::time::Instant;

use crate::clients::client::Client;
use crate::respond::failure::Failure;
use crate::respond::limit::Limit;
use crate::telling::counters::add_one;
use crate::travel::attempt::Delivery;
use crate::travel::copying;
use crate::travel::errand::Errand;
use crate::travel::history::{Attempt, History};
use crate::travel::limits::Admission;
use crate::travel::replay::{self, Decision};
use crate::travel::upload::Upload;
use crate::travel::wait::{Waited, Waits};
use crate::wire::line::wait_in;

/// Takes a request to a replica, and to another one if that is needed and safe. Without a failure the
/// client has got a response.
pub(crate) async fn travel<C: Client>(mut errand: Errand<'_, C>) -> Result<(), Failure> {
    let (request, service) = (errand.request, errand.service);
    service.budget.borrow_mut().deposit();
    let preference = preference(&errand);
    let upload = Upload::take_on(&mut errand).await?;
    let mut waits = Waits::default();
    // Boxed, as whatever is seldom needed: idle connections carry the room for all of a request's way.
    let _admission = match service.limits.enter() {
        Some(admission) => admission,
        None => Box::pin(be_admitted(&mut errand, &mut waits)).await.inspect_err(|failure| {
            note_unserved(&errand, *failure, 0);
        })?,
    };
    let response = request.worker.buffers.take_response();
    let delivery = Delivery { errand, preference, upload, unsent: None, socket: None, response };
    let mut rounds = Rounds { delivery, history: History::default(), at_first_loss: None, waits };
    let outcome = rounds.go().await;
    if let Err(failure) = outcome {
        note_unserved(&rounds.delivery.errand, failure, rounds.history.len());
    }
    if !request.mirrors().is_empty() && outcome != Err(Failure::ClientLeft) {
        copying::send(&rounds.delivery.errand, rounds.delivery.upload.kept());
    }
    request.worker.buffers.put_response(rounds.delivery.response);
    outcome
}

/// Waits in line for what the limits keep from the request.
pub(crate) async fn be_admitted<'a, C: Client>(
    errand: &mut Errand<'a, C>,
    waits: &mut Waits,
) -> Result<Admission<'a>, Failure> {
    let limits = &errand.service.limits;
    let mut admission = match limits.enter_service() {
        Some(admission) => admission,
        None => waits.in_line(errand, Limit::ServiceRequests, limits.wait_for_service()).await?,
    };
    if limits.enter_all(&mut admission) {
        return Ok(admission);
    }
    waits.in_line(errand, Limit::Requests, limits.wait_for_all(admission)).await
}

/// Nobody has answered it.
pub(crate) fn note_unserved<C>(errand: &Errand<'_, C>, failure: Failure, attempts: usize) {
    tracing::debug!(service = %errand.service.settings.name, ?failure, attempts, "a request failed");
    add_one(&errand.service.counters.unserved);
}

/// What the request is placed by: where its session is, and its key. One with neither is placed by chance; if it
/// begins a session, which will stay there, at the better of two places.
fn preference<C>(errand: &Errand<'_, C>) -> Preference {
    let settings = &errand.service.settings;
    let key = settings.key.key(errand.head, errand.request.client(errand.head), settings.key_hash);
    let drawn = || Key::from_number(fastrand::u64(..));
    let Some(sticky) = &settings.sticky else { return key.unwrap_or_else(drawn).into() };
    match sticky.session(errand.head) {
        Some(session) => session.preference(key, settings.key_hash),
        None => key.unwrap_or_else(|| settings.table.load().lighter([drawn(), drawn()])).into(),
    }
}

/// What a look at the table has found for a request.
enum Found {
    Claim(Claim),
    /// Each one has as many requests as it may.
    AllFull,
    /// Nobody takes requests, in the table with this version.
    Nobody {
        version: u64,
    },
}

/// Whom a request may go to.
struct Search {
    preference: Preference,
    tried: Vec<Life>,
    /// Whether a replica was lost with it, so that it is kept apart from others of which that is true.
    is_suspect: bool,
}

impl Search {
    fn look(&self, table: &RoutingTable) -> Found {
        let claim = if self.is_suspect {
            table.claim_apart(self.preference, &self.tried)
        } else {
            table.claim(self.preference, &self.tried)
        };
        match claim {
            Some(claim) => Found::Claim(claim),
            None if table.is_full(&self.tried) => Found::AllFull,
            None => Found::Nobody { version: table.version() },
        }
    }
}

/// A request that goes its rounds.
struct Rounds<'a, C> {
    delivery: Delivery<'a, C>,
    history: History,
    /// Who was there when a replica was first lost with it.
    at_first_loss: Option<Arc<RoutingTable>>,
    waits: Waits,
}

impl<C: Client> Rounds<'_, C> {
    async fn go(&mut self) -> Result<(), Failure> {
        let service = self.delivery.errand.service;
        loop {
            let found = self.claim(&service.settings.table.load());
            let claim = match found {
                Found::Claim(claim) if self.is_last_try_with(claim.life) => {
                    drop(claim);
                    Box::pin(self.waits.pause(&mut self.delivery.errand)).await?;
                    continue;
                }
                Found::Claim(claim) => claim,
                Found::AllFull => {
                    let Some(claim) = Box::pin(self.wait_for_room()).await? else { continue };
                    claim
                }
                Found::Nobody { version } => {
                    self.wait(version).await?;
                    continue;
                }
            };
            // After a kept connection broke, only new ones.
            let attempted = self.delivery.attempt(claim, !self.history.has_broken()).await;
            if service.settings.limits.requests_per_replica.is_some() {
                service.limits.replicas.call_next();
            }
            let Err(attempt) = attempted else { return Ok(()) };
            if attempt.failure == Failure::TooMany(Limit::ReplicaConnections) {
                Box::pin(self.wait_for_socket()).await?;
                continue;
            }
            self.suspect(attempt);
            self.history.add(attempt);
            match self.decide().await? {
                Decision::Replay => {}
                Decision::ReplayAtCost if service.budget.borrow_mut().withdraw(Instant::now().into_std()) => {
                }
                Decision::ReplayAtCost | Decision::GiveUp => {
                    let losses = self.history.losses();
                    if losses > 1 {
                        self.delivery.accuse(losses);
                    }
                    return Err(attempt.failure);
                }
            }
            add_one(&service.counters.replays);
        }
    }

    /// The next replica. One half-open gets a request that it can do no harm to.
    fn claim(&self, table: &RoutingTable) -> Found {
        let is_first = self.history.is_empty() && self.delivery.is_replayable();
        let half_open = if is_first { table.claim_half_open(self.delivery.preference) } else { None };
        if let Some(claim) = half_open {
            return Found::Claim(claim);
        }
        let service = self.delivery.errand.service;
        let has_limit = service.settings.limits.requests_per_replica.is_some();
        if has_limit && !service.limits.replicas.is_empty() {
            return Found::AllFull;
        }
        self.search().look(table)
    }

    /// What is to become of it after its last attempt failed. Where others die at the same time that never had it,
    /// it is hardly the reason, so that one more replica may be lost with it; for that it is waited a moment.
    async fn decide(&mut self) -> Result<Decision, Failure> {
        let settings = &self.delivery.errand.service.settings;
        let (remains, retries) = (self.delivery.remains(), settings.retries);
        let decision = replay::may_replay(&self.history, remains, retries);
        if retries == 0 || self.history.losses() == 0 {
            return Ok(decision);
        }
        let seen = self.at_first_loss.get_or_insert_with(|| Arc::clone(&settings.table.load()));
        let with_one_more = replay::may_replay(&self.history, remains, retries + 1);
        if decision == with_one_more {
            return Ok(decision);
        }
        let lives = seen.replicas().map(|replica| replica.life);
        let others: Vec<Life> = lives.filter(|life| !self.history.has_lost(*life)).collect();
        let is_one_gone =
            |now: &RoutingTable| others.iter().any(|life| now.replicas().all(|one| one.life != *life));
        let has_seen = Box::pin(self.waits.until_seen(&mut self.delivery.errand, is_one_gone)).await?;
        Ok(if has_seen { with_one_more } else { decision })
    }

    /// Whether this is another one than was lost with the request, and the last that may be; asked once.
    fn is_last_try_with(&self, life: Life) -> bool {
        if self.history.is_empty() || self.waits.has_paused() {
            return false;
        }
        let losses = self.history.losses();
        let retries = self.delivery.errand.service.settings.retries as usize;
        losses > 0 && losses >= retries && !self.history.has_lost(life)
    }

    fn search(&self) -> Search {
        let tried = self.history.tried().collect();
        Search { preference: self.delivery.preference, tried, is_suspect: self.history.losses() > 0 }
    }

    /// Every replica that could be asked has as many requests as it may. Without a claim, something else
    /// keeps the request from them by now.
    async fn wait_for_room(&mut self) -> Result<Option<Claim>, Failure> {
        let search = self.search();
        let service = self.delivery.errand.service;
        let claim =
            wait_in([&service.limits.replicas], || match search.look(&service.settings.table.load()) {
                Found::AllFull => None,
                Found::Claim(claim) => Some(Some(claim)),
                Found::Nobody { .. } => Some(None),
            });
        self.waits.in_line(&mut self.delivery.errand, Limit::ReplicaRequests, claim).await
    }

    /// No descriptor is left for another connection. None is held while the request waits, nor a replica.
    async fn wait_for_socket(&mut self) -> Result<(), Failure> {
        let pool = &self.delivery.errand.service.pool;
        let socket = pool.wait_for_socket();
        let limit = Limit::ReplicaConnections;
        self.delivery.socket = Some(self.waits.in_line(&mut self.delivery.errand, limit, socket).await?);
        Ok(())
    }

    /// Nobody can be asked now.
    async fn wait(&mut self, version: u64) -> Result<(), Failure> {
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
