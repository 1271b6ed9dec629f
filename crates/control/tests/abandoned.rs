//! Whoever is inside a replica that is given up hears of it, in time to look elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control::{Control, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings};
use driver::{Driver, EventSender, ScriptedDriver};
use fleet::{
    Address, Edit, Event, Exit, FleetSettings, HealthSettings, Life, Reader, Suspicion, SuspicionKind,
};
use placement::{Key, Placement, Rendezvous};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// How often somebody dies while we look very closely: not so often that a seat has to wait.
const DEATHS: usize = 24;

fn settings() -> ReconcilerSettings {
    ReconcilerSettings {
        service: "web".into(),
        fleet: FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 10,
            spares: 0,
            start_timeout: Duration::from_secs(600),
            drain_deadline: Duration::from_secs(10),
            health: HealthSettings::default(),
            seat_choice: placement::SeatChoice::Lowest,
            rollout: fleet::RolloutSettings::default(),
            is_owned: true,
        },
        heartbeat: HeartbeatSettings {
            protocol: control::HeartbeatProtocol::Http1,
            path: "/heartbeat".into(),
            every: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
        },
        placement: Placement::Rendezvous(Rendezvous::default()),
        weights: Vec::new(),
        load_factor: 1.25,
        state: None,
        journal: Journal::default(),
    }
}

/// A web server that is always well.
async fn healthy() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            });
        }
    });
    address.into()
}

/// A port where nobody will ever listen: it is taken, and nothing is accepted on it.
async fn nobody() -> (Address, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    (listener.local_addr().unwrap().into(), listener)
}

struct Stage {
    driver: Arc<ScriptedDriver>,
    control: Control,
    events: EventSender,
    _heartbeats: Heartbeats,
}

impl Stage {
    async fn of_three() -> Self {
        let driver = Arc::new(ScriptedDriver::new(healthy().await));
        let heartbeats = Heartbeats::start().unwrap();
        let (given, mut line) = (driver.clone() as Arc<dyn Driver>, None);
        let make_driver = async |events| {
            line = Some(events);
            Ok(given)
        };
        let control = Control::start(settings(), &heartbeats, make_driver).await.unwrap();
        control.handle.edit(Edit::Fill { count: 3 }).await.unwrap();
        Self { driver, control, events: line.unwrap(), _heartbeats: heartbeats }
    }

    async fn eventually(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(in_time.is_ok(), "it did not come true: {what}");
    }

    async fn die(&self, life: Life) {
        let exit = Exit { signal: Some(9), ..Exit::default() };
        self.events.send(Event::Exited(life, exit)).await.unwrap();
    }
}

/// Counts who leaves the table, and how many of those were not told when it was there to be seen.
fn look_closely(table: &Reader, is_over: &AtomicBool) -> (usize, usize) {
    let (mut gone, mut untold) = (0, 0);
    let mut last = Arc::clone(&table.load());
    while !is_over.load(Ordering::Relaxed) {
        let now = table.load();
        if now.version() == last.version() {
            continue;
        }
        for replica in last.replicas().filter(|one| now.replicas().all(|other| other.life != one.life)) {
            gone += 1;
            untold += usize::from(!replica.gate.is_abandoned());
        }
        last = Arc::clone(&now);
    }
    (gone, untold)
}

#[tokio::test]
async fn those_inside_are_told_before_the_table_changes() {
    let stage = Stage::of_three().await;
    let (table, is_over) = (stage.control.table.clone(), Arc::new(AtomicBool::new(false)));
    let is_watched = Arc::clone(&is_over);
    let watcher = std::thread::spawn(move || look_closely(&table, &is_watched));
    for number in 0..DEATHS {
        let victim = stage.control.table.load().replicas().nth(number % 3).unwrap().life;
        stage.die(victim).await;
        stage
            .eventually("another one is there", |stage| {
                let table = stage.control.table.load();
                table.replicas().count() == 3 && table.replicas().all(|replica| replica.life != victim)
            })
            .await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (gone, untold) = watcher.join().unwrap();
    println!("{gone} left the table");
    assert!(gone > 0, "the test saw nothing");
    assert_eq!(untold, 0, "of {gone}");
}

#[tokio::test]
async fn those_inside_hear_of_it_too_when_the_replica_was_out_of_the_table_already() {
    let stage = Stage::of_three().await;
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    let suspect = |kind| stage.control.suspicions.send(Suspicion { life: claim.life, kind });
    suspect(SuspicionKind::Failing).await.unwrap();
    let is_in = |stage: &Stage| stage.control.table.load().replicas().any(|one| one.life == claim.life);
    stage.eventually("it is out of the table", |stage| !is_in(stage)).await;
    assert!(!claim.gate.is_abandoned(), "whoever is inside may yet get a good answer");
    let version = stage.control.table.load().version();
    // Its next life never serves, so that this is no reason for another table.
    let (address, _taken) = nobody().await;
    stage.driver.script().address = address;
    stage.die(claim.life).await;
    stage.eventually("it is given up", |_| claim.gate.is_abandoned()).await;
    stage
        .eventually("those who wait are woken", |stage| stage.control.table.load().version() > version)
        .await;
}
