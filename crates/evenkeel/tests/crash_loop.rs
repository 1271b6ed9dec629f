//! A seat whose lives keep failing, with real processes: the rest serves on, the reason is told wherever
//! one looks, and what heals it heals it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, client, eventually, kill};

fn run(balancer: &Balancer, arguments: &[&str]) -> String {
    let output = balancer.command(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_seat_that_keeps_failing_is_shown_with_its_reason_and_the_rest_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("broken");
    let script = format!(
        "if [ -e {flag:?} ]; then echo no database; echo giving up >&2; exit 7; fi; \
         exec {PROGRAM} replica --listen 127.0.0.1:{{port}}"
    );
    let config = format!(
        "contract = true\n[[service]]\nname = \"web\"\ncommand = {:?}\n",
        ["sh", "-c", script.as_str()]
    );
    let balancer = Rig::new().config(&config).up();
    let load = Load::start(balancer.address, 200);
    std::fs::write(&flag, "").unwrap();
    kill("-KILL", balancer.pid_of(&balancer.replicas()[1]));
    eventually("it is a crash loop", || balancer.replicas()[1]["state"] == "crash-looping");
    let crash_loop = balancer.replicas()[1]["crash_loop"].clone();
    assert!(crash_loop["failures"].as_u64() >= Some(3), "{crash_loop}");
    assert!(crash_loop["reason"].as_str().unwrap().contains("exited with code 7"), "{crash_loop}");
    assert_eq!(crash_loop["last_output"].as_array().unwrap().len(), 2, "{crash_loop}");
    let shown = run(&balancer, &["ps", "--verbose"]);
    assert!(shown.contains("failures in a row") && shown.contains("  | no database"), "{shown}");
    assert!(run(&balancer, &["status"]).contains("not whole, 1 crash-looping"));
    eventually("it is among the events", || run(&balancer, &["events"]).contains("crash-looping"));
    let metrics = client::send(balancer.admin, "GET", "/metrics", "").body;
    assert!(metrics.contains("evenkeel_replicas_crash_looping{service=\"web\"} 1"), "{metrics}");

    let added = balancer.add(r#"{"n":1,"hostnames":["S5"]}"#);
    assert_eq!(added.status, 500, "{added:?}");
    for part in ["S5", "exited with code 7", "no database", "giving up"] {
        assert!(added.body.contains(part), "{added:?}");
    }
    assert!(!balancer.names().contains(&"S5".to_string()), "it was undone");
    assert_eq!(balancer.service()["ready"], 2);
    load.stop().assert_nothing_lost();

    std::fs::remove_file(&flag).unwrap();
    eventually("it has healed", || balancer.service()["ready"] == 3);
    assert!(run(&balancer, &["status"]).contains(" whole"));
}
