//! Which replica next, and may we try again: the loop that a request goes round until it has an
//! answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fleet::{Claim, Life, Suspicion};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use placement::Key;
use tokio::time::Instant;

use crate::body::{self, AnswerBody, RequestBody};
use crate::forward::{self, Client};
use crate::record::add_one;
use crate::respond::{self, Failure, Replay};
use crate::settings::{REPLAY_BODY_MAX, REPLAYS_MAX, RESPONSE_HEAD_TIMEOUT, WAIT_MAX};
use crate::upstream::{Lease, Unanswered};
use crate::worker::Service;

/// How often a request may break a connection. One that kills whoever works on it must not go
/// through the whole fleet.
const BROKEN_MAX: usize = 3;

/// How long to wait for news of replicas that failed but are still in the table.
const NEWS_WAIT: Duration = Duration::from_secs(1);

/// Takes a request to a replica, and to another one if that is needed and safe.
pub(crate) async fn travel(
    service: &Service,
    request: Request<Incoming>,
    client: &Client,
) -> Response<AnswerBody> {
    let (mut head, incoming) = request.into_parts();
    service.budget.borrow_mut().deposit();
    let key = service.settings.key.key(&head, client.address.ip(), service.settings.key_hash);
    let key = key.unwrap_or_else(|| Key::from_number(fastrand::u64(..)));
    let uri = head.uri.clone();
    forward::prepare_request(&mut head, client);
    let mut travel = match Outbound::new(head, incoming).await {
        Ok(outbound) => {
            Travel { service, key, outbound, tried: Vec::new(), failures: Vec::new(), waited_until: None }
        }
        Err(failure) => return respond::failed(service, failure),
    };
    match travel.go().await {
        Ok((answer, place)) => respond::relay(service, uri.path(), answer, place),
        Err(failure) => {
            tracing::debug!(service = %service.settings.name, ?failure, attempts = travel.failures.len(), "a request failed");
            add_one(&service.counters.unserved);
            respond::failed(service, failure)
        }
    }
}

/// A request on its way.
struct Travel<'a> {
    service: &'a Service,
    key: Key,
    outbound: Outbound,
    /// Whom not to ask again.
    tried: Vec<Life>,
    failures: Vec<Failure>,
    /// When waiting ends, once it has begun.
    waited_until: Option<Instant>,
}

type Answered = (Response<Incoming>, (Lease, Claim));

impl Travel<'_> {
    async fn go(&mut self) -> Result<Answered, Failure> {
        loop {
            let (claim, version) = {
                let table = self.service.settings.table.load();
                (table.claim(self.key, &self.tried), table.version())
            };
            let Some(claim) = claim else {
                self.wait_for_news(version).await?;
                continue;
            };
            let life = claim.life;
            match self.attempt(claim).await {
                Ok(answered) => return Ok(answered),
                Err((failure, was_reused)) => {
                    self.suspect(life, failure);
                    self.failures.push(failure);
                    if !self.may_replay(failure) {
                        return Err(failure);
                    }
                    // A connection that was kept may break without the replica being at fault.
                    if !was_reused {
                        self.tried.push(life);
                    }
                    add_one(&self.service.counters.replays);
                }
            }
        }
    }

    /// One attempt, on a kept connection or a new one. After a kept one broke, only new ones.
    async fn attempt(&mut self, claim: Claim) -> Result<Answered, (Failure, bool)> {
        add_one(&self.service.counters.attempts);
        let may_reuse = !self.failures.contains(&Failure::Broken);
        loop {
            let kept = if may_reuse { self.service.pool.take(claim.life) } else { None };
            let mut lease = match kept {
                Some(lease) => lease,
                None => self.service.pool.connect(&claim).await.map_err(|failure| (failure, false))?,
            };
            match self.exchange(&mut lease, &claim).await {
                Ok(answer) => return Ok((answer, (lease, claim))),
                // Nothing was sent: the next kept connection, or a new one, is as good a first try.
                Err(Failure::Unsent) if lease.is_reused => {}
                Err(failure) => return Err((failure, lease.is_reused)),
            }
        }
    }

    /// Sends the request and waits for the answer's head, for the replica's end, or for too long.
    async fn exchange(&mut self, lease: &mut Lease, claim: &Claim) -> Result<Response<Incoming>, Failure> {
        let frames = Rc::clone(&self.outbound.frames);
        let Some(request) = self.outbound.request() else { return Err(Failure::Broken) };
        let is_replayable = self.outbound.is_replayable();
        let mut answer = std::pin::pin!(lease.send(request));
        let mut frames_seen = frames.get();
        let mut patience = std::pin::pin!(tokio::time::sleep(RESPONSE_HEAD_TIMEOUT));
        loop {
            let mut table_changed = std::pin::pin!(self.service.table_changed.notified());
            table_changed.as_mut().enable();
            // It may have been given up while we connected. A request that cannot be sent again
            // stays: the replica may yet come round.
            if claim.gate.is_condemned() && is_replayable {
                return Err(Failure::Condemned);
            }
            tokio::select! {
                biased;
                answered = answer.as_mut() => return answered.map_err(|unanswered| self.outbound.failure(unanswered)),
                () = table_changed => {}
                () = patience.as_mut() => {
                    if frames.get() == frames_seen {
                        return Err(Failure::TimedOut);
                    }
                    frames_seen = frames.get();
                    patience.as_mut().reset(Instant::now() + RESPONSE_HEAD_TIMEOUT);
                }
            }
        }
    }

    /// Nobody can be asked now: waits for a newer table, bounded in time and number.
    async fn wait_for_news(&mut self, version: u64) -> Result<(), Failure> {
        let service = self.service;
        let last = self.failures.last().copied();
        let is_blamed_replica_left = {
            let table = service.settings.table.load();
            if !table.has_members() {
                return Err(last.unwrap_or(Failure::NoReplicas));
            }
            table.replicas().any(|replica| self.tried.contains(&replica.life))
        };
        let _place = service.room.enter().ok_or(Failure::RoomFull)?;
        if self.waited_until.is_none() {
            add_one(&service.counters.waits);
        }
        let until = *self.waited_until.get_or_insert_with(|| Instant::now() + WAIT_MAX);
        let until = if is_blamed_replica_left { until.min(Instant::now() + NEWS_WAIT) } else { until };
        let mut changed = std::pin::pin!(service.table_changed.notified());
        changed.as_mut().enable();
        // Between the look at the table and the wait it may have changed.
        if service.settings.table.load().version() > version {
            return Ok(());
        }
        match tokio::time::timeout_at(until, changed).await {
            Ok(()) => Ok(()),
            // Those who failed are still there: it is their failure that counts.
            Err(_) if is_blamed_replica_left => Err(last.unwrap_or(Failure::WaitedInVain)),
            Err(_) => Err(Failure::WaitedInVain),
        }
    }

    fn may_replay(&self, failure: Failure) -> bool {
        let is_within_limits = self.failures.len() < REPLAYS_MAX;
        match failure.replay() {
            Replay::Always => is_within_limits,
            Replay::IfIdempotent => {
                let broken = self.failures.iter().filter(|failure| **failure == Failure::Broken).count();
                is_within_limits
                    && self.outbound.is_replayable()
                    && broken < BROKEN_MAX
                    && self.service.budget.borrow_mut().withdraw(Instant::now().into_std())
            }
            Replay::Never => false,
        }
    }

    fn suspect(&self, life: Life, failure: Failure) {
        let is_refusal = failure == Failure::Refused;
        if failure.is_suspicious() {
            // Full or closed: the heartbeats will find out.
            let _ = self.service.settings.suspicions.try_send(Suspicion { life, is_refusal });
        }
    }
}

/// A request, ready to be sent, once or more often.
struct Outbound {
    head: Parts,
    body: Kept,
    frames: Rc<Cell<u64>>,
}

enum Kept {
    Whole(Bytes),
    Once(Option<Incoming>),
}

impl Outbound {
    /// Keeps the body of a request that may be sent again, if it is small enough.
    async fn new(head: Parts, incoming: Incoming) -> Result<Self, Failure> {
        let frames = Rc::default();
        let is_small = incoming.size_hint().upper().is_some_and(|most| most <= REPLAY_BODY_MAX);
        let body = if incoming.is_end_stream() {
            Kept::Whole(Bytes::new())
        } else if is_idempotent(&head.method) && is_small {
            let whole = body::read_whole(incoming, REPLAY_BODY_MAX as usize).await;
            Kept::Whole(whole.map_err(|unread| match unread {
                body::Unread::TooSlow => Failure::ClientTooSlow,
                body::Unread::TooLarge | body::Unread::Broken => Failure::ClientBroke,
            })?)
        } else {
            Kept::Once(Some(incoming))
        };
        Ok(Self { head, body, frames })
    }

    /// Whether it may be sent again after a replica may have acted on it.
    fn is_replayable(&self) -> bool {
        is_idempotent(&self.head.method) && matches!(self.body, Kept::Whole(_))
    }

    /// The request, or nothing if its body has been sent already.
    fn request(&mut self) -> Option<Request<RequestBody>> {
        let body = match &mut self.body {
            Kept::Whole(bytes) => RequestBody::Whole(bytes.clone()),
            Kept::Once(incoming) => {
                RequestBody::Streamed { incoming: incoming.take()?, frames: Rc::clone(&self.frames) }
            }
        };
        let mut head = self.head.clone();
        if body.size_hint().exact().is_none() {
            // For some methods the library would otherwise send neither a length nor the body.
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Some(Request::from_parts(head, body))
    }

    /// What an unanswered request means; one that was never sent is kept for the next try.
    fn failure(&mut self, unanswered: Unanswered) -> Failure {
        match unanswered {
            Unanswered::Unsent(request) => {
                if let RequestBody::Streamed { incoming, .. } = request.into_body() {
                    self.body = Kept::Once(Some(incoming));
                }
                Failure::Unsent
            }
            Unanswered::Sent(error) if error.is_parse() => Failure::Garbled,
            // The library's word for a body that it was given and could not read on.
            Unanswered::Sent(error) if error.is_user() => Failure::ClientBroke,
            Unanswered::Sent(_) => Failure::Broken,
        }
    }
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS)
}
