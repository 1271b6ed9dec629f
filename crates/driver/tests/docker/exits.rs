//! What the driver reports: exits and freezes, how fast, and through what disturbances.

use std::path::Path;
use std::time::{Duration, Instant};

use driver::{DockerDriver, DockerSettings, Driver, EVENTS_CAPACITY};
use fleet::{Event, Exit, Found, FoundState, Life, StopHow};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::rig::{PATIENCE, Rig, docker, shell, states};

#[tokio::test]
async fn a_paused_one_is_frozen_and_can_be_stopped() {
    let Some(mut rig) = Rig::up("paused", |settings| settings.stop_timeout = Duration::from_secs(1)).await
    else {
        return;
    };
    for (seat, how) in [(1, StopHow::Now), (2, StopHow::Graceful)] {
        let order = rig.order(seat);
        rig.driver.start(order.clone()).await.unwrap();
        assert!(!rig.driver.is_frozen(order.life).await.unwrap());

        docker(&["pause", &rig.container(&order)]);
        rig.event(|event| matches!(event, Event::Frozen(life, true) if *life == order.life)).await;
        assert!(rig.driver.is_frozen(order.life).await.unwrap());
        let found = rig.driver.list().await.unwrap();
        assert!(matches!(found[0].state, FoundState::Running { is_frozen: true, .. }), "{found:?}");

        let begun = Instant::now();
        rig.driver.stop(order.life, how).await.unwrap();
        println!("paused, stopped {how:?} within {:?}", begun.elapsed());
        assert_eq!(rig.containers(), "", "{how:?}");
    }
}

#[tokio::test]
async fn one_that_is_let_go_on_is_no_longer_frozen() {
    let Some(mut rig) = Rig::up("unpaused", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    docker(&["pause", &rig.container(&order)]);
    docker(&["unpause", &rig.container(&order)]);
    rig.event(|event| matches!(event, Event::Frozen(life, false) if *life == order.life)).await;
    assert!(!rig.driver.is_frozen(order.life).await.unwrap());
}

#[tokio::test]
async fn one_stopped_by_a_signal_is_frozen_too() {
    let Some(rig) = Rig::up("sigstop", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    docker(&["kill", "--signal", "STOP", &rig.container(&order)]);
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &rig.container(&order)]);
    if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
        println!("skipped: the engine's processes are not visible from here");
        return;
    }
    let begun = Instant::now();
    while !rig.driver.is_frozen(order.life).await.unwrap() {
        assert!(begun.elapsed() < PATIENCE, "a stopped replica never counted as frozen");
    }
    let found = rig.driver.list().await.unwrap();
    assert!(matches!(found[0].state, FoundState::Running { is_frozen: true, .. }), "{found:?}");
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
    assert_eq!(rig.containers(), "");
}

#[tokio::test]
async fn a_killed_one_is_reported_at_once_and_with_its_code_and_last_words() {
    let Some(mut rig) = Rig::up("killed", |_| {}).await else { return };
    for seat in 1..=3 {
        let order = rig.order(seat);
        rig.driver.start(order.clone()).await.unwrap();
        rig.has_written(&order, "up").await;

        let begun = Instant::now();
        let name = rig.container(&order);
        let killing = tokio::task::spawn_blocking(move || {
            docker(&["kill", &name]);
            begun.elapsed()
        });
        let (first, first_at) = rig.exit_of(order.life, |_| true).await;
        let (told, told_at) = match first.code {
            Some(_) => (first.clone(), first_at),
            None => rig.exit_of(order.life, |exit| exit.code.is_some()).await,
        };
        let kill_returned = killing.await.unwrap();
        println!(
            "`docker kill` returned after {kill_returned:?}; first report {:?} (code {:?}, words {:?}), with code {:?}",
            first_at - begun,
            first.code,
            first.last_output,
            told_at - begun,
        );
        assert_eq!((told.code, told.signal, told.is_out_of_memory), (Some(137), Some(9), false));

        let found = rig.driver.list().await.unwrap();
        let Some(Found { state: FoundState::Exited(exit), .. }) = found.iter().find(|f| f.life == order.life)
        else {
            panic!("{found:?}");
        };
        assert_eq!((exit.code, exit.last_output.last().map(String::as_str)), (Some(137), Some("up")));
    }
}

#[tokio::test]
async fn who_ends_within_milliseconds_has_its_last_words_and_its_code_all_the_same() {
    let change = |settings: &mut DockerSettings| settings.command = shell("echo no database; exit 7");
    let Some(mut rig) = Rig::up("brief", change).await else { return };
    for seat in 1..=10 {
        let order = rig.order(seat);
        if let Err(error) = rig.driver.start(order.clone()).await {
            let error = error.in_full();
            assert!(error.contains("code 7") && error.contains("no database"), "{error}");
            continue;
        }
        let (first, _) = rig.exit_of(order.life, |_| true).await;
        // Whoever hears of it has it removed.
        let life = order.life;
        let (told, stopped) = match first.code {
            Some(_) => (first, rig.driver.stop(life, StopHow::Now).await),
            None => {
                let Rig { driver, events, .. } = &mut rig;
                tokio::join!(told(events, life), driver.stop(life, StopHow::Now))
            }
        };
        stopped.unwrap();
        assert_eq!((told.code, told.last_output), (Some(7), vec!["no database".to_owned()]), "{seat}");
    }
    assert_eq!(rig.containers(), "");
}

/// How a life has ended.
async fn told(events: &mut mpsc::Receiver<Event>, whose: Life) -> Exit {
    let wait = async {
        loop {
            match events.recv().await.expect("the driver lives") {
                Event::Exited(life, exit) if life == whose && exit.code.is_some() => return exit,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it is told in time")
}

#[tokio::test]
async fn an_exit_is_seen_well_before_the_engine_tells_of_it() {
    let Some(mut rig) = Rig::up("latency", |_| {}).await else { return };
    for seat in 1..=5 {
        let order = rig.order(seat);
        rig.driver.start(order.clone()).await.unwrap();
        rig.has_written(&order, "up").await;
        let pid: i32 = docker(&["inspect", "-f", "{{.State.Pid}}", &rig.container(&order)]).parse().unwrap();
        let Some(pid) = rustix::process::Pid::from_raw(pid) else { panic!("no process") };
        if rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_err() {
            println!("skipped: the engine's processes are not visible from here");
            return;
        }
        let begun = Instant::now();
        let (first, first_at) = rig.exit_of(order.life, |_| true).await;
        let (_, told_at) = match first.code {
            Some(_) => (first.clone(), first_at),
            None => rig.exit_of(order.life, |exit| exit.code.is_some()).await,
        };
        println!(
            "after a kill by signal: first report {:?} (code {:?}, words {:?}), with code {:?}",
            first_at - begun,
            first.code,
            first.last_output,
            told_at - begun
        );
    }
}

#[tokio::test]
async fn one_that_uses_too_much_memory_is_reported_so() {
    let Some(mut rig) = Rig::up("memory", |settings| {
        settings.memory = Some(16 << 20);
        settings.command = shell("echo up; a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done");
    })
    .await
    else {
        return;
    };
    let order = rig.order(1);
    // It may be dead before its address is known; then the start fails and says so.
    match rig.driver.start(order.clone()).await {
        Ok(_) => {
            let (exit, _) = rig.exit_of(order.life, |exit| exit.code.is_some()).await;
            assert!(exit.is_out_of_memory, "{exit:?}");
        }
        Err(error) => assert!(error.in_full().contains("for want of memory"), "{}", error.in_full()),
    }
}

#[tokio::test]
async fn a_successor_finds_what_an_earlier_balancer_left_and_sees_it_end() {
    let Some(mut rig) = Rig::up("adopted", |_| {}).await else { return };
    let order = rig.order(1);
    let address = rig.driver.start(order.clone()).await.unwrap();
    let (successor, events) = rig.sibling(|_| {}).await;
    drop(std::mem::replace(&mut rig.driver, successor));
    rig.events = events;
    rig.driver.prepare().await.unwrap();
    let found = rig.driver.list().await.unwrap();
    assert_eq!(states(&found), [(order.life, FoundState::Running { address, is_frozen: false })]);
    docker(&["kill", &rig.container(&order)]);
    rig.exit_of(order.life, |exit| exit.code == Some(137)).await;
}

#[tokio::test]
async fn what_happens_while_the_event_stream_is_cut_is_told_afterwards() {
    let Some(mut rig) = Rig::up("cut", |_| {}).await else { return };
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let relay = relay(&socket);
    let (sender, events) = mpsc::channel(EVENTS_CAPACITY);
    rig.driver = DockerDriver::connect_to(&socket, rig.settings.clone(), sender).await.unwrap();
    rig.events = events;
    rig.driver.prepare().await.unwrap();
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    // That an event gets through shows that the stream stands.
    docker(&["pause", &rig.container(&order)]);
    docker(&["unpause", &rig.container(&order)]);
    rig.event(|event| matches!(event, Event::Frozen(_, false))).await;

    relay.abort();
    relay.await.unwrap_err();
    docker(&["kill", &rig.container(&order)]);
    let _relay = self::relay(&socket);
    let (exit, _) = rig.exit_of(order.life, |exit| exit.code.is_some()).await;
    assert_eq!(exit.code, Some(137));
}

#[tokio::test]
async fn a_dropped_driver_reports_nothing_more() {
    let Some(mut rig) = Rig::up("dropped", |_| {}).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    let (successor, _events) = rig.sibling(|_| {}).await;
    drop(std::mem::replace(&mut rig.driver, successor));
    // The channel closes when the last of the driver's tasks has let go of it.
    let end = async { while rig.events.recv().await.is_some() {} };
    tokio::time::timeout(PATIENCE, end).await.unwrap();
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &rig.container(&order)]), "true");
}

/// Stands between a driver and the engine until it is aborted, which cuts every connection.
fn relay(socket: &Path) -> JoinHandle<()> {
    std::fs::remove_file(socket).ok();
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut engine = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut engine).await.ok();
            });
        }
    })
}
