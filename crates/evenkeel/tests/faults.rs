//! Faults under a steady load with real processes: whoever is killed or frozen, no request is lost.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rig::load::Load;
use rig::{Balancer, Rig, eventually, kill, names_in, replica_processes};

/// Requests a second.
const RATE: u32 = 1000;

fn is_whole(balancer: &Balancer, count: usize) -> bool {
    let replicas = balancer.replicas();
    replicas.len() == count && replicas.iter().all(|replica| replica["state"] == "ready")
}

/// Whether the fleet is whole again with somebody else in the seat of `dead`; one look, not two.
fn is_replaced(balancer: &Balancer, dead: &serde_json::Value, count: usize) -> bool {
    let replicas = balancer.replicas();
    let is_ready = replicas.iter().all(|replica| replica["state"] == "ready");
    let successor = replicas.iter().find(|replica| replica["seat"] == dead["seat"]);
    is_ready && replicas.len() == count && successor.is_some_and(|replica| replica["name"] != dead["name"])
}

fn ready(balancer: &Balancer) -> u64 {
    balancer.service()["ready"].as_u64().unwrap()
}

#[test]
fn a_kill_is_noticed_at_once_and_loses_nothing_ten_times_in_a_row() {
    let balancer = Rig::new().up();
    let load = Load::start(balancer.address, RATE);
    let mut times = Vec::new();
    for round in 0..10 {
        let victim = balancer.replicas()[round % 3].clone();
        let pid = balancer.pid_of(&victim);
        let begun = Instant::now();
        kill("-9", pid);
        eventually("it is out of the table", || {
            let now = balancer.replicas()[round % 3].clone();
            now["name"] != victim["name"] || now["state"] != "ready"
        });
        let out_after = begun.elapsed();
        eventually("the replacement takes traffic", || is_replaced(&balancer, &victim, 3));
        times.push((out_after, begun.elapsed()));
    }
    let tally = load.stop();
    println!("out of the table, serving again: {times:?}; p99 {:?}", tally.percentile(0.99));
    tally.assert_nothing_lost();
}

#[test]
fn killing_all_at_once_loses_nothing() {
    let balancer = Rig::new().up();
    let load = Load::start(balancer.address, RATE);
    let begun = Instant::now();
    for (pid, _) in replica_processes(balancer.pid()) {
        kill("-9", pid);
    }
    eventually("somebody is missed", || ready(&balancer) < 3);
    eventually("all are replaced", || is_whole(&balancer, 3));
    println!("serving again after {:?}", begun.elapsed());
    let tally = load.stop();
    println!("slowest answer {:?}", tally.percentile(1.0));
    tally.assert_nothing_lost();
}

#[test]
fn growing_and_shrinking_under_load_loses_nothing() {
    let balancer = Rig::new().up();
    let load = Load::start(balancer.address, RATE);
    for _ in 0..3 {
        assert_eq!(names_in(&balancer.add(r#"{"n":7}"#)).len(), 10);
        assert_eq!(names_in(&balancer.rm(r#"{"n":8}"#)).len(), 2);
        assert_eq!(names_in(&balancer.add(r#"{"n":1}"#)).len(), 3);
    }
    eventually("the removed processes end", || replica_processes(balancer.pid()).len() == 3);
    load.stop().assert_nothing_lost();
}

#[test]
fn a_frozen_replica_is_replaced_and_loses_nothing() {
    let balancer = Rig::new().up();
    let load = Load::start(balancer.address, RATE);
    let victim = balancer.replicas()[0].clone();
    let begun = Instant::now();
    kill("-STOP", balancer.pid_of(&victim));
    eventually("it is out of the table", || {
        let now = balancer.replicas()[0].clone();
        now["name"] != victim["name"] || now["state"] != "ready"
    });
    let out_after = begun.elapsed();
    eventually("the replacement takes traffic", || is_replaced(&balancer, &victim, 3));
    println!("out of the table after {out_after:?}, serving again after {:?}", begun.elapsed());
    let tally = load.stop();
    println!("slowest answer {:?}", tally.percentile(1.0));
    tally.assert_nothing_lost();
    eventually("the frozen process is gone", || replica_processes(balancer.pid()).len() == 3);
}

#[test]
fn a_replica_that_is_stopped_by_hand_loses_nothing() {
    let balancer = Rig::new().up();
    let load = Load::start(balancer.address, RATE);
    for _ in 0..3 {
        let victim = balancer.replicas()[1].clone();
        kill("-TERM", balancer.pid_of(&victim));
        eventually("the replacement takes traffic", || is_replaced(&balancer, &victim, 3));
    }
    load.stop().assert_nothing_lost();
}

#[test]
fn an_orderly_end_answers_what_was_begun_and_leaves_nothing() {
    let balancer = Rig::new().up();
    let pid = balancer.pid();
    let load = Load::start(balancer.address, RATE);
    eventually("requests are served", || answers(&balancer) > 300);
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    let tally = load.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ended"), "{said}");
    assert!(tally.answered() > 300);
    // Once the port is closed, connections are refused, and a client may find its idle connection
    // closed. An answer that was begun, or one that says no, is neither.
    let is_refused = |failure: &&String| failure.starts_with("connect:") || failure.starts_with("send:");
    let others: Vec<&String> = tally.failures.iter().filter(|failure| !is_refused(failure)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(replica_processes(pid).is_empty());
}

#[test]
fn who_was_connected_when_the_end_came_is_answered() {
    let balancer = Rig::new().up();
    let address = balancer.address;
    // While the balancer is stopped, the kernel connects clients and takes their requests for it.
    balancer.signal("-STOP");
    let clients: Vec<_> = (0..400)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /home HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
            stream
        })
        .collect();
    balancer.signal("-TERM");
    balancer.signal("-CONT");
    for mut stream in clients {
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
    assert_eq!(balancer.ended().0, Some(0));
}

#[test]
fn a_killed_balancer_leaves_no_process_behind() {
    let balancer = Rig::new().up();
    let pids: Vec<u32> = replica_processes(balancer.pid()).into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(pids.len(), 3);
    balancer.signal("-9");
    let _ = balancer.ended();
    let is_alive = |pid: &u32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("replica")
    };
    eventually("the replicas end with it", || !pids.iter().any(is_alive));
}

#[test]
fn a_killed_replica_moves_only_its_own_keys_and_they_come_back() {
    let config = "contract = true\n[[service]]\nname = \"web\"\nreplicas = 5\nkey = \"header:x-user\"\n";
    let balancer = Rig::new().config(config).up();
    let seats = |balancer: &Balancer| -> BTreeMap<String, String> {
        let replicas = balancer.replicas();
        let seat = |replica: &serde_json::Value| {
            (replica["name"].as_str().unwrap().to_string(), replica["seat"].to_string())
        };
        replicas.iter().map(seat).collect()
    };
    let places = |balancer: &Balancer| -> Vec<String> {
        let seats = seats(balancer);
        (0..200).map(|user| seats[&owner_of(balancer, user)].clone()).collect()
    };
    let before = places(&balancer);
    let victim = balancer.replicas()[2].clone();
    kill("-9", balancer.pid_of(&victim));
    eventually("the replacement takes traffic", || is_replaced(&balancer, &victim, 5));
    assert_eq!(places(&balancer), before);
}

fn owner_of(balancer: &Balancer, user: u32) -> String {
    let request = format!("GET /home HTTP/1.1\r\nHost: h\r\nX-User: {user}\r\nConnection: close\r\n\r\n");
    let body = rig::client::raw(balancer.address, request.as_bytes()).unwrap().body;
    body.split("Server: ").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_string()
}

fn answers(balancer: &Balancer) -> u64 {
    let page = rig::client::send(balancer.admin, "GET", "/metrics", "").body;
    let line = page.lines().find(|line| line.starts_with("evenkeel_responses_total") && line.contains("2xx"));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[test]
fn two_balancers_cannot_share_a_port_or_a_state_directory() {
    let balancer = Rig::new().up();
    let refused = Rig::new().at(balancer.address).try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("cannot listen on") && refused.contains("--listen"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let config = format!("state_dir = {:?}\n[[service]]\nname = \"web\"\n", folder.path());
    let first = Rig::new().config(&config).up();
    // Whose the folder is stands in it, so that another address is the same owner.
    for (owner, said) in [("", "is running already"), ("owner = \"else\"\n", "another evenkeel is running")] {
        let refused = Rig::new().config(&format!("{owner}{config}")).try_up().map(|_| ()).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    drop(first);
}

#[test]
fn the_desired_state_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "state_dir = {:?}\ncontract = true\n[[service]]\nname = \"web\"\nalgorithm = \"classic\"\n",
        folder.path()
    );
    let balancer = Rig::new().config(&config).up();
    balancer.add(r#"{"n":3,"hostnames":["S5","S4","S6"]}"#);
    balancer.rm(r#"{"n":1,"hostnames":["server_2"]}"#);
    let seats = |balancer: &Balancer| -> Vec<(String, String)> {
        let replicas = balancer.replicas();
        replicas.iter().map(|replica| (replica["name"].to_string(), replica["seat"].to_string())).collect()
    };
    let before = seats(&balancer);
    balancer.signal("-9");
    let _ = balancer.ended();
    let again = Rig::new().config(&config).up();
    assert_eq!(seats(&again), before);
    eventually_soon_whole(&again, 5);
}

fn eventually_soon_whole(balancer: &Balancer, count: usize) {
    rig::eventually_within(Duration::from_secs(20), "the whole fleet is back", || is_whole(balancer, count));
}
