//! Spares and the reconciler: what the table has, what is stored, and that no seat waits for the disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use control::{
    Control, Departure, Happening, HeartbeatProtocol, HeartbeatSettings, Heartbeats, Journal,
    ReconcilerSettings, Revision, StateDir, Store, StoreError, Stored,
};
use driver::{Driver, EventSender, ScriptedDriver};
use fleet::{
    Address, Death, Desired, Edit, Event, Exit, FleetSettings, Found, FoundState, HealthSettings, Life,
    ReplicaState,
};
use futures_util::future::{BoxFuture, FutureExt, pending};
use placement::{Placement, Rendezvous, Seat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

async fn healthy() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address.into()
}

async fn answer(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 1024]).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
}

fn settings(spares: u32, state: Option<Arc<dyn Store>>) -> ReconcilerSettings {
    ReconcilerSettings {
        service: "web".into(),
        fleet: FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 10,
            spares,
            start_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(10),
            health: HealthSettings::default(),
            seat_choice: placement::SeatChoice::Lowest,
            rollout: fleet::RolloutSettings::default(),
            is_owned: true,
        },
        heartbeat: HeartbeatSettings {
            protocol: HeartbeatProtocol::Http1,
            path: "/heartbeat".into(),
            every: Duration::from_millis(50),
            timeout: Duration::from_millis(50),
        },
        placement: Placement::Rendezvous(Rendezvous::default()),
        weights: vec![1, 7],
        load_factor: 1.25,
        state,
        journal: Journal::default(),
    }
}

struct Stage {
    driver: Arc<ScriptedDriver>,
    control: Control,
    events: EventSender,
    _heartbeats: Heartbeats,
}

impl Stage {
    /// A balancer that finds these, by seat, incarnation and name.
    async fn set(settings: ReconcilerSettings, running: &[(&str, &str)]) -> Self {
        let address = healthy().await;
        let driver = Arc::new(ScriptedDriver::new(address.clone()));
        let found = running.iter().map(|(text, name)| Found {
            life: life(text),
            name: fleet::ReplicaName::parse(name).unwrap(),
            state: FoundState::Running { address: address.clone(), is_frozen: false },
        });
        driver.script().found = found.collect();
        let heartbeats = Heartbeats::start().unwrap();
        let given: Arc<dyn Driver> = driver.clone();
        let mut line = None;
        let control = Control::start(settings, &heartbeats, async |events| {
            line = Some(events);
            Ok(given)
        });
        let control = control.await.unwrap();
        Self { driver, control, events: line.unwrap(), _heartbeats: heartbeats }
    }

    /// Two replicas, and all spares ready.
    async fn begun(settings: ReconcilerSettings) -> Self {
        let stage = Self::set(settings, &[]).await;
        stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
        stage.spares_are_ready().await;
        stage
    }

    async fn spares_are_ready(&self) {
        self.eventually("every spare is ready", |stage| {
            stage.control.handle.view().spares.iter().all(|spare| spare.state == ReplicaState::Spare)
        })
        .await;
    }

    async fn dies(&self, text: &str) {
        self.events.send(Event::Exited(life(text), Exit::default())).await.unwrap();
    }

    /// Seat and life of everybody in the table.
    fn table(&self) -> String {
        let table = self.control.table.load();
        let replicas = table.replicas().map(|replica| format!("{}:{}", replica.seat, replica.life));
        replicas.collect::<Vec<_>>().join(" ")
    }

    async fn eventually(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(in_time.is_ok(), "it did not come true: {what}; the table has {}", self.table());
    }
}

fn life(text: &str) -> Life {
    let (seat, incarnation) = text.split_once('.').unwrap();
    Life { seat: Seat::new(seat.parse().unwrap()).unwrap(), incarnation: incarnation.parse().unwrap() }
}

/// The lock is let go when the reconciler has ended.
async fn open(path: &Path) -> Arc<dyn Store> {
    loop {
        match StateDir::open(path, true) {
            Ok(state) => return Arc::new(state),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_spare_that_takes_a_seat_has_its_weight_is_told_of_and_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let settings_of_first = settings(1, Some(open(folder.path()).await));
    let journal = settings_of_first.journal.clone();
    let stage = Stage::begun(settings_of_first).await;
    let spare = stage.control.handle.view().spares[0].name.to_string();
    assert_eq!(stage.table(), "1:1.1 2:2.1");
    stage.dies("2.1").await;
    stage.eventually("the spare has the seat", |stage| stage.table() == "1:1.1 2:10001.1").await;
    let weights: Vec<u32> = stage.control.table.load().replicas().map(|replica| replica.weight).collect();
    assert_eq!(weights, [1, 7]);
    let names: Vec<String> = stage.control.handle.view().names().map(ToString::to_string).collect();
    assert_eq!(names, ["web_1", spare.as_str()]);
    let records = journal.records();
    let subjects = records.iter().filter_map(|record| Some((record.replica.as_ref()?, &record.happening)));
    let told: Vec<_> = subjects.filter(|(replica, _)| replica.seat.number() == 2).collect();
    let names: Vec<_> = told.iter().map(|(replica, _)| replica.name.as_ref().unwrap().to_string()).collect();
    let (of_first, of_spare) = ("web_2", spare.as_str());
    assert_eq!(names, [of_first, of_first, of_first, of_spare, of_first, of_spare, of_first]);
    let happenings: Vec<_> = told.into_iter().map(|(_, happening)| happening.clone()).collect();
    let death = Death::Exited(Exit::default());
    let expected = [
        Happening::Starting,
        Happening::Ready,
        Happening::Replaced { death },
        Happening::SeatTaken,
        Happening::Stopping,
        Happening::Ready,
        Happening::OutOfTable(Departure::Dead(None)),
    ];
    assert_eq!(happenings, expected);
    let stored = || std::fs::read_to_string(folder.path().join("web.wish")).unwrap();
    stage.eventually("it is stored", |_| stored().contains("\"begun_in\":10001")).await;
    drop(stage);

    let state = open(folder.path()).await;
    let running = [("1.1", "web_1"), ("10001.1", spare.as_str()), ("10001.2", "web_next")];
    let again = Stage::set(settings(1, Some(state)), &running).await;
    again.eventually("all are taken over", |stage| stage.table() == "1:1.1 2:10001.1").await;
    again.spares_are_ready().await;
    assert_eq!(again.control.handle.view().spares[0].name.as_str(), "web_next");
    assert_eq!(again.driver.script().orders, [""; 0]);
}

#[tokio::test]
async fn what_was_stored_before_there_were_spares_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let wish = r#"{"format":1,"generation":4,"seed":1,"replicas":[
        {"seat":1,"incarnation":3,"name":"S1"},{"seat":2,"incarnation":1,"name":"S2"}]}"#;
    std::fs::write(folder.path().join("web.wish"), wish).unwrap();
    let running = [("1.3", "S1"), ("2.1", "S2")];
    let stage = Stage::set(settings(1, Some(open(folder.path()).await)), &running).await;
    stage.eventually("all are taken over", |stage| stage.table() == "1:1.3 2:2.1").await;
    stage.spares_are_ready().await;
}

#[tokio::test]
async fn a_stored_wish_that_gives_two_seats_to_one_life_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wish = r#"{"format":1,"generation":4,"seed":1,"replicas":[
        {"seat":1,"begun_in":10001,"incarnation":3,"name":"S1"}],
        "spares":[{"seat":10001,"incarnation":3,"name":"S2"}]}"#;
    std::fs::write(folder.path().join("web.wish"), wish).unwrap();
    let driver: Arc<dyn Driver> = Arc::new(ScriptedDriver::new(healthy().await));
    let settings = settings(1, Some(open(folder.path()).await));
    let started = Control::start(settings, &Heartbeats::start().unwrap(), async |_| Ok(driver)).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("web.wish") && error.contains("twice"), "{error}");
}

/// A disk that stops to answer.
#[derive(Debug, Default)]
struct Stuck {
    is_stuck: AtomicBool,
    revision: watch::Sender<Revision>,
}

impl Store for Stuck {
    fn read(&self, _: &str) -> BoxFuture<'static, Result<Option<Stored>, StoreError>> {
        async { Ok(None) }.boxed()
    }

    fn write(
        &self,
        _: &str,
        _: &Desired,
        expected: Revision,
    ) -> BoxFuture<'static, Result<Revision, StoreError>> {
        if self.is_stuck.load(Ordering::Relaxed) {
            return pending().boxed();
        }
        self.revision.send_replace(expected.next());
        async move { Ok(expected.next()) }.boxed()
    }

    fn watch(&self, _: &str) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    fn outlasts_fleets(&self) -> bool {
        true
    }

    fn location(&self, service: &str) -> String {
        service.to_string()
    }
}

#[tokio::test]
async fn no_seat_waits_for_the_disk() {
    let disk = Arc::<Stuck>::default();
    let stage = Stage::begun(settings(2, Some(disk.clone()))).await;
    disk.is_stuck.store(true, Ordering::Relaxed);
    stage.dies("2.1").await;
    stage.eventually("the first seat is taken", |stage| stage.table() == "1:1.1 2:10001.1").await;
    stage.dies("1.1").await;
    stage.eventually("and the second", |stage| stage.table().starts_with("1:1000")).await;
    stage.spares_are_ready().await;
    assert_eq!(stage.control.handle.view().spares.len(), 2);
}
