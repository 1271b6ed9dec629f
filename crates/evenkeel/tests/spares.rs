//! Spares with real processes that take their time to start: a dead replica's seat is not empty meanwhile,
//! and the next balancer finds out who has it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use rig::kept::{Kept, end};
use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, client, eventually, kill};
use serde_json::Value;

/// Three replicas that listen two seconds after they were started, and a spare.
fn slow() -> String {
    let words =
        ["sh", "-c", "sleep 2; exec \"$0\" \"$@\"", PROGRAM, "replica", "--listen", "127.0.0.1:{port}"];
    format!("spares = 1\ncommand = {words:?}\n")
}

fn spares(balancer: &Balancer) -> Vec<Value> {
    balancer.service()["spares"].as_array().unwrap().clone()
}

fn spare_is_ready(balancer: &Balancer) {
    eventually("a spare is ready", || {
        let spares = spares(balancer);
        spares.len() == 1 && spares[0]["state"] == "spare"
    });
}

fn shown(balancer: &Balancer, command: &str) -> String {
    String::from_utf8(balancer.command(&[command]).stdout).unwrap()
}

/// What happened to a seat, and to whom.
fn events_of(balancer: &Balancer, seat: u64) -> Vec<[String; 2]> {
    let answer = client::send(balancer.admin, "GET", "/v1/events", "");
    let events: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let of_seat = events.iter().filter(|event| event["seat"] == seat);
    of_seat.map(|event| [text(event, "event"), text(event, "replica")]).collect()
}

#[test]
fn a_killed_replica_is_replaced_by_a_spare_before_another_could_have_started() {
    let balancer =
        Rig::new().config(&format!("contract = true\n[[service]]\nname = \"web\"\n{}", slow())).up();
    spare_is_ready(&balancer);
    let spare = spares(&balancer)[0]["name"].as_str().unwrap().to_owned();
    let status = shown(&balancer, "status");
    assert!(status.contains("3/3") && status.contains("whole, 1 of 1 spares ready"), "{status}");
    let listed = shown(&balancer, "ps");
    let line = listed.lines().find(|line| line.contains(&spare)).unwrap();
    assert_eq!(line.split_whitespace().take(5).collect::<Vec<_>>(), ["web", "-", "10001.1", &spare, "spare"]);
    assert!(!balancer.names().contains(&spare), "callers are not told of it");

    let load = Load::start(balancer.address, 500);
    let victim = balancer.replicas()[1].clone();
    kill("-9", balancer.pid_of(&victim));
    eventually("somebody else has the seat", || {
        let now = balancer.replicas()[1].clone();
        now["name"] != victim["name"] && now["state"] == "ready"
    });
    assert_eq!(balancer.names(), ["server_1", &spare, "server_3"]);
    spare_is_ready(&balancer);
    let tally = load.stop();
    tally.assert_nothing_lost();
    assert!(tally.by_replica[&spare] > 0, "{:?}", tally.by_replica);
    // Had one been started in the seat, it would have begun there.
    let events = events_of(&balancer, 2);
    let begun = events.iter().filter(|[event, _]| event == "starting").count();
    let at = |event: &str, name: &str| events.iter().position(|one| *one == [event, name]);
    assert_eq!(begun, 1, "{events:?}");
    assert!(at("replaced", "server_2").unwrap() < at("takes the seat", &spare).unwrap(), "{events:?}");
    assert!(at("takes the seat", &spare) < at("ready", &spare), "{events:?}");
    let metrics = client::send(balancer.admin, "GET", "/metrics", "").body;
    for gauge in ["spares_desired", "spares_ready"] {
        assert!(metrics.contains(&format!("evenkeel_{gauge}{{service=\"web\"}} 1")), "{metrics}");
    }
}

#[test]
fn a_balancer_that_is_killed_just_after_doubles_nothing_and_the_spare_keeps_the_seat() {
    for pause in [0, 3, 30] {
        let kept = Kept::new();
        let config = kept.config(&slow());
        let balancer = Rig::new().config(&config).up();
        spare_is_ready(&balancer);
        let spare = spares(&balancer)[0]["name"].as_str().unwrap().to_owned();
        end(kept.replicas()["web/2.1"]);
        // How far the balancer comes is up to chance, and must not matter.
        std::thread::sleep(std::time::Duration::from_millis(pause));
        balancer.signal("-9");
        let _ = balancer.ended();
        let again = Rig::new().config(&config).up();
        assert_eq!(again.names(), ["server_1", &spare, "server_3"], "after {pause} ms");
        spare_is_ready(&again);
        eventually("nobody else is left", || {
            let lives: Vec<String> = kept.replicas().into_keys().collect();
            lives.len() == 4
                && ["web/1.1", "web/3.1", "web/10001.1"].iter().all(|life| lives.contains(&(*life).into()))
        });
        assert_eq!(again.get("/home").status, 200);
    }
}

#[test]
fn spares_end_with_the_fleet_and_with_the_next_configuration() {
    let kept = Kept::new();
    let balancer = Rig::new().config(&kept.config("replicas = 1\nspares = 2")).up();
    eventually("all are there", || kept.replicas().len() == 3);
    eventually("all are ready", || spares(&balancer).iter().all(|spare| spare["state"] == "spare"));
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert!(code == Some(0) && said.contains("3 processes keep running"), "{said}");
    let again = Rig::new().config(&kept.config("replicas = 1\nspares = 1")).up();
    eventually("one goes", || kept.replicas().into_keys().eq(["web/1.1", "web/10001.1"].map(String::from)));
    again.signal("-TERM");
    assert_eq!(again.ended().0, Some(0));
    let last = Rig::new()
        .config(&kept.config("replicas = 1\non_exit = \"stop\"").replace("on_exit = \"keep\"\n", ""))
        .up();
    eventually("the other goes, too", || kept.replicas().into_keys().eq(["web/1.1".to_owned()]));
    last.signal("-TERM");
    assert_eq!(last.ended().0, Some(0));
    assert!(kept.replicas().is_empty());
}
