//! The regular question to the engine: are you there?
//!
//! Notes what comes back as the engine's presence. It does nothing about an engine that is away but ask
//! it again.

use std::time::Duration;

use fleet::Event;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior};

use super::engine::Engine;
use super::errors::CallError;
use super::presence::Presence;
use crate::EventSender;

/// How often an engine that is there is asked whether it still is.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often one that is away is asked. Each question has a connection of its own, so that one
/// that is never answered holds up no other.
const ASK_AWAY_EVERY: Duration = Duration::from_millis(100);
const QUESTIONS_MAX: usize = 20;

/// Asks the engine again and again until this is aborted, and reports when it is back.
pub(super) async fn attend(engine: Engine, events: EventSender) {
    let presence = engine.presence();
    loop {
        let error = ask_until_away(&engine, &presence).await;
        let since = Instant::now();
        tracing::warn!("Docker is away ({error}); replicas run on, changes wait until it is back");
        presence.left(&error);
        ask_until_back(&engine).await;
        tracing::info!("Docker is back, after {:.1?}", since.elapsed());
        presence.came_back();
        // Nobody listens any more when the balancer ends; then there is nobody to tell.
        events.send(Event::Recovered).await.unwrap_or_default();
    }
}

/// Asks, as long as the engine is there; returns why it is not.
async fn ask_until_away(engine: &Engine, presence: &Presence) -> CallError {
    loop {
        // Whichever comes first: its turn, or a reason to doubt.
        let _ = tokio::time::timeout(ASK_EVERY, presence.doubted()).await;
        if let Err(error) = engine.is_there().await {
            return error;
        }
    }
}

async fn ask_until_back(engine: &Engine) {
    let mut questions = FuturesUnordered::new();
    let mut turns = tokio::time::interval(ASK_AWAY_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => if questions.len() < QUESTIONS_MAX {
                questions.push(engine.is_there());
            },
            Some(said) = questions.next() => if said.is_ok() {
                return;
            }
        }
    }
}
