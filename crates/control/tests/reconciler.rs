//! The reconciler with a driver that does what its script says: what is ordered, stored, answered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use control::{
    Control, EditError, Happening, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings, StateDir,
    Store,
};
use driver::{Driver, ScriptedDriver};
use fleet::{Address, Desired, Edit, FleetSettings, Found, FoundState, HealthSettings, Life, ReplicaName};
use placement::{Key, Placement, Rendezvous, Seat};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// A web server that answers every heartbeat well.
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

/// The same on a Unix socket.
fn healthy_at(path: &Path) -> Address {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Address::unix(path).unwrap()
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = stream.read(&mut [0; 1024]).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
}

fn settings(state: Option<StateDir>) -> ReconcilerSettings {
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
        state: state.map(|state| Arc::new(state) as _),
        journal: Journal::default(),
    }
}

struct Stage {
    driver: Arc<ScriptedDriver>,
    control: Control,
    _heartbeats: Heartbeats,
}

impl Stage {
    async fn set(state: Option<StateDir>, prepare: impl FnOnce(&ScriptedDriver)) -> Self {
        Self::with(settings(state), prepare).await
    }

    async fn with(settings: ReconcilerSettings, prepare: impl FnOnce(&ScriptedDriver)) -> Self {
        let driver = Arc::new(ScriptedDriver::new(healthy().await));
        prepare(&driver);
        let heartbeats = Heartbeats::start().unwrap();
        let given: Arc<dyn Driver> = driver.clone();
        let control = Control::start(settings, &heartbeats, async |_events| Ok(given)).await.unwrap();
        Self { driver, control, _heartbeats: heartbeats }
    }

    fn names(&self) -> Vec<String> {
        self.control.handle.view().names().map(ToString::to_string).collect()
    }

    fn orders(&self) -> Vec<String> {
        self.driver.script().orders.clone()
    }

    async fn eventually(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(in_time.is_ok(), "it did not come true: {what}; orders: {:?}", self.orders());
    }
}

fn open(path: &Path) -> StateDir {
    StateDir::open(path, true).unwrap()
}

fn found(seat: u32, incarnation: u64, name: &str, address: Address) -> Found {
    Found {
        life: Life { seat: Seat::new(seat).unwrap(), incarnation },
        name: ReplicaName::parse(name).unwrap(),
        state: FoundState::Running { address, is_frozen: false },
    }
}

/// A web server that answers one connection of three, and lets the others wait.
async fn lossy() -> (Address, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut waiting = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            if count.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
                tokio::spawn(answer(stream));
            } else {
                waiting.push(stream);
            }
        }
    });
    (address.into(), connections)
}

#[tokio::test]
async fn a_heartbeat_that_is_lost_is_put_again_in_time() {
    let (address, connections) = lossy().await;
    let settings = ReconcilerSettings {
        heartbeat: HeartbeatSettings {
            every: Duration::from_millis(150),
            timeout: Duration::from_millis(150),
            ..settings(None).heartbeat
        },
        ..settings(None)
    };
    let journal = settings.journal.clone();
    let stage = Stage::with(settings, |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    // The third one is lossy; were it ejected, it would not be more than half of them.
    stage.driver.script().address = address;
    stage.control.handle.edit(Edit::Scale { count: 3 }).await.unwrap();
    stage.eventually("it was asked often", |_| connections.load(Ordering::Relaxed) > 40).await;
    let records = journal.records();
    let is_out = records.iter().any(|record| matches!(record.happening, Happening::OutOfTable(_)));
    assert!(!is_out, "{records:?}");
}

#[tokio::test]
async fn an_addition_is_answered_when_the_table_has_it_and_a_removal_when_it_has_not() {
    let stage = Stage::set(None, |_| {}).await;
    let view = stage.control.handle.edit(Edit::Fill { count: 3 }).await.unwrap();
    assert_eq!((view.replicas.len(), view.ready()), (3, 3));
    assert_eq!(stage.control.table.load().replicas().count(), 3);
    let names = vec![ReplicaName::parse("web_2").unwrap()];
    let view = stage.control.handle.edit(Edit::Remove { count: 1, names }).await.unwrap();
    assert_eq!(view.names().map(ToString::to_string).collect::<Vec<_>>(), ["web_1", "web_3"]);
    let in_table =
        stage.control.table.load().replicas().map(|replica| replica.name.to_string()).collect::<Vec<_>>();
    assert_eq!(in_table, ["web_1", "web_3"]);
    stage.eventually("it is stopped", |stage| stage.orders().contains(&"stop 2.1".into())).await;
}

#[tokio::test]
async fn a_replica_behind_a_unix_socket_is_asked_there_and_refuses_when_the_socket_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let address = healthy_at(&path);
    let stage = Stage::set(None, |driver| driver.script().address = address.clone()).await;
    let view = stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap();
    assert_eq!((view.ready(), &view.replicas[0].address), (1, &Some(address)));
    std::fs::remove_file(&path).unwrap();
    stage.eventually("it is replaced", |stage| stage.orders().contains(&"kill 1.1".into())).await;
}

#[tokio::test]
async fn nobody_is_stopped_while_a_request_is_inside() {
    let stage = Stage::set(None, |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap();
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    stage.control.handle.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap();
    // More edits pass through the reconciler, so it has had every occasion.
    for _ in 0..3 {
        stage.control.handle.edit(Edit::Scale { count: 0 }).await.unwrap();
    }
    assert_eq!(stage.orders(), ["start 1.1 web_1"]);
    drop(claim);
    stage.eventually("it is stopped", |stage| stage.orders() == ["start 1.1 web_1", "stop 1.1"]).await;
}

#[tokio::test]
async fn an_addition_whose_driver_fails_is_undone() {
    let stage = Stage::set(None, |driver| {
        driver.script().failures = ["no image", "no image", "no image"].map(str::to_owned).into();
    })
    .await;
    let error = stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap_err();
    assert!(matches!(&error, EditError::Undone(why) if why.contains("no image")), "{error}");
    assert!(stage.names().is_empty());
    stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap();
    assert_eq!(stage.names(), ["web_1"]);
}

#[tokio::test]
async fn an_edit_that_other_additions_stand_in_the_way_of_waits_for_them() {
    let stage = Stage::set(None, |_| {}).await;
    let handle = &stage.control.handle;
    // The second and third are refused as long as the first is pending, and right after it.
    let name = || vec![ReplicaName::parse("S5").unwrap()];
    let (first, second, third) = tokio::join!(
        handle.edit(Edit::Add { count: 1, names: name() }),
        handle.edit(Edit::Add { count: 1, names: name() }),
        handle.edit(Edit::Remove { count: 1, names: name() }),
    );
    assert_eq!(first.unwrap().replicas.len(), 1);
    assert!(matches!(second, Err(EditError::Refused(_))));
    assert_eq!(third.unwrap().replicas.len(), 0);
}

#[tokio::test]
async fn the_wish_is_stored_before_it_is_answered_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(Some(open(folder.path())), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    let names = vec![ReplicaName::parse("S5").unwrap()];
    stage.control.handle.edit(Edit::Add { count: 1, names }).await.unwrap();
    let stored = std::fs::read_to_string(folder.path().join("web.wish")).unwrap();
    assert!(stored.contains("\"S5\""), "{stored}");
    drop(stage);
    let again = Stage::set(Some(reopen(folder.path()).await), |_| {}).await;
    assert_eq!(again.names(), ["web_1", "web_2", "S5"]);
    again.control.handle.whole().await;
    assert_eq!(again.orders(), ["start 1.2 web_1", "start 2.2 web_2", "start 3.2 S5"]);
}

/// The lock is let go when the reconciler has ended.
async fn reopen(path: &Path) -> StateDir {
    loop {
        match StateDir::open(path, true) {
            Ok(state) => return state,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(Some(open(folder.path())), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    // Nobody, not even root, can write a file where a folder is.
    std::fs::create_dir(folder.path().join("web.new")).unwrap();
    let error = stage.control.handle.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap_err();
    assert!(matches!(error, EditError::NotStored(_)), "{error}");
    let error = stage.control.handle.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap_err();
    assert!(matches!(error, EditError::NotStored(_)), "{error}");
    assert_eq!(stage.names(), ["web_1", "web_2"]);
    assert_eq!(stage.control.table.load().replicas().count(), 2);
    std::fs::remove_dir(folder.path().join("web.new")).unwrap();
    stage.control.handle.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap();
    assert_eq!(stage.names().len(), 1);
}

#[tokio::test]
async fn what_somebody_else_has_stored_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    let stage = Stage::set(Some(state.clone()), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    let stored = state.read("web").await.unwrap().unwrap();
    let others = Desired { generation: 7, ..stored.desired };
    state.write("web", &others, stored.revision).await.unwrap();
    for _ in 0..2 {
        let edit = Edit::Remove { count: 1, names: Vec::new() };
        let error = stage.control.handle.edit(edit).await.unwrap_err().to_string();
        assert!(error.contains("somebody else has changed") && error.contains("web.wish"), "{error}");
    }
    assert_eq!(stage.names(), ["web_1", "web_2"]);
    assert_eq!(state.read("web").await.unwrap().unwrap().desired, others);
}

#[tokio::test]
async fn in_a_folder_that_nobody_chose_what_is_stored_goes_with_the_last_replica() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.wish");
    // Not even damage matters.
    std::fs::write(&path, "{").unwrap();
    let state = StateDir::open(folder.path(), false).unwrap();
    let stage = Stage::set(Some(state.clone()), |_| {}).await;
    assert!(!stage.control.is_restored);
    stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap();
    assert_eq!(state.read("web").await.unwrap().unwrap().desired.replicas.len(), 1);
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_is_refused_with_its_path() {
    let file = |format: u32, replicas: &str| {
        format!("{{\"format\":{format},\"generation\":1,\"seed\":1,\"replicas\":[{replicas}]}}")
    };
    let replica =
        |seat: u32, name: &str| format!("{{\"seat\":{seat},\"incarnation\":1,\"name\":\"{name}\"}}");
    let damaged = [
        String::new(),
        "{".into(),
        file(9, ""),
        file(1, &replica(0, "S1")),
        file(1, &replica(4_000_000_000, "S1")),
        file(1, &replica(1, "a b")),
        file(1, &format!("{},{}", replica(1, "S1"), replica(1, "S2"))),
        file(1, &format!("{},{}", replica(1, "S1"), replica(2, "S1"))),
    ];
    for text in damaged {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("web.wish"), &text).unwrap();
        let heartbeats = Heartbeats::start().unwrap();
        let driver: Arc<dyn Driver> = Arc::new(ScriptedDriver::new(healthy().await));
        let started =
            Control::start(settings(Some(open(folder.path()))), &heartbeats, async |_| Ok(driver)).await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("web.wish"), "{text}: {error}");
    }
}

#[tokio::test]
async fn what_runs_is_adopted_and_what_nobody_wants_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let first = Stage::set(Some(open(folder.path())), |_| {}).await;
    first.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    drop(first);
    let address = healthy().await;
    let stage = Stage::set(Some(reopen(folder.path()).await), |driver| {
        driver.script().found = vec![
            found(1, 4, "web_abcdef", address.clone()),
            found(2, 1, "web_2", address.clone()),
            found(7, 1, "web_7", address),
        ];
    })
    .await;
    stage.control.handle.whole().await;
    assert_eq!(stage.names(), ["web_abcdef", "web_2"]);
    stage.eventually("the stranger is stopped", |stage| stage.orders() == ["stop 7.1"]).await;
}

#[tokio::test]
async fn a_fleet_that_was_only_begun_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let address = healthy().await;
    let stage = Stage::set(Some(open(folder.path())), |driver| {
        driver.script().found = vec![found(2, 1, "web_2", address)];
    })
    .await;
    assert!(!stage.control.is_restored);
    stage.control.handle.edit(Edit::Fill { count: 3 }).await.unwrap();
    assert_eq!(stage.names(), ["web_2", "web_1", "web_3"]);
    let stored = std::fs::read_to_string(folder.path().join("web.wish")).unwrap();
    assert!(stored.contains("web_1") && stored.contains("web_2"), "{stored}");
}

#[tokio::test]
async fn retiring_stops_everybody_and_keeps_the_wish() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(Some(open(folder.path())), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    stage.control.handle.retire().await;
    assert_eq!(stage.orders()[2..], ["stop 1.1", "stop 2.1"]);
    let error = stage.control.handle.edit(Edit::Scale { count: 1 }).await.unwrap_err();
    assert!(matches!(error, EditError::Stopping), "{error}");
    let stored = std::fs::read_to_string(folder.path().join("web.wish")).unwrap();
    assert!(stored.contains("web_1") && stored.contains("web_2"), "{stored}");
}
