//! The Docker driver against a real engine: every claim here is about real containers.
//!
//! Without an engine the tests say so and pass, unless `EVENKEEL_REQUIRE_DOCKER=1` is set. Each
//! makes its own image, network and owner, and removes all of it, also when it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper cannot do fails the test")]

#[path = "docker/exits.rs"]
mod exits;
#[path = "docker/fittings.rs"]
mod fittings;
#[path = "docker/output.rs"]
mod output;
#[path = "docker/peers.rs"]
mod peers;
#[path = "docker/rig.rs"]
mod rig;
#[path = "docker/strangers.rs"]
mod strangers;

use std::time::Instant;

use driver::{DockerDriver, Driver, EVENTS_CAPACITY, StartOrder};
use fleet::{Event, Exit, FoundState, Life, StopHow};
use tokio::sync::mpsc;

use rig::{Guard, Rig, docker, settings, shell, states, succeeds, tcp};

#[tokio::test]
async fn a_started_container_carries_labels_and_hardening_and_is_listed() {
    let Some(rig) = Rig::up("labels", |settings| {
        settings.memory = Some(64 << 20);
        settings.cpus = Some(0.5);
    })
    .await
    else {
        return;
    };
    let order = rig.order(1);
    let address = tcp(rig.driver.start(order.clone()).await.unwrap());
    assert_eq!(address.port(), 5000);

    let name = order.name.as_str();
    for (template, expected) in [
        ("{{index .Config.Labels \"evenkeel.owner\"}}", rig.settings.owner.as_str()),
        ("{{index .Config.Labels \"evenkeel.service\"}}", "web"),
        ("{{index .Config.Labels \"evenkeel.seat\"}}", "1"),
        ("{{index .Config.Labels \"evenkeel.incarnation\"}}", "1"),
        ("{{len (index .Config.Labels \"evenkeel.spec\")}}", "16"),
        ("{{.Config.Hostname}}", name),
        ("{{.HostConfig.SecurityOpt}}", "[no-new-privileges]"),
        ("{{.HostConfig.CapDrop}}", "[ALL]"),
        ("{{.HostConfig.RestartPolicy.Name}}", "no"),
        ("{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", "67108864 67108864"),
        ("{{.HostConfig.NanoCpus}}", "500000000"),
        (
            "{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}}",
            "json-file map[max-file:3 max-size:10m]",
        ),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", &address.ip().to_string()),
    ] {
        assert_eq!(docker(&["inspect", "-f", template, &rig.container(&order)]), expected, "{template}");
    }
    let variables = docker(&["inspect", "-f", "{{.Config.Env}}", &rig.container(&order)]);
    for variable in [format!("SERVER_ID={name}"), "PORT=5000".into(), "EVENKEEL_SEAT=1".into()] {
        assert!(variables.contains(&variable), "{variable} in {variables}");
    }
    let found = rig.driver.list().await.unwrap();
    assert_eq!(
        states(&found),
        [(order.life, FoundState::Running { address: address.into(), is_frozen: false })]
    );
    assert_eq!(found[0].name, order.name);
}

#[tokio::test]
async fn stop_removes_gracefully_or_now_and_what_is_gone_is_no_error() {
    let Some(rig) = Rig::up("stop", |_| {}).await else { return };
    for (seat, how) in [(1, StopHow::Graceful), (2, StopHow::Now)] {
        let order = rig.order(seat);
        rig.driver.start(order.clone()).await.unwrap();
        let begun = Instant::now();
        rig.driver.stop(order.life, how).await.unwrap();
        println!("stopped {how:?} within {:?}", begun.elapsed());
        assert_eq!(rig.containers(), "", "{how:?}");
        rig.driver.stop(order.life, how).await.unwrap();
    }
    rig.driver.tidy_up().await.unwrap();
    assert!(!succeeds(&["network", "inspect", &rig.settings.network]), "an empty network of ours goes");
    rig.driver.tidy_up().await.unwrap();
}

#[tokio::test]
async fn a_removal_that_is_under_way_is_waited_for() {
    let Some(rig) = Rig::up("removal", |_| {}).await else { return };
    let life = rig.order(1).life;
    rig.driver.start(rig.order(1)).await.unwrap();
    let stop = || async {
        rig.driver.stop(life, StopHow::Now).await.unwrap();
        assert_eq!(rig.containers(), "", "stopped means gone");
    };
    tokio::join!(stop(), stop(), stop());
}

#[tokio::test]
async fn a_network_that_is_in_use_or_not_ours_is_left() {
    let Some(rig) = Rig::up("network", |_| {}).await else { return };
    rig.driver.start(rig.order(1)).await.unwrap();
    rig.driver.tidy_up().await.unwrap();
    assert!(succeeds(&["network", "inspect", &rig.settings.network]));

    let foreign = format!("{}-foreign", rig.settings.network);
    docker(&["network", "create", &foreign]);
    let _guard = Guard(vec![vec!["network".into(), "rm".into(), foreign.clone()]]);
    let (guest, _events) = rig.sibling(|settings| settings.network = foreign.clone()).await;
    guest.prepare().await.unwrap();
    guest.tidy_up().await.unwrap();
    assert!(succeeds(&["network", "inspect", &foreign]));
}

#[tokio::test]
async fn a_network_is_known_by_its_whole_name_and_not_by_the_beginning_of_its_id() {
    let Some(rig) = Rig::up("prefix", |_| {}).await else { return };
    let id = docker(&["network", "inspect", "-f", "{{.Id}}", &rig.settings.network]);
    let name = &id[..8];
    let (guest, _events) = rig.sibling(|settings| settings.network = name.to_owned()).await;
    guest.prepare().await.unwrap();
    let filter = format!("name=^{name}$");
    let made = docker(&["network", "ls", "--no-trunc", "-q", "--filter", &filter]);
    let order = rig.order(1);
    let started = guest.start(order.clone()).await;
    let networks = docker(&["inspect", "-f", "{{json .NetworkSettings.Networks}}", &rig.container(&order)]);
    guest.stop(order.life, StopHow::Now).await.unwrap();
    guest.tidy_up().await.unwrap();
    assert!(made.len() == id.len() && made != id, "one of its own was made: {made}");
    assert!(started.is_ok() && networks.contains(&made), "{networks}");
    assert!(succeeds(&["network", "inspect", &rig.settings.network]), "the other one is left alone");
    assert!(!succeeds(&["network", "inspect", &made]), "and this one goes");
}

#[tokio::test]
async fn one_that_ends_at_once_fails_to_start_or_is_reported() {
    let Some(mut rig) = Rig::up("at-once", |settings| {
        settings.command = shell("echo cannot find my configuration >&2; exit 3");
    })
    .await
    else {
        return;
    };
    let order = rig.order(1);
    // Whether it is over already when it is looked at is the engine's luck; both are told.
    match rig.driver.start(order.clone()).await {
        Ok(_) => {
            rig.exit_of(order.life, |exit| exit.code == Some(3)).await;
        }
        Err(error) => {
            let text = error.in_full();
            assert!(text.contains("ended at once: it exited with code 3"), "{text}");
            assert_eq!(rig.containers(), "");
        }
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_clear_error_and_leaves_nothing() {
    let Some(mut rig) = Rig::up("no-command", |settings| {
        settings.command = Some(vec!["/no/such/program".into()]);
    })
    .await
    else {
        return;
    };
    let error = rig.driver.start(rig.order(1)).await.unwrap_err().in_full();
    assert!(error.contains("cannot start container") && error.contains("/no/such/program"), "{error}");
    assert_eq!(rig.containers(), "");
    assert!(rig.events.try_recv().is_err(), "the answer to the order says it all");
}

#[tokio::test]
async fn a_foreign_name_is_refused_and_left_alone() {
    let Some(rig) = Rig::up("foreign", |_| {}).await else { return };
    let order = rig.order(1);
    let name = rig.container(&order);
    let _guard = Guard(vec![vec!["rm".into(), "-f".into(), name.clone()]]);
    let foreign = docker(&["run", "-d", "--name", &name, &rig.settings.image, "sleep", "600"]);

    let error = rig.driver.start(order.clone()).await.unwrap_err();
    assert_eq!(error.in_full(), format!("the name '{name}' is taken by a container that is not ours"));
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
    assert_eq!(docker(&["inspect", "-f", "{{.Id}} {{.State.Running}}", &name]), format!("{foreign} true"));
}

#[tokio::test]
async fn a_leftover_of_ours_gives_its_name_up() {
    let Some(rig) = Rig::up("leftover", |_| {}).await else { return };
    let old = rig.order(1);
    rig.driver.start(old.clone()).await.unwrap();
    docker(&["kill", &rig.container(&old)]);

    let new = StartOrder { life: Life { incarnation: 2, ..old.life }, ..old.clone() };
    let address = rig.driver.start(new.clone()).await.unwrap();
    let found = rig.driver.list().await.unwrap();
    assert_eq!(states(&found), [(new.life, FoundState::Running { address, is_frozen: false })]);
}

#[tokio::test]
async fn what_an_unanswered_creation_of_the_same_life_made_is_gone_on_with() {
    let Some(rig) = Rig::up("unanswered", |_| {}).await else { return };
    let order = rig.order(1);
    let id = rig.make_unanswered(&order).await;
    let (driver, _events) = rig.sibling(|_| {}).await;
    let address = driver.start(order.clone()).await.unwrap();
    let found = driver.list().await.unwrap();
    assert_eq!(states(&found), [(order.life, FoundState::Running { address, is_frozen: false })]);
    assert_eq!(docker(&["inspect", "-f", "{{.Id}}", &rig.container(&order)]), id);
}

#[tokio::test]
async fn a_network_that_somebody_removed_is_made_again() {
    let Some(rig) = Rig::up("no-network", |_| {}).await else { return };
    docker(&["network", "rm", &rig.settings.network]);
    let order = rig.order(1);
    let address = rig.driver.start(order.clone()).await.unwrap();
    let found = rig.driver.list().await.unwrap();
    assert_eq!(states(&found), [(order.life, FoundState::Running { address, is_frozen: false })]);
}

#[tokio::test]
async fn an_image_that_comes_is_reported() {
    let Some(mut rig) = Rig::up("image-comes", |_| {}).await else { return };
    let image = rig.settings.image.clone();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("image.tar").display().to_string();
    docker(&["save", "-o", &kept, &image]);
    docker(&["rmi", &image]);
    let error = rig.driver.start(rig.order(1)).await.unwrap_err().in_full();
    assert!(error.contains("is not on this host"), "{error}");
    docker(&["load", "-i", &kept]);
    rig.event(|event| matches!(event, Event::Recovered)).await;
    rig.driver.start(rig.order(1)).await.unwrap();
}

#[tokio::test]
async fn a_missing_image_is_a_clear_error() {
    let Some(rig) = Rig::up("image", |_| {}).await else { return };
    let (driver, _events) = rig.sibling(|settings| settings.image = "evenkeel-no-such:1".into()).await;
    let expected = "image 'evenkeel-no-such:1' is not on this host; build or pull it first \
                    (`docker pull evenkeel-no-such:1`), or say pull = \"missing\"";
    assert_eq!(driver.prepare().await.unwrap_err().in_full(), expected);
    assert_eq!(driver.start(rig.order(1)).await.unwrap_err().in_full(), expected);
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    drop(listener);
    for socket in [socket, directory.path().join("absent.sock")] {
        let (events, _receiver) = mpsc::channel(EVENTS_CAPACITY);
        let error =
            DockerDriver::connect_to(&socket, settings("absent"), events).await.unwrap_err().in_full();
        let expected = format!("cannot reach Docker at {} (is the engine running", socket.display());
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn two_drivers_with_different_owners_do_not_see_each_other() {
    let Some(rig) = Rig::up("owner-a", |_| {}).await else { return };
    let Some(mut other) = Rig::up("owner-b", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    assert!(other.driver.list().await.unwrap().is_empty());
    other.driver.stop(order.life, StopHow::Now).await.unwrap();
    assert!(matches!(rig.driver.list().await.unwrap()[0].state, FoundState::Running { .. }));

    docker(&["kill", &rig.container(&order)]);
    let mut own = rig;
    own.exit_of(order.life, |exit| exit.code.is_some()).await;
    assert!(other.events.try_recv().is_err());
}

#[tokio::test]
async fn publishing_gives_a_port_of_the_loopback_address() {
    let Some(rig) = Rig::up("publish", |settings| settings.publish = true).await else { return };
    let order = rig.order(1);
    let address = tcp(rig.driver.start(order.clone()).await.unwrap());
    assert!(address.ip().is_loopback() && address.port() != 5000, "{address}");
    let published = docker(&["port", &rig.container(&order), "5000/tcp"]);
    assert_eq!(published, address.to_string());
    let found = rig.driver.list().await.unwrap();
    assert_eq!(
        states(&found),
        [(order.life, FoundState::Running { address: address.into(), is_frozen: false })]
    );
}

#[tokio::test]
async fn one_that_never_ran_is_found_as_over_without_a_code() {
    let Some(rig) = Rig::up("created", |_| {}).await else { return };
    let order = rig.order(1);
    rig.make_unanswered(&order).await;
    let (driver, _events) = rig.sibling(|_| {}).await;
    let found = driver.list().await.unwrap();
    assert_eq!(states(&found), [(order.life, FoundState::Exited(Exit::default()))]);
    driver.stop(order.life, StopHow::Graceful).await.unwrap();
    assert_eq!(rig.containers(), "");
}

#[tokio::test]
async fn one_network_is_made_however_many_services_want_it_at_once() {
    let Some(rig) = Rig::up("race", |_| {}).await else { return };
    docker(&["network", "rm", &rig.settings.network]);
    let (one, _e1) = rig.sibling(|settings| settings.environment.service = "one".into()).await;
    let (two, _e2) = rig.sibling(|settings| settings.environment.service = "two".into()).await;
    let (first, second) = tokio::join!(one.prepare(), two.prepare());
    first.unwrap();
    second.unwrap();
    let filter = format!("name=^{}$", rig.settings.network);
    let networks = docker(&["network", "ls", "-q", "--filter", &filter]);
    assert_eq!(networks.lines().count(), 1, "{networks}");
}
