//! What the balancer writes to stands still: a full disk under its state, a log that nobody reads.
//! Requests are served, what cannot be done is said, and nothing has to be done when it is over.
//!
//! A small file system of its own needs the right to mount one. Without it the tests of full disks say
//! that they were skipped, unless EVENKEEL_REQUIRE_MOUNT is set; then they fail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rig::kept::Kept;
use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, eventually, kill, names_in, replica_processes};

/// Requests a second.
const RATE: u32 = 300;

/// A small file system in a folder; it goes with this.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128k,mode=0700", "evenkeel-test"])
            .arg(folder)
            .output();
        let why = match output {
            Ok(output) if output.status.success() => return Some(Self(folder)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let is_required = std::env::var_os("EVENKEEL_REQUIRE_MOUNT").is_some();
        assert!(!is_required, "EVENKEEL_REQUIRE_MOUNT is set and nothing can be mounted: {why}");
        println!("skipped: nothing can be mounted: {why}");
        None
    }

    /// Leaves no room for a single byte.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily, because what is killed last may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

fn printed(balancer: &Balancer, command: &str) -> String {
    String::from_utf8(balancer.command(&[command]).stdout).unwrap()
}

/// Edits are refused and change nothing, and everybody can see why.
fn assert_that_nothing_can_be_stored(balancer: &Balancer) {
    let names = balancer.names();
    for answer in [balancer.add(r#"{"n":2,"hostnames":["S5"]}"#), balancer.rm(r#"{"n":1}"#)] {
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(answer.body.contains("cannot store what should run"), "{answer:?}");
        assert!(answer.body.contains("No space left on device"), "{answer:?}");
    }
    assert_eq!(balancer.names(), names);
    eventually("what was begun is undone", || {
        balancer.service()["others"].as_array().unwrap().is_empty()
            && balancer.service()["ready"] == names.len()
    });
    let status = printed(balancer, "status");
    assert!(status.contains("cannot store what should run") && status.contains("No space left"), "{status}");
    assert!(printed(balancer, "events").contains("cannot store"), "{}", printed(balancer, "events"));
    let is_said = |line: &str| line.contains("ERROR") && line.contains("changes are refused");
    assert!(balancer.says(is_said).is_some(), "the log says it");
}

#[test]
fn a_full_disk_refuses_changes_and_stops_nobody() {
    for on_exit in ["stop", "keep"] {
        let kept = Kept::new();
        let Some(disk) = SmallDisk::mount(kept.folder.path()) else { return };
        let top = kept.top();
        let config = format!("contract = true\n{top}[[service]]\nname = \"web\"\non_exit = \"{on_exit}\"\n");
        let balancer = Rig::new().config(&config).up();
        let load = Load::start(balancer.address, RATE);
        disk.fill();
        assert_that_nothing_can_be_stored(&balancer);
        // One that ends is replaced all the same.
        let victim = balancer.replicas()[1].clone();
        match on_exit {
            "keep" => kill("-9", kept.replicas()["web/2.1"]),
            _ => kill("-9", balancer.pid_of(&victim)),
        }
        eventually("the next life takes traffic", || {
            balancer.service()["ready"] == 3 && balancer.replicas()[1]["incarnation"] != victim["incarnation"]
        });
        let next = balancer.replicas()[1]["incarnation"].clone();
        disk.empty();
        eventually("the trouble is over by itself", || {
            // It takes seconds; to ask without a pause would be a load of its own.
            std::thread::sleep(Duration::from_millis(50));
            balancer.service()["trouble"].is_null()
        });
        assert!(!printed(&balancer, "status").contains("cannot store"));
        assert!(printed(&balancer, "events").contains("can store again"));
        assert_eq!(balancer.replicas()[1]["incarnation"], next, "it goes on");
        let count = balancer.names().len();
        assert_eq!(names_in(&balancer.add(r#"{"n":2,"hostnames":["S5"]}"#)).len(), count + 2);
        load.stop().assert_nothing_lost();
        let names = balancer.names();
        balancer.signal("-9");
        let _ = balancer.ended();
        let again = Rig::new().config(&config).up();
        assert_eq!(again.names().len(), names.len());
        eventually("all are back", || again.service()["ready"] == names.len());
        if on_exit == "keep" {
            eventually("each has two processes", || kept.lives().values().eq([2; 5].iter()));
        }
    }
}

#[test]
fn a_balancer_starts_on_a_full_disk_with_what_it_had() {
    let kept = Kept::new();
    let Some(disk) = SmallDisk::mount(kept.folder.path()) else { return };
    let config = kept.config("");
    let balancer = Rig::new().config(&config).up();
    let (names, replicas) = (balancer.names(), kept.replicas());
    balancer.signal("-9");
    let _ = balancer.ended();
    disk.fill();
    let again = Rig::new().config(&config).up();
    assert_eq!((again.names(), kept.replicas()), (names, replicas));
    assert_eq!(again.get("/home").status, 200);
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let script = format!("seq 20000; exec {PROGRAM} replica --listen 127.0.0.1:$PORT");
    let config =
        format!("contract = true\n[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    let balancer = Rig::new().config(&config).deaf().up();
    let pid = balancer.pid();
    let load = Load::start(balancer.address, RATE);
    assert_eq!(names_in(&balancer.add(r#"{"n":2}"#)).len(), 5);
    let victim = balancer.replicas()[0].clone();
    kill("-9", balancer.pid_of(&victim));
    eventually("the next life takes traffic", || {
        balancer.service()["ready"] == 5 && balancer.replicas()[0]["name"] != victim["name"]
    });
    assert_eq!(names_in(&balancer.rm(r#"{"n":3}"#)).len(), 2);
    load.stop().assert_nothing_lost();
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert!(replica_processes(pid).is_empty());
}
