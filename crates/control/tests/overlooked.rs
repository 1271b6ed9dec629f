//! A driver that may have missed something is asked for everything at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::time::Duration;

use fleet::{Event, Found, FoundState, ReplicaName};

use stage::{Scene, healthy, life};

/// Half of what the next regular list may be away.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_was_overlooked_is_found_without_waiting_for_the_next_regular_list() {
    let stage = Scene::new().set().await;
    let stray = Found {
        life: life("7.1"),
        name: ReplicaName::parse("web_7").unwrap(),
        state: FoundState::Running { address: healthy(), is_frozen: false },
    };
    stage.driver.script().found = vec![stray];
    stage.events.send(Event::Overlooked).await.unwrap();
    let is_stopped = |stage: &stage::Stage| stage.orders().contains(&"stop 7.1".to_string());
    stage.within(SOON, "it belongs to no seat and is removed", is_stopped).await;
}
