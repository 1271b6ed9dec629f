//! A driver that may have missed something is asked for everything at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use control::{Control, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings};
use driver::ScriptedDriver;
use fleet::{Event, FleetSettings, Found, FoundState, HealthSettings, Life, ReplicaName};
use placement::{Placement, Rendezvous, Seat};

/// Half of what the next regular list may be away.
const SOON: Duration = Duration::from_secs(5);

fn settings() -> ReconcilerSettings {
    ReconcilerSettings {
        service: "web".into(),
        fleet: FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 10,
            spares: 0,
            start_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(10),
            health: HealthSettings::default(),
            seat_choice: placement::SeatChoice::Lowest,
            rollout: fleet::RolloutSettings::default(),
            is_owned: true,
        },
        heartbeat: HeartbeatSettings {
            protocol: control::HeartbeatProtocol::Http1,
            path: "/heartbeat".into(),
            every: Duration::from_millis(50),
            timeout: Duration::from_millis(50),
        },
        placement: Placement::Rendezvous(Rendezvous::default()),
        weights: Vec::new(),
        load_factor: 1.25,
        state: None,
        journal: Journal::default(),
    }
}

#[tokio::test]
async fn what_was_overlooked_is_found_without_waiting_for_the_next_regular_list() {
    let address = fleet::Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    let driver = Arc::new(ScriptedDriver::new(address.clone()));
    let heartbeats = Heartbeats::start().unwrap();
    let (given, mut line) = (driver.clone(), None);
    let make_driver = async |events| {
        line = Some(events);
        Ok(given as Arc<dyn driver::Driver>)
    };
    let _control = Control::start(settings(), &heartbeats, make_driver).await.unwrap();
    let stray = Found {
        life: Life { seat: Seat::new(7).unwrap(), incarnation: 1 },
        name: ReplicaName::parse("web_7").unwrap(),
        state: FoundState::Running { address, is_frozen: false },
    };
    driver.script().found = vec![stray];
    line.unwrap().send(Event::Overlooked).await.unwrap();
    let is_stopped = async {
        while !driver.script().orders.contains(&"stop 7.1".to_string()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, is_stopped).await.expect("it belongs to no seat and is removed");
}
