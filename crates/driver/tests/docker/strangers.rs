//! What strangers can do with labels: nothing. Whoever copies them, or brings them in an image, is neither
//! adopted nor stopped nor removed, and not even reported.

use std::time::Duration;

use driver::{Driver, StartOrder};
use fleet::{Event, FoundState, Life, StopHow};

use crate::rig::{Guard, Rig, docker, labels_of, states, succeeds};

/// How long it is waited for news that must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// The labels of the first life of a seat, but for what only we can make.
fn forged(rig: &Rig, name: &str, seat: u32) -> Vec<String> {
    let owner = &rig.settings.owner;
    let seal = format!("{:032x}.{:064x}", 1, 2);
    [
        format!("evenkeel.owner={owner}"),
        "evenkeel.service=web".into(),
        format!("evenkeel.seat={seat}"),
        "evenkeel.incarnation=1".into(),
        format!("evenkeel.name={name}"),
        "evenkeel.spec=0000000000000000".into(),
        "evenkeel.release=0000000000000000".into(),
        format!("evenkeel.seal={seal}"),
    ]
    .into()
}

fn state(container: &str) -> String {
    docker(&["inspect", "-f", "{{.Id}} {{.State.Status}}", container])
}

#[tokio::test]
async fn labels_of_an_image_make_nothing_ours() {
    let Some(mut rig) = Rig::up("image-labels", |_| {}).await else { return };
    let (order, volume) = (rig.order(7), format!("{}-volume", rig.settings.owner));
    let labels: Vec<String> =
        forged(&rig, order.name.as_str(), 7).iter().map(|one| one.replacen('=', "=\"", 1) + "\"").collect();
    let image = format!("evenkeel-hostile:{}", rig.settings.owner);
    let file = format!("FROM {}\nLABEL {}\nVOLUME /own\n", rig.settings.image, labels.join(" "));
    let build =
        ["sh", "-c", "printf '%s' \"$0\" | docker build --quiet --tag \"$1\" - >/dev/null", &file, &image];
    assert!(std::process::Command::new(build[0]).args(&build[1..]).status().unwrap().success());
    let called = rig.container(&order);
    let name = called.as_str();
    let remove = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let _guard = Guard(vec![
        remove(&["rm", "-fv", name]),
        remove(&["rmi", &image]),
        remove(&["volume", "rm", &volume]),
    ]);
    let mount = format!("{volume}:/named");
    docker(&[
        "run",
        "-d",
        "--name",
        name,
        "--volume",
        &mount,
        "--network",
        &rig.settings.network,
        &image,
        "/bin/sleep",
        "600",
    ]);
    let before = state(name);
    let volumes = "{{range .Mounts}}{{.Name}} {{end}}";
    let mounted = docker(&["inspect", "-f", volumes, name]);
    assert_eq!(mounted.split(' ').count(), 2, "{mounted}");

    assert_eq!(states(&rig.driver.list().await.unwrap()), []);
    assert_eq!(rig.driver.names_of_strangers(), std::slice::from_ref(&order.name));
    for how in [StopHow::Graceful, StopHow::Now] {
        rig.driver.stop(order.life, how).await.unwrap();
    }
    assert!(!rig.driver.is_frozen(order.life).await.unwrap());
    let refused = rig.driver.start(order.clone()).await.unwrap_err().in_full();
    assert!(refused.contains("cannot be proved") && refused.contains("docker rm --force"), "{refused}");
    let (again, _events) = rig.sibling(|_| {}).await;
    again.prepare().await.unwrap();
    assert_eq!(states(&again.list().await.unwrap()), []);
    assert_eq!(state(name), before);
    for volume in mounted.split(' ') {
        assert!(succeeds(&["volume", "inspect", volume]), "{volume}");
    }
    // Nor is anything told of it.
    docker(&["pause", name]);
    docker(&["unpause", name]);
    docker(&["kill", name]);
    assert!(tokio::time::timeout(SILENCE, rig.events.recv()).await.is_err());
}

#[tokio::test]
async fn a_copy_of_all_labels_is_nobody_under_another_name_and_under_the_same() {
    let Some(mut rig) = Rig::up("copied", |_| {}).await else { return };
    let order = rig.order(1);
    let address = rig.driver.start(order.clone()).await.unwrap();
    let called = rig.container(&order);
    let labels = labels_of(&called);
    assert!(labels.iter().any(|label| label.starts_with("evenkeel.seal=")), "{labels:?}");
    let copy = format!("{called}-copy");
    rig.create(&copy, &labels);
    docker(&["start", &copy]);
    let running = FoundState::Running { address, is_frozen: false };
    let (again, mut events) = rig.sibling(|_| {}).await;
    again.prepare().await.unwrap();
    for driver in [&rig.driver, &again] {
        assert_eq!(states(&driver.list().await.unwrap()), [(order.life, running.clone())]);
        assert!(!driver.is_frozen(order.life).await.unwrap());
    }
    docker(&["kill", &copy]);
    assert!(tokio::time::timeout(SILENCE, events.recv()).await.is_err(), "its end is no news of the life");
    docker(&["start", &copy]);
    again.stop(order.life, StopHow::Now).await.unwrap();
    assert!(!succeeds(&["inspect", &called]));
    assert!(state(&copy).ends_with(" running"));

    // The name is free now, and the labels are known to whoever has asked the engine before.
    let same = rig.create(&called, &labels);
    docker(&["start", &rig.container(&order)]);
    let (last, _events) = rig.sibling(|_| {}).await;
    last.prepare().await.unwrap();
    for driver in [&again, &last] {
        assert_eq!(states(&driver.list().await.unwrap()), []);
        driver.stop(order.life, StopHow::Now).await.unwrap();
        let next = StartOrder { life: Life { incarnation: 2, ..order.life }, ..order.clone() };
        let refused = driver.start(next).await.unwrap_err().in_full();
        assert!(refused.contains("cannot be proved"), "{refused}");
    }
    assert_eq!(state(&rig.container(&order)), format!("{same} running"));
    // The first one saw its own end, and nothing of the copies.
    let mut told = 0;
    while let Ok(Some(event)) = tokio::time::timeout(SILENCE, rig.events.recv()).await {
        told += usize::from(matches!(event, Event::Exited(life, _) if life == order.life));
    }
    assert!(told <= 2, "{told} ends of one life are told");
}

#[tokio::test]
async fn a_renamed_replica_is_still_ours() {
    let Some(rig) = Rig::up("renamed", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    docker(&["rename", &rig.container(&order), &format!("{}-new", rig.container(&order))]);
    let found = rig.driver.list().await.unwrap();
    assert_eq!((found.len(), found[0].life), (1, order.life));
    assert_eq!(found[0].name, order.name, "it is the replica that it was");
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
    assert_eq!(rig.containers(), "");
}

#[tokio::test]
async fn without_what_was_written_down_nothing_is_ours() {
    let Some(rig) = Rig::up("state-lost", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    let before = state(&rig.container(&order));
    let lost = rig.settings.records.folder.join("containers/web");
    std::fs::rename(&lost, rig.settings.records.folder.join("away")).unwrap();
    let other_secret = |settings: &mut driver::DockerSettings| {
        settings.records.secret = files::Secret::of([9; 32]);
    };
    let (no_records, _e1) = rig.sibling(|_| {}).await;
    let (no_secret, _e2) = rig.sibling(other_secret).await;
    for driver in [&no_records, &no_secret] {
        driver.prepare().await.unwrap();
        assert_eq!(states(&driver.list().await.unwrap()), []);
        assert_eq!(driver.names_of_strangers(), std::slice::from_ref(&order.name));
        driver.stop(order.life, StopHow::Now).await.unwrap();
    }
    assert_eq!(state(&rig.container(&order)), before);
}

#[tokio::test]
async fn a_network_with_our_label_that_we_did_not_make_is_left() {
    let Some(rig) = Rig::up("net-label", |_| {}).await else { return };
    let network = &rig.settings.network;
    let labels =
        docker(&["network", "inspect", "-f", "{{range $k, $v := .Labels}}{{$k}}={{$v}}\n{{end}}", network]);
    let labels: Vec<&str> = labels.lines().flat_map(|label| ["--label", label]).collect();
    assert!(labels.iter().any(|label| label.starts_with("evenkeel.seal=")), "{labels:?}");
    docker(&["network", "rm", network]);
    docker(&[&["network", "create"], labels.as_slice(), &[network]].concat());
    rig.driver.tidy_up().await.unwrap();
    assert!(succeeds(&["network", "inspect", network]), "a copy of all its labels is not it");
}
