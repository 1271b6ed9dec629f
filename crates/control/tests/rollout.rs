//! Rollouts and pauses through the reconciler, with a driver that does what its script says: what is
//! ordered, what is stored, and what a start makes of a rollout that was interrupted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control::{
    Control, Deploy, EditError, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings, ServiceView,
    StateDir,
};
use driver::{Driver, ProcessSettings, ReplicaEnvironment, ScriptedDriver, ServerId, Spec};
use fleet::{
    Address, Course, Edit, FleetSettings, Found, FoundState, Life, Refusal, Release, ReplicaName,
    RolloutSettings,
};
use placement::{Key, Placement, Rendezvous, Seat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// As careful as a test has time for.
const QUICK: RolloutSettings = RolloutSettings { at_once: 1, bake: Duration::ZERO };

/// A web server that answers every heartbeat well.
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

/// Where nobody answers.
fn dead() -> Address {
    "127.0.0.1:1".parse().unwrap()
}

fn settings(state: Option<StateDir>) -> ReconcilerSettings {
    ReconcilerSettings {
        service: "web".into(),
        fleet: FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 2,
            spares: 0,
            start_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(10),
            health: fleet::HealthSettings::default(),
            seat_choice: placement::SeatChoice::Lowest,
            rollout: QUICK,
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

fn spec(command: &str) -> Spec {
    Spec::Process(ProcessSettings {
        command: vec![command.into()],
        tether: Vec::new(),
        environment: ReplicaEnvironment {
            service: "web".into(),
            server_id: ServerId::Name,
            extra: BTreeMap::new(),
        },
        socket: false,
        stop_timeout: Duration::from_secs(1),
        keep: None,
    })
}

struct Stage {
    driver: Arc<ScriptedDriver>,
    control: Control,
    _heartbeats: Heartbeats,
}

impl Stage {
    async fn set(state: Option<StateDir>, prepare: impl FnOnce(&ScriptedDriver)) -> Self {
        let driver = Arc::new(ScriptedDriver::new(healthy().await));
        prepare(&driver);
        let heartbeats = Heartbeats::start().unwrap();
        let given: Arc<dyn Driver> = driver.clone();
        let control = Control::start(settings(state), &heartbeats, async |_events| Ok(given)).await.unwrap();
        Self { driver, control, _heartbeats: heartbeats }
    }

    fn view(&self) -> Arc<ServiceView> {
        self.control.handle.view()
    }

    fn orders(&self) -> Vec<String> {
        self.driver.script().orders.clone()
    }

    /// The number of orders that begin like this.
    fn ordered(&self, beginning: &str) -> usize {
        self.orders().iter().filter(|order| order.starts_with(beginning)).count()
    }

    async fn deploy(&self, command: &str) -> Result<Arc<ServiceView>, EditError> {
        let order = Deploy { spec: spec(command), is_forced: false, settings: QUICK };
        self.control.handle.deploy(order).await
    }

    async fn course(&self) -> Course {
        self.eventually("the rollout ends", |stage| {
            stage.view().rollout.as_ref().is_some_and(|rollout| !rollout.course.is_under_way())
        })
        .await;
        self.view().rollout.clone().unwrap().course
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

/// The lock is let go when the reconciler has ended.
async fn open(path: &Path) -> StateDir {
    loop {
        match StateDir::open(path, true) {
            Ok(state) => return state,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn life(seat: u32, incarnation: u64) -> Life {
    Life { seat: Seat::new(seat).unwrap(), incarnation }
}

fn found(life: Life, name: &str, address: Address) -> Found {
    let state = FoundState::Running { address, is_frozen: false };
    Found { life, name: ReplicaName::parse(name).unwrap(), state }
}

#[tokio::test]
async fn every_seat_gets_the_new_release_with_as_many_replicas_as_there_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(Some(open(folder.path()).await), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    let begun = stage.deploy("next").await.unwrap();
    assert!(begun.rollout.as_ref().unwrap().course.is_under_way());
    assert_eq!(stage.course().await, Course::Done);
    stage.eventually("the old are stopped", |stage| stage.ordered("stop ") == 2).await;
    let release = stage.view().rollout.clone().unwrap().to;
    assert!(stage.view().replicas.iter().all(|replica| replica.release == Some(release)));
    assert_eq!((stage.ordered("start 1.2 "), stage.ordered("start 2.2 ")), (1, 1), "{:?}", stage.orders());
    assert!(stage.orders()[2].ends_with(&release.to_string()), "{:?}", stage.orders());
    let stored = std::fs::read_to_string(folder.path().join("web.wish")).unwrap();
    assert!(stored.contains(&release.to_string()) && !stored.contains("rollout"), "{stored}");
    let again = stage.deploy("next").await.unwrap_err();
    assert!(matches!(again, EditError::Refused(Refusal::NothingToDeploy)), "{again}");
}

#[tokio::test]
async fn an_old_replica_keeps_the_request_that_it_has_while_its_seat_has_passed() {
    let stage = Stage::set(None, |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap();
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    stage.deploy("next").await.unwrap();
    assert_eq!(stage.course().await, Course::Done);
    let next = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    assert_eq!((claim.life, next.life), (life(1, 1), life(1, 2)));
    stage.eventually("it is said to be draining", |stage| stage.view().others.len() == 1).await;
    assert_eq!(stage.ordered("stop"), 0);
    drop(claim);
    stage.eventually("it is stopped", |stage| stage.orders().contains(&"stop 1.1".into())).await;
}

#[tokio::test]
async fn what_cannot_be_started_is_rolled_back_and_the_service_goes_on() {
    let stage = Stage::set(None, |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    stage.driver.script().failures = ["no image", "no image", "no image"].map(str::to_owned).into();
    stage.deploy("next").await.unwrap();
    let Course::RolledBack(failure) = stage.course().await else { panic!("{:?}", stage.view()) };
    assert!(failure.to_string().contains("no image"), "{failure:?}");
    assert_eq!(stage.view().names().map(ToString::to_string).collect::<Vec<_>>(), ["web_1", "web_2"]);
    assert_eq!(stage.view().ready(), 2);
}

#[tokio::test]
async fn a_rollout_that_a_restart_interrupts_is_finished_and_what_was_tried_goes() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(Some(open(folder.path()).await), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    // The first successor is never well.
    stage.driver.script().address = dead();
    let begun = stage.deploy("next").await.unwrap();
    let (old, new) = begun.rollout.as_ref().map(|rollout| (rollout.from, rollout.to)).unwrap();
    stage.eventually("it is tried", |stage| stage.ordered("start 1.2") == 1).await;
    drop(stage);
    let address = healthy().await;
    let lives = [(life(1, 1), old), (life(1, 2), new), (life(2, 1), old)];
    let stage = Stage::set(Some(open(folder.path()).await), |driver| {
        let mut script = driver.script();
        script.release = new;
        script.releases = BTreeMap::from(lives);
        script.found = vec![
            found(life(1, 1), "web_1", address.clone()),
            found(life(1, 2), "web_tried", dead()),
            found(life(2, 1), "web_2", address),
        ];
    })
    .await;
    assert_eq!(stage.course().await, Course::Done);
    stage.eventually("the old and the tried are stopped", |stage| stage.ordered("stop ") == 3).await;
    assert!(stage.view().replicas.iter().all(|replica| replica.release == Some(new)));
    assert_eq!((stage.ordered("start 1.3 "), stage.ordered("start 2.2 ")), (1, 1), "{:?}", stage.orders());
}

#[tokio::test]
async fn what_runs_something_else_at_the_start_is_left_alone_until_it_is_deployed() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::set(Some(open(folder.path()).await), |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 1 }).await.unwrap();
    drop(stage);
    let address = healthy().await;
    let next = Release::of_hash(7);
    let stage = Stage::set(Some(open(folder.path()).await), |driver| {
        let mut script = driver.script();
        script.release = next;
        script.found = vec![found(life(1, 1), "web_1", address)];
    })
    .await;
    stage.control.handle.whole().await;
    stage.control.handle.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap();
    let releases: Vec<_> = stage.view().replicas.iter().map(|replica| replica.release).collect();
    assert_eq!(releases, [Some(Release::default()), Some(next)]);
    assert_eq!(stage.ordered("stop"), 0);
}

#[tokio::test]
async fn a_pause_empties_the_table_and_touches_no_replica() {
    let stage = Stage::set(None, |_| {}).await;
    stage.control.handle.edit(Edit::Fill { count: 2 }).await.unwrap();
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    let view = stage.control.handle.pause(Duration::from_secs(60)).await.unwrap();
    assert!(view.paused_until.is_some() && view.ready() == 2);
    {
        let table = stage.control.table.load();
        assert!(table.claim(Key::of(b"x"), &[]).is_none() && table.has_members());
        assert!(table.hold() > Duration::from_secs(30));
        assert!(claim.gate.is_open(), "who is inside goes on");
    }
    stage.control.handle.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap();
    assert!(stage.control.table.load().claim(Key::of(b"x"), &[]).is_none(), "edits do not end it");
    stage.control.handle.resume().await.unwrap();
    assert!(stage.control.table.load().claim(Key::of(b"x"), &[]).is_some());
    stage.control.handle.pause(Duration::from_millis(50)).await.unwrap();
    stage.eventually("it ends by itself", |stage| stage.view().paused_until.is_none()).await;
    assert!(stage.control.table.load().claim(Key::of(b"x"), &[]).is_some());
}
