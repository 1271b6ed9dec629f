//! Rollouts and pauses through the reconciler, with a driver that does what its script says: what is
//! ordered, what is stored, and what a start makes of a rollout that was interrupted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use control::{Deploy, EditError, Revision, ServiceView, StateDir, Store, StoreError, Stored};
use driver::{ListenedBy, ProcessSettings, ReplicaEnvironment, ServerId, Spec};
use fleet::{Address, Course, Edit, Refusal, Release, RolloutSettings};
use futures_util::future::{BoxFuture, FutureExt, ready};
use placement::Key;
use tokio::sync::watch;

use stage::{Scene, Stage, life, stored_text};

/// As careful as a test has time for.
const QUICK: RolloutSettings = RolloutSettings { at_once: 1, bake: Duration::ZERO };

/// Where nobody answers.
fn dead() -> Address {
    "127.0.0.1:1".parse().unwrap()
}

/// Two replicas are all that there may be.
fn scene() -> Scene {
    Scene::new().with(|settings| {
        settings.fleet.replicas_max = 2;
        settings.fleet.rollout = QUICK;
    })
}

fn spec(command: &str) -> Spec {
    Spec::Process(Box::new(ProcessSettings {
        command: vec![command.into()],
        tether: Vec::new(),
        environment: ReplicaEnvironment {
            service: "web".into(),
            server_id: ServerId::Name,
            extra: BTreeMap::new(),
        },
        socket: false,
        listened_by: ListenedBy::Itself,
        account: None,
        new_privileges: false,
        directory: None,
        ports: driver::PortRange::default(),
        inherit: Vec::new(),
        stop_timeout: Duration::from_secs(1),
        secret: files::Secret::of([1; 32]),
        mark: driver::LifeMark { owner: "test-rollout".into(), key: files::Secret::of([2; 32]) },
        keep: None,
    }))
}

async fn deploy(stage: &Stage, command: &str) -> Result<Arc<ServiceView>, EditError> {
    let order = Deploy { spec: spec(command), is_forced: false, settings: QUICK };
    stage.control.handle.deploy(order).await
}

/// How the rollout ends.
async fn course(stage: &Stage) -> Course {
    stage
        .eventually("the rollout ends", |stage| {
            stage.view().fleet.rollout.as_ref().is_some_and(|rollout| !rollout.course.is_under_way())
        })
        .await;
    stage.view().fleet.rollout.clone().unwrap().course
}

#[tokio::test]
async fn every_seat_gets_the_new_release_with_as_many_replicas_as_there_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(2).await;
    let begun = deploy(&stage, "next").await.unwrap();
    assert!(begun.fleet.rollout.as_ref().unwrap().course.is_under_way());
    assert_eq!(course(&stage).await, Course::Done);
    stage.eventually("the old are stopped", |stage| stage.ordered("stop ") == 2).await;
    let release = stage.view().fleet.rollout.clone().unwrap().to;
    assert!(stage.view().fleet.replicas.iter().all(|replica| replica.release == Some(release)));
    assert_eq!((stage.ordered("start 1.2 "), stage.ordered("start 2.2 ")), (1, 1), "{:?}", stage.orders());
    assert!(stage.orders()[2].ends_with(&release.to_string()), "{:?}", stage.orders());
    let stored = stored_text(&folder);
    assert!(stored.contains(&release.to_string()) && !stored.contains("rollout"), "{stored}");
    let again = deploy(&stage, "next").await.unwrap_err();
    assert!(matches!(again, EditError::Refused(Refusal::NothingToDeploy)), "{again}");
}

#[tokio::test]
async fn an_old_replica_keeps_the_request_that_it_has_while_its_seat_has_passed() {
    let stage = scene().set().await;
    stage.fill(1).await;
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    deploy(&stage, "next").await.unwrap();
    assert_eq!(course(&stage).await, Course::Done);
    let next = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    assert_eq!((claim.life, next.life), (life("1.1"), life("1.2")));
    stage.eventually("it is said to be draining", |stage| stage.view().fleet.others.len() == 1).await;
    assert_eq!(stage.ordered("stop"), 0);
    drop(claim);
    stage.eventually("it is stopped", |stage| stage.orders().contains(&"stop 1.1".into())).await;
}

#[tokio::test]
async fn what_cannot_be_started_is_rolled_back_and_the_service_goes_on() {
    let stage = scene().set().await;
    stage.fill(2).await;
    stage.driver.script().failures = ["no image", "no image", "no image"].map(str::to_owned).into();
    deploy(&stage, "next").await.unwrap();
    let Course::RolledBack(failure) = course(&stage).await else { panic!("{:?}", stage.view()) };
    assert!(failure.to_string().contains("no image"), "{failure:?}");
    assert_eq!(stage.names(), ["web_1", "web_2"]);
    assert_eq!(stage.view().fleet.ready(), 2);
}

#[tokio::test]
async fn a_rollout_that_a_restart_interrupts_is_finished_and_what_was_tried_goes() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(2).await;
    // The first successor is never well.
    stage.driver.script().address = dead();
    let begun = deploy(&stage, "next").await.unwrap();
    let (old, new) = begun.fleet.rollout.as_ref().map(|rollout| (rollout.from, rollout.to)).unwrap();
    stage.eventually("it is tried", |stage| stage.ordered("start 1.2") == 1).await;
    drop(stage);
    let lives = [(life("1.1"), old), (life("1.2"), new), (life("2.1"), old)];
    let scene = scene().stored_in(&folder).scripted(|script| {
        script.release = new;
        script.releases = BTreeMap::from(lives);
    });
    let stage = scene.finds("1.1 web_1").finds_at("1.2 web_tried", dead()).finds("2.1 web_2").set().await;
    assert_eq!(course(&stage).await, Course::Done);
    stage.eventually("the old and the tried are stopped", |stage| stage.ordered("stop ") == 3).await;
    assert!(stage.view().fleet.replicas.iter().all(|replica| replica.release == Some(new)));
    assert_eq!((stage.ordered("start 1.3 "), stage.ordered("start 2.2 ")), (1, 1), "{:?}", stage.orders());
}

#[tokio::test]
async fn what_runs_something_else_at_the_start_is_left_alone_until_it_is_deployed() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(1).await;
    drop(stage);
    let next = Release::of_hash(7);
    let scene = scene().stored_in(&folder).scripted(|script| script.release = next);
    let stage = scene.finds("1.1 web_1").set().await;
    stage.control.handle.whole().await;
    stage.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap();
    let releases: Vec<_> = stage.view().fleet.replicas.iter().map(|replica| replica.release).collect();
    assert_eq!(releases, [Some(Release::default()), Some(next)]);
    assert_eq!(stage.ordered("stop"), 0);
}

#[tokio::test]
async fn whoever_is_started_after_a_restart_runs_what_was_deployed_last_whatever_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(2).await;
    deploy(&stage, "good").await.unwrap();
    assert_eq!(course(&stage).await, Course::Done);
    let good = stage.driver.script().recipes.keys().next().copied().unwrap();
    assert!(stored_text(&folder).contains("\"good\""), "{}", stored_text(&folder));
    stage.driver.script().failures = ["bad", "bad", "bad"].map(str::to_owned).into();
    deploy(&stage, "bad").await.unwrap();
    assert!(matches!(course(&stage).await, Course::RolledBack(_)));
    let stored = stored_text(&folder);
    assert!(stored.contains("\"good\"") && !stored.contains("\"bad\""), "only what may be started: {stored}");
    drop(stage);
    // What the configuration says now is another one, and nothing of the fleet is left.
    let asked = Release::of_hash(7);
    let stage = scene().stored_in(&folder).scripted(|script| script.release = asked).set().await;
    stage.control.handle.whole().await;
    let started = stage.orders();
    assert!(
        started.len() == 2 && started.iter().all(|order| order.ends_with(&good.to_string())),
        "{started:?}"
    );
    drop(stage);
    // A file that says nothing of it is of an earlier version, or was changed by hand.
    let text = stored_text(&folder);
    let (before, recipes) = text.split_once(",\"recipes\"").unwrap();
    assert!(recipes.ends_with("}}"), "{recipes}");
    std::fs::write(stage::stored_file(&folder), format!("{before}}}")).unwrap();
    let stage = scene().stored_in(&folder).scripted(|script| script.release = asked).set().await;
    stage.control.handle.whole().await;
    assert!(stage.orders().iter().all(|order| order.ends_with(&asked.to_string())), "{:?}", stage.orders());
}

#[tokio::test]
async fn what_is_stored_and_can_be_read_only_later_counts_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(1).await;
    deploy(&stage, "good").await.unwrap();
    assert_eq!(course(&stage).await, Course::Done);
    let good = stage.view().fleet.replicas[0].release.unwrap();
    drop(stage);
    let store = Unreadable { state: stage::open(folder.path()).await, reads: AtomicUsize::new(0) };
    let scene = scene().stored_by(Arc::new(store)).scripted(|script| script.release = Release::of_hash(7));
    let stage = scene.without_engine(1).set().await;
    stage.control.handle.begun().await;
    stage.control.handle.whole().await;
    assert!(stage.orders().iter().all(|order| order.ends_with(&good.to_string())), "{:?}", stage.orders());
}

/// A store that cannot be read the first time.
#[derive(Debug)]
struct Unreadable {
    state: StateDir,
    reads: AtomicUsize,
}

impl Store for Unreadable {
    fn read(&self, service: &str) -> BoxFuture<'static, Result<Option<Stored>, StoreError>> {
        let path = self.location(service).into();
        let refused = StoreError::NotRead { path, why: "not now".into() };
        let is_first = self.reads.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { ready(Err(refused)).boxed() } else { self.state.read(service) }
    }

    fn write(&self, service: &str, next: &Stored) -> BoxFuture<'static, Result<Revision, StoreError>> {
        self.state.write(service, next)
    }

    fn watch(&self, service: &str) -> watch::Receiver<Revision> {
        self.state.watch(service)
    }

    fn outlasts_fleets(&self) -> bool {
        true
    }

    fn location(&self, service: &str) -> String {
        self.state.location(service)
    }
}

#[tokio::test]
async fn in_a_folder_that_nobody_chose_what_was_deployed_goes_with_the_last_replica() {
    let folder = tempfile::tempdir().unwrap();
    let store = || Arc::new(control::StateDir::open(folder.path(), false).unwrap());
    let stage = scene().stored_by(store()).set().await;
    stage.fill(1).await;
    deploy(&stage, "good").await.unwrap();
    assert_eq!(course(&stage).await, Course::Done);
    let good = stage.view().fleet.replicas[0].release.unwrap();
    let asked = Release::of_hash(7);
    drop(stage);
    let mut expected = vec![(true, good), (false, asked)];
    while let Some((is_left, release)) = expected.pop() {
        std::fs::copy(stage::stored_file(&folder), folder.path().join("kept")).unwrap();
        let state = loop {
            match control::StateDir::open(folder.path(), false) {
                Ok(state) => break Arc::new(state),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let scene = scene().stored_by(state).with(|settings| settings.replicas = 1);
        let scene = scene.scripted(|script| script.release = asked);
        let scene = if is_left { scene.finds("1.9 web_left") } else { scene };
        let stage = scene.set().await;
        stage.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap();
        let started = stage.orders();
        assert!(started.iter().all(|order| order.ends_with(&release.to_string())), "{is_left}: {started:?}");
        drop(stage);
        std::fs::copy(folder.path().join("kept"), stage::stored_file(&folder)).unwrap();
    }
}

#[tokio::test]
async fn a_rollout_that_a_restart_interrupts_can_still_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(1).await;
    deploy(&stage, "good").await.unwrap();
    assert_eq!(course(&stage).await, Course::Done);
    stage.driver.script().address = dead();
    let begun = deploy(&stage, "bad").await.unwrap();
    let (good, bad) = begun.fleet.rollout.as_ref().map(|rollout| (rollout.from, rollout.to)).unwrap();
    stage.eventually("it is tried", |stage| stage.ordered("start 1.3") == 1).await;
    drop(stage);
    let scene = scene().stored_in(&folder).scripted(|script| {
        script.releases = BTreeMap::from([(life("1.2"), good)]);
        script.failures = ["bad", "bad", "bad"].map(str::to_owned).into();
    });
    let stage = scene.finds("1.2 web_1").set().await;
    let Course::RolledBack(failure) = course(&stage).await else { panic!("{:?}", stage.view()) };
    assert!(failure.to_string().contains("bad"), "{failure:?}");
    assert_eq!(stage.view().fleet.replicas[0].release, Some(good));
    assert!(!stored_text(&folder).contains(&bad.to_string()), "{}", stored_text(&folder));
}

#[tokio::test]
async fn a_deployment_that_cannot_be_stored_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stage = scene().stored_in(&folder).set().await;
    stage.fill(2).await;
    let before = stored_text(&folder);
    // A folder where the new file would have to be.
    std::fs::create_dir(folder.path().join("web.new")).unwrap();
    let refused = deploy(&stage, "next").await.unwrap_err();
    assert!(matches!(refused, EditError::NotStored(_)), "{refused}");
    assert!(stage.view().fleet.rollout.is_none() && stage.ordered("start") == 2, "{:?}", stage.orders());
    std::fs::remove_dir(folder.path().join("web.new")).unwrap();
    assert_eq!(stored_text(&folder), before);
    // Nor one that nobody could read again.
    let refused = deploy(&stage, &"x".repeat(17 << 20)).await.unwrap_err();
    assert!(refused.to_string().contains("is the most"), "{refused}");
    assert_eq!(stored_text(&folder), before);
}

#[tokio::test]
async fn a_pause_empties_the_table_and_touches_no_replica() {
    let stage = scene().set().await;
    stage.fill(2).await;
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    let view = stage.control.handle.pause(Duration::from_secs(60)).await.unwrap();
    assert!(view.paused_until.is_some() && view.fleet.ready() == 2);
    {
        let table = stage.control.table.load();
        assert!(table.claim(Key::of(b"x"), &[]).is_none() && table.has_members());
        assert!(table.hold() > Duration::from_secs(30));
        assert!(claim.gate.is_open(), "who is inside goes on");
    }
    stage.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap();
    assert!(stage.control.table.load().claim(Key::of(b"x"), &[]).is_none(), "edits do not end it");
    stage.control.handle.resume().await.unwrap();
    assert!(stage.control.table.load().claim(Key::of(b"x"), &[]).is_some());
    stage.control.handle.pause(Duration::from_millis(50)).await.unwrap();
    stage.eventually("it ends by itself", |stage| stage.view().paused_until.is_none()).await;
    assert!(stage.control.table.load().claim(Key::of(b"x"), &[]).is_some());
}
