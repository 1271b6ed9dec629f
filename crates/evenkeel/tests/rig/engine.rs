//! An engine of the test's own, beside the machine's: it may be stopped, frozen and started again.
//!
//! It shares nothing with the other one but the kernel. Its network is a namespace of its own, with
//! a way in for us: two engines in one namespace would each take the other's bridge for a leftover.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::kill;

/// The network namespace, and a pair of interfaces: one here, one there.
const NAMESPACE: &str = "ek-test";
const OUTSIDE: &str = "ek-outside";
const INSIDE: &str = "ek-inside";
const OUTSIDE_ADDRESS: &str = "10.213.255.1/30";
const INSIDE_ADDRESS: &str = "10.213.255.2/30";
/// Where its containers are.
const CONTAINERS: &str = "10.213.0.0/17";

/// There is one namespace, so there is one at a time.
static TURN: Mutex<()> = Mutex::new(());

pub struct OwnEngine {
    folder: tempfile::TempDir,
    lives_restore: bool,
    child: Option<Child>,
    _turn: MutexGuard<'static, ()>,
}

impl OwnEngine {
    /// An engine that leaves containers running when it ends, or takes them with it; nothing where
    /// none can be started. Where Docker is required, and could be started, this fails.
    pub fn up(lives_restore: bool) -> Option<Self> {
        if let Some(reason) = what_is_missing() {
            println!("skipped: no engine of our own: {reason}");
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ready = make_network();
        let folder = tempfile::Builder::new().prefix("ek").tempdir().unwrap();
        std::fs::write(folder.path().join("daemon.json"), "{}").unwrap();
        let mut engine = Self { folder, lives_restore, child: None, _turn: turn };
        if is_ready && engine.try_start() {
            return Some(engine);
        }
        let log = std::fs::read_to_string(engine.path("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("there is no network for it").to_string();
        let is_required = std::env::var_os("EVENKEEL_REQUIRE_DOCKER").is_some();
        assert!(!is_required, "EVENKEEL_REQUIRE_DOCKER is set and an engine of our own fails: {last}");
        println!("skipped: no engine of our own: {last}");
        None
    }

    /// What `DOCKER_HOST` is to be.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// Starts it again, and returns when it answers.
    pub fn start(&mut self) {
        assert!(self.try_start(), "{}", std::fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    /// Ends it in an orderly way.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        self.child.take().unwrap().wait().unwrap();
    }

    /// Sends the engine a signal, but none to its containers.
    pub fn signal(&self, signal: &str) {
        kill(signal, self.child.as_ref().unwrap().id());
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It may be frozen.
        for signal in ["-CONT", "-TERM"] {
            let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        }
        let _ = child.wait();
    }

    fn try_start(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let path = |name: &str| self.path(name).display().to_string();
        let pool = format!("base={CONTAINERS},size=24");
        let mut command = Command::new("nsenter");
        command
            .args([&format!("--net=/run/netns/{NAMESPACE}"), "dockerd"])
            .args(["--host", &self.host(), "--config-file", &path("daemon.json")])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--default-address-pool", &pool, "--iptables=false", "--ip-masq=false"])
            .args(["--shutdown-timeout=10"])
            .args(self.lives_restore.then_some("--live-restore"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // Layers over layers are not possible everywhere; what the other one uses is.
        if let Some(storage) = usual_storage() {
            command.args(["--storage-driver", &storage]);
        }
        let mut child = command.spawn().unwrap();
        let is_up = loop {
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            if answers(&self.host()) {
                break true;
            }
        };
        self.child = is_up.then_some(child);
        is_up
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.end();
        if self.lives_restore {
            // One that leaves no containers running ends what the other kind left.
            self.lives_restore = false;
            self.try_start();
            self.end();
        }
        // It keeps its data mounted upon itself.
        let _ = Command::new("umount").arg(self.path("data")).stderr(Stdio::null()).status();
        remove_network();
    }
}

fn what_is_missing() -> Option<String> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let has_program = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !is_root {
        return Some("it takes root".into());
    }
    ["dockerd", "containerd", "nsenter", "ip"]
        .into_iter()
        .find(|name| !has_program(name))
        .map(|name| format!("there is no {name}"))
}

fn usual_storage() -> Option<String> {
    let output = Command::new("docker").args(["info", "--format", "{{.Driver}}"]).output().ok()?;
    let storage = String::from_utf8_lossy(&output.stdout).trim().to_string();
    (output.status.success() && !storage.is_empty()).then_some(storage)
}

fn answers(host: &str) -> bool {
    let version = Command::new("timeout").args(["10", "docker", "--host", host, "version"]).output();
    version.is_ok_and(|output| output.status.success())
}

fn make_network() -> bool {
    remove_network();
    let commands = [
        format!("netns add {NAMESPACE}"),
        format!("link add {OUTSIDE} type veth peer name {INSIDE} netns {NAMESPACE}"),
        format!("addr add {OUTSIDE_ADDRESS} dev {OUTSIDE}"),
        format!("link set {OUTSIDE} up"),
        format!("-n {NAMESPACE} addr add {INSIDE_ADDRESS} dev {INSIDE}"),
        format!("-n {NAMESPACE} link set {INSIDE} up"),
        format!("-n {NAMESPACE} link set lo up"),
        format!("route add {CONTAINERS} via {}", INSIDE_ADDRESS.split('/').next().unwrap()),
    ];
    commands.iter().all(|command| ip(command))
}

fn remove_network() {
    let _ = ip(&format!("link delete {OUTSIDE}"));
    let _ = ip(&format!("netns delete {NAMESPACE}"));
}

fn ip(command: &str) -> bool {
    let done = Command::new("ip").args(command.split(' ')).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}
