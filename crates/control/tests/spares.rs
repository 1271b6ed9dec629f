//! Spares and the reconciler: what the table has, what is stored, and that no seat waits for the disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use control::{Departure, Happening, Revision, Store, StoreError, Stored};
use fleet::{Death, Exit};
use futures_util::future::{BoxFuture, FutureExt, pending};
use tokio::sync::watch;

use stage::{Scene, Stage, life, stored_file, stored_text};

fn with_spares(spares: u32) -> Scene {
    Scene::new().with(|settings| {
        settings.fleet.spares = spares;
        settings.weights = vec![1, 7];
    })
}

/// Two replicas, and all spares ready.
async fn begun(scene: Scene) -> Stage {
    let stage = scene.set().await;
    stage.fill(2).await;
    stage.spares_are_ready().await;
    stage
}

#[tokio::test]
async fn a_spare_that_takes_a_seat_has_its_weight_is_told_of_and_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let stage = begun(with_spares(1).stored_in(&folder)).await;
    let spare = stage.view().fleet.spares[0].name.to_string();
    assert_eq!(stage.table(), "1:1.1 2:2.1");
    stage.end(life("2.1")).await;
    stage.eventually("the spare has the seat", |stage| stage.table() == "1:1.1 2:10001.1").await;
    let weights: Vec<u32> = stage.control.table.load().replicas().map(|replica| replica.weight).collect();
    assert_eq!(weights, [1, 7]);
    assert_eq!(stage.names(), ["web_1", spare.as_str()]);
    let records = stage.journal.records();
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
    stage.eventually("it is stored", |_| stored_text(&folder).contains("\"begun_in\":10001")).await;
    drop(stage);

    let scene = with_spares(1).stored_in(&folder).finds("1.1 web_1").finds(&format!("10001.1 {spare}"));
    let again = scene.finds("10001.2 web_next").set().await;
    again.eventually("all are taken over", |stage| stage.table() == "1:1.1 2:10001.1").await;
    again.spares_are_ready().await;
    assert_eq!(again.view().fleet.spares[0].name.as_str(), "web_next");
    assert_eq!(again.driver.script().orders, [""; 0]);
}

#[tokio::test]
async fn what_was_stored_before_there_were_spares_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let stored = r#"{"format":1,"generation":4,"seed":1,"replicas":[
        {"seat":1,"incarnation":3,"name":"S1"},{"seat":2,"incarnation":1,"name":"S2"}]}"#;
    std::fs::write(stored_file(&folder), stored).unwrap();
    let stage = with_spares(1).stored_in(&folder).finds("1.3 S1").finds("2.1 S2").set().await;
    stage.eventually("all are taken over", |stage| stage.table() == "1:1.3 2:2.1").await;
    stage.spares_are_ready().await;
}

#[tokio::test]
async fn a_desired_state_that_gives_two_seats_to_one_life_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stored = r#"{"format":1,"generation":4,"seed":1,"replicas":[
        {"seat":1,"begun_in":10001,"incarnation":3,"name":"S1"}],
        "spares":[{"seat":10001,"incarnation":3,"name":"S2"}]}"#;
    std::fs::write(stored_file(&folder), stored).unwrap();
    let started = with_spares(1).stored_in(&folder).try_set().await;
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

    fn write(&self, _: &str, next: &Stored) -> BoxFuture<'static, Result<Revision, StoreError>> {
        if self.is_stuck.load(Ordering::Relaxed) {
            return pending().boxed();
        }
        let next = next.revision.next();
        self.revision.send_replace(next);
        async move { Ok(next) }.boxed()
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
    let stage = begun(with_spares(2).stored_by(disk.clone())).await;
    disk.is_stuck.store(true, Ordering::Relaxed);
    stage.end(life("2.1")).await;
    stage.eventually("the first seat is taken", |stage| stage.table() == "1:1.1 2:10001.1").await;
    stage.end(life("1.1")).await;
    stage.eventually("and the second", |stage| stage.table().starts_with("1:1000")).await;
    stage.spares_are_ready().await;
    assert_eq!(stage.view().fleet.spares.len(), 2);
}
