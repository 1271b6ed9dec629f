//! Replicas that answer heartbeats and yet do harm, or the other way round; and a balancer that is
//! stopped itself. With real connections and a steady load.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rig::backend::{Backend, Received, answer};
use rig::load::{Load, Tally};
use rig::{Balancer, Rig, eventually, kill};
use serde_json::Value;

/// Requests a second: enough for a verdict in little time, and little enough for a busy machine.
const RATE: u32 = 300;

/// How many bad answers of a replica that went bad may reach clients.
const BAD_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
    Garbling,
    Truncating,
    Slow,
    Silent,
    Unwell,
}

const MOODS: [Mood; 7] =
    [Mood::Well, Mood::Failing, Mood::Garbling, Mood::Truncating, Mood::Slow, Mood::Silent, Mood::Unwell];

/// A replica whose mood can be changed from outside.
struct Moody {
    backend: Backend,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn start(name: &'static str) -> Self {
        let mood = Arc::new(AtomicU8::new(Mood::Well as u8));
        let now = Arc::clone(&mood);
        let backend = Backend::start(move |request, stream| {
            behave(name, MOODS[usize::from(now.load(Ordering::Relaxed))], request, stream)
        });
        Self { backend, mood }
    }

    fn turn(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }
}

fn behave(name: &str, mood: Mood, request: &Received, stream: &mut TcpStream) -> bool {
    let body = format!("{{\"message\":\"Hello from Server: {name}\"}}");
    if request.line.starts_with("GET /well ") {
        return match mood {
            // Long after anybody waits for it.
            Mood::Silent => {
                std::thread::sleep(Duration::from_secs(2));
                false
            }
            Mood::Unwell => answer(stream, "503 Service Unavailable", ""),
            _ => answer(stream, "200 OK", ""),
        };
    }
    match mood {
        Mood::Failing => answer(stream, "500 Internal Server Error", "{}"),
        Mood::Garbling => stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").is_ok(),
        Mood::Truncating => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() + 1000);
            let _ = stream.write_all((head + &body).as_bytes());
            false
        }
        Mood::Slow => {
            std::thread::sleep(Duration::from_millis(100));
            answer(stream, "200 OK", &body)
        }
        Mood::Well | Mood::Silent | Mood::Unwell => {
            std::thread::sleep(Duration::from_millis(5));
            answer(stream, "200 OK", &body)
        }
    }
}

struct Fleet {
    moody: Vec<Moody>,
    balancer: Balancer,
}

impl Fleet {
    fn of_three() -> Self {
        let moody: Vec<Moody> = ["a", "b", "c"].map(Moody::start).into();
        let addresses: Vec<String> =
            moody.iter().map(|moody| format!("\"{}\"", moody.backend.address)).collect();
        let config = format!(
            "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [{}]\n\
             [service.heartbeat]\npath = \"/well\"\nevery = \"200ms\"\n timeout = \"200ms\"\n\
             [service.responses]\nejection = \"500ms\"\n",
            addresses.join(", ")
        );
        let balancer = Rig::new().config(&config).up();
        eventually("all are in the table", || balancer.service()["ready"] == 3);
        Self { moody, balancer }
    }

    fn ready(&self) -> u64 {
        self.balancer.service()["ready"].as_u64().unwrap()
    }

    /// Why the second one is not routed to.
    fn illness(&self) -> Option<String> {
        let second = self.balancer.replicas()[1].clone();
        (second["state"] == "ill").then(|| second["reason"].as_str().unwrap().to_string())
    }

    fn ejections(&self, kind: &str) -> u64 {
        let page = rig::client::send(self.balancer.admin, "GET", "/metrics", "").body;
        let label = format!("kind=\"{kind}\"");
        let line =
            page.lines().find(|line| line.starts_with("evenkeel_ejections_total") && line.contains(&label));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap()
    }

    /// Waits until so many more requests were answered.
    fn answer(&self, count: usize) {
        let received = || self.moody.iter().map(|moody| moody.backend.received().len()).sum::<usize>();
        let before = received();
        eventually("requests are answered", || received() >= before + count);
    }
}

fn events(balancer: &Balancer) -> Vec<Value> {
    let answer = rig::client::send(balancer.admin, "GET", "/v1/events", "");
    serde_json::from_str::<Value>(&answer.body).unwrap().as_array().unwrap().clone()
}

/// The second one turns bad under load, is ejected, and comes back when it is well again. What clients
/// saw of it.
fn eject_and_heal(mood: Mood, kind: &str, words: &str) -> Tally {
    let fleet = Fleet::of_three();
    let load = Load::start(fleet.balancer.address, RATE);
    fleet.answer(100);
    fleet.moody[1].turn(mood);
    let mut reason = None;
    eventually("it is ejected", || {
        reason = fleet.illness();
        reason.is_some()
    });
    assert!(reason.as_ref().is_some_and(|reason| reason.contains(words)), "{mood:?}: {reason:?}");
    assert_eq!(fleet.ejections(kind), 1, "{mood:?}");
    let told = events(&fleet.balancer);
    let is_told = |event: &Value| {
        event["event"] == "out of the table"
            && event["reason"].as_str().is_some_and(|reason| reason.contains(words))
    };
    assert!(told.iter().any(is_told), "{mood:?}: {told:#?}");
    // It is tried in vain meanwhile, which nobody may notice.
    eventually("it is tried", || {
        events(&fleet.balancer).iter().filter(|event| event["event"] == "half-open").count() >= 2
    });
    assert_eq!(fleet.ready(), 2, "{mood:?}");
    fleet.moody[1].turn(Mood::Well);
    eventually("it is back", || fleet.ready() == 3);
    let at_return = fleet.moody[1].backend.received().len();
    eventually("it is asked again", || fleet.moody[1].backend.received().len() > at_return + 10);
    let tally = load.stop();
    println!("{mood:?}: {} bad of {}", tally.failures.len(), tally.sent);
    tally
}

#[test]
fn one_that_answers_500_is_ejected_after_three_and_comes_back() {
    let tally = eject_and_heal(Mood::Failing, "failing", "answers failed in a row");
    assert!(tally.failures.len() <= BAD_MAX, "{:?}", tally.failures);
    assert!(tally.failures.iter().all(|failure| failure.starts_with("500")), "{:?}", tally.failures);
}

#[test]
fn one_that_answers_garbage_is_ejected_and_comes_back() {
    let tally = eject_and_heal(Mood::Garbling, "failing", "answers failed in a row");
    assert!(tally.failures.len() <= BAD_MAX, "{:?}", tally.failures);
}

#[test]
fn one_that_truncates_is_ejected_and_comes_back() {
    let tally = eject_and_heal(Mood::Truncating, "failing", "answers failed in a row");
    // What had been begun when the first one broke off cannot be taken back; on a busy machine that may
    // be some at a time.
    assert!(tally.failures.len() <= 4 * BAD_MAX, "{:?}", tally.failures);
}

#[test]
fn one_whose_heartbeats_are_not_well_is_ejected_whatever_it_answers() {
    let fleet = Fleet::of_three();
    let load = Load::start(fleet.balancer.address, RATE);
    fleet.moody[1].turn(Mood::Unwell);
    eventually("it is ejected", || fleet.illness().is_some());
    fleet.moody[1].turn(Mood::Well);
    eventually("it is back", || fleet.ready() == 3);
    load.stop().assert_nothing_lost();
}

/// A web server that does one thing at a time: while it works, it hears no heartbeat.
fn serve_one_at_a_time(listener: &TcpListener, go_on: &Receiver<()>) {
    for mut stream in listener.incoming().flatten() {
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
        if head.starts_with("POST") {
            go_on.recv().unwrap();
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone");
    }
}

#[test]
fn who_works_on_a_request_has_as_long_as_a_response_may_take() {
    let config = "[[service]]\nname = \"web\"\nreplicas = 2\ncommand = [\"sleep\", \"1000\"]\n\
                  listened_by = \"anybody\"\nstart_timeout = \"3s\"\n[service.heartbeat]\nevery = \"250ms\"\n";
    let balancer = Rig::new().config(config).early().up();
    let address = |index: usize| Some(balancer.replicas().get(index)?["address"].as_str()?.to_owned());
    let mut senders = Vec::new();
    for index in 0..2 {
        eventually("it has an address", || address(index).is_some());
        let (done, go_on) = channel();
        senders.push(done);
        let listener = TcpListener::bind(address(index).unwrap()).unwrap();
        std::thread::spawn(move || serve_one_at_a_time(&listener, &go_on));
    }
    eventually("both serve", || balancer.service()["ready"] == 2);
    let served = balancer.address;
    let post = std::thread::spawn(move || rig::client::send(served, "POST", "/work", ""));
    // Far more missed heartbeats than there are in the time that a start may take.
    let missed = |replica: &Value| {
        assert_eq!(replica["incarnation"], 1, "it was replaced: {replica}");
        let reason = replica["reason"].as_str().unwrap_or_default();
        let count = reason.split_once("missed: ")?.1.split([' ', ',']).next()?;
        count.parse().ok()
    };
    let is_silent_for_long = |replica: &Value| missed(replica).unwrap_or(0) > 2 * 3000 / 250;
    eventually("it is silent for long", || {
        // All of them are looked at.
        balancer.replicas().iter().map(is_silent_for_long).fold(false, |one, other| one | other)
    });
    senders.iter().for_each(|done| done.send(()).unwrap());
    assert_eq!(post.join().unwrap().status, 200);
    eventually("it is well again", || balancer.service()["ready"] == 2);
    assert!(balancer.replicas().iter().all(|replica| replica["incarnation"] == 1));
}

#[test]
fn one_that_becomes_far_slower_than_its_peers_is_ejected_and_comes_back() {
    let fleet = Fleet::of_three();
    let load = Load::start(fleet.balancer.address, RATE);
    // It has to keep up with its peers for a while first.
    fleet.answer(3 * RATE as usize);
    assert_eq!(fleet.ejections("slow"), 0);
    fleet.moody[1].turn(Mood::Slow);
    let took = eventually("it is ejected", || fleet.illness().is_some());
    println!("slow, ejected after {took:?}: {:?}", fleet.illness());
    assert_eq!(fleet.ejections("slow"), 1);
    fleet.moody[1].turn(Mood::Well);
    eventually("it is back", || fleet.ready() == 3);
    load.stop().assert_nothing_lost();
}

#[test]
fn when_all_fail_all_are_asked_and_their_own_answers_are_passed_on() {
    let fleet = Fleet::of_three();
    let load = Load::start(fleet.balancer.address, RATE);
    fleet.moody.iter().for_each(|moody| moody.turn(Mood::Failing));
    fleet.answer(3 * RATE as usize);
    eventually("all are routed to", || fleet.ready() == 3);
    fleet.answer(RATE as usize);
    assert_eq!(fleet.ready(), 3);
    fleet.moody.iter().for_each(|moody| moody.turn(Mood::Well));
    fleet.answer(RATE as usize);
    let tally = load.stop();
    assert!(tally.failures.iter().all(|failure| failure == "500 Internal Server Error: {}"));
    assert!(tally.answered() > 0 && tally.failures.len() > RATE as usize);
}

#[test]
fn when_all_miss_heartbeats_all_are_routed_to() {
    let fleet = Fleet::of_three();
    let load = Load::start(fleet.balancer.address, RATE);
    fleet.moody.iter().for_each(|moody| moody.turn(Mood::Silent));
    // Long enough for everybody to miss more than enough of them.
    fleet.answer(4 * RATE as usize);
    eventually("all are routed to", || fleet.ready() == 3);
    load.stop().assert_nothing_lost();
}

#[test]
fn a_balancer_that_was_stopped_blames_nobody() {
    let config = "contract = true\n[[service]]\nname = \"web\"\nreplicas = 3\nstart_timeout = \"2s\"\n";
    let balancer = Rig::new().config(config).up();
    let before = events(&balancer);
    for _ in 0..2 {
        let load = Load::start(balancer.address, RATE);
        eventually("requests are under way", || answers(&balancer) > 0);
        balancer.signal("-STOP");
        // How long it lasts is the fault itself: longer than a start may take.
        std::thread::sleep(Duration::from_secs(5));
        balancer.signal("-CONT");
        let answered = answers(&balancer);
        eventually("requests are answered", || answers(&balancer) > answered + u64::from(RATE));
        load.stop().assert_nothing_lost();
    }
    assert_eq!(events(&balancer), before, "nothing happened to any replica");
}

fn answers(balancer: &Balancer) -> u64 {
    let page = rig::client::send(balancer.admin, "GET", "/metrics", "").body;
    let line = page.lines().find(|line| line.starts_with("evenkeel_responses_total") && line.contains("2xx"));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn a_frozen_replica_that_thaws_after_its_replacement_goes_and_no_key_moves() {
    let config = "contract = true\n[[service]]\nname = \"web\"\nreplicas = 5\nkey = \"header:x-user\"\n";
    let balancer = Rig::new().config(config).up();
    let places = || -> Vec<String> {
        let replicas = balancer.replicas();
        let seat =
            |replica: &Value| (replica["name"].as_str().unwrap().to_string(), replica["seat"].to_string());
        let seats: BTreeMap<String, String> = replicas.iter().map(seat).collect();
        (0..100).map(|user| seats[&owner_of(&balancer, user)].clone()).collect()
    };
    let before = places();
    let victim = balancer.replicas()[2].clone();
    let pid = balancer.pid_of(&victim);
    kill("-STOP", pid);
    eventually("it is replaced", || {
        let now = balancer.replicas()[2].clone();
        now["name"] != victim["name"] && now["state"] == "ready"
    });
    // Mostly it is gone by now; if not, it wakes up and finds its seat taken.
    let _ = std::process::Command::new("kill").args(["-CONT", &pid.to_string()]).output().unwrap();
    eventually("it is gone", || rig::replica_processes(balancer.pid()).len() == 5);
    assert_eq!(places(), before);
    let names: Vec<String> = balancer.names();
    assert!(names.len() == 5 && !names.contains(&victim["name"].as_str().unwrap().to_string()));
}

fn owner_of(balancer: &Balancer, user: u32) -> String {
    let request = format!("GET /home HTTP/1.1\r\nHost: h\r\nX-User: {user}\r\nConnection: close\r\n\r\n");
    let body = rig::client::raw(balancer.address, request.as_bytes()).unwrap().body;
    body.split("Server: ").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_string()
}

#[test]
fn heartbeats_are_read_by_the_rules_of_all_answers() {
    let ready_after = |answer: &'static str| {
        let backend = Backend::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
        let config = format!(
            "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n\
             [service.heartbeat]\npath = \"/alive\"\nevery = \"100ms\"\ntimeout = \"100ms\"\n",
            backend.address
        );
        let balancer = Rig::new().config(&config).up();
        eventually("it was asked often enough", || backend.received().len() > 10);
        balancer.service()["ready"] == 1
    };
    assert!(ready_after("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"));
    assert!(ready_after("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"));
    assert!(!ready_after("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), "its answers to requests would not pass");
}
