//! Strangers who send more requests than there is room for, and requests that kill whoever works on them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use proxy::{Limit, SharedLimits};
use rig::backend::{Backend, answer};
use rig::client::{self, Talk};
use rig::inside::{Inside, Set};
use rig::load::Load;
use rig::{Balancer, Rig, eventually};

/// What the system allows the balancer.
const DESCRIPTORS: u32 = 256;

/// Answers nothing until it is told to.
struct Hanging {
    backend: Backend,
    is_over: Arc<AtomicBool>,
}

impl Hanging {
    fn start() -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let over = Arc::clone(&is_over);
        let backend = Backend::start(move |_, stream| {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            answer(stream, "200 OK", "at last")
        });
        Self { backend, is_over }
    }

    fn let_go(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn static_service(name: &str, path: &str, address: SocketAddr) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\npath = \"{path}\"\ndriver = \"static\"\naddresses = [\"{address}\"]\n\
         [service.heartbeat]\nevery = \"100ms\"\ntimeout = \"100ms\"\n"
    )
}

/// Two services, one of which hangs, and few descriptors.
fn balancer(hanging: &Hanging, good: &Backend) -> Balancer {
    let hang = static_service("hang", "/hang", hanging.backend.address);
    let config = format!("workers = 2\n{hang}{}", static_service("good", "/", good.address));
    Rig::new().config(&config).descriptors(DESCRIPTORS).up()
}

/// The most descriptors that a balancer has open while somebody looks.
struct Watch {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Watch {
    fn over(balancer: &Balancer) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let (over, folder) = (Arc::clone(&is_over), format!("/proc/{}/fd", balancer.pid()));
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(std::fs::read_dir(&folder).map_or(0, Iterator::count));
                std::thread::sleep(Duration::from_millis(1));
            }
            most
        });
        Self { is_over, thread }
    }

    fn assert_some_are_left(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let most = self.thread.join().unwrap();
        assert!(most < DESCRIPTORS as usize - 32, "{most} descriptors of {DESCRIPTORS} were open");
    }
}

/// Whoever is not at fault notices nothing: new clients of another service are served, the admin API answers,
/// heartbeats are asked for, and neither waits for the others.
fn assert_others_are_served(balancer: &Balancer) {
    let mut kept = Talk::to(balancer.address);
    for round in 0..40 {
        let answer = client::send(balancer.address, "GET", "/", "");
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{round}");
        kept.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(kept.answer().body, "ok", "{round}");
    }
    // Long enough for a heartbeat that is not asked for to be missed.
    std::thread::sleep(Duration::from_millis(700));
    let services = client::send(balancer.admin, "GET", "/v1/services", "");
    let services: serde_json::Value = serde_json::from_str(&services.body).unwrap();
    for service in services.as_array().unwrap() {
        assert_eq!(service["ready"], 1, "{service}");
    }
}

/// What became of many requests: how many got which status.
type Statuses = Arc<Mutex<BTreeMap<u16, usize>>>;

/// Opens so many HTTP/2 connections with so many requests each, in a thread of its own. They end when the
/// sender is dropped.
fn flood(
    address: SocketAddr,
    connections: usize,
    requests: usize,
) -> (Statuses, tokio::sync::oneshot::Sender<()>) {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let statuses = Statuses::default();
    let noted = Arc::clone(&statuses);
    std::thread::spawn(move || {
        let note = move |status: u16| *noted.lock().unwrap().entry(status).or_default() += 1;
        let attack = async move {
            let mut clients = Vec::new();
            for _ in 0..connections {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let (client, connection) = h2::client::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                clients.push(client);
            }
            let asking = clients.into_iter().map(|mut client| async {
                let mut asked = Vec::new();
                for _ in 0..requests {
                    client = client.ready().await.unwrap();
                    let request = http::Request::get("http://h/hang").body(()).unwrap();
                    asked.push(client.send_request(request, true).unwrap().0);
                }
                join_all(asked.into_iter().map(|answer| async {
                    let Ok(answer) = answer.await else { return note(0) };
                    if answer.status() == 503 {
                        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
                    }
                    note(answer.status().as_u16());
                }))
                .await;
            });
            join_all(asking).await;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            tokio::select! {
                () = attack => {}
                _ = ended => {}
            }
        });
    });
    (statuses, end)
}

#[test]
fn a_flood_of_requests_that_hang_leaves_room_for_everybody_else() {
    let (hanging, good) = (Hanging::start(), Backend::saying("ok"));
    let balancer = balancer(&hanging, &good);
    assert_eq!(balancer.get("/").status, 200);
    let before = balancer.open_descriptors();
    let watch = Watch::over(&balancer);
    let (statuses, end) = flood(balancer.address, 40, 128);
    eventually("the replica has its hands full", || hanging.backend.received().len() >= 30);
    assert_others_are_served(&balancer);
    eventually("those whom the queue has no place for are turned away", || {
        statuses.lock().unwrap().get(&503).is_some_and(|count| *count > 40 * 128 - 1024 - 100)
    });
    assert_others_are_served(&balancer);
    watch.assert_some_are_left();
    let limited = r#"evenkeel_limited_total{service="hang",limit="limits.requests"}"#;
    assert!(balancer.figure(limited) > 4000);
    assert_eq!(balancer.figure(&limited.replace("hang", "good")), 0);
    let inside = hanging.backend.received().len();
    assert!(inside < 60, "{inside} requests at a time reached the replica");
    drop(end);
    // Before the replica answers: a connection that has brought a response is kept for the next request.
    eventually("all of it is given back", || balancer.open_descriptors() <= before + 8);
    hanging.let_go();
    assert_eq!(balancer.get("/hang").body, "at last");
}

#[test]
fn the_same_over_many_connections_of_http1() {
    let (hanging, good) = (Hanging::start(), Backend::saying("ok"));
    let balancer = balancer(&hanging, &good);
    assert_eq!(balancer.get("/").status, 200);
    let before = balancer.open_descriptors();
    let watch = Watch::over(&balancer);
    // Two thirds of the descriptors for clients and nearly all of those for requests.
    let asking: Vec<Talk> = (0..60).map(|_| asks(balancer.address, "/hang")).collect();
    let limited = r#"evenkeel_limited_total{service="hang",limit="limits.requests"}"#;
    eventually("some wait in line", || balancer.figure(limited) > 5);
    assert_others_are_served(&balancer);
    watch.assert_some_are_left();
    let inside = hanging.backend.received().len();
    assert!(inside < 50, "{inside} requests at a time reached the replica");
    hanging.let_go();
    for mut talk in asking {
        assert_eq!(talk.answer().body, "at last", "whoever waited gets its turn");
    }
    eventually("all of it is given back", || balancer.open_descriptors() <= before + 64);
    assert_eq!(balancer.get("/hang").body, "at last");
}

fn asks(address: SocketAddr, path: &str) -> Talk {
    let mut talk = Talk::to(address);
    talk.say(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    talk
}

/// A service with an access log on standard output, and these limits.
fn limited(hanging: &Hanging, limits: &str) -> Balancer {
    let address = hanging.backend.address;
    let config = format!(
        "workers = 2\n[access_log]\nto = \"stdout\"\n[[service]]\nname = \"hang\"\ndriver = \"static\"\n\
         addresses = [\"{address}\"]\n[service.limits]\n{limits}\n"
    );
    let balancer = Rig::new().config(&config).up();
    eventually("its replica is there", || balancer.service()["ready"] == 1);
    balancer
}

#[test]
fn beyond_a_limit_requests_wait_in_line_and_beyond_that_they_are_turned_away() {
    for (limits, name) in [
        ("requests = 4", "service.limits.requests"),
        ("requests_per_replica = 4", "service.limits.requests_per_replica"),
    ] {
        let hanging = Hanging::start();
        let balancer = limited(&hanging, &format!("{limits}\nqueue = 2\nqueue_timeout = \"20s\""));
        let figure = format!("evenkeel_limited_total{{service=\"hang\",limit=\"{name}\"}}");
        let mut inside: Vec<Talk> = (0..4).map(|_| asks(balancer.address, "/in")).collect();
        eventually("four are inside", || hanging.backend.received().len() == 4);
        let leaves = asks(balancer.address, "/leaves");
        eventually("one waits", || balancer.figure(&figure) == 1);
        let mut waits = asks(balancer.address, "/waits");
        eventually("two wait", || balancer.figure(&figure) == 2);
        let answer = balancer.get("/too-many");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{name}");
        let line = balancer.says(|line| line.contains("/too-many")).unwrap();
        assert!(line.contains(&format!("\"limit\":\"{name}\"")), "{line}");
        let explained = client::send(balancer.admin, "POST", "/v1/services/hang/explain", "{}").body;
        let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
        assert_eq!(explained["waiting"], 2, "{explained}");
        if limits.starts_with("requests =") {
            let limits = explained["limits"].as_array().unwrap();
            let used = limits.iter().find(|limit| limit["name"] == name).unwrap();
            assert_eq!((&used["in_use"], &used["most"]), (&4.into(), &4.into()), "{explained}");
        } else {
            assert_eq!(explained["order"][0]["verdict"], "full", "{explained}");
        }
        // Whoever leaves gives its place in the queue to somebody else.
        drop(leaves);
        eventually("one has left", || {
            let mut one_more = asks(balancer.address, "/one-more");
            let is_turned_away =
                one_more.stream.get_ref().set_read_timeout(Some(Duration::from_millis(200))).is_ok()
                    && one_more.stream.fill_buf().is_ok();
            !is_turned_away
        });
        assert_eq!(hanging.backend.received().len(), 4, "nobody else is inside");
        hanging.let_go();
        inside.iter_mut().for_each(|talk| assert_eq!(talk.answer().body, "at last"));
        assert_eq!(waits.answer().body, "at last");
    }
}

#[test]
fn who_waits_in_line_too_long_is_told_so_and_leaves_nothing_behind() {
    let hanging = Hanging::start();
    let balancer = limited(&hanging, "requests = 1\nqueue_timeout = \"200ms\"");
    let mut inside = asks(balancer.address, "/in");
    eventually("one is inside", || hanging.backend.received().len() == 1);
    let answer = balancer.get("/late");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("too many requests are under way"), "{answer:?}");
    hanging.let_go();
    assert_eq!(inside.answer().body, "at last");
    for _ in 0..3 {
        assert_eq!(balancer.get("/next").body, "at last");
    }
}

#[test]
fn a_key_whose_replica_is_full_goes_to_the_next_in_its_order() {
    let hanging: Vec<Hanging> = (0..3).map(|_| Hanging::start()).collect();
    let addresses: Vec<String> = hanging.iter().map(|one| format!("\"{}\"", one.backend.address)).collect();
    let config = format!(
        "[[service]]\nname = \"hang\"\nkey = \"path\"\nload_factor = 0\ndriver = \"static\"\naddresses = [{}]\n\
         [service.limits]\nrequests_per_replica = 2\n",
        addresses.join(", ")
    );
    let balancer = Rig::new().config(&config).up();
    eventually("all are there", || balancer.service()["ready"] == 3);
    let explained =
        client::send(balancer.admin, "POST", "/v1/services/hang/explain", "{\"path\":\"/k\"}").body;
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let order: Vec<usize> = explained["order"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| choice["seat"].as_u64().unwrap() as usize - 1)
        .collect();
    let mut asking = Vec::new();
    for (count, place) in [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)] {
        asking.push(asks(balancer.address, "/k"));
        eventually("it is where it belongs", || hanging[order[place]].backend.received().len() == count);
    }
    hanging.iter().for_each(Hanging::let_go);
    asking.iter_mut().for_each(|talk| assert_eq!(talk.answer().body, "at last"));
}

#[test]
fn few_connections_to_replicas_are_lent_to_one_request_after_the_other() {
    const CONNECTIONS: usize = 3;
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = Arc::clone(&inside);
    let backend = Backend::start(move |_, stream| {
        let (now, most) = &*seen;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(3));
        now.fetch_sub(1, Ordering::SeqCst);
        answer(stream, "200 OK", "ok")
    });
    let other = Backend::saying("other");
    let shared = SharedLimits { replica_connections: CONNECTIONS, ..SharedLimits::default() };
    let mut proxy = Inside::new(&[backend.address], Set { shared, ..Set::default() });
    proxy.routes.publish(vec![proxy.service.clone(), proxy.other("other", "/other", other.address)]);
    eventually("both workers know the other service", || {
        (0..10).all(|_| client::send(proxy.address, "GET", "/other", "").body == "other")
    });
    std::thread::scope(|scope| {
        for client in 0..20 {
            let address = proxy.address;
            scope.spawn(move || {
                let mut talk = Talk::to(address);
                for round in 0..10 {
                    // Some go where nobody has a connection, so that an idle one has to make room.
                    let (path, body) =
                        if (client + round) % 5 == 0 { ("/other", "other") } else { ("/", "ok") };
                    talk.say(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
                    let answer = talk.answer();
                    assert_eq!((answer.status, answer.body.as_str()), (200, body), "{answer:?}");
                }
            });
        }
    });
    assert!(inside.1.load(Ordering::SeqCst) <= CONNECTIONS);
    let counters = proxy.proxy.as_ref().unwrap().counters();
    let met = |service: &str| proxy.totals_of(service).limited[Limit::ReplicaConnections as usize];
    assert!(met("web") > 0, "nobody had to wait");
    assert!(counters.replica_connections().taken <= CONNECTIONS);
    assert_eq!((counters.waiting("web"), counters.waiting("other")), (0, 0));
    proxy.proxy.take().unwrap().stop();
    assert_eq!(counters.replica_connections().taken, 0, "all are given back");
}

/// What a replica of this test is told: where it listens, and where it writes down that it died.
struct Orders {
    address: SocketAddr,
    ledger: std::path::PathBuf,
}

impl Orders {
    fn of_this_process() -> Option<Self> {
        let find =
            |before: &str| std::env::args().find_map(|word| Some(word.strip_prefix(before)?.to_owned()));
        Some(Self { address: find("listen=")?.parse().ok()?, ledger: find("ledger=")?.into() })
    }
}

/// No test, but what a replica runs that dies of some requests. Without orders it does nothing.
#[test]
fn acts_as_a_replica() {
    let Some(Orders { address, ledger }) = Orders::of_this_process() else { return };
    for stream in TcpListener::bind(address).unwrap().incoming().flatten() {
        let ledger = ledger.clone();
        std::thread::spawn(move || serve(stream, address, &ledger));
    }
}

fn serve(stream: TcpStream, address: SocketAddr, ledger: &std::path::Path) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        if head.contains("/kill") {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(ledger).unwrap();
            file.write_all(b"died\n").unwrap();
            std::process::exit(1);
        }
        if head.contains("/slow") {
            std::thread::sleep(Duration::from_secs(1));
        }
        if !answer(reader.get_mut(), "200 OK", &format!("{{\"message\":\"Hello from Server: {address}\"}}")) {
            return;
        }
    }
}

/// A balancer with five replicas that write down when they die of a request.
fn five_that_die(ledger: &std::path::Path, more: &str) -> Balancer {
    let command = [
        std::env::current_exe().unwrap().display().to_string(),
        "acts_as_a_replica".into(),
        "--exact".into(),
        "--nocapture".into(),
        "listen=127.0.0.1:{port}".into(),
        format!("ledger={}", ledger.display()),
    ];
    let service = format!("[[service]]\nname = \"web\"\nreplicas = 5\ncommand = {command:?}\n");
    Rig::new().config(&format!("workers = 1\n{service}{more}")).up()
}

#[test]
fn those_who_were_beside_a_killer_are_not_lost_with_the_second_replica() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let balancer = five_that_die(&ledger, "key = \"header:x-key\"\n");
    let ask = |path: &str| {
        let mut talk = Talk::to(balancer.address);
        talk.say(format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-Key: k\r\n\r\n"));
        talk
    };
    let mut beside: Vec<Talk> = (0..3).map(|_| ask("/slow")).collect();
    let question = r#"{"headers":[["x-key","k"]]}"#;
    eventually("all are inside of the same one", || {
        let told = client::send(balancer.admin, "POST", "/v1/services/web/explain", question).body;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["order"][0]["in_flight"] == 3
    });
    assert_eq!(ask("/kill").answer().status, 502);
    assert_eq!(std::fs::read_to_string(&ledger).unwrap().lines().count(), 2);
    for talk in &mut beside {
        assert_eq!(talk.answer().status, 200, "it was beside one that kills, once");
    }
}

#[test]
fn a_request_that_kills_its_replica_kills_two_and_nobody_else_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let deaths = || std::fs::read_to_string(&ledger).unwrap_or_default().lines().count();
    let balancer = five_that_die(&ledger, "");
    let load = Load::start(balancer.address, 200);
    // The one that meets a connection of its own is as good as the one that meets a kept one.
    for (round, request) in ["GET /kill", "GET /kill", "POST /kill", "GET /kill"].into_iter().enumerate() {
        let before = deaths();
        let mut talk = Talk::to(balancer.address);
        talk.say(format!(
            "{request} HTTP/1.1\r\nHost: h\r\nX-Request-Id: killer-{round}\r\nContent-Length: 0\r\n\r\n"
        ));
        let answer = talk.answer();
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(answer.body.contains("the replica failed while it worked on this request"), "{answer:?}");
        let most = if request.starts_with("POST") { 1 } else { 2 };
        assert_eq!(deaths() - before, most, "{request}");
        // Of many in a second, the log hears of some.
        if round == 0 {
            let told = balancer.says(|line| line.contains("died or broke off") && line.contains("killer-0"));
            let told = told.unwrap();
            assert!(told.contains("path=\"/kill\"") && told.contains("replica=web_"), "{told}");
            let named = balancer.says(|line| line.contains("probably what they die of")).unwrap();
            for part in ["replicas=2", "method=\"GET\"", "host=\"h\"", "killer-0", "client=127.0.0.1"] {
                assert!(named.contains(part), "{named}");
            }
        }
        eventually("the fleet is whole again", || {
            let replicas = balancer.replicas();
            replicas.len() == 5 && replicas.iter().all(|replica| replica["state"] == "ready")
        });
    }
    load.stop().assert_nothing_lost();
    let losses = balancer.figure(r#"evenkeel_losses_total{service="web"}"#);
    assert!(losses >= 7, "{losses}");
}
