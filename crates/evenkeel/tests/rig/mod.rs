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
pub mod version_1;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use client::{AdminApi, Answer};
use serde_json::Value;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration in a balancer's own folder.
const CONFIG_FILE: &str = "evenkeel.toml";
/// The token of its admin API, in the same place.
const TOKEN_FILE: &str = "admin.token";

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_evenkeel");

/// How to start a balancer.
pub struct Rig {
    arguments: Vec<String>,
    config: Option<String>,
    config_file: Option<PathBuf>,
    runtime: Option<PathBuf>,
    docker_host: Option<String>,
    variables: Vec<[String; 2]>,
    is_deaf: bool,
    is_early: bool,
    descriptors: Option<u32>,
    behind: Vec<String>,
}

/// A balancer that runs; dropping it kills it, and its process replicas with it.
pub struct Balancer {
    child: Child,
    pub address: SocketAddr,
    pub admin: AdminApi,
    /// What it said until it was up.
    pub said_at_start: String,
    /// Where its other listeners are.
    listeners: Mutex<VecDeque<SocketAddr>>,
    output: Mutex<mpsc::Receiver<String>>,
    folder: tempfile::TempDir,
}

impl Rig {
    pub fn new() -> Self {
        Self {
            arguments: Vec::new(),
            config: None,
            config_file: None,
            runtime: None,
            docker_host: None,
            variables: Vec::new(),
            is_deaf: false,
            is_early: false,
            descriptors: None,
            behind: Vec::new(),
        }
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

    /// With this configuration file, which says where to listen.
    pub fn config_file(mut self, path: &Path) -> Self {
        self.config_file = Some(path.to_owned());
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

    /// The system allows it so many open descriptors.
    pub fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Started by this command, which is given it as its last arguments.
    pub fn behind(mut self, words: &[&str]) -> Self {
        self.behind = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// With a variable in its own environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push([name.to_owned(), value.to_owned()]);
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

    /// Is there as soon as it listens, and not only when it says how its services came up.
    pub fn early(mut self) -> Self {
        self.is_early = true;
        self
    }

    /// Lets clients in only when all is up, and fails if that cannot be.
    pub fn waiting(mut self) -> Self {
        self.arguments.push("--wait".into());
        self
    }

    /// Starts it and waits until it says how its services came up, or returns all that it said.
    pub fn try_up(self) -> Result<Balancer, String> {
        let (is_deaf, is_early) = (self.is_deaf, self.is_early);
        let (mut child, folder) = self.spawn();
        let output = read_output(&mut child, is_deaf);
        let mut said = String::new();
        let (mut admin, mut listeners, mut is_up) = (None, VecDeque::new(), false);
        while listeners.is_empty() || !(is_up || is_early) {
            match output.recv_timeout(PATIENCE) {
                Ok(line) => {
                    admin = admin.or_else(|| address_in(&line, "admin on http://"));
                    listeners.extend(listener_in(&line));
                    is_up |= line.starts_with("  up after ");
                    said = said + &line + "\n";
                }
                Err(_) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(said);
                }
            }
        }
        let (address, admin) = (listeners.pop_front().unwrap(), admin.unwrap());
        let token = std::fs::read_to_string(folder.path().join(TOKEN_FILE)).unwrap_or_default();
        let admin = AdminApi { address: admin, token: String::leak(token.trim().to_owned()) };
        let (listeners, output) = (Mutex::new(listeners), Mutex::new(output));
        Ok(Balancer { child, address, admin, said_at_start: said, listeners, output, folder })
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
        let mut command = match self.descriptors {
            None if !self.behind.is_empty() => {
                let mut command = Command::new(&self.behind[0]);
                command.args(&self.behind[1..]).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("ulimit -n {most} && exec \"$0\" \"$@\"")).arg(PROGRAM);
                shell
            }
        };
        command.arg("up").args(&self.arguments).arg("--admin=127.0.0.1:0");
        match &self.config_file {
            Some(path) => {
                command.arg("--config").arg(path);
            }
            None if self.arguments.iter().any(|argument| argument.starts_with("--listen=")) => {}
            None => {
                command.arg("--listen=127.0.0.1:0");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = self.config {
            let path = folder.path().join(CONFIG_FILE);
            std::fs::write(&path, text).unwrap();
            command.arg("--config").arg(path);
        }
        command.arg("--token-file").arg(folder.path().join(TOKEN_FILE));
        command.env("XDG_RUNTIME_DIR", self.runtime.as_deref().unwrap_or(folder.path()));
        command.envs(self.variables.iter().map(|[name, value]| (name, value)));
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

fn listener_in(line: &str) -> Option<SocketAddr> {
    address_in(line, "listening on http://").or_else(|| address_in(line, "listening on https://"))
}

impl Balancer {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it has open.
    pub fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// A figure of its metrics page, named with its labels.
    pub fn figure(&self, name: &str) -> u64 {
        let page = client::send(self.admin, "GET", "/metrics", "").body;
        let figures = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        figures.map(|value| value.parse::<u64>().unwrap()).sum()
    }

    /// Where the token of its admin API is.
    pub fn token_file(&self) -> PathBuf {
        self.folder.path().join(TOKEN_FILE)
    }

    /// Changes its configuration file, which it reads when it is told to.
    pub fn rewrite_config(&self, text: &str) {
        std::fs::write(self.folder.path().join(CONFIG_FILE), text).unwrap();
    }

    /// Where its next listener is, in the order of the configuration; the first is `address`.
    pub fn next_listener(&self) -> SocketAddr {
        self.listeners.lock().unwrap().pop_front().expect("it has another")
    }

    /// The next line in which it says something like this; nothing if none comes.
    pub fn says(&self, is_meant: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + PATIENCE;
        let output = self.output.lock().unwrap();
        // Who says something all the time does not hold us up.
        let next = || output.recv_timeout(end.checked_duration_since(Instant::now())?).ok();
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
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg(format!("--admin={}", self.admin));
        command.arg("--token-file").arg(self.token_file()).output().unwrap()
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

    /// The process of its only replica.
    pub fn pid_of_any(&self) -> u32 {
        replica_processes(self.pid()).first().expect("one runs").0
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
/// their own have their address for one. Whose run folder is another one has left it there.
pub fn forget_owner(owner: &str) {
    let run = files::run_folder().unwrap_or_default();
    let _ = std::fs::remove_file(run.join(format!("evenkeel-owner-{owner}.lock")));
}

/// Takes away what balancers of an owner have stored that was not told where.
pub fn forget_state(owner: &str) {
    if let Ok(state) = files::state_folder() {
        let _ = std::fs::remove_dir_all(state.join(owner));
    }
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

/// How many children of a process have ended without that it took notice.
pub fn ended_children(parent: u32) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let is_one = |stat: &String| {
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        fields.starts_with(&format!("Z {parent} "))
    };
    stats.filter(is_one).count()
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
