//! The probe of one replica: when to ask it, how often, and what to make of an answer that does not
//! come. How a question gets there is not known here.

use std::sync::Arc;
use std::time::Duration;

use driver::{Driver, EventSender, Recognition};
use fleet::{Address, Event, Heard, Life, ProbeResult};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::prober::{HeartbeatSettings, Probed, Prober};

/// The shortest pause between two probes of a replica that has not answered well yet, and how many there are
/// in as long as it has been booting.
const BOOT_EVERY_MIN: Duration = Duration::from_millis(10);
const BOOT_SHARE: u32 = 16;

/// How long one that boots has to be unheard before it is looked for the reason, and how long that may take. Then
/// it is looked again in twice the time: it may have begun to listen in the wrong place.
const UNHEARD_FOR: Duration = Duration::from_secs(2);
const REASON_LIMIT: Duration = Duration::from_secs(1);

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
    pub(super) driver: Arc<dyn Driver>,
    pub(super) events: EventSender,
}

/// What was told of a replica that does not answer well.
struct Told {
    /// What was heard the last time, if it was not good.
    words: Option<Arc<str>>,
    /// After which time it is asked why it is not heard.
    ask_after: Duration,
    /// Why that may be, and what came of the heartbeat that it was asked for.
    reason: Option<(ProbeResult, String)>,
}

impl Default for Told {
    fn default() -> Self {
        Self { words: None, ask_after: UNHEARD_FOR, reason: None }
    }
}

/// What came of a round of tries.
enum Round {
    Answered(Probed),
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
        // Asked before a connection is made, so that the first answer that counts is the replica's.
        let mut whose = Recognition::Nobody;
        let mut told = Told::default();
        let begun = Instant::now();
        let mut due = begun;
        loop {
            // A result that comes late says more about us than about the replica: no bad one counts.
            let was_late = due.elapsed() > self.settings.timeout;
            let asked_at = Instant::now();
            let was_recognised = whose == Recognition::Itself;
            if !was_recognised {
                whose = self.driver.recognise(self.life).await;
            }
            let probed = self.counted(self.round().await, was_late);
            let result = probed.as_ref().map(|probed| probed.result);
            let is_lost = result.is_none() && asked_at.elapsed() >= self.settings.timeout;
            let is_answered = result == Some(ProbeResult::Good);
            // Whoever answered may have come since; and who closed its port may want it back.
            if was_recognised && (is_answered || result == Some(ProbeResult::Refused)) {
                whose = self.driver.recognise(self.life).await;
            }
            if let Recognition::Stranger(who) = whose {
                // Whoever is told has the replica ended, and this with it.
                let _ = self.events.send(Event::Displaced(self.life, who)).await;
                return;
            }
            let probed = match &whose {
                Recognition::Unwell(why) if is_answered => {
                    Some(Probed::new(ProbeResult::Unwell, why.clone()))
                }
                _ => probed.filter(|_| !is_answered || whose == Recognition::Itself),
            };
            // It began to listen while it was asked.
            let is_lost = is_lost || (is_answered && probed.is_none());
            is_booting &= !(is_answered && probed.is_some());
            match probed {
                Some(probed) => {
                    if is_booting {
                        self.look_for_reason(&probed, begun, &mut told).await;
                    }
                    if self.tell(probed, &mut told).await.is_err() {
                        return;
                    }
                }
                None => {
                    tracing::debug!(life = %self.life, "a heartbeat round that we could not do well is discarded");
                }
            }
            let every = self.settings.every;
            let every = if is_booting { boot_pause(begun.elapsed(), every) } else { every };
            // A round that was lost because we were late is made up for at once.
            due = if is_lost { Instant::now() } else { asked_at + every };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {}
                () = poke.notified() => due = Instant::now(),
            }
        }
    }

    /// What came of a round, if it says something about the replica.
    fn counted(&self, round: Round, was_late: bool) -> Option<Probed> {
        match round {
            Round::Answered(probed) => {
                Some(probed).filter(|probed| probed.result == ProbeResult::Good || !was_late)
            }
            Round::Silent { was_late: false } if !was_late => {
                let limit = self.settings.timeout;
                Some(Probed::new(
                    ProbeResult::Missed,
                    format!("no answer within {limit:?} (heartbeat.timeout)"),
                ))
            }
            Round::Silent { .. } | Round::NotPossible => None,
        }
    }

    /// Reports what came of a heartbeat, before it what was heard instead of a good answer, if that is news.
    /// An error says that nobody listens any more.
    async fn tell(&self, probed: Probed, told: &mut Told) -> Result<(), ()> {
        let Probed { result, words } = probed;
        if result == ProbeResult::Good {
            told.words = None;
        } else {
            let reason = told.reason.as_ref().filter(|(of, _)| *of == result);
            let reason = reason.map(|(_, reason)| format!("; {reason}")).unwrap_or_default();
            let question = self.settings.in_words();
            let place = self.settings.place(&self.address);
            let words: Arc<str> = format!("{question} at {place}: {words}{reason}").into();
            if told.words.as_ref() != Some(&words) {
                told.words = Some(Arc::clone(&words));
                let heard = Heard { result, words };
                self.events.send(Event::Heard(self.life, heard)).await.map_err(|_| ())?;
            }
        }
        self.events.send(Event::Beat(self.life, result)).await.map_err(|_| ())
    }

    /// Asks the driver why it may not be heard there, if that is so for longer than is usual.
    async fn look_for_reason(&self, probed: &Probed, begun: Instant, told: &mut Told) {
        let is_unheard = matches!(probed.result, ProbeResult::Refused | ProbeResult::Missed);
        if is_unheard && begun.elapsed() >= told.ask_after {
            told.ask_after = begun.elapsed() * 2;
            let reason = self.driver.why_unheard(self.life, &self.address);
            let reason = tokio::time::timeout(REASON_LIMIT, reason).await.unwrap_or_default();
            told.reason = reason.map(|reason| (probed.result, reason));
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
            if let Ok(probed) = tokio::time::timeout_at(due, tries.next()).await {
                return probed.flatten().map_or(Round::NotPossible, Round::Answered);
            }
            was_late |= due.elapsed() > LATE_MAX.max(pause / 2);
        }
        // When we do not get to run, timers and answers are seen at the same time.
        match tokio::time::timeout(LAST_LOOK, tries.next()).await {
            Ok(Some(Some(probed))) if probed.result == ProbeResult::Good => Round::Answered(probed),
            _ => Round::Silent { was_late },
        }
    }
}

/// How long it is until a replica is asked again that has been booting for so long: at once at first, so that
/// a quick one serves early, and then at sixteen times in as long as it took so far, so that a slow one is
/// late by a part of that, and its log is not full of us.
fn boot_pause(booting: Duration, every: Duration) -> Duration {
    (booting / BOOT_SHARE).max(BOOT_EVERY_MIN).min(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_boots_is_asked_often_at_first_and_then_less_and_less() {
        let every = Duration::from_millis(500);
        let mut booting = Duration::ZERO;
        let mut asked = 0;
        while booting < Duration::from_secs(30) {
            let pause = boot_pause(booting, every);
            assert!(
                pause <= every && pause <= (booting / 10).max(BOOT_EVERY_MIN),
                "{pause:?} after {booting:?}"
            );
            booting += pause;
            asked += 1;
        }
        assert!(asked < 150, "{asked} questions in 30 s");
        assert_eq!(boot_pause(Duration::ZERO, Duration::from_millis(1)), Duration::from_millis(1));
    }
}
