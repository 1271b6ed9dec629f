//! One request to one replica: sent while the answer is already awaited, the answer passed on while it
//! comes. Both directions move in one task; nothing is handed over in between.

use std::future::poll_fn;
use std::task::{Context, Poll};

use fleet::Claim;
use h1::{BodyLength, FieldName, RequestHead, ResponseHead, Version};

use crate::clients::client::Client;
use crate::replicas::upstream::Lease;
use crate::respond::failure::Failure;
use crate::settings::{INTERIM_MAX, ServiceTimeouts};
use crate::telling::access_log::Ending;
use crate::travel::context::RequestContext as Journey;
use crate::travel::pace::{ClientPace, Patience};
use crate::travel::upload::{self, Resent, Upload};
use crate::wire::peer::{BodyCopy, Broken, CopyFault, Peer};
use crate::wire::splice::Splice;

/// A request and the connection that it goes over.
pub(crate) struct Exchange<'a, C> {
    pub(crate) journey: &'a Journey<'a>,
    pub(crate) timeouts: &'a ServiceTimeouts,
    pub(crate) head: &'a RequestHead,
    pub(crate) client: &'a mut C,
    pub(crate) lease: &'a mut Lease,
    pub(crate) claim: &'a Claim,
    pub(crate) answer: &'a mut ResponseHead,
    /// Whether the request may be sent again after a replica may have acted on it.
    pub(crate) is_replayable: bool,
    pub(crate) sending: Sending,
    /// How many answers came before the one that counts.
    pub(crate) interims: usize,
}

/// How far the request is.
pub(crate) enum Sending {
    /// The whole body lies here; so much of it was sent.
    Whole(usize),
    /// It comes from the client; what an attempt before this one took of it comes first.
    Streamed(BodyCopy, Resent),
    Done,
    /// The replica takes no more of it. It may answer all the same.
    Refused,
}

impl<C: Client> Exchange<'_, C> {
    /// Sends the request until the head of the final answer is there.
    pub(crate) async fn ask(&mut self, upload: &mut Upload) -> Result<(), Failure> {
        let mut patience = Patience::begin(self.journey);
        let mut pace = ClientPace::begin();
        poll_fn(|context| {
            self.journey.watch.register(context.waker());
            self.poll_sending(context, upload)?;
            while let Poll::Ready(answered) = self.lease.poll_answer(context, self.answer) {
                if let Err(broken) = answered {
                    return Poll::Ready(Err(self.failure_of(broken)));
                }
                if !self.answer.is_interim() || self.is_upgrade() {
                    return Poll::Ready(self.check_upgrade());
                }
                self.interims += 1;
                if self.interims > INTERIM_MAX {
                    return Poll::Ready(Err(Failure::Garbled));
                }
                self.client.send_interim(self.answer);
                self.journey.account.has_interim.set(true);
            }
            // What was passed on so far should not wait; a client that is slow to take it must not
            // hold up the answer either.
            if self.interims > 0 && matches!(self.client.poll_flush(context), Poll::Ready(Err(_))) {
                return Poll::Ready(Err(Failure::ClientLeft));
            }
            self.look_around(context, (&mut patience, &mut pace))
        })
        .await
    }

    /// Nothing moves: is anybody still there, and is there still time?
    fn look_around(
        &mut self,
        context: &mut Context<'_>,
        (patience, pace): (&mut Patience, &mut ClientPace),
    ) -> Poll<Result<(), Failure>> {
        // It may be given up at any time. A request that cannot be sent again stays: the replica may
        // yet come round.
        if self.claim.gate.is_abandoned() && self.is_replayable {
            return Poll::Ready(Err(Failure::Abandoned));
        }
        let is_clients_turn = self.is_clients_turn();
        if is_clients_turn && !self.is_conversation() {
            if pace.is_too_slow(self.journey, self.moved()) {
                return Poll::Ready(Err(Failure::ClientTooSlow));
            }
            return self.poll_end().map(|()| Err(Failure::TookTooLong));
        }
        if !is_clients_turn && self.client.poll_left(context).is_ready() {
            return Poll::Ready(Err(Failure::ClientLeft));
        }
        pace.pause(self.journey);
        let (limit, late) = if is_clients_turn {
            (self.timeouts.idle, Failure::ClientTooSlow)
        } else {
            (self.timeouts.response, Failure::TimedOut)
        };
        if patience.is_over(self.journey, (self.moved(), limit)) {
            return Poll::Ready(Err(late));
        }
        self.poll_end().map(|()| Err(Failure::TookTooLong))
    }

    /// Whether more of the body is to come, and nothing hinders it.
    fn is_clients_turn(&self) -> bool {
        let Sending::Streamed(copy, _) = &self.sending else { return false };
        // Who has asked whether to send at all waits for the replica.
        let is_asking = self.head.expects_continue() && self.interims == 0 && copy.bytes == 0;
        !copy.is_held_up && !is_asking
    }

    /// HTTP/2 has streams in which both sides talk when they have something to say, as gRPC does. Their
    /// length is not known before, and no rate can be asked of them.
    fn is_conversation(&self) -> bool {
        self.head.version() == Version::Http2 && self.head.body() == BodyLength::Chunked
    }

    /// The end of the time that the request may take as a whole. To be asked after whoever else sets
    /// the time of the next look.
    fn poll_end(&self) -> Poll<()> {
        let Some(limit) = self.timeouts.request else { return Poll::Pending };
        let end = self.journey.begun + limit;
        self.journey.watch.wake_no_later_than(end);
        if self.journey.watch.now() >= end { Poll::Ready(()) } else { Poll::Pending }
    }

    fn moved(&self) -> u64 {
        match &self.sending {
            Sending::Whole(sent) => *sent as u64,
            Sending::Streamed(copy, _) => copy.bytes,
            Sending::Done | Sending::Refused => u64::MAX,
        }
    }

    fn failure_of(&self, broken: Broken) -> Failure {
        match broken {
            Broken::Garbled => Failure::Garbled,
            Broken::Gone if !self.lease.has_sent() => Failure::Unsent,
            Broken::Gone => Failure::Broken,
        }
    }

    /// Only who has asked for another protocol can be told that it is spoken now, no other, and only
    /// behind the last byte of the request.
    fn check_upgrade(&self) -> Result<(), Failure> {
        let asked = self.head.upgrade().unwrap_or_default();
        let mut agreed = self.answer.fields().all(FieldName::Upgrade);
        let is_wanted = self.answer.upgrades()
            && self.is_sent()
            && agreed.next().is_some_and(|agreed| agreed.eq_ignore_ascii_case(asked))
            && agreed.next().is_none();
        if self.is_upgrade() && !is_wanted { Err(Failure::Garbled) } else { Ok(()) }
    }

    /// Sends on as much of the request as there is and as the replica takes.
    fn poll_sending(&mut self, context: &mut Context<'_>, upload: &mut Upload) -> Result<(), Failure> {
        let polled = match (&mut self.sending, &mut *upload) {
            (Sending::Done | Sending::Refused, _) => return Ok(()),
            (Sending::Whole(sent), Upload::Whole(body)) => {
                upload::poll_whole(self.lease, (body, sent), context)
            }
            (Sending::Streamed(copy, resent), Upload::Streamed(streamed)) => {
                streamed.poll((&mut *self.client, &mut *self.lease), (copy, resent), context)
            }
            (Sending::Whole(_), Upload::Streamed(_)) | (Sending::Streamed(..), Upload::Whole(_)) => {
                debug_assert!(false, "a body is sent in the way that it is kept");
                return Ok(());
            }
        };
        // What has gone of it and was not kept cannot be sent to another.
        self.is_replayable &= upload.is_whole();
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.sending = Sending::Done,
            Poll::Ready(Err(CopyFault::To(_))) => self.sending = Sending::Refused,
            Poll::Ready(Err(CopyFault::From(Broken::Gone))) => return Err(Failure::ClientLeft),
            Poll::Ready(Err(CopyFault::From(Broken::Garbled))) => return Err(Failure::ClientBroke),
        }
        Ok(())
    }

    /// Passes the answer on to its end; whether the replica's connection may be used again. Whatever goes
    /// wrong now, the client has seen the head of the answer: it must see that the rest is missing.
    pub(crate) async fn relay(&mut self, upload: &mut Upload) -> bool {
        upload.will_not_be_sent_again();
        let length = self.answer.body(self.head.method());
        self.lease.expect_body(length);
        self.client.begin_answer(self.answer, length);
        let mut download = BodyCopy::default();
        let mut splice = self.splice();
        let mut patience = Patience::begin(self.journey);
        let ending = poll_fn(|context| {
            self.journey.watch.register(context.waker());
            let polled = match (&mut splice, self.lease.own_connection(), self.client.own_connection()) {
                (Some(splice), Some(from), Some(to)) => splice.poll((from, to), &mut download, context),
                _ => download.poll(self.lease, self.client, context),
            };
            match polled {
                Poll::Ready(Ok(())) => return Poll::Ready(Ending::Complete),
                Poll::Ready(Err(CopyFault::From(_))) => return Poll::Ready(Ending::ReplicaFailed),
                Poll::Ready(Err(CopyFault::To(_))) => return Poll::Ready(Ending::ClientLeft),
                Poll::Pending => {}
            }
            if self.poll_sending(context, upload).is_err() {
                return Poll::Ready(Ending::ClientLeft);
            }
            self.look_at_answer(context, (&mut patience, &download))
        })
        .await;
        self.journey.account.bytes.set(download.bytes);
        self.journey.account.ending.set(ending);
        match ending {
            Ending::Complete => true,
            Ending::ClientLeft | Ending::ReplicaFailed => {
                self.client.spoil();
                false
            }
        }
    }

    fn splice(&mut self) -> Option<Splice> {
        let (from, to) = (self.lease.own_connection()?, self.client.own_connection()?);
        Splice::between(from, to, &self.journey.worker.pipes)
    }

    fn look_at_answer(
        &mut self,
        context: &mut Context<'_>,
        (patience, download): (&mut Patience, &BodyCopy),
    ) -> Poll<Ending> {
        if !download.is_held_up && !self.is_clients_turn() && self.client.poll_left(context).is_ready() {
            return Poll::Ready(Ending::ClientLeft);
        }
        let (limit, late) = if download.is_held_up {
            (self.journey.worker.clients.timeouts.write, Ending::ClientLeft)
        } else {
            (self.timeouts.idle, Ending::ReplicaFailed)
        };
        let moved = download.bytes.wrapping_add(self.moved()).wrapping_add(u64::from(download.is_held_up));
        if patience.is_over(self.journey, (moved, limit)) {
            return Poll::Ready(late);
        }
        self.poll_end().map(|()| late)
    }

    /// Whether all of the request was sent.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.sending, Sending::Done)
    }

    /// Both sides speak a protocol of their own now: bytes go both ways until neither has more.
    pub(crate) async fn tunnel(&mut self) {
        self.client.begin_answer(self.answer, BodyLength::None);
        self.lease.become_raw();
        if !self.client.become_raw() {
            return self.client.spoil();
        }
        let (mut up, mut down) = (Tunnel::default(), Tunnel::default());
        let mut patience = Patience::begin(self.journey);
        poll_fn(|context| {
            self.journey.watch.register(context.waker());
            let up_is_over = up.poll(self.client, self.lease, context);
            if up_is_over && !up.is_shut {
                up.is_shut = self.lease.poll_shutdown(context).is_ready();
            }
            let down_is_over = down.poll(self.lease, self.client, context);
            if down_is_over && !down.is_shut {
                down.is_shut = self.client.poll_shutdown(context).is_ready();
            }
            let moved = up.copy.bytes + down.copy.bytes;
            let is_late = patience.is_over(self.journey, (moved, self.timeouts.upgrade_idle));
            let is_broken = up.is_broken || down.is_broken;
            if is_late || is_broken || (up.is_shut && down.is_shut) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.journey.account.bytes.set(down.copy.bytes);
        self.client.spoil();
    }

    /// Whether the answer changes the protocol.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.answer.status() == 101
    }
}

/// One direction after a change of protocol.
#[derive(Default)]
struct Tunnel {
    copy: BodyCopy,
    is_over: bool,
    is_shut: bool,
    is_broken: bool,
}

impl Tunnel {
    /// Whether this direction has come to its end.
    fn poll(&mut self, from: &mut impl Peer, to: &mut impl Peer, context: &mut Context<'_>) -> bool {
        if !self.is_over {
            match self.copy.poll(from, to, context) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    self.is_over = true;
                    self.is_broken = result.is_err();
                }
            }
        }
        self.is_over
    }
}
