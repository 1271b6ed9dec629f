//! The rig: starts the real program on free ports, speaks to it as a client would, and leaves
//! nothing behind.

#![allow(dead_code, unreachable_pub, reason = "each test file uses the part of the rig that it needs")]

pub mod backend;
pub mod client;
pub mod docker;
pub mod engine;
pub mod inside;
pub mod kept;
pub mod load;
pub mod relay;
pub mod restless;
pub mod tls;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use client::Answer;
use serde_json::Value;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration in a balancer's own folder.
const CONFIG_FILE: &str = "evenkeel.toml";

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_evenkeel");

/// How to start a balancer.
pub struct Rig {
    arguments: Vec<String>,
    config: Option<String>,
    runtime: Option<PathBuf>,
    docker_host: Option<String>,
    is_deaf: bool,
}

/// A balancer that runs; dropping it kills it, and its process replicas with it.
pub struct Balancer {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    output: Mutex<mpsc::Receiver<String>>,
    folder: tempfile::TempDir,
}

impl Rig {
    pub fn new() -> Self {
        Self { arguments: Vec::new(), config: None, runtime: None, docker_host: None, is_deaf: false }
    }

    pub fn replicas(mut self, count: u32) -> Self {
        self.arguments.push(format!("--replicas={count}"));
        self
    }

    /// Listens here instead of on free ports; needed to start the same balancer again.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.arguments.push(format!("--listen={address}"));
        self
    }

    /// With this configuration; `listen` and `admin` are added.
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_string());
        self
    }

    /// Keeps sockets in this folder; without it, in one of its own that goes with the balancer.
    pub fn runtime(mut self, folder: &Path) -> Self {
        self.runtime = Some(folder.to_owned());
        self
    }

    /// With this engine, as `DOCKER_HOST` names one.
    pub fn engine(mut self, host: &str) -> Self {
        self.docker_host = Some(host.to_string());
        self
    }

    /// Does not read its log, which goes into a pipe that will be full.
    pub fn deaf(mut self) -> Self {
        self.is_deaf = true;
        self
    }

    pub fn up(self) -> Balancer {
        self.try_up().unwrap_or_else(|output| panic!("the balancer did not come up:\n{output}"))
    }

    /// Starts it and waits until it says that it listens, or returns all that it said.
    pub fn try_up(self) -> Result<Balancer, String> {
        let is_deaf = self.is_deaf;
        let (mut child, folder) = self.spawn();
        let output = read_output(&mut child, is_deaf);
        let mut said = String::new();
        let (mut admin, mut address) = (None, None);
        while address.is_none() {
            match output.recv_timeout(PATIENCE) {
                Ok(line) => {
                    admin = admin.or_else(|| address_in(&line, "admin on http://"));
                    address = address_in(&line, "listening on http://");
                    said = said + &line + "\n";
                }
                Err(_) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(said);
                }
            }
        }
        let (address, admin) = (address.unwrap(), admin.unwrap());
        Ok(Balancer { child, address, admin, output: Mutex::new(output), folder })
    }

    /// Starts it and kills it after this time, however far it has come by then.
    pub fn killed_after(self, time: Duration) {
        let (mut child, _folder) = self.spawn();
        let _output = read_output(&mut child, false);
        std::thread::sleep(time);
        let _ = child.kill();
        let _ = child.wait();
    }

    fn spawn(self) -> (Child, tempfile::TempDir) {
        let mut command = Command::new(PROGRAM);
        command.arg("up").args(&self.arguments).arg("--admin=127.0.0.1:0");
        if !self.arguments.iter().any(|argument| argument.starts_with("--listen=")) {
            command.arg("--listen=127.0.0.1:0");
        }
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = self.config {
            let path = folder.path().join(CONFIG_FILE);
            std::fs::write(&path, text).unwrap();
            command.arg("--config").arg(path);
        }
        command.env("XDG_RUNTIME_DIR", self.runtime.as_deref().unwrap_or(folder.path()));
        if let Some(host) = self.docker_host {
            command.env("DOCKER_HOST", host);
        }
        (command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), folder)
    }
}

fn read_output(child: &mut Child, is_deaf: bool) -> mpsc::Receiver<String> {
    let (sender, output) = mpsc::channel();
    let mut streams: Vec<Box<dyn Read + Send>> = vec![Box::new(child.stdout.take().unwrap())];
    if !is_deaf {
        streams.push(Box::new(child.stderr.take().unwrap()));
    }
    for stream in streams {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    output
}

fn address_in(line: &str, before: &str) -> Option<SocketAddr> {
    let rest = line.split_once(before)?.1;
    rest.split([' ', ',']).next()?.parse().ok()
}

impl Balancer {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Changes its configuration file, which it reads when it is told to.
    pub fn rewrite_config(&self, text: &str) {
        std::fs::write(self.folder.path().join(CONFIG_FILE), text).unwrap();
    }

    /// Where its next listener is, in the order of the configuration; the first is `address`.
    pub fn next_listener(&self) -> SocketAddr {
        let address = |line: &str| {
            address_in(line, "listening on http://").or_else(|| address_in(line, "listening on https://"))
        };
        self.says(|line| address(line).is_some()).and_then(|line| address(&line)).expect("it has another")
    }

    /// The next line in which it says something like this; nothing if none comes.
    pub fn says(&self, is_meant: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + PATIENCE;
        let output = self.output.lock().unwrap();
        let next = || output.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).find(|line| is_meant(line))
    }

    pub fn get(&self, path: &str) -> Answer {
        client::send(self.address, "GET", path, "")
    }

    pub fn add(&self, body: &str) -> Answer {
        client::send(self.address, "POST", "/add", body)
    }

    pub fn rm(&self, body: &str) -> Answer {
        client::send(self.address, "DELETE", "/rm", body)
    }

    /// The names that `/rep` shows.
    pub fn names(&self) -> Vec<String> {
        names_in(&self.get("/rep"))
    }

    /// What the admin API says about the first service.
    pub fn service(&self) -> Value {
        let answer = client::send(self.admin, "GET", "/v1/services", "");
        serde_json::from_str::<Value>(&answer.body).unwrap()[0].clone()
    }

    /// Every replica that should run, as the admin API shows it.
    pub fn replicas(&self) -> Vec<Value> {
        self.service()["replicas"].as_array().unwrap().clone()
    }

    /// Runs a command of the program against this balancer.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM).args(arguments).arg(format!("--admin={}", self.admin)).output().unwrap()
    }

    pub fn signal(&self, signal: &str) {
        kill(signal, self.pid());
    }

    /// Waits for its end and returns its exit code, if it had one, and what it said since.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.output.lock().unwrap().iter().collect::<Vec<_>>().join("\n"));
            }
            assert!(Instant::now() < end, "the balancer did not end");
            std::thread::yield_now();
        }
    }

    /// The process of a replica, by the port in its address.
    pub fn pid_of(&self, replica: &Value) -> u32 {
        let address = replica["address"].as_str().expect("it runs");
        let processes = replica_processes(self.pid());
        let found = processes.iter().find(|(_, command)| command.ends_with(address));
        found.unwrap_or_else(|| panic!("no process listens on {address}: {processes:?}")).0
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        forget_owner(&self.address.to_string());
    }
}

/// Takes away what a balancer that is killed leaves of its owner's lock. Those that have no owner of
/// their own have their address for one.
pub fn forget_owner(owner: &str) {
    let _ = std::fs::remove_file(format!("/tmp/evenkeel-owner-{owner}.lock"));
}

pub fn names_in(answer: &Answer) -> Vec<String> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    let names = body["message"]["replicas"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    names.iter().map(|name| name.as_str().unwrap().to_string()).collect()
}

/// Sends a signal to a process by its id.
pub fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The child processes of a balancer that are replicas: id and command line.
pub fn replica_processes(balancer: u32) -> Vec<(u32, String)> {
    children(balancer, " replica ")
}

/// The child processes of a balancer with this in their command line.
pub fn children(balancer: u32, part: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Ok(stat) = std::fs::read_to_string(folder.join("stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let mut fields = fields.split(' ');
        let (state, parent) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let command = std::fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
        let command = command.trim_end_matches('\0').replace('\0', " ");
        if parent == balancer.to_string() && state != "Z" && command.contains(part) {
            found.push((pid, command));
        }
    }
    found
}

/// Waits for a condition; fails with its name when it does not come true.
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) -> Duration {
    eventually_within(PATIENCE, what, is_so)
}

pub fn eventually_within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < limit, "it did not come true within {limit:?}: {what}");
        std::thread::yield_now();
    }
    begun.elapsed()
}
