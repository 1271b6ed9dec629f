//! The probe of one replica: when to ask it, how often, and what to make of an answer that does not
//! come. How a question gets there is not known here.

use std::sync::Arc;
use std::time::Duration;

use driver::EventSender;
use fleet::{Address, Event, Life, ProbeResult};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::prober::{HeartbeatSettings, Prober};

/// How often a replica is probed that has not answered well yet, and for how long so often.
const BOOT_EVERY_FOR: Duration = Duration::from_secs(30);
const BOOT_EVERY: Duration = Duration::from_millis(10);

/// How often it is asked within one timeout, each time over a connection of its own: what a
/// network lost is not brought again in time otherwise.
const TRIES: u32 = 3;

/// How late our own timers may be before a bad outcome says more about us than about the replica.
const LATE_MAX: Duration = Duration::from_millis(25);

/// How long to look whether the answer is there already, and only we were late to see it.
const LAST_LOOK: Duration = Duration::from_millis(2);

/// Probes one replica for as long as it is wanted.
pub(super) struct Probe {
    pub(super) life: Life,
    pub(super) address: Address,
    pub(super) settings: Arc<HeartbeatSettings>,
    pub(super) prober: Arc<dyn Prober>,
    pub(super) events: EventSender,
}

/// What came of a round of tries.
enum Round {
    Answered(ProbeResult),
    /// No answer came within the timeout; perhaps because we were late ourselves.
    Silent {
        was_late: bool,
    },
    /// It could not be asked, and that was not the replica's doing.
    NotPossible,
}

impl Probe {
    pub(super) async fn run(self, poke: Arc<Notify>) {
        let mut is_booting = true;
        let begun = Instant::now();
        let mut due = begun;
        loop {
            // A result that comes late says more about us than about the replica: no bad one counts.
            let was_late = due.elapsed() > self.settings.timeout;
            let asked_at = Instant::now();
            let result = match self.round().await {
                Round::Answered(result) => {
                    Some(result).filter(|result| *result == ProbeResult::Good || !was_late)
                }
                Round::Silent { was_late: false } if !was_late => Some(ProbeResult::Missed),
                Round::Silent { .. } | Round::NotPossible => None,
            };
            let is_lost = result.is_none() && asked_at.elapsed() >= self.settings.timeout;
            is_booting &= result != Some(ProbeResult::Good) && begun.elapsed() < BOOT_EVERY_FOR;
            if let Some(result) = result {
                if self.events.send(Event::Beat(self.life, result)).await.is_err() {
                    return;
                }
            } else {
                tracing::debug!(life = %self.life, "a heartbeat round that we could not do well is discarded");
            }
            let every = if is_booting { BOOT_EVERY.min(self.settings.every) } else { self.settings.every };
            // A round that was lost because we were late is made up for at once.
            due = if is_lost { Instant::now() } else { asked_at + every };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {}
                () = poke.notified() => due = Instant::now(),
            }
        }
    }

    /// Asks up to three times within the timeout; the first answer counts.
    async fn round(&self) -> Round {
        let pause = self.settings.timeout / TRIES;
        let begun = Instant::now();
        let mut was_late = false;
        let mut tries = FuturesUnordered::new();
        for number in 1..=TRIES {
            tries.push(self.prober.probe(&self.address, &self.settings));
            let due = begun + pause * number;
            if let Ok(result) = tokio::time::timeout_at(due, tries.next()).await {
                return result.flatten().map_or(Round::NotPossible, Round::Answered);
            }
            was_late |= due.elapsed() > LATE_MAX.max(pause / 2);
        }
        // When we do not get to run, timers and answers are seen at the same time.
        match tokio::time::timeout(LAST_LOOK, tries.next()).await {
            Ok(Some(Some(ProbeResult::Good))) => Round::Answered(ProbeResult::Good),
            _ => Round::Silent { was_late },
        }
    }
}
