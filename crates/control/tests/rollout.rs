//! Rollouts and pauses through the reconciler, with a driver that does what its script says: what is
//! ordered, what is stored, and what a start makes of a rollout that was interrupted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::{Deploy, EditError, ServiceView};
use driver::{ProcessSettings, ReplicaEnvironment, ServerId, Spec};
use fleet::{Address, Course, Edit, Refusal, Release, RolloutSettings};
use placement::Key;

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
