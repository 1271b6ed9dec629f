//! Whether the engine is there.
//!
//! Owns what is known of it (there, away, back), and the patience of those who wait for it. It asks
//! nobody.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::errors::CallError;

/// How long an engine may take to say that it is there. After that it counts as away.
pub(super) const PRESENCE_LIMIT: Duration = Duration::from_secs(2);

/// How long a call waits for an engine that is away, before it says so.
const ABSENCE_LIMIT: Duration = Duration::from_secs(5);

/// How long an engine that is back may take for what it was asked before it went. It either goes on
/// at once or has forgotten.
const RESUME_LIMIT: Duration = Duration::from_millis(500);

/// What is known of the engine's presence; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: watch::Sender<State>,
    doubt: Notify,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Why it is away, if it is.
    absence: Option<Arc<str>>,
    /// How often it came back.
    returns: u64,
}

impl Presence {
    /// Something went wrong that an engine's absence would explain: it is asked at once.
    pub(super) fn doubt(&self) {
        self.0.doubt.notify_one();
    }

    /// Waits until somebody doubts that the engine is there.
    pub(super) async fn doubted(&self) {
        self.0.doubt.notified().await;
    }

    /// Waits until the engine is there, for as long as it takes.
    pub(super) async fn regained(&self) {
        let mut state = self.0.state.subscribe();
        // An error cannot be: the sender is held by this very handle.
        let _ = state.wait_for(|state| state.absence.is_none()).await;
    }

    /// Waits until the engine is there; fails when it has been away for too long meanwhile.
    pub(super) async fn awaited(&self) -> Result<(), CallError> {
        tokio::select! {
            () = self.regained() => Ok(()),
            error = self.away_for_long() => Err(error),
        }
    }

    /// Resolves when a call that begins now will hardly be answered any more: the engine was away
    /// and, back, does not go on with it; or it is away, and stays so.
    pub(super) async fn lost(&self) -> CallError {
        tokio::select! {
            () = self.returned() => {}
            error = self.away_for_long() => return error,
        }
        tokio::time::sleep(RESUME_LIMIT).await;
        CallError::Lost("the engine was away, and has forgotten what it was asked".into())
    }

    /// Waits for the end of the next absence, or of this one.
    pub(super) async fn returned(&self) {
        let mut state = self.0.state.subscribe();
        let before = state.borrow().returns;
        let _ = state.wait_for(|state| state.returns != before).await;
    }

    async fn away_for_long(&self) -> CallError {
        let mut state = self.0.state.subscribe();
        loop {
            let Ok(away) = state.wait_for(|state| state.absence.is_some()).await.map(|state| state.clone())
            else {
                return pending().await;
            };
            let back = state.wait_for(|state| state.absence.is_none());
            if tokio::time::timeout(ABSENCE_LIMIT, back).await.is_err() {
                let why = away.absence.unwrap_or_default();
                return CallError::Lost(format!("the engine is away: {why}"));
            }
        }
    }

    /// It is away, for this reason.
    pub(super) fn left(&self, why: &CallError) {
        self.0.state.send_modify(|state| state.absence = Some(why.to_string().into()));
    }

    /// It is there again.
    pub(super) fn came_back(&self) {
        self.0.state.send_modify(|state| *state = State { absence: None, returns: state.returns + 1 });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn away() -> Presence {
        let presence = Presence::default();
        presence.left(&CallError::Lost("connection refused".into()));
        presence
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_engine_that_stays_away_is_told_so_in_time() {
        let presence = away();
        let begun = Instant::now();
        let error = presence.awaited().await.unwrap_err();
        assert_eq!(error.to_string(), "the engine is away: connection refused");
        assert_eq!(begun.elapsed(), ABSENCE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_the_engine_is_back() {
        let presence = away();
        let begun = Instant::now();
        let (outcome, ()) = tokio::join!(presence.awaited(), async {
            tokio::time::sleep(ABSENCE_LIMIT / 2).await;
            presence.came_back();
        });
        outcome.unwrap();
        assert_eq!(begun.elapsed(), ABSENCE_LIMIT / 2);
        presence.awaited().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_lost_only_after_an_absence() {
        let presence = Presence::default();
        let day = Duration::from_secs(24 * 3600);
        tokio::time::timeout(day, presence.lost()).await.expect_err("nothing happened to it");

        let (error, ()) = tokio::join!(presence.lost(), async {
            // Without this the call would begin only after the absence.
            tokio::task::yield_now().await;
            presence.left(&CallError::NoAnswer(PRESENCE_LIMIT));
            presence.came_back();
        });
        assert!(error.to_string().contains("has forgotten"), "{error}");

        let error = away().lost().await;
        assert!(error.to_string().contains("is away"), "{error}");
    }
}
