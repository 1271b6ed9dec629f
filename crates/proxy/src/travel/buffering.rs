//! Bodies that are read before anything is done with them: whole ones, and the beginnings of others.
//!
//! A client that sends its body in drops is our burden and no replica's: nobody takes a place inside a
//! replica, or a connection to one, before there is something to send. Nothing here is sent anywhere.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use h1::{BodyLength, RequestHead, ResponseHead};

use crate::clients::client::Client;
use crate::respond::failure::Failure;
use crate::settings::{BUFFER_PATIENCE, BUFFERED_BODY, BUFFERED_FEW, BUFFERED_TURNS};
use crate::travel::context::RequestContext;
use crate::travel::pace::ClientPace;
use crate::wire::deadlines::TICK;
use crate::wire::peer::Broken;

/// How much of a body is read, and until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) bytes: usize,
    pub(crate) end: Option<Instant>,
}

/// Reads a body that we must have whole, within this limit and the deadlines that every body has.
pub(crate) async fn whole<C: Client>(
    request: &RequestContext<'_>,
    head: &RequestHead,
    client: &mut C,
    limit: Limit,
) -> Result<Vec<u8>, Failure> {
    if matches!(head.body(), BodyLength::Exact(length) if length > limit.bytes as u64) {
        return Err(Failure::BodyTooLarge);
    }
    if head.expects_continue() && head.body() != BodyLength::None {
        let mut go_on = ResponseHead::default();
        go_on.start(100);
        client.send_interim(&go_on);
    }
    let limit_and_one = Limit { bytes: limit.bytes + 1, ..limit };
    let body = read(request, client, limit_and_one, Waiting::ForAll).await?;
    if body.len() > limit.bytes { Err(Failure::BodyTooLarge) } else { Ok(body) }
}

/// Reads a body of this length that we would rather have whole. When memory becomes short it is what
/// there is by then.
pub(crate) async fn whole_while_there_is_room<C: Client>(
    request: &RequestContext<'_>,
    client: &mut C,
    limit: Limit,
) -> Result<Vec<u8>, Failure> {
    // It is whole when its end has been seen.
    let limit_and_one = Limit { bytes: limit.bytes + 1, ..limit };
    read(request, client, limit_and_one, Waiting::WhileThereIsRoom).await
}

/// Waits for the beginning of a body whose length is known, and takes it out. Nothing is taken where it
/// is there already, as it is with whoever sends at a normal pace.
pub(crate) async fn beginning<C: Client>(
    request: &RequestContext<'_>,
    client: &mut C,
    length: u64,
    end: Option<Instant>,
) -> Result<Vec<u8>, Failure> {
    let enough = BUFFERED_BODY.min(usize::try_from(length).unwrap_or(usize::MAX));
    let is_there = |context: &mut Context<'_>| {
        let body = client.poll_body(context);
        Poll::Ready(matches!(body, Poll::Ready(Ok(bytes)) if bytes.len() >= enough))
    };
    if poll_fn(is_there).await {
        return Ok(Vec::new());
    }
    let buffering = Buffering::begin(request);
    read(request, client, Limit { bytes: enough, end }, Waiting::InTurns(&buffering)).await
}

/// How it is waited for what has not come yet.
#[derive(Clone, Copy)]
enum Waiting<'a> {
    ForAll,
    WhileThereIsRoom,
    InTurns(&'a Buffering<'a>),
}

impl Waiting<'_> {
    fn is_resting(self) -> bool {
        matches!(self, Self::InTurns(buffering) if buffering.is_resting())
    }

    fn has_turns(self) -> bool {
        matches!(self, Self::InTurns(buffering) if buffering.has_turns())
    }

    /// Whether what has come must do.
    fn look(self, request: &RequestContext<'_>) -> Poll<()> {
        match self {
            Self::ForAll => Poll::Pending,
            Self::InTurns(buffering) => buffering.look(),
            // The pace of the client is looked at now and then, and this with it.
            Self::WhileThereIsRoom if request.worker.memory.is_short() => Poll::Ready(()),
            Self::WhileThereIsRoom => Poll::Pending,
        }
    }
}

/// One of the requests that are waited for.
struct Buffering<'a> {
    request: &'a RequestContext<'a>,
    since: Instant,
    /// One of a crowd is left alone until then, whatever arrives.
    rests_until: Cell<Option<Instant>>,
}

impl<'a> Buffering<'a> {
    fn begin(request: &'a RequestContext<'a>) -> Self {
        let count = &request.worker.buffering;
        count.set(count.get() + 1);
        Self { request, since: request.deadline.now(), rests_until: Cell::new(None) }
    }

    /// Few who send little are passed on, they may be waiting for a response. A crowd of them is slow on
    /// purpose, or would be as much of a burden as if it were.
    fn look(&self) -> Poll<()> {
        let go_on = self.since + BUFFER_PATIENCE;
        if self.request.deadline.now() < go_on {
            self.request.deadline.wake_no_later_than(go_on);
        } else if self.request.worker.buffering.get() <= BUFFERED_FEW {
            return Poll::Ready(());
        } else {
            self.rest();
        }
        Poll::Pending
    }

    /// Those of a crowd have their turns one after the other. A crowd that sends its drops all at once
    /// would else be read all at once, and everybody else would wait until that is done.
    fn rest(&self) {
        let turns = match self.rests_until.get() {
            Some(_) => BUFFERED_TURNS,
            None => {
                let turn = &self.request.worker.buffering_turn;
                turn.set(turn.get() % BUFFERED_TURNS + 1);
                turn.get()
            }
        };
        let end = self.request.deadline.now() + TICK * turns;
        self.rests_until.set(Some(end));
        self.request.deadline.wake_no_later_than(end);
    }

    fn is_resting(&self) -> bool {
        self.rests_until.get().is_some_and(|end| self.request.deadline.now() < end)
    }

    /// Whether its turns and not its bytes say when it is looked at.
    fn has_turns(&self) -> bool {
        self.rests_until.get().is_some()
    }
}

impl Drop for Buffering<'_> {
    fn drop(&mut self) {
        let count = &self.request.worker.buffering;
        count.set(count.get() - 1);
    }
}

/// Reads until there is enough, or the body has ended, or whoever buffers has waited long enough.
async fn read<C: Client>(
    request: &RequestContext<'_>,
    client: &mut C,
    limit: Limit,
    waiting: Waiting<'_>,
) -> Result<Vec<u8>, Failure> {
    let mut pace = ClientPace::begin();
    let mut read = Vec::new();
    poll_fn(|context| {
        request.deadline.register(context.waker());
        if waiting.is_resting() {
            return Poll::Pending;
        }
        let has_turns = waiting.has_turns();
        let mut unheard = Context::from_waker(Waker::noop());
        while read.len() < limit.bytes {
            let length = match client.poll_body(if has_turns { &mut unheard } else { context }) {
                Poll::Ready(Ok([])) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(bytes)) => {
                    read.extend_from_slice(bytes);
                    bytes.len()
                }
                Poll::Ready(Err(Broken::Gone)) => return Poll::Ready(Err(Failure::ClientLeft)),
                Poll::Ready(Err(Broken::Garbled | Broken::Ended)) => {
                    return Poll::Ready(Err(Failure::ClientBroke));
                }
                Poll::Pending => {
                    // An interim response that was kept may be what the client waits for.
                    let _ = client.poll_flush(context);
                    if pace.is_too_slow(request, client, read.len() as u64) {
                        return Poll::Ready(Err(Failure::ClientTooSlow));
                    }
                    if waiting.look(request).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    return look_at_the_clock(request, limit.end);
                }
            };
            client.consume(length);
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(read)
}

/// Whether the time that the request may take is over.
fn look_at_the_clock(request: &RequestContext<'_>, end: Option<Instant>) -> Poll<Result<(), Failure>> {
    let Some(end) = end else { return Poll::Pending };
    request.deadline.wake_no_later_than(end);
    if request.deadline.now() >= end { Poll::Ready(Err(Failure::TookTooLong)) } else { Poll::Pending }
}
