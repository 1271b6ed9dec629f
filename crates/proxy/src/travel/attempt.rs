//! Which replica next, and may we try again: the loop that a request goes round until it has an
//! answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fleet::{Claim, Life, RoutingTable, Suspicion, SuspicionKind};
use h1::{BodyLength, RequestHead, ResponseHead};
use placement::Key;
use tokio::time::Instant;

use crate::clients::client::Client;
use crate::replicas::upstream::Lease;
use crate::respond::failure::Failure;
use crate::respond::response::Reply;
use crate::respond::send;
use crate::settings::{Protocol, WAIT_MAX};
use crate::telling::counters::add_one;
use crate::telling::verdict::{TIMED_PARTS, Verdict};
use crate::travel::buffering as gather;
use crate::travel::caution;
use crate::travel::context::RequestContext as Journey;
use crate::travel::exchange::{Exchange, Sending};
use crate::travel::history::{Attempt, History};
use crate::travel::replay::{self, Decision, Remains};
use crate::travel::upload::{Resent, Streamed, Upload};
use crate::wire::connection::Unsent;
use crate::wire::forward::Passage;
use crate::wire::peer::BodyCopy;
use crate::worker::Service;

/// How long to wait for news of replicas that failed but are still in the table.
const NEWS_WAIT: Duration = Duration::from_secs(1);

/// How long to wait before replicas are asked again that took too long to accept a connection.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Takes a request to a replica, and to another one if that is needed and safe. Without a failure the
/// client has got an answer.
pub(crate) async fn travel<C: Client>(
    journey: &Journey<'_>,
    service: &Service,
    (head, client): (&RequestHead, &mut C),
) -> Result<(), Failure> {
    service.budget.borrow_mut().deposit();
    let address = journey.origin.client(head, &journey.worker.clients.trusted_proxies);
    let key = service.settings.key.key(head, address, service.settings.key_hash);
    let key = key.unwrap_or_else(|| Key::from_number(fastrand::u64(..)));
    let upload = keep(journey, service, (head, &mut *client)).await?;
    let answer = journey.worker.buffers.take_response();
    let mut travel = Travel {
        journey,
        service,
        head,
        client,
        key,
        upload,
        unsent: None,
        answer,
        history: History::default(),
        waited_until: None,
    };
    let outcome = travel.go().await;
    if let Err(failure) = outcome {
        tracing::debug!(service = %service.settings.name, ?failure, attempts = travel.history.len(), "a request failed");
        add_one(&service.counters.unserved);
    }
    journey.worker.buffers.put_response(travel.answer);
    outcome
}

/// Keeps the body of a request that may be sent again, if it is small enough and comes by itself.
async fn keep<C: Client>(
    journey: &Journey<'_>,
    service: &Service,
    (head, client): (&RequestHead, &mut C),
) -> Result<Upload, Failure> {
    // HTTP/2 says of what has come to a replica that it was not looked at; HTTP/1 has no words for that.
    let kept_max = match service.settings.protocol {
        Protocol::Http1 => 0,
        Protocol::H2c => usize::try_from(journey.worker.clients.replay_body_max).unwrap_or(usize::MAX),
    };
    let end = service.settings.timeouts.request.map(|limit| journey.begun + limit);
    match head.body() {
        BodyLength::None => Ok(Upload::Whole(Vec::new())),
        BodyLength::Exact(length)
            if head.method().is_idempotent()
                && length <= journey.worker.clients.replay_body_max
                && !head.expects_continue() =>
        {
            Ok(Upload::Whole(gather::whole(journey, (head, client), (length as usize, end)).await?))
        }
        BodyLength::Exact(length) if !head.expects_continue() => {
            let beginning = gather::beginning(journey, (length, client), end).await?;
            Ok(Upload::Streamed(Streamed::begun(beginning, kept_max)))
        }
        _ => Ok(Upload::Streamed(Streamed::keeping(kept_max))),
    }
}

/// A request on its way.
struct Travel<'a, C> {
    journey: &'a Journey<'a>,
    service: &'a Service,
    head: &'a RequestHead,
    client: &'a mut C,
    key: Key,
    upload: Upload,
    /// What was taken from the client and not sent to anybody.
    unsent: Option<Unsent>,
    answer: Box<ResponseHead>,
    history: History,
    /// When waiting ends, once it has begun.
    waited_until: Option<Instant>,
}

impl<C: Client> Travel<'_, C> {
    async fn go(&mut self) -> Result<(), Failure> {
        loop {
            let (claim, version) = {
                let table = self.service.settings.table.load();
                (self.claim(&table), table.version())
            };
            let Some(claim) = claim else {
                self.wait_for_news(version).await?;
                continue;
            };
            match self.attempt(claim).await {
                Ok(()) => return Ok(()),
                Err(attempt) => {
                    self.suspect(attempt);
                    self.history.add(attempt);
                    if !self.may_replay() {
                        return Err(attempt.failure);
                    }
                    add_one(&self.service.counters.replays);
                }
            }
        }
    }

    /// The next replica. One half-open gets a request that it can do no harm to.
    fn claim(&self, table: &RoutingTable) -> Option<Claim> {
        let is_first = self.history.is_empty() && self.is_replayable();
        let tried_out = if is_first { table.claim_half_open(self.key) } else { None };
        tried_out.or_else(|| table.claim(self.key, &self.history.tried().collect::<Vec<Life>>()))
    }

    /// One attempt, on a kept connection or a new one. After a kept one broke, only new ones.
    async fn attempt(&mut self, claim: Claim) -> Result<(), Attempt> {
        add_one(&self.service.counters.attempts);
        self.account(&claim);
        let service = self.service;
        let may_reuse = !self.history.has_broken();
        let is_careful = !self.is_replayable();
        loop {
            let kept = if may_reuse { service.pool.take(&claim, is_careful).await } else { None };
            let mut lease = match kept {
                Some(lease) => lease,
                None => {
                    let connecting = service.pool.connect(&claim, service.settings.timeouts.connect);
                    connecting.await.map_err(|failure| Attempt {
                        life: claim.life,
                        failure,
                        was_worn: false,
                    })?
                }
            };
            match self.exchange(&mut lease, &claim).await {
                Ok(is_usable) => {
                    if let Some(is_sent) = is_usable {
                        lease.give_back(&self.answer, is_sent);
                    }
                    return Ok(());
                }
                // Nothing was sent: the next kept connection, or a new one, is as good a first try.
                Err(Failure::Unsent) if lease.was_worn() && self.can_send() => lease.broke(),
                Err(failure) => {
                    if failure == Failure::Broken {
                        lease.broke();
                    }
                    return Err(Attempt { life: claim.life, failure, was_worn: lease.was_worn() });
                }
            }
        }
    }

    /// Sends the request and passes the answer on. What is said of a connection that may be used again is
    /// whether all of the request was sent.
    async fn exchange(&mut self, lease: &mut Lease, claim: &Claim) -> Result<Option<bool>, Failure> {
        let is_replayable = self.is_replayable();
        let sending = self.begin(lease)?;
        let begun = self.is_timed(claim).then(Instant::now);
        let mut exchange = Exchange {
            journey: self.journey,
            timeouts: &self.service.settings.timeouts,
            head: self.head,
            client: &mut *self.client,
            lease,
            claim,
            answer: &mut self.answer,
            is_replayable,
            sending,
            interims: 0,
        };
        let asked = exchange.ask(&mut self.upload).await;
        if asked == Err(Failure::Unsent) && !self.upload.is_whole() {
            self.unsent = exchange.lease.take_back();
        }
        let (status, suspicions) = (exchange.answer.status(), &self.service.settings.suspicions);
        let verdict = match asked {
            Ok(()) => Verdict::of_status(status),
            Err(failure) => Verdict::of_failure(failure, exchange.lease.was_worn()),
        };
        let may_go_elsewhere = exchange.is_replayable && !self.journey.account.has_interim.get();
        if verdict == Verdict::Bad {
            verdict.note(claim, suspicions);
            if may_go_elsewhere
                && matches!(asked, Ok(()) | Err(Failure::Garbled))
                && caution::is_replica_to_blame(claim)
                && caution::is_better_asked_elsewhere(self.service, claim)
            {
                return Err(Failure::Distrusted);
            }
        }
        asked?;
        self.journey.account.status.set(status);
        if exchange.is_upgrade() {
            exchange.tunnel().await;
            return Ok(None);
        }
        if let Some(begun) = begun.filter(|_| verdict == Verdict::Good) {
            claim.responses.note_latency(begun.elapsed());
        }
        let (length, is_sent) = (exchange.answer.body(self.head.method()), exchange.is_sent());
        if let Some(reply) = self.service.settings.style.instead_of(status, self.head.path()) {
            send::reply(self.journey, self.head, self.client, &reply).await;
            let is_whole = lease.discard_body(length, self.journey.watch).await;
            Verdict::Good.note(claim, suspicions);
            return Ok(is_whole.then_some(is_sent));
        }
        if let BodyLength::Exact(bytes) = length
            && verdict == Verdict::Good
            && may_go_elsewhere
            && caution::is_called_for(claim)
            && caution::can_hold(bytes)
        {
            lease.expect_body(length);
            return self.hold(lease, claim).await.map(|()| Some(is_sent));
        }
        let is_whole = exchange.relay(&mut self.upload).await;
        if verdict == Verdict::Good {
            Verdict::of_ending(self.journey.account.ending.get()).note(claim, suspicions);
        }
        Ok(is_whole.then(|| exchange.is_sent()))
    }

    /// Passes an answer on when all of it is there.
    async fn hold(&mut self, lease: &mut Lease, claim: &Claim) -> Result<(), Failure> {
        let suspicions = &self.service.settings.suspicions;
        let idle = self.service.settings.timeouts.idle;
        let Ok(body) = caution::read_whole(self.journey, lease, idle).await else {
            Verdict::Bad.note(claim, suspicions);
            let is_better_elsewhere = caution::is_better_asked_elsewhere(self.service, claim);
            return Err(if is_better_elsewhere { Failure::Distrusted } else { Failure::Garbled });
        };
        Verdict::Good.note(claim, suspicions);
        let reply = Reply::new((*self.answer).clone(), body.into());
        send::reply(self.journey, self.head, self.client, &reply).await;
        Ok(())
    }

    /// Whether it is measured how long the answer takes. If the client is still sending, it is not the
    /// replica alone that takes the time.
    fn is_timed(&self, claim: &Claim) -> bool {
        let number = self.service.counters.attempts.load(Ordering::Relaxed);
        (number.is_multiple_of(TIMED_PARTS) || claim.is_half_open()) && self.has_body()
    }

    /// Begins the request on a connection, or goes on where it was before anything was sent.
    fn begin(&mut self, lease: &mut Lease) -> Result<Sending, Failure> {
        if let (Some(unsent), Upload::Streamed(streamed)) = (self.unsent.take(), &self.upload) {
            lease.resume_request(unsent);
            return Ok(Sending::Streamed(streamed.so_far, Resent::default()));
        }
        let passage = Passage { origin: self.journey.origin, request_id: self.client.request_id() };
        lease.begin_request(self.head, &passage)?;
        Ok(match &self.upload {
            Upload::Whole(_) => Sending::Whole(0),
            Upload::Streamed(_) => Sending::Streamed(BodyCopy::default(), Resent::default()),
        })
    }

    /// Whether the request may be sent again after a replica may have acted on it.
    fn is_replayable(&self) -> bool {
        self.head.method().is_idempotent() && self.has_body()
    }

    /// Whether the body can still be sent from its beginning, also after some of it was sent.
    fn has_body(&self) -> bool {
        self.upload.is_whole()
    }

    /// Whether there is something to send in another attempt.
    fn can_send(&self) -> bool {
        self.has_body() || self.unsent.is_some()
    }

    fn account(&self, claim: &Claim) {
        let account = &self.journey.account;
        account.attempts.set(account.attempts.get() + 1);
        if self.journey.worker.access_log.is_some() {
            *account.replica.borrow_mut() = Some(claim.name.clone());
        }
    }

    /// Nobody can be asked now: waits for a newer table, bounded in time and number.
    async fn wait_for_news(&mut self, version: u64) -> Result<(), Failure> {
        let service = self.service;
        let last = self.history.last_failure();
        let (is_blamed_replica_left, is_full_replica_left, hold) = {
            let table = service.settings.table.load();
            if !table.has_members() {
                return Err(last.unwrap_or(Failure::NoReplicas));
            }
            let is_left = |life: Life| table.replicas().any(|replica| replica.life == life);
            (self.history.tried().any(is_left), self.history.full().any(is_left), table.hold())
        };
        let _place = service.room.enter().ok_or(Failure::RoomFull)?;
        if self.waited_until.is_none() {
            add_one(&service.counters.waits);
        }
        let patience = Instant::now() + WAIT_MAX + hold;
        // Whoever is held back is not to blame for the time that it takes.
        let until = self
            .waited_until
            .map_or(patience, |until| if hold.is_zero() { until } else { until.max(patience) });
        self.waited_until = Some(until);
        let pause = match (is_full_replica_left, is_blamed_replica_left) {
            (true, _) => FULL_PAUSE,
            (false, true) => NEWS_WAIT,
            (false, false) => WAIT_MAX + hold,
        };
        let is_last_wait = Instant::now() + pause >= until;
        let until = until.min(Instant::now() + pause);
        let mut changed = std::pin::pin!(service.table_changed.notified());
        changed.as_mut().enable();
        // Between the look at the table and the wait it may have changed.
        if service.settings.table.load().version() > version {
            return Ok(());
        }
        let begun = Instant::now();
        let end = self.time_left().map(|left| begun + left).filter(|end| *end <= until);
        let left = std::future::poll_fn(|context| self.client.poll_left(context));
        let outcome = tokio::select! {
            biased;
            () = changed => Ok(()),
            () = left => Err(Failure::ClientLeft),
            () = tokio::time::sleep_until(end.unwrap_or(until)) => match last {
                _ if end.is_some() => Err(Failure::TookTooLong),
                _ if is_full_replica_left && !is_last_wait => {
                    self.history.reconsider_full_ones();
                    Ok(())
                }
                // Those who failed are still there: it is their failure that counts.
                Some(last) if is_blamed_replica_left => Err(last),
                _ => Err(Failure::WaitedInVain),
            },
        };
        let waited = &self.journey.account.waited;
        waited.set(waited.get() + begun.elapsed());
        outcome
    }

    /// How much is left of the time that the request may take as a whole.
    fn time_left(&self) -> Option<Duration> {
        let end = self.journey.begun + self.service.settings.timeouts.request?;
        Some(end.saturating_duration_since(self.journey.watch.now()))
    }

    fn may_replay(&self) -> bool {
        let remains = Remains {
            is_idempotent: self.head.method().is_idempotent(),
            is_body_whole: self.has_body(),
            is_unsent: self.unsent.is_some(),
            has_interim: self.journey.account.has_interim.get(),
        };
        match replay::may_replay(&self.history, remains) {
            Decision::Replay => true,
            Decision::ReplayAtCost => self.service.budget.borrow_mut().withdraw(Instant::now().into_std()),
            Decision::GiveUp => false,
        }
    }

    fn suspect(&self, attempt: Attempt) {
        let Attempt { life, failure, .. } = attempt;
        let kind = if failure == Failure::Refused { SuspicionKind::Refused } else { SuspicionKind::Broken };
        if failure.is_suspicious() {
            // Full or closed: the heartbeats will find out.
            let _ = self.service.settings.suspicions.try_send(Suspicion { life, kind });
        }
    }
}
