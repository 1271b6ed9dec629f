//! Replicas behind Unix sockets: ours, with their folder, and somebody else's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, eventually, kill};

/// Requests a second.
const RATE: u32 = 500;

const SOCKETS: &str = "contract = true\n[[service]]\nname = \"web\"\nsocket = true\n";

/// Where each replica listens, as the admin API shows it.
fn sockets(balancer: &Balancer) -> Vec<PathBuf> {
    let replicas = balancer.replicas();
    let path = |replica: &serde_json::Value| {
        let address = replica["address"].as_str().unwrap_or_default();
        PathBuf::from(address.strip_prefix("unix:").unwrap_or_else(|| panic!("{address} is no socket")))
    };
    replicas.iter().map(path).collect()
}

fn is_replaced(balancer: &Balancer, dead: &serde_json::Value) -> bool {
    let replicas = balancer.replicas();
    let is_ready = replicas.iter().all(|replica| replica["state"] == "ready");
    let successor = replicas.iter().find(|replica| replica["seat"] == dead["seat"]);
    is_ready && replicas.len() == 3 && successor.is_some_and(|replica| replica["name"] != dead["name"])
}

#[test]
fn processes_behind_sockets_are_replaced_without_a_lost_request() {
    let balancer = Rig::new().config(SOCKETS).up();
    let load = Load::start(balancer.address, RATE);
    let mut dead = Vec::new();
    for round in 0..3 {
        let victim = balancer.replicas()[round].clone();
        dead.push(sockets(&balancer)[round].clone());
        kill("-9", balancer.pid_of(&victim));
        eventually("the replacement takes traffic", || is_replaced(&balancer, &victim));
    }
    let tally = load.stop();
    tally.assert_nothing_lost();
    assert!(tally.by_replica.len() > 3, "{:?}", tally.by_replica);
    let alive = sockets(&balancer);
    assert!(alive.iter().all(|socket| socket.exists() && !dead.contains(socket)), "{alive:?}");
    assert!(!dead.iter().any(|socket| socket.exists()), "{dead:?}");
    let shown = String::from_utf8(balancer.command(&["ps"]).stdout).unwrap();
    assert!(alive.iter().all(|socket| shown.contains(&format!("unix:{}", socket.display()))), "{shown}");
}

#[test]
fn the_folder_of_sockets_is_for_its_owner_only_and_nothing_of_it_is_left() {
    let runtime = tempfile::tempdir().unwrap();
    let balancer = Rig::new().config(SOCKETS).runtime(runtime.path()).up();
    let folder = sockets(&balancer)[0].parent().unwrap().to_owned();
    // Root has one of its own, whatever the variable says.
    let is_root = rustix::process::geteuid().is_root();
    let run = if is_root { PathBuf::from("/run/evenkeel") } else { runtime.path().join("evenkeel") };
    assert_eq!(folder.parent(), Some(run.as_path()));
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert!(!folder.exists());
}

#[test]
fn what_a_killed_balancer_left_is_removed_by_the_next_one() {
    let runtime = tempfile::tempdir().unwrap();
    let balancer = Rig::new().config(SOCKETS).runtime(runtime.path()).up();
    let folder = sockets(&balancer)[0].parent().unwrap().to_owned();
    balancer.signal("-9");
    let _ = balancer.ended();
    assert!(folder.exists());
    let next = Rig::new().config(SOCKETS).runtime(runtime.path()).up();
    assert!(!folder.exists() && sockets(&next)[0].exists());
}

/// The demo replica as somebody else would run it.
struct Foreign(Child);

impl Foreign {
    fn start(socket: &Path) -> Self {
        let listen = format!("--listen=unix:{}", socket.display());
        let mut command = Command::new(PROGRAM);
        command.args(["replica", &listen]).env("SERVER_ID", "theirs");
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Foreign {
    /// Kills it, so that it leaves its socket.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_fixed_address_may_be_a_socket_and_who_starts_again_there_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let theirs = Foreign::start(&socket);
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"unix:{}\"]\n",
        socket.display()
    );
    let balancer = Rig::new().config(&config).up();
    assert_eq!(sockets(&balancer), std::slice::from_ref(&socket));
    assert!(balancer.get("/home").body.contains("Hello from Server: theirs"));
    drop(theirs);
    eventually("it is missed", || balancer.service()["ready"] == 0);
    let _theirs = Foreign::start(&socket);
    eventually("it is back", || balancer.service()["ready"] == 1);
    assert_eq!(balancer.get("/home").status, 200);
}

#[test]
fn a_replica_does_not_remove_what_is_not_a_socket() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let listen = format!("--listen=unix:{}", file.path().display());
    let output = Command::new(PROGRAM).args(["replica", &listen]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on unix:") && file.path().exists(), "{said}");
}
