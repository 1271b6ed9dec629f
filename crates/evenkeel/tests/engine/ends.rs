//! Every way in which somebody else ends a container: how soon it is out of the table, how soon its
//! seat is served again, and that clients notice nothing.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::rig::docker::Yard;
use crate::rig::engine::OwnEngine;
use crate::rig::{Balancer, client, eventually};
use crate::{RATE, Scene, names};
use serde_json::Value;

/// A replica needs a few MiB; what is put on top of it in the test is far more than this.
const MEMORY: &str = "memory = \"48MiB\"";

#[test]
fn whoever_ends_a_container_loses_nothing_and_the_reason_is_known() {
    let engine = OwnEngine::up(false);
    let (yard, host) = match &engine {
        Some(engine) => (Yard::at(engine.host()), engine.host()),
        None => match Yard::apart() {
            Some(yard) => (yard, "unix:///var/run/docker.sock".into()),
            None => return,
        },
    };
    let scene = Scene::at(yard, &host, RATE, MEMORY);
    for (deed, reason) in [
        ("kill -9", "killed by signal 9"),
        ("docker kill", "killed by signal 9"),
        ("docker rm -f", "killed by signal 9"),
        ("docker stop", "exited with code 0"),
        ("out of memory", "killed for want of memory"),
    ] {
        for _ in 0..2 {
            let victim = scene.victim();
            let over_at = end(&scene, deed, &victim);
            scene.settle(&victim);
            eventually("its end is known", || reason_of(&scene.balancer, &victim).is_some());
            let told = reason_of(&scene.balancer, &victim).unwrap();
            assert!(told.starts_with(reason), "{deed}: {told}");
            report(&scene, deed, &victim, over_at);
        }
    }
    scene.end().assert_nothing_lost();
}

/// Does it, and returns when the replica's process was over.
fn end(scene: &Scene, deed: &str, victim: &str) -> SystemTime {
    let pid = scene.pid(victim);
    let watch = std::thread::spawn(move || {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let is_over = || {
            let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            !process.exists() || stat.contains(") Z ")
        };
        eventually("its process is over", || {
            // So often that it is known to the millisecond, and others have the processor, too.
            std::thread::sleep(Duration::from_micros(500));
            is_over()
        });
        SystemTime::now()
    });
    let mut glutton = None;
    match deed {
        "kill -9" => crate::kill("-9", pid),
        "out of memory" => glutton = Some(fill_memory(pid)),
        docker => {
            let words: Vec<&str> = docker.split(' ').skip(1).collect();
            scene.yard.strike(&words, victim);
        }
    }
    let over_at = watch.join().unwrap();
    if let Some(mut glutton) = glutton {
        let _ = glutton.kill();
        let _ = glutton.wait();
    }
    over_at
}

/// Fills the memory that a replica may use, on its account, until the kernel ends it before all
/// others.
fn fill_memory(pid: u32) -> Child {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let group = groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| ("memory", path)));
    let group = group.or_else(|| groups.lines().find_map(|line| Some(("", line.strip_prefix("0::")?))));
    let (kind, path) = group.expect("it has a memory limit");
    let joins = format!("/sys/fs/cgroup/{kind}{path}/cgroup.procs");
    // A replica works where its container's own files begin.
    let fills = format!("of=/proc/{pid}/cwd/dev/shm/full");
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").unwrap();
    let script = "echo $$ > \"$0\" && exec dd if=/dev/zero \"$1\" bs=64k";
    Command::new("sh").args(["-c", script, &joins, &fills]).stderr(Stdio::null()).spawn().unwrap()
}

fn events(balancer: &Balancer) -> Vec<Value> {
    serde_json::from_str(&client::send(balancer.admin, "GET", "/v1/events", "").body).unwrap()
}

fn reason_of(balancer: &Balancer, name: &str) -> Option<String> {
    let events = events(balancer);
    let ended = events.iter().find(|event| event["event"] == "ended" && event["replica"] == name)?;
    Some(ended["reason"].as_str().unwrap().to_string())
}

/// Prints how long it took, by the balancer's own record.
fn report(scene: &Scene, deed: &str, victim: &str, over_at: SystemTime) {
    let successor = names(&scene.balancer)[1].clone();
    let is_told = |what: &str| {
        let is_it = |event: &Value| event["replica"] == *successor && event["event"] == what;
        events(&scene.balancer).iter().any(is_it)
    };
    eventually("it is told that its successor is ready", || is_told("ready"));
    let events = events(&scene.balancer);
    let after = |name: &str, what: &str| {
        let event = events.iter().rev().find(|event| event["replica"] == name && event["event"] == what);
        let event = event.unwrap_or_else(|| panic!("'{what}' is not told of {name}: {events:#?}"));
        let at = humantime::parse_rfc3339(event["at"].as_str().unwrap()).unwrap();
        at.duration_since(over_at)
            .map_or_else(|early| -early.duration().as_secs_f64(), |late| late.as_secs_f64())
            * 1e3
    };
    let (out, started, ready) =
        (after(victim, "out of the table"), after(&successor, "starting"), after(&successor, "ready"));
    println!(
        "{deed}: out of the table after {out:.0} ms, its successor begun after {started:.0} ms and ready {:.0} ms later",
        ready - started
    );
}
