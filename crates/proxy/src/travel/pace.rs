//! How long the two sides of an exchange may take. Time counts against the one that is waited for.

use std::time::{Duration, Instant};

use crate::clients::client::Client;
use crate::travel::context::RequestContext;

/// How often the rate of a body is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The rate of a client's body: slower than allowed, after a grace, is too slow. Only time in which we
/// waited for the client counts.
pub(crate) struct ClientPace {
    waited: Duration,
    /// Since when we wait for it without a break, as far as was looked.
    waiting_since: Option<Instant>,
}

impl ClientPace {
    pub(crate) fn begin() -> Self {
        Self { waited: Duration::ZERO, waiting_since: None }
    }

    /// The client is not waited for now.
    pub(crate) fn pause(&mut self, request: &RequestContext<'_>) {
        self.count(request.deadline.now());
        self.waiting_since = None;
    }

    /// To be asked whenever the client is waited for, with how much came in all. Sees to it that it
    /// will be asked again. Who may send nothing now is not slow.
    pub(crate) fn is_too_slow(
        &mut self,
        request: &RequestContext<'_>,
        client: &impl Client,
        bytes: u64,
    ) -> bool {
        let now = request.deadline.now();
        if client.is_shut() {
            self.pause(request);
            request.deadline.wake_at(Some(now + LOOK_INTERVAL));
            return false;
        }
        let timeouts = &request.worker.clients.timeouts;
        self.count(now);
        self.waiting_since = Some(now);
        request.deadline.wake_at(Some(now + LOOK_INTERVAL));
        let earned = bytes as f64 / timeouts.body_rate_min.max(1) as f64;
        self.waited.as_secs_f64() > timeouts.body_grace.as_secs_f64() + earned
    }

    fn count(&mut self, now: Instant) {
        self.waited +=
            self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    }
}

/// Patience with whoever has to make the next move: any progress renews it.
pub(crate) struct Patience {
    since: Instant,
    seen: u64,
}

impl Patience {
    pub(crate) fn begin(request: &RequestContext<'_>) -> Self {
        Self { since: request.deadline.now(), seen: 0 }
    }

    /// Whoever has to make it may not now.
    pub(crate) fn renew(&mut self, request: &RequestContext<'_>) {
        self.since = request.deadline.now();
        request.deadline.wake_at(Some(self.since + LOOK_INTERVAL));
    }

    /// Whether nothing has moved for so long; `moved` grows with every progress. Sees to it that it will
    /// be asked again.
    pub(crate) fn is_over(&mut self, request: &RequestContext<'_>, moved: u64, limit: Duration) -> bool {
        let now = request.deadline.now();
        if moved != self.seen {
            (self.since, self.seen) = (now, moved);
        }
        let due = self.since + limit;
        request.deadline.wake_at(Some(due));
        now >= due
    }
}
