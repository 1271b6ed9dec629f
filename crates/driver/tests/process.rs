//! Child processes with Unix sockets: what they are told, and what is left of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use driver::{
    Driver, EVENTS_CAPACITY, EventSender, LifeMark, ListenedBy, PortRange, ProcessDriver, ProcessSettings,
    ReplicaEnvironment, ServerId, StartOrder,
};
use fleet::{Address, Event, Exit, FoundState, Life, Release, ReplicaName, StopHow};
use placement::Seat;
use tokio::sync::mpsc;

fn driver(script: &str, events: EventSender) -> ProcessDriver {
    let environment =
        ReplicaEnvironment { service: "web".into(), server_id: ServerId::Name, extra: BTreeMap::new() };
    let settings = ProcessSettings {
        command: ["sh", "-c", script, "{name}", "{socket}"].map(str::to_owned).into(),
        tether: Vec::new(),
        environment,
        socket: true,
        listened_by: ListenedBy::Itself,
        account: None,
        new_privileges: false,
        directory: None,
        ports: PortRange::default(),
        inherit: Vec::new(),
        stop_timeout: Duration::from_secs(10),
        secret: files::Secret::of([1; 32]),
        mark: LifeMark { owner: "test-process".into(), key: files::Secret::of([2; 32]) },
        keep: None,
    };
    ProcessDriver::new(settings, events).unwrap()
}

fn order(seat: u32) -> StartOrder {
    let life = Life { seat: Seat::new(seat).unwrap(), incarnation: 1 };
    let name = ReplicaName::parse(&format!("web_{seat}")).unwrap();
    StartOrder { life, name, release: Release::default() }
}

async fn exit(events: &mut mpsc::Receiver<Event>) -> (Life, Exit) {
    match tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap() {
        Event::Exited(life, exit) => (life, exit),
        other => panic!("no exit, but {other:?}"),
    }
}

fn path_of(address: &Address) -> &Path {
    match address {
        Address::Unix(path) => path,
        Address::Tcp(address) => panic!("{address} is no socket"),
    }
}

#[tokio::test]
async fn a_replica_is_told_its_socket_and_no_port() {
    let (sender, mut events) = mpsc::channel(EVENTS_CAPACITY);
    let driver = driver("echo $0 $1 $SOCKET ${PORT-none}", sender);
    let address = driver.start(order(1)).await.unwrap();
    let path = path_of(&address).display();
    let (life, exit) = exit(&mut events).await;
    assert_eq!(life, order(1).life);
    assert_eq!(exit.last_output, [format!("web_1 {path} {path} none")]);
    driver.tidy_up().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_socket_when_its_replica_is_over_nor_of_the_folder_at_the_end() {
    let (sender, mut events) = mpsc::channel(EVENTS_CAPACITY);
    // A file stands in for the socket of a program that was killed and could not remove it.
    let driver = driver("touch $SOCKET; echo up >&2; sleep 60", sender);
    let [one, two] = [driver.start(order(1)).await.unwrap(), driver.start(order(2)).await.unwrap()];
    let [one, two] = [&one, &two].map(path_of);
    assert!(one != two && one.parent() == two.parent());
    let found = driver.list().await.unwrap();
    let listed = FoundState::Running { address: Address::unix(one).unwrap(), is_frozen: false };
    assert_eq!((found.len(), &found[0].state), (2, &listed));
    let both = async {
        while !(one.exists() && two.exists()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    driver.stop(order(1).life, StopHow::Now).await.unwrap();
    assert_eq!(exit(&mut events).await.0, order(1).life);
    assert_eq!((one.exists(), two.exists()), (false, true));
    driver.stop(order(2).life, StopHow::Now).await.unwrap();
    assert!(!two.exists() && two.parent().unwrap().exists());
    driver.tidy_up().await.unwrap();
    assert!(!two.parent().unwrap().exists());
}
