//! One attempt: a request goes to one replica, and what comes back goes to its client or is thrown away.
//! Which replica it is, and whether there is another attempt, is decided elsewhere.

use std::sync::atomic::Ordering;

use fleet::{Claim, Preference};
use h1::{BodyLength, ResponseHead};
use tokio::time::Instant;

use crate::clients::client::Client;
use crate::policies::mark::Mark;
use crate::replicas::sockets::Socket;
use crate::replicas::upstream::Lease;
use crate::respond::failure::Failure;
use crate::respond::response::Reply;
use crate::respond::send;
use crate::telling::counters::add_one;
use crate::telling::loss::{Accused, Loss};
use crate::telling::verdict::{TIMED_PARTS, Verdict};
use crate::travel::caution;
use crate::travel::errand::Errand;
use crate::travel::exchange::{Exchange, Exchanged, Sending};
use crate::travel::history::Attempt;
use crate::travel::replay::Remains;
use crate::travel::session::{self, Seated};
use crate::travel::sticky::Sticky;
use crate::travel::upload::Upload;
use crate::wire::connection::Unsent;
use crate::wire::forward::Passage;
use crate::wire::peer::Broken;

/// A request that attempts are made with.
pub(crate) struct Delivery<'a, C> {
    pub(crate) errand: Errand<'a, C>,
    /// What it is placed by.
    pub(crate) preference: Preference,
    pub(crate) upload: Upload,
    /// What was taken from the client and not sent to anybody.
    pub(crate) unsent: Option<Unsent>,
    /// For a new connection, if it had to be waited for.
    pub(crate) socket: Option<Socket>,
    pub(crate) response: Box<ResponseHead>,
}

impl<C: Client> Delivery<'_, C> {
    /// One attempt, on a kept connection if it may, or on a new one.
    pub(crate) async fn attempt(&mut self, claim: Claim, may_reuse: bool) -> Result<(), Attempt> {
        let service = self.errand.service;
        add_one(&service.counters.attempts);
        self.account(&claim);
        let failed = |failure, was_worn| Attempt { life: claim.life, failure, was_worn };
        let is_careful = !self.is_replayable();
        loop {
            let kept = if may_reuse { service.pool.take(&claim, is_careful).await } else { None };
            let mut lease = match kept {
                Some(lease) => lease,
                None => {
                    let (timeout, socket) = (service.settings.timeouts.connect, self.socket.take());
                    let connecting = service.pool.connect(&claim, timeout, socket);
                    connecting.await.map_err(|failure| failed(failure, false))?
                }
            };
            match self.exchange(&mut lease, &claim).await {
                Ok(Exchanged::Reusable) => {
                    lease.give_back(&self.response);
                    return Ok(());
                }
                Ok(Exchanged::Spent) => return Ok(()),
                // Nothing was sent: the next kept connection, or a new one, is as good a first try.
                Err(Failure::Unsent) if lease.was_worn() && self.remains().can_be_sent() => lease.broke(),
                Err(failure) => {
                    if failure == Failure::Broken {
                        lease.broke();
                    }
                    if failure.is_loss() {
                        self.tell_loss(&claim, lease.was_worn());
                    }
                    return Err(failed(failure, lease.was_worn()));
                }
            }
        }
    }

    /// Sends the request and passes the response on.
    async fn exchange(&mut self, lease: &mut Lease, claim: &Claim) -> Result<Exchanged, Failure> {
        let (request, service, head) = (self.errand.request, self.errand.service, self.errand.head);
        let suspicions = &service.settings.suspicions;
        self.begin(lease)?;
        let begun = self.is_timed(claim).then(Instant::now);
        let mut exchange = Exchange {
            errand: self.errand.lend(),
            upload: &mut self.upload,
            lease,
            claim,
            seat: self.preference.seat,
            response: &mut self.response,
            sending: Sending::Underway,
            interims: 0,
            interim_bytes: 0,
        };
        let asked = exchange.ask().await;
        if asked == Err(Failure::Unsent) && !exchange.upload.is_whole() {
            self.unsent = exchange.lease.take_back();
        }
        if matches!(asked, Err(Failure::Garbled | Failure::TooManyInterims)) {
            exchange.tell_garbled();
        }
        let verdict = judge(&exchange, asked)?;
        let status = exchange.response.status();
        request.account.status.set(status);
        if exchange.is_upgrade() {
            Box::pin(exchange.tunnel()).await;
            return Ok(Exchanged::Spent);
        }
        if let Some(begun) = begun.filter(|_| verdict == Verdict::Good) {
            claim.responses.note_latency(begun.elapsed());
        }
        let (length, exchanged) = (exchange.response.body(head.method()), exchange.exchanged());
        let instead = service.settings.style.instead_of(status, head.path());
        if let Some(reply) = instead.or_else(|| exchange.page_instead()) {
            send::reply(request, head, self.errand.client, reply).await;
            let is_read = lease.discard_body(length, request.deadline).await;
            if verdict == Verdict::Good {
                verdict.note(claim, suspicions);
            }
            return Ok(if is_read { exchanged } else { Exchanged::Spent });
        }
        if let BodyLength::Exact(bytes) = length
            && verdict == Verdict::Good
            && exchange.may_go_elsewhere()
            && caution::is_called_for(claim)
            && caution::can_hold(bytes)
        {
            lease.expect_body(length);
            return Box::pin(self.hold(lease, claim)).await.map(|()| exchanged);
        }
        let exchanged = exchange.relay().await;
        if verdict == Verdict::Good {
            Verdict::of_ending(request.account.ending.get()).note(claim, suspicions);
        }
        Ok(exchanged)
    }

    /// Passes a response on when all of it is there.
    async fn hold(&mut self, lease: &mut Lease, claim: &Claim) -> Result<(), Failure> {
        let (request, service) = (self.errand.request, self.errand.service);
        let suspicions = &service.settings.suspicions;
        let read = caution::read_whole(request, lease, service.settings.timeouts.idle).await;
        if read == Err(Broken::Garbled) {
            request.worker.garbled.tell(&service.settings.name, claim, lease.broken_rule());
        }
        let Ok(body) = read else {
            Verdict::Bad.note(claim, suspicions);
            let is_paid = caution::pay_for_another(service, claim);
            return Err(if is_paid { Failure::CutOff } else { Failure::Garbled });
        };
        Verdict::Good.note(claim, suspicions);
        let seated = Seated { named: self.preference.seat, answered: claim.seat };
        session::keep(&self.errand, seated, &mut self.response);
        let reply = Reply::new((*self.response).clone(), body.into());
        send::reply(request, self.errand.head, self.errand.client, reply).await;
        Ok(())
    }

    /// Whether it is measured how long the response takes. If the client is still sending, it is not the
    /// replica alone that takes the time.
    fn is_timed(&self, claim: &Claim) -> bool {
        let number = self.errand.service.counters.attempts.load(Ordering::Relaxed);
        (number.is_multiple_of(TIMED_PARTS) || claim.is_half_open()) && self.upload.is_whole()
    }

    /// Begins the request on a connection, or goes on where it was before anything was sent.
    fn begin(&mut self, lease: &mut Lease) -> Result<(), Failure> {
        if let Some(unsent) = self.unsent.take() {
            lease.resume_request(unsent);
            return Ok(());
        }
        let Errand { request, service, head, client } = &self.errand;
        let policies = &service.settings.policies;
        if policies.request_headers.is_some() {
            request.mark(Mark::RequestEdited);
        }
        if policies.rewrite.as_ref().is_some_and(|rewrite| rewrite.changes(head.path())) {
            request.mark(Mark::Rewritten);
        }
        let vouched = request.account.vouched.borrow();
        let passage = Passage {
            origin: request.origin,
            client: request.client(head),
            request_id: client.request_id(),
            policies,
            hidden_cookie: service.settings.sticky.as_ref().map(Sticky::name),
            vouched: vouched.as_deref(),
        };
        lease.begin_request(head, &passage)?;
        self.upload.begin_again();
        Ok(())
    }

    /// Whether the request may be sent again after a replica may have acted on it.
    pub(crate) fn is_replayable(&self) -> bool {
        self.remains().is_replayable()
    }

    /// What is left of the request for another attempt.
    pub(crate) fn remains(&self) -> Remains {
        Remains {
            is_idempotent: self.errand.head.method().is_idempotent(),
            is_body_whole: self.upload.is_whole(),
            is_unsent: self.unsent.is_some(),
            has_interim: self.errand.request.account.has_interim.get(),
        }
    }

    /// The replica is lost, or its connection, with the request in it.
    fn tell_loss(&self, claim: &Claim, was_kept: bool) {
        let Errand { request, service, head, client } = &self.errand;
        add_one(&service.counters.losses);
        let service = service.settings.name.as_str();
        let request_id = client.request_id();
        let (client, key) = (request.client(head), self.preference.key);
        let loss = Loss { service, replica: claim, head, client, request_id, key, was_kept };
        request.worker.losses.tell(&loss, request.deadline.now());
    }

    /// It is not tried again, because so many replicas were lost with it.
    pub(crate) fn accuse(&self, losses: usize) {
        let Errand { request, service, head, client } = &self.errand;
        let (service, request_id) = (service.settings.name.as_str(), client.request_id());
        let accused = Accused { service, head, client: request.client(head), request_id, losses };
        request.worker.losses.accuse(&accused, request.deadline.now());
    }

    fn account(&self, claim: &Claim) {
        let account = &self.errand.request.account;
        account.attempts.set(account.attempts.get() + 1);
        if self.errand.request.worker.access_log.is_some() {
            *account.replica.borrow_mut() = Some(claim.name.clone());
        }
    }
}

/// What the replica's response, or the want of one, says of it. A bad one is thrown away if another replica
/// is better asked.
fn judge<C: Client>(exchange: &Exchange<'_, C>, asked: Result<(), Failure>) -> Result<Verdict, Failure> {
    let (claim, service) = (exchange.claim, exchange.errand.service);
    let verdict = match asked {
        Ok(()) => Verdict::of_status(exchange.response.status()),
        Err(failure) => Verdict::of_failure(failure, exchange.lease.was_worn()),
    };
    if verdict == Verdict::Bad {
        verdict.note(claim, &service.settings.suspicions);
        if exchange.may_go_elsewhere()
            && matches!(asked, Ok(()) | Err(Failure::Garbled))
            && caution::is_replica_to_blame(claim)
            && caution::pay_for_another(service, claim)
        {
            return Err(Failure::Distrusted);
        }
    }
    asked.map(|()| verdict)
}
