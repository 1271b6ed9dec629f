//! Services that come and go while the program runs, with real workers, sockets and requests, and
//! replicas that somebody else runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use admin::{Access, Admin, AdminListener, Sources};
use control::{Heartbeats, Journal};
use files::Secret;

use super::*;
use crate::descriptors::Budget;
use crate::entrance::{self, Entrance};
use crate::identity::Identity;

/// How long the slow answer takes: the service that gives it is removed meanwhile.
const SLOW: Duration = Duration::from_millis(300);

/// A web server that answers each request with its name, and some slowly.
fn replica(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream, name));
        }
    });
    address
}

fn serve(stream: &TcpStream, name: &str) {
    let mut reader = BufReader::new(stream);
    while let Some(head) = head(&mut reader) {
        if head.contains("/slow") {
            std::thread::sleep(SLOW);
        }
        let length = name.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The lines up to the empty one; nothing at the end of the connection.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// Asks once, over a connection of its own; status and body of the answer.
fn ask(address: SocketAddr, host: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let head = head(&mut reader).expect("there is an answer");
    let mut body = String::new();
    reader.read_to_string(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().to_string(), body)
}

fn settings(name: &str, replica: SocketAddr) -> ServiceSettings {
    let text = format!(
        "[[service]]\nname = \"{name}\"\nhost = \"{name}.test\"\ndriver = \"static\"\naddresses = [\"{replica}\"]\n"
    );
    config::parse(&text, "services.toml").unwrap().services.remove(0)
}

/// Clients that ask one service again and again, until they are told to end.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(address: SocketAddr, host: &'static str, expected: &'static str) -> Self {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = |_| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    match ask(address, host, "/") {
                        (status, body) if status == "200" && body == expected => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        (status, body) => lost.push(format!("{status} {body}")),
                    }
                }
                lost
            })
        };
        Self { clients: (0..4).map(client).collect(), is_over, answered }
    }

    async fn more(&self, count: usize) {
        let goal = self.answered.load(Ordering::Relaxed) + count;
        while self.answered.load(Ordering::Relaxed) < goal {
            tokio::task::yield_now().await;
        }
    }

    fn lost(self) -> Vec<String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// A question that this thread does not wait for: it has services to look after.
async fn asked(address: SocketAddr, host: &'static str, path: &'static str) -> (String, String) {
    tokio::task::spawn_blocking(move || ask(address, host, path)).await.unwrap()
}

/// The names that the admin API lists.
async fn listed(admin: SocketAddr) -> Vec<String> {
    // The header field that is asked for comes in by way of the host, which the tests may choose.
    let host =
        "localhost\r\nauthorization: Bearer 0707070707070707070707070707070707070707070707070707070707070707";
    let (_, body) = asked(admin, host, "/v1/services").await;
    let services: Vec<api::ServiceShape> = serde_json::from_str(&body).unwrap();
    services.into_iter().map(|service| service.name).collect()
}

#[tokio::test]
async fn a_service_comes_and_another_goes_and_nothing_of_the_one_that_stays_is_lost() {
    let first = settings("first", replica("one"));
    let program = Settings {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        services: vec![first.clone()],
        ..Settings::with_defaults()
    };
    let entrance = Entrance::open(&program, entrance::load(&program).unwrap()).unwrap();
    let address = entrance.address();
    let shared = Shared {
        identity: Identity::new("test".into(), None).unwrap(),
        reserved_names: std::collections::BTreeSet::new(),
        journal: Journal::default(),
        heartbeats: Heartbeats::start().unwrap(),
    };
    let mut services = Services::new(shared, &program);
    services.begin(first).unwrap();
    services.come_up().await.unwrap();
    services.open();

    let admin = AdminListener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let admin_address = admin.address().strip_prefix("http://").unwrap().parse().unwrap();
    let registry = services.registry().clone();
    let sources = Sources {
        services: Box::new(move || registry.handles()),
        folders: Box::new(|_| None),
        traffic: entrance.traffic(),
        explainer: Box::new(|_, _| Err("nobody asks".into())),
        deployer: Box::new(|_| Err("nobody asks".into())),
        is_ending: Arc::default(),
    };
    let access = Access { token: Some(Secret::of([7; 32])), ..Access::default() };
    tokio::spawn(Admin::new(Journal::default(), sources, access).serve(admin));
    let serving = entrance
        .serve(&program, &services, Budget { clients: 1000, replicas: 1000, requests: 1000 })
        .unwrap();
    let answer = |status: &str, body: &str| (status.to_string(), body.to_string());
    assert_eq!(asked(address, "first.test", "/").await, answer("200", "one"));
    assert_eq!(asked(address, "second.test", "/").await.0, "404");

    services.add(settings("second", replica("two"))).await.unwrap();
    assert_eq!(listed(admin_address).await, ["first", "second"]);
    let taken = services.add(settings("second", replica("three"))).await;
    assert!(taken.is_err_and(|error| error.contains("already")));
    // The workers hear of new routes at once, and beside this.
    while asked(address, "second.test", "/").await.0 == "404" {
        tokio::task::yield_now().await;
    }
    let load = Load::on(address, "second.test", "two");
    load.more(50).await;
    assert_eq!(asked(address, "first.test", "/").await, answer("200", "one"));

    let handle = services.registry().find("first").unwrap().control.handle;
    let under_way = tokio::spawn(asked(address, "first.test", "/slow"));
    let table = services.registry().find("first").unwrap().control.table;
    while table.load().replicas().all(|replica| replica.gate.claims() == 0) {
        tokio::task::yield_now().await;
    }
    services.remove("first").await.unwrap();
    assert_eq!(under_way.await.unwrap(), answer("200", "one"), "what it has it finishes");
    let view = handle.view();
    assert!(view.fleet.replicas.is_empty() && view.fleet.others.is_empty(), "{view:?}");
    assert!(table.load().replicas().next().is_none());
    assert_eq!(asked(address, "first.test", "/").await.0, "404");
    assert_eq!(listed(admin_address).await, ["second"]);
    load.more(50).await;
    assert_eq!(tokio::task::spawn_blocking(|| load.lost()).await.unwrap(), [""; 0]);
    tokio::task::spawn_blocking(|| serving.end()).await.unwrap();
}
