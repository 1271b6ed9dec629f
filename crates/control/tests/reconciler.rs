//! The reconciler with a driver that does what its script says: what is ordered, stored, answered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use control::{EditError, Happening, StateDir, Store, Stored};
use fleet::{Address, Desired, Edit, ReplicaName};
use placement::Key;
use tokio::net::UnixListener;

use stage::{Scene, answer, listener, open, stored_file, stored_text};

/// A web server that answers every heartbeat well, on a Unix socket.
fn healthy_at(path: &Path) -> Address {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Address::unix(path).unwrap()
}

/// A web server that answers one connection of three, and lets the others wait.
fn lossy() -> (Address, Arc<AtomicUsize>) {
    let (address, listener) = listener();
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
    (address, connections)
}

#[tokio::test]
async fn a_heartbeat_that_is_lost_is_put_again_in_time() {
    let (address, connections) = lossy();
    let scene = Scene::new().with(|settings| {
        settings.heartbeat.every = Duration::from_millis(150);
        settings.heartbeat.timeout = Duration::from_millis(150);
    });
    let stage = scene.set().await;
    stage.fill(2).await;
    // The third one is lossy; were it ejected, it would not be more than half of them.
    stage.driver.script().address = address;
    stage.edit(Edit::Scale { count: 3 }).await.unwrap();
    stage.eventually("it was asked often", |_| connections.load(Ordering::Relaxed) > 40).await;
    let records = stage.journal.records();
    let is_out = records.iter().any(|record| matches!(record.happening, Happening::OutOfTable(_)));
    assert!(!is_out, "{records:?}");
}

#[tokio::test]
async fn an_addition_is_answered_when_the_table_has_it_and_a_removal_when_it_has_not() {
    let stage = Scene::new().set().await;
    let view = stage.fill(3).await;
    assert_eq!((view.fleet.replicas.len(), view.fleet.ready()), (3, 3));
    assert_eq!(stage.control.table.load().replicas().count(), 3);
    let names = vec![ReplicaName::parse("web_2").unwrap()];
    let view = stage.edit(Edit::Remove { count: 1, names }).await.unwrap();
    assert_eq!(view.fleet.names().map(ToString::to_string).collect::<Vec<_>>(), ["web_1", "web_3"]);
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
    let stage = Scene::new().scripted(|script| script.address = address.clone()).set().await;
    let view = stage.fill(1).await;
    assert_eq!((view.fleet.ready(), &view.fleet.replicas[0].address), (1, &Some(address)));
    std::fs::remove_file(&path).unwrap();
    stage.eventually("it is replaced", |stage| stage.orders().contains(&"kill 1.1".into())).await;
}

#[tokio::test]
async fn nobody_is_stopped_while_a_request_is_inside() {
    let stage = Scene::new().set().await;
    stage.fill(1).await;
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    stage.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap();
    // More edits pass through the reconciler, so it has had every occasion.
    for _ in 0..3 {
        stage.edit(Edit::Scale { count: 0 }).await.unwrap();
    }
    assert_eq!(stage.orders(), ["start 1.1 web_1"]);
    drop(claim);
    stage.eventually("it is stopped", |stage| stage.orders() == ["start 1.1 web_1", "stop 1.1"]).await;
}

#[tokio::test]
async fn an_addition_whose_driver_fails_is_undone() {
    let scene = Scene::new();
    let failures = ["no image", "no image", "no image"].map(str::to_owned);
    let stage = scene.scripted(|script| script.failures = failures.into()).set().await;
    let error = stage.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap_err();
    assert!(matches!(&error, EditError::Undone(why) if why.contains("no image")), "{error}");
    assert!(stage.names().is_empty());
    stage.fill(1).await;
    assert_eq!(stage.names(), ["web_1"]);
}

#[tokio::test]
async fn an_edit_that_other_additions_stand_in_the_way_of_waits_for_them() {
    let stage = Scene::new().set().await;
    let handle = &stage.control.handle;
    // The second and third are refused as long as the first is pending, and right after it.
    let name = || vec![ReplicaName::parse("S5").unwrap()];
    let (first, second, third) = tokio::join!(
        handle.edit(Edit::Add { count: 1, names: name() }),
        handle.edit(Edit::Add { count: 1, names: name() }),
        handle.edit(Edit::Remove { count: 1, names: name() }),
    );
    assert_eq!(first.unwrap().fleet.replicas.len(), 1);
    assert!(matches!(second, Err(EditError::Refused(_))));
    assert_eq!(third.unwrap().fleet.replicas.len(), 0);
}

#[tokio::test]
async fn the_desired_state_is_stored_before_it_is_answered_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Scene::new().stored_in(&folder).set().await;
    stage.fill(2).await;
    let names = vec![ReplicaName::parse("S5").unwrap()];
    stage.edit(Edit::Add { count: 1, names }).await.unwrap();
    let stored = stored_text(&folder);
    assert!(stored.contains("\"S5\""), "{stored}");
    drop(stage);
    let again = Scene::new().stored_in(&folder).set().await;
    assert_eq!(again.names(), ["web_1", "web_2", "S5"]);
    again.control.handle.whole().await;
    assert_eq!(again.orders(), ["start 1.2 web_1", "start 2.2 web_2", "start 3.2 S5"]);
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Scene::new().stored_in(&folder).set().await;
    stage.fill(2).await;
    // Nobody, not even root, can write a file where a folder is.
    std::fs::create_dir(folder.path().join("web.new")).unwrap();
    let error = stage.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap_err();
    assert!(matches!(error, EditError::NotStored(_)), "{error}");
    let error = stage.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap_err();
    assert!(matches!(error, EditError::NotStored(_)), "{error}");
    assert_eq!(stage.names(), ["web_1", "web_2"]);
    assert_eq!(stage.control.table.load().replicas().count(), 2);
    std::fs::remove_dir(folder.path().join("web.new")).unwrap();
    stage.edit(Edit::Remove { count: 1, names: Vec::new() }).await.unwrap();
    assert_eq!(stage.names().len(), 1);
}

#[tokio::test]
async fn what_somebody_else_has_stored_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path()).await;
    let stage = Scene::new().stored_by(Arc::new(state.clone())).set().await;
    stage.fill(2).await;
    let stored = state.read("web").await.unwrap().unwrap();
    let others = Desired { generation: 7, ..stored.desired.clone() };
    state.write("web", &Stored { desired: others.clone(), ..stored }).await.unwrap();
    for _ in 0..2 {
        let edit = Edit::Remove { count: 1, names: Vec::new() };
        let error = stage.edit(edit).await.unwrap_err().to_string();
        assert!(error.contains("somebody else has changed") && error.contains("web.wish"), "{error}");
    }
    assert_eq!(stage.names(), ["web_1", "web_2"]);
    assert_eq!(state.read("web").await.unwrap().unwrap().desired, others);
}

#[tokio::test]
async fn in_a_folder_that_nobody_chose_what_is_stored_goes_with_the_last_replica() {
    let folder = tempfile::tempdir().unwrap();
    // Not even damage matters.
    std::fs::write(stored_file(&folder), "{").unwrap();
    let state = StateDir::open(folder.path(), false).unwrap();
    let stage = Scene::new().stored_by(Arc::new(state.clone())).set().await;
    assert!(!stage.is_restored());
    stage.fill(1).await;
    assert_eq!(state.read("web").await.unwrap().unwrap().desired.replicas.len(), 1);
}

#[tokio::test]
async fn a_desired_state_that_cannot_be_read_is_refused_with_its_path() {
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
        std::fs::write(stored_file(&folder), &text).unwrap();
        let started = Scene::new().stored_in(&folder).try_set().await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("web.wish"), "{text}: {error}");
    }
}

#[tokio::test]
async fn what_runs_is_adopted_and_what_nobody_wants_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let first = Scene::new().stored_in(&folder).set().await;
    first.fill(2).await;
    drop(first);
    let scene = Scene::new().stored_in(&folder).finds("1.4 web_abcdef").finds("2.1 web_2");
    let stage = scene.finds("7.1 web_7").set().await;
    stage.control.handle.whole().await;
    assert_eq!(stage.names(), ["web_abcdef", "web_2"]);
    stage.eventually("the stranger is stopped", |stage| stage.orders() == ["stop 7.1"]).await;
}

#[tokio::test]
async fn a_fleet_that_was_only_begun_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new().with(|settings| settings.replicas = 3);
    let stage = scene.stored_in(&folder).finds("2.1 web_2").set().await;
    assert!(!stage.is_restored());
    stage.control.handle.whole().await;
    assert_eq!(stage.names(), ["web_2", "web_1", "web_3"]);
    let stored = stored_text(&folder);
    assert!(stored.contains("web_1") && stored.contains("web_2"), "{stored}");
}

#[tokio::test]
async fn what_a_fleet_begins_with_is_tried_until_it_comes_up() {
    let scene = Scene::new().with(|settings| settings.replicas = 2);
    let failures = ["no image", "no image", "no image"].map(str::to_owned);
    let stage = scene.scripted(|script| script.failures = failures.into()).set().await;
    assert_eq!(stage.names().len(), 2);
    stage.control.handle.whole().await;
    assert_eq!(stage.ordered("start"), 5, "{:?}", stage.orders());
}

#[tokio::test]
async fn a_service_begins_when_its_driver_can_and_says_why_it_has_not() {
    let scene = Scene::new().with(|settings| settings.replicas = 1);
    let stage = scene.without_engine(2).set().await;
    assert_eq!(stage.view().beginning.failure(), Some("no engine"));
    assert!(stage.table().is_empty());
    let error = stage.edit(Edit::Add { count: 1, names: Vec::new() }).await.unwrap_err();
    assert!(matches!(&error, EditError::NotBegun(why) if why == "no engine"), "{error}");
    stage.control.handle.begun().await;
    stage.control.handle.whole().await;
    assert_eq!((stage.table().as_str(), stage.names().len()), ("1:1.1", 1));
    let told: Vec<_> = stage.journal.records().iter().map(|record| record.happening.clone()).collect();
    assert!(matches!(&told[..2], [Happening::CannotStart { .. }, Happening::CanStart]), "{told:?}");
}

#[tokio::test]
async fn a_service_that_has_not_begun_ends_when_it_is_told_to() {
    let scene = Scene::new().with(|settings| settings.replicas = 1);
    let stage = scene.without_engine(1000).set().await;
    stage.control.handle.retire().await;
    let error = stage.edit(Edit::Scale { count: 1 }).await.unwrap_err();
    assert!(matches!(error, EditError::Stopping), "{error}");
    assert!(stage.orders().is_empty());
}

#[tokio::test]
async fn retiring_stops_everybody_and_keeps_the_desired_state() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Scene::new().stored_in(&folder).set().await;
    stage.fill(2).await;
    stage.control.handle.retire().await;
    assert_eq!(stage.orders()[2..], ["stop 1.1", "stop 2.1"]);
    let error = stage.edit(Edit::Scale { count: 1 }).await.unwrap_err();
    assert!(matches!(error, EditError::Stopping), "{error}");
    let stored = stored_text(&folder);
    assert!(stored.contains("web_1") && stored.contains("web_2"), "{stored}");
}
