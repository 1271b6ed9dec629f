//! One request to one replica: sent while the response is already awaited, the response passed on while
//! it comes. Both directions move in one task; nothing is handed over in between.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use fleet::Claim;
use h1::{BodyLength, FieldName, ResponseHead, Version};
use placement::Seat;

use crate::clients::client::Client;
use crate::policies::mark::Mark;
use crate::replicas::upstream::Lease;
use crate::respond::failure::Failure;
use crate::respond::response::Reply;
use crate::settings::{INTERIM_BYTES_MAX, INTERIM_MAX, ServiceTimeouts};
use crate::telling::access_log::line::Ending;
use crate::telling::garbled::BrokenRule;
use crate::travel::errand::Errand;
use crate::travel::pace::{ClientPace, Patience};
use crate::travel::session::{self, Seated};
use crate::travel::upload::Upload;
use crate::wire::peer::{BodyCopy, Broken, CopyFault};
use crate::wire::splice::{Ends, Splice};

/// A request and the connection that it goes over.
pub(crate) struct Exchange<'a, C> {
    pub(crate) errand: Errand<'a, C>,
    pub(crate) upload: &'a mut Upload,
    pub(crate) lease: &'a mut Lease,
    pub(crate) claim: &'a Claim,
    /// Where its session is, if it has one.
    pub(crate) seat: Option<Seat>,
    pub(crate) response: &'a mut ResponseHead,
    pub(crate) sending: Sending,
    /// How many responses came before the one that counts.
    pub(crate) interims: usize,
    /// How large they were together.
    pub(crate) interim_bytes: usize,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Underway,
    Done,
    /// The replica takes no more of it. It may answer all the same.
    Refused,
}

/// What is left of a connection whose response is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchanged {
    /// All of the request was sent, and all of the response read: it may carry another.
    Reusable,
    Spent,
}

impl<C: Client> Exchange<'_, C> {
    /// Sends the request until the head of the final response is there.
    pub(crate) async fn ask(&mut self) -> Result<(), Failure> {
        let mut patience = Patience::begin(self.errand.request);
        let mut pace = ClientPace::begin();
        poll_fn(|context| {
            self.errand.request.deadline.register(context.waker());
            self.poll_sending(context)?;
            while let Poll::Ready(arrived) = self.lease.poll_response(context, self.response) {
                if let Err(broken) = arrived {
                    return Poll::Ready(Err(self.failure_of(broken)));
                }
                if !self.response.is_interim() || self.is_upgrade() {
                    return Poll::Ready(self.check_upgrade());
                }
                self.interims += 1;
                self.interim_bytes += self.response.size();
                if self.interims > INTERIM_MAX || self.interim_bytes > INTERIM_BYTES_MAX {
                    self.lease.note_rule(BrokenRule::Interims);
                    return Poll::Ready(Err(Failure::TooManyInterims));
                }
                self.errand.client.send_interim(self.response);
                self.errand.request.account.has_interim.set(true);
            }
            // What was passed on so far should not wait; a client that is slow to take it must not
            // hold up the response either.
            if self.interims > 0 && matches!(self.errand.client.poll_flush(context), Poll::Ready(Err(_))) {
                return Poll::Ready(Err(Failure::ClientLeft));
            }
            self.look_around(context, &mut patience, &mut pace)
        })
        .await
    }

    /// Nothing moves: is anybody still there, and is there still time?
    fn look_around(
        &mut self,
        context: &mut Context<'_>,
        patience: &mut Patience,
        pace: &mut ClientPace,
    ) -> Poll<Result<(), Failure>> {
        // It may be given up at any time. A request that cannot be sent again stays: the replica may
        // yet come round.
        if self.claim.gate.is_abandoned() && self.is_replayable() {
            return Poll::Ready(Err(Failure::Abandoned));
        }
        let is_clients_turn = self.is_clients_turn();
        if is_clients_turn && self.errand.client.is_shut() {
            pace.pause(self.errand.request);
            patience.renew(self.errand.request);
            return self.poll_end().map(|()| Err(Failure::TookTooLong));
        }
        if is_clients_turn && !self.is_conversation() {
            if pace.is_too_slow(self.errand.request, self.errand.client, self.moved()) {
                return Poll::Ready(Err(Failure::ClientTooSlow));
            }
            return self.poll_end().map(|()| Err(Failure::TookTooLong));
        }
        if !is_clients_turn && self.errand.client.poll_left(context).is_ready() {
            return Poll::Ready(Err(Failure::ClientLeft));
        }
        pace.pause(self.errand.request);
        let (limit, late) = if is_clients_turn {
            (self.timeouts().idle, Failure::ClientTooSlow)
        } else {
            (self.timeouts().response, Failure::TimedOut)
        };
        // Who says that it is at work is waited for.
        let moved = self.moved().wrapping_add(self.interims as u64);
        if patience.is_over(self.errand.request, moved, limit) {
            return Poll::Ready(Err(late));
        }
        self.poll_end().map(|()| Err(Failure::TookTooLong))
    }

    /// Whether more of the body is to come, and nothing hinders it.
    fn is_clients_turn(&self) -> bool {
        if self.sending != Sending::Underway || !self.upload.is_open() {
            return false;
        }
        // Who has asked whether to send at all waits for the replica.
        let is_asking = self.errand.head.expects_continue() && self.interims == 0 && self.upload.moved() == 0;
        !is_asking
    }

    /// HTTP/2 has streams in which both sides talk when they have something to say, as gRPC does. Their
    /// length is not known before, and no rate can be asked of them.
    fn is_conversation(&self) -> bool {
        self.errand.head.version() == Version::Http2 && self.errand.head.body() == BodyLength::Chunked
    }

    /// The end of the time that the request may take as a whole. To be asked after whoever else sets
    /// the time of the next look.
    fn poll_end(&self) -> Poll<()> {
        let Some(end) = self.errand.end() else { return Poll::Pending };
        self.errand.request.deadline.wake_no_later_than(end);
        if self.errand.request.deadline.now() >= end { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn timeouts(&self) -> &ServiceTimeouts {
        &self.errand.service.settings.timeouts
    }

    fn moved(&self) -> u64 {
        match self.sending {
            Sending::Underway => self.upload.moved(),
            Sending::Done | Sending::Refused => u64::MAX,
        }
    }

    fn failure_of(&self, broken: Broken) -> Failure {
        match broken {
            Broken::Garbled => Failure::Garbled,
            Broken::Gone | Broken::Ended if !self.lease.has_sent() => Failure::Unsent,
            Broken::Gone | Broken::Ended => Failure::Broken,
        }
    }

    /// Only who has asked for another protocol can be told that it is spoken now, no other, and only
    /// behind the last byte of the request.
    fn check_upgrade(&mut self) -> Result<(), Failure> {
        // Over HTTP/2 that is how a change is agreed to.
        if self.errand.head.is_tunnel() && (200..300).contains(&self.response.status()) {
            return Err(Failure::NotChanged);
        }
        let mut asked = self.errand.head.upgrades();
        let mut agreed = self.response.fields().all(FieldName::Upgrade);
        let is_wanted = self.response.upgrades()
            && self.is_sent()
            && agreed.next().is_some_and(|agreed| asked.any(|asked| agreed.eq_ignore_ascii_case(asked)))
            && agreed.next().is_none();
        if !self.is_upgrade() || is_wanted {
            return Ok(());
        }
        self.lease.note_rule(BrokenRule::Protocol);
        Err(Failure::Garbled)
    }

    /// Sends on as much of the request as there is and as the replica takes.
    fn poll_sending(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        if self.sending != Sending::Underway {
            return Ok(());
        }
        let polled = self.upload.poll(self.errand.client, self.lease, context);
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.sending = Sending::Done,
            Poll::Ready(Err(CopyFault::To(_))) => self.sending = Sending::Refused,
            Poll::Ready(Err(CopyFault::TooMuch)) => {
                self.errand.request.mark(Mark::BodyRefused);
                return Err(Failure::BodyTooLarge);
            }
            Poll::Ready(Err(CopyFault::From(Broken::Gone))) => return Err(Failure::ClientLeft),
            Poll::Ready(Err(CopyFault::From(Broken::Garbled | Broken::Ended))) => {
                return Err(Failure::ClientBroke);
            }
        }
        Ok(())
    }

    /// Passes the response on to its end. Whatever goes wrong now, the client has seen the head of the
    /// response: it must see that the rest is missing.
    pub(crate) async fn relay(&mut self) -> Exchanged {
        // A mirror gets it once more.
        if self.errand.request.mirrors().is_empty() {
            self.upload.will_not_be_sent_again();
        }
        let length = self.response.body(self.errand.head.method());
        self.lease.expect_body(length);
        self.finish_head();
        let mut encoding = self.errand.request.compress(self.errand.head, self.response);
        let length = if encoding.is_some() { BodyLength::Chunked } else { length };
        self.errand.client.begin_response(self.response, length);
        let mut download = BodyCopy::default();
        let mut splice = if encoding.is_some() { None } else { self.splice() };
        let mut patience = Patience::begin(self.errand.request);
        let ending = poll_fn(|context| {
            self.errand.request.deadline.register(context.waker());
            let own = (self.lease.own_connection(), self.errand.client.own_connection());
            let polled = match (&mut splice, &mut encoding, own) {
                (Some(splice), _, (Some(from), Some(to))) => {
                    splice.poll(Ends { from, to }, &mut download, context)
                }
                (_, Some(encoding), _) => {
                    download.poll(&mut encoding.of(self.lease), self.errand.client, context)
                }
                _ => download.poll(self.lease, self.errand.client, context),
            };
            match polled {
                Poll::Ready(Ok(())) => return Poll::Ready(Ending::Complete),
                Poll::Ready(Err(CopyFault::From(broken))) => {
                    if broken == Broken::Garbled {
                        self.tell_garbled();
                    }
                    return Poll::Ready(Ending::ReplicaFailed);
                }
                Poll::Ready(Err(CopyFault::To(_) | CopyFault::TooMuch)) => {
                    return Poll::Ready(Ending::ClientLeft);
                }
                Poll::Pending => {}
            }
            if self.poll_sending(context).is_err() {
                return Poll::Ready(Ending::ClientLeft);
            }
            self.look_at_response(context, &mut patience, &download)
        })
        .await;
        self.errand.request.account.bytes.set(download.bytes);
        self.errand.request.account.ending.set(ending);
        match ending {
            Ending::Complete => self.exchanged(),
            Ending::ClientLeft | Ending::ReplicaFailed | Ending::FileFailed | Ending::HungUp => {
                self.errand.client.spoil();
                Exchanged::Spent
            }
        }
    }

    /// The page that stands for the replica's response, if an operator has one stand for it.
    pub(crate) fn page_instead(&mut self) -> Option<Reply> {
        let request = self.errand.request;
        let pages = self.errand.service.settings.error_pages.as_ref()?;
        let page = pages.of_replica(self.response.status())?;
        self.keep_session();
        let mut reply = Reply::new(self.response.clone(), Bytes::new());
        reply.body = page.take_place_in(&mut reply.head);
        request.mark(Mark::ErrorPage);
        Some(reply)
    }

    /// The log is to know who answers what is no valid HTTP, and which rule that breaks.
    pub(crate) fn tell_garbled(&self) {
        let service = self.errand.service.settings.name.as_str();
        self.errand.request.worker.garbled.tell(service, self.claim, self.lease.broken_rule());
    }

    fn splice(&mut self) -> Option<Splice> {
        let (from, to) = (self.lease.own_connection()?, self.errand.client.own_connection()?);
        Splice::between(from, to, &self.errand.request.worker.pipes)
    }

    fn look_at_response(
        &mut self,
        context: &mut Context<'_>,
        patience: &mut Patience,
        download: &BodyCopy,
    ) -> Poll<Ending> {
        if !download.is_held_up && !self.is_clients_turn() && self.errand.client.poll_left(context).is_ready()
        {
            return Poll::Ready(Ending::ClientLeft);
        }
        let (limit, late) = if download.is_held_up {
            (self.errand.request.worker.clients.timeouts.write, Ending::ClientLeft)
        } else {
            (self.timeouts().idle, Ending::ReplicaFailed)
        };
        let moved = download.bytes.wrapping_add(self.moved()).wrapping_add(u64::from(download.is_held_up));
        if patience.is_over(self.errand.request, moved, limit) {
            return Poll::Ready(late);
        }
        self.poll_end().map(|()| late)
    }

    /// What is left of the connection, if all of the response is read.
    pub(crate) fn exchanged(&self) -> Exchanged {
        if self.is_sent() { Exchanged::Reusable } else { Exchanged::Spent }
    }

    /// Whether the request can still go to another replica: what has gone of it and was not kept cannot be
    /// sent again, and what the client has seen of a response cannot be taken back.
    pub(crate) fn may_go_elsewhere(&self) -> bool {
        self.is_replayable() && !self.errand.request.account.has_interim.get()
    }

    fn is_replayable(&self) -> bool {
        self.errand.head.method().is_idempotent() && self.upload.is_whole()
    }

    /// Whether all of the request was sent.
    fn is_sent(&self) -> bool {
        self.sending == Sending::Done
    }

    /// Makes the head of the response what its client gets.
    pub(super) fn finish_head(&mut self) {
        self.keep_session();
        self.errand.request.edit_response(self.response);
    }

    fn keep_session(&mut self) {
        let seated = Seated { named: self.seat, answered: self.claim.seat };
        session::keep(&self.errand, seated, self.response);
    }

    /// Whether the response changes the protocol.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.response.status() == 101
    }
}
