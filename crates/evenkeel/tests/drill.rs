//! Drills against real fleets: what is broken is found, broken, undone, and judged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::process::{Command, Output, Stdio};

use rig::{Balancer, PROGRAM, Rig, eventually, kill};
use serde_json::Value;

/// No heartbeat is missed for so long that anybody would be replaced.
const NEVER_ILL: &str = r#"
    contract = true
    [[service]]
    name = "web"
    [service.heartbeat]
    every = "10m"
    timeout = "9m"
"#;

fn arguments(balancer: &Balancer, words: &[&str]) -> Vec<String> {
    let own = [format!("--url=http://{}", balancer.address), format!("--admin={}", balancer.admin)];
    let token = format!("--token-file={}", balancer.token_file().display());
    let own = own.into_iter().chain([token, "--path=/home".into(), "--json".into()]);
    words.iter().map(|word| (*word).to_owned()).chain(own).collect()
}

fn drill(balancer: &Balancer, words: &[&str]) -> Output {
    Command::new(PROGRAM).arg("drill").args(arguments(balancer, words)).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn state_of(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-')
}

#[test]
fn a_kill_is_survived_and_the_report_says_how() {
    let balancer = Rig::new().up();
    let victim = balancer.replicas()[1].clone();
    let name = victim["name"].as_str().unwrap();
    let output = drill(&balancer, &["kill", "--replica", name]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = &report[0];
    assert_eq!((&report["fault"], &report["replica"]), (&"kill".into(), &name.into()));
    assert_eq!((&report["lost"], &report["missed"]), (&0.into(), &Value::Array(vec![])));
    let requests = |period: &str| report[period]["requests"].as_u64().unwrap();
    assert!(requests("before") > 100 && requests("during") > 0 && requests("after") > 100, "{report}");
    let times = &report["times"];
    assert!(times["ejected_ms"].as_u64() <= times["recovered_ms"].as_u64(), "{times}");
    let successor = balancer.replicas()[1].clone();
    assert_eq!(successor["seat"], victim["seat"]);
    assert_ne!(successor["name"], victim["name"], "somebody was really killed");
}

#[test]
fn whose_seat_a_spare_takes_is_known_to_be_out_and_so_is_the_spare() {
    let balancer = Rig::new().config("contract = true\n[[service]]\nname = \"web\"\nspares = 1\n").up();
    // The second one began as a spare.
    for name in ["server_2".to_owned(), String::new()] {
        eventually("the spare is ready", || balancer.service()["spares"][0]["state"] == "spare");
        let name = if name.is_empty() { balancer.names()[1].clone() } else { name };
        let output = drill(&balancer, &["kill", "--replica", &name]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report[0]["lost"], 0);
        assert!(report[0]["times"]["ejected_ms"].is_u64(), "{report}");
        assert_ne!(balancer.names()[1], name);
        assert_eq!(balancer.replicas()[1]["seat"], 2);
    }
}

#[test]
fn an_objective_that_is_not_kept_fails() {
    let balancer = Rig::new().up();
    let output = drill(&balancer, &["kill", "--max-p99", "1us"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the objective was not kept: kill"), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report[0]["missed"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn a_replica_that_stays_in_the_table_while_it_is_frozen_is_found_out() {
    let balancer = Rig::new().config(NEVER_ILL).up();
    let output = drill(&balancer, &["freeze", "--seconds", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = &report[0];
    assert!(report["missed"].to_string().contains("stayed in the table"), "{report}");
    assert!(report["during"]["max_ms"].as_u64().unwrap() >= 900, "clients noticed: {report}");
    assert_eq!(report["lost"], 0, "it went on before anybody gave up: {report}");
}

#[test]
fn an_interrupted_drill_undoes_what_it_did() {
    let balancer = Rig::new().config(NEVER_ILL).up();
    for fault in ["freeze", "slow"] {
        let victim = balancer.pid_of(&balancer.replicas()[0]);
        let mut command = Command::new(PROGRAM);
        command.arg("drill").args(arguments(&balancer, &[fault, "--seconds", "600"]));
        let drill = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it is stopped", || state_of(victim) == 'T');
        kill("-INT", drill.id());
        let output = drill.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{fault}");
        assert!(said(&output).contains("interrupted; what was done is undone"), "{}", said(&output));
        eventually("it goes on", || state_of(victim) == 'S');
    }
}

#[test]
fn a_fleet_that_nobody_could_stand_in_for_is_left_alone() {
    let balancer = Rig::new().replicas(1).up();
    let before = balancer.replicas();
    let output = drill(&balancer, &["kill"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("nobody could stand in"), "{}", said(&output));
    assert_eq!(balancer.replicas(), before);
}

#[test]
fn what_the_balancer_did_not_start_is_left_alone() {
    // These replicas belong to another balancer: were they killed, this test would see it.
    let owner = Rig::new().replicas(2).up();
    let addresses: Vec<String> =
        owner.replicas().iter().map(|replica| replica["address"].to_string()).collect();
    let config =
        format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [{}]\n", addresses.join(", "));
    let balancer = Rig::new().config(&config).up();
    let before = owner.replicas();
    let output = drill(&balancer, &["kill"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("was not started by the balancer"), "{}", said(&output));
    assert_eq!(owner.replicas(), before);
}

#[test]
fn a_process_that_was_taken_over_is_drilled_behind_its_socket_too() {
    let kept = rig::kept::Kept::new();
    let config = kept.config("socket = true");
    let first = Rig::new().config(&config).up();
    first.signal("-9");
    let _ = first.ended();
    let balancer = Rig::new().config(&config).up();
    eventually("all are there again", || balancer.service()["ready"] == 3);
    let before = balancer.replicas();
    let output = drill(&balancer, &["kill"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_ne!(balancer.replicas()[0]["name"], before[0]["name"], "somebody was really killed");
    let output = drill(&balancer, &["refuse"]);
    assert!(said(&output).contains("a Unix socket has no port that could be refused"), "{}", said(&output));
}

#[test]
fn who_names_no_balancer_is_told_so() {
    let output = Command::new(PROGRAM).args(["drill", "kill", "--admin=127.0.0.1:9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no balancer answers"), "{}", said(&output));
}

#[test]
fn containers_are_drilled_by_their_engine() {
    let Some(yard) = rig::docker::Yard::open() else { return };
    let balancer = Rig::new().config(&yard.config("", "")).up();
    let words = ["all", "--seconds", "2", "--max-p99", "10s", "--recover-within", "30s"];
    let output = drill(&balancer, &words);
    println!("{}", said(&output));
    assert_eq!(output.status.code(), Some(0));
    let reports: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults: Vec<&str> =
        reports.as_array().unwrap().iter().map(|report| report["fault"].as_str().unwrap()).collect();
    // Refusing a port takes root and a packet filter, which a machine need not have.
    assert!(faults.starts_with(&["kill", "freeze", "slow"]), "{faults:?}");
}
