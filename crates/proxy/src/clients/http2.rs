//! Clients that speak HTTP/2: many requests at a time, each a task of its own.

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::{Connection as Http2Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;

use crate::clients::client::Visit;
use crate::clients::idle::Why;
use crate::clients::origin::Origin;
use crate::memory::Holding;
use crate::memory::measured::Part;
use crate::respond::failure::Failure;
use crate::settings::{
    HTTP2_CLIENT_WINDOW_SHORT, HTTP2_GIVEN_UP_MAX, HTTP2_HEADLESS_MAX, HTTP2_PENDING_RESETS_MAX,
    HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW, STOP_GRACE,
};
use crate::telling::defences::Defence;
use crate::travel::context::RequestContext;
use crate::travel::dispatch;
use crate::wire::connection::Connection;
use crate::wire::deadlines::Deadline;
use crate::worker::Worker;
use answer::{Asked, answer};
use arrivals::{Arrivals, Arrived};
use intake::Fault;
use streams::{Open, Streams};
use transport::{Progress, Transport};

mod intake;
mod arrivals;
mod overhead;
mod transport;
mod streams;
mod answer;
mod stream;

/// The largest window that the protocol has words for.
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// Serves a connection whose first bytes, if any were read, are still in its input.
pub(crate) async fn serve(worker: &Rc<Worker>, connection: Connection, visit: Visit) {
    let deadline = worker.deadlines.join();
    let origin = Rc::new(visit.origin());
    let holding = worker.memory.current();
    let is_short = worker.memory.is_short();
    let arrivals = Arrivals::new(&worker.buffers);
    let (transport, progress) = Transport::new(connection, worker, &arrivals);
    let streams_max = worker.clients.streams_max;
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(streams_max)
        .initial_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(client_window(streams_max, is_short))
        .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS_MAX)
        .max_send_buffer_size(HTTP2_SEND_BUFFER)
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(worker.clients.http2_head_max).unwrap_or(u32::MAX))
        .handshake::<_, Bytes>(transport);
    let Some(Ok(http2)) = visit.place.unless_told(Box::pin(handshake)).await else {
        return tracing::debug!(peer = %origin.address, "an HTTP/2 connection did not come about");
    };
    let mut served = Served {
        worker,
        origin,
        holding,
        http2,
        deadline,
        progress: Rc::clone(&progress),
        streams: Rc::new(Streams::of(visit, arrivals, progress)),
        ending_since: None,
        quiet_since: None,
        is_hung_up: false,
        refuses: false,
        is_narrow: is_short,
    };
    // All that it has to say about itself is said.
    served.streams.visit.place.work();
    served.streams.visit.place.rest();
    while let Some(accepted) = served.next_stream().await {
        match accepted {
            Ok((request, respond)) => served.take_on(request, respond),
            Err(error) => {
                if error.is_library() {
                    worker.defences.tell(Defence::Http2Broken, Some(served.client()));
                    served.streams.hung_up_for.set(Some(Defence::Http2Broken));
                }
                tracing::debug!(peer = %served.origin.address, %error, "an HTTP/2 connection ended badly");
                break;
            }
        }
    }
}

/// How much of all bodies on a connection may have come before somebody has used it: what all its streams may
/// hold, and that of one more, so that none is held up by what others hold.
fn client_window(streams_max: u32, is_short: bool) -> u32 {
    if is_short {
        return HTTP2_CLIENT_WINDOW_SHORT;
    }
    HTTP2_STREAM_WINDOW.saturating_mul(streams_max.saturating_add(1)).min(WINDOW_MAX)
}

/// A connection that is served.
struct Served<'a> {
    worker: &'a Rc<Worker>,
    origin: Rc<Origin>,
    holding: Option<Rc<Holding>>,
    http2: Http2Connection<Transport, Bytes>,
    deadline: Deadline,
    progress: Rc<Progress>,
    streams: Rc<Streams>,
    /// When the client was told to go elsewhere.
    ending_since: Option<Instant>,
    /// Since when nothing is under way then.
    quiet_since: Option<Instant>,
    is_hung_up: bool,
    /// No further stream is taken on, for what became of the last ones.
    refuses: bool,
    /// Whether its window is that of times when there is little memory.
    is_narrow: bool,
}

type AcceptedStream = Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

impl Served<'_> {
    /// The next request; nothing at the end. Sees to it that the connection ends when it is idle for too
    /// long, when its client takes nothing from it, or when the proxy is to stop.
    async fn next_stream(&mut self) -> Option<AcceptedStream> {
        poll_fn(|context| {
            self.deadline.register(context.waker());
            let accepted = self.http2.poll_accept(context);
            self.tell_refused();
            if accepted.is_ready() {
                return accepted;
            }
            let told = self.told(context);
            if self.is_to_end(told) {
                // What that has to send is sent on the way to the next wait.
                if let Poll::Ready(accepted) = self.http2.poll_accept(context) {
                    return Poll::Ready(accepted);
                }
            }
            if self.streams.arrivals.are_handed_over() {
                // They have their turn before others come.
                context.waker().wake_by_ref();
            }
            let is_in_the_way = told == Some(Why::Room);
            if is_in_the_way || self.is_lost() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Why this connection is to go, if it is. It is idle when all that it has asked for was taken.
    fn told(&self, context: &mut Context<'_>) -> Option<Why> {
        let place = &self.streams.visit.place;
        if self.progress.held_up_since().is_some() {
            place.work();
        } else if self.streams.open.get() == 0 {
            place.rest();
        }
        match place.poll_told(context) {
            Poll::Ready(why) => Some(why),
            Poll::Pending => None,
        }
    }

    /// Tells the client to go elsewhere if it is time for that; whether it was told just now.
    fn is_to_end(&mut self, told: Option<Why>) -> bool {
        self.fit_window();
        if let Some(defence) = self.attack() {
            return self.hang_up(defence);
        }
        if told == Some(Why::Room) {
            // What is on its way here is not looked at, and the client knows that it can send it elsewhere.
            self.http2.abrupt_shutdown(Reason::NO_ERROR);
            return true;
        }
        if self.ending_since.is_some() {
            return false;
        }
        // Those that it waits for are finished.
        self.refuses = self.streams.given_up.get() > HTTP2_GIVEN_UP_MAX;
        if self.refuses {
            self.worker.defences.tell(Defence::Http2GivenUp, Some(self.client()));
        } else if told.is_none() && !self.worker.is_stopping.get() {
            return false;
        }
        self.http2.graceful_shutdown();
        self.ending_since = Some(self.deadline.now());
        true
    }

    /// What the client does, if it is nothing to be patient with.
    fn attack(&mut self) -> Option<Defence> {
        if self.progress.is_flood() {
            return Some(Defence::Http2Overhead);
        }
        match self.progress.head_fault() {
            Some(Fault::TooLarge) => return Some(Defence::Http2Heads),
            Some(Fault::Undecodable) => return Some(Defence::Http2Broken),
            None if self.streams.arrivals.headless() > HTTP2_HEADLESS_MAX => {
                return Some(Defence::Http2Heads);
            }
            None => {}
        }
        if self.streams.given_up.get() > 2 * HTTP2_GIVEN_UP_MAX {
            return Some(Defence::Http2GivenUp);
        }
        let due = self.progress.head_since()? + self.worker.clients.timeouts.head;
        if self.deadline.now() >= due {
            return Some(Defence::Http2SlowHead);
        }
        self.deadline.wake_at(Some(due));
        None
    }

    /// Writes down which requests the library has refused, of whom nobody else knows.
    fn tell_refused(&self) {
        for Arrived { head, .. } in self.streams.arrivals.take_refused() {
            let listener = &self.streams.visit.listener;
            let request = RequestContext::begin(self.worker, &self.origin, listener, &self.deadline);
            dispatch::tell(&request, &head, Failure::StreamRefused);
        }
    }

    fn client(&self) -> IpAddr {
        self.origin.address.ip()
    }

    /// Begins to answer a request, or refuses it.
    fn take_on(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let number = respond.stream_id().as_u32();
        let holding = self.holding.clone();
        let is_too_much = holding.as_ref().is_some_and(|holding| self.worker.memory.is_too_much(holding));
        if self.refuses || is_too_much {
            let given_up = &self.streams.given_up;
            given_up.set(given_up.get() + u32::from(self.refuses));
            self.streams.arrivals.refuse(number);
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        // What is reset before its turn has come needs none.
        let Some(arrived) = self.streams.arrivals.take_head(number) else { return };
        let open = Open::new(&self.streams, number, holding.clone());
        let (worker, origin) = (Rc::clone(self.worker), Rc::clone(&self.origin));
        let answered = async move {
            let asked = Asked { arrived, body: request.into_body(), respond };
            let was_given_up = answer(&worker, &origin, &open, asked).await;
            let given_up = open.streams.given_up.get();
            open.streams.given_up.set(if was_given_up { given_up + 1 } else { given_up.saturating_sub(1) });
        };
        tokio::task::spawn_local(Part::new(&self.worker.memory, holding, answered));
    }

    /// What was offered already stays so; of what is used less is offered again.
    fn fit_window(&mut self) {
        let is_short = self.worker.memory.is_short();
        if is_short != self.is_narrow {
            self.is_narrow = is_short;
            self.http2.set_target_window_size(client_window(self.worker.clients.streams_max, is_short));
        }
    }

    /// Ends it at once, whatever is under way; whether that is said just now.
    fn hang_up(&mut self, defence: Defence) -> bool {
        if self.is_hung_up {
            return false;
        }
        self.is_hung_up = true;
        self.streams.hung_up_for.set(Some(defence));
        self.worker.defences.tell(defence, Some(self.client()));
        self.http2.abrupt_shutdown(match defence {
            Defence::Http2Broken => Reason::COMPRESSION_ERROR,
            _ => Reason::ENHANCE_YOUR_CALM,
        });
        self.ending_since.get_or_insert(self.deadline.now());
        true
    }

    /// Whether nobody is there any more, or behaves so: it takes nothing of what is sent to it, or does not
    /// go although nothing is under way.
    fn is_lost(&mut self) -> bool {
        let (now, write) = (self.deadline.now(), self.worker.clients.timeouts.write);
        let held_up = self.progress.held_up_since().map(|since| since + write);
        let ending = self.ending_since.filter(|_| self.streams.open.get() == 0);
        // What was answered may still be on its way. Signs of life are none of that.
        let rest = ending.filter(|_| self.http2.has_streams());
        let rest = rest.map(|since| since.max(self.progress.useful_taken()) + write);
        let quiet = ending.filter(|_| rest.is_none()).map(|_| *self.quiet_since.get_or_insert(now));
        self.quiet_since = quiet;
        let quiet = quiet.map(|since| since + STOP_GRACE);
        match held_up.into_iter().chain(rest).chain(quiet).min() {
            Some(due) if now >= due => true,
            Some(due) => {
                self.deadline.wake_no_later_than(due);
                false
            }
            None => false,
        }
    }
}
