//! Replicas as child processes, each in its own process group, on its own loopback port or Unix
//! socket.
//!
//! An exit is seen through the child itself, never by polling, and every child is reaped.

mod output;
mod ports;
mod sockets;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet::{Address, Event, Exit, Found, FoundState, Life, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::environment::Endpoint;
use crate::{Driver, DriverError, EventSender, ReplicaEnvironment, StartOrder};
use output::LastLines;
use sockets::SocketFolder;

/// How long the last output may take to arrive after an exit. Usually it is there; a grandchild
/// that holds the pipe must not delay the news.
const LAST_OUTPUT_WAIT: Duration = Duration::from_millis(20);

/// How long a process may take to be gone after it was killed.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The program and its arguments; `{name}`, `{seat}`, and `{port}` or `{socket}` are filled in.
    pub command: Vec<String>,
    /// A program and arguments put in front of the command, which end it when this process ends.
    pub tether: Vec<String>,
    /// What replicas learn from their environment.
    pub environment: ReplicaEnvironment,
    /// Whether replicas listen on Unix sockets instead of loopback ports.
    pub socket: bool,
    /// How long a replica that was asked to stop may take before it is killed.
    pub stop_timeout: Duration,
}

/// Starts, watches and stops child processes.
#[derive(Debug)]
pub struct ProcessDriver {
    settings: ProcessSettings,
    events: EventSender,
    running: Arc<Mutex<BTreeMap<Life, Running>>>,
    /// Where the sockets are, if replicas have some.
    sockets: Option<SocketFolder>,
}

#[derive(Clone, Debug)]
struct Running {
    name: ReplicaName,
    pid: Pid,
    address: Address,
    /// Turns true when the process has been reaped.
    has_exited: watch::Receiver<bool>,
}

impl ProcessDriver {
    /// A driver with nothing running yet. Fails if there has to be a folder for sockets and it
    /// cannot be made.
    pub fn new(settings: ProcessSettings, events: EventSender) -> Result<Self, DriverError> {
        let sockets = settings.socket.then(SocketFolder::create).transpose()?;
        Ok(Self { settings, events, running: Arc::default(), sockets })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Life, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, order: StartOrder) -> Result<Address, DriverError> {
        let mut running = self.running();
        let address = match &self.sockets {
            Some(sockets) => sockets.address(order.life)?,
            None => free_port(&running)?,
        };
        let mut child = self.command(&order, &Endpoint::of(&address)).spawn().map_err(|error| {
            DriverError::caused(format!("cannot run '{}'", self.settings.command[0]), error)
        })?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| DriverError::new("the process ended before it began"))?;
        let lines = LastLines::follow(&mut child, &order.name);
        let (exited, has_exited) = watch::channel(false);
        running.insert(order.life, Running { name: order.name, pid, address: address.clone(), has_exited });
        let supervised = Supervised { life: order.life, pid, address: address.clone(), child, lines };
        tokio::spawn(supervised.supervise(Arc::clone(&self.running), self.events.clone(), exited));
        Ok(address)
    }

    fn command(&self, order: &StartOrder, endpoint: &Endpoint) -> Command {
        let command = self.settings.command.iter().map(|word| order.fill_in(word, endpoint));
        let mut words = self.settings.tether.iter().cloned().chain(command);
        let mut command = Command::new(words.next().unwrap_or_default());
        // The balancer's own would be a wrong one, where replicas have sockets instead.
        command.env_remove("PORT");
        command.args(words).envs(self.settings.environment.of(order, endpoint)).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn end(&self, life: Life, how: StopHow) -> Result<(), DriverError> {
        let Some(mut process) = self.running().get(&life).cloned() else { return Ok(()) };
        if how == StopHow::Graceful {
            // The group may be gone by now; then the wait below ends at once.
            let _ = kill_process_group(process.pid, Signal::TERM);
            if process.is_gone_within(self.settings.stop_timeout).await {
                return Ok(());
            }
            tracing::warn!(replica = %process.name, "did not stop within {:?}, killing it", self.settings.stop_timeout);
        }
        let _ = kill_process_group(process.pid, Signal::KILL);
        if process.is_gone_within(KILL_WAIT).await {
            return Ok(());
        }
        Err(DriverError::new(format!("process {} is still there after it was killed", process.pid)))
    }
}

fn free_port(running: &BTreeMap<Life, Running>) -> Result<Address, DriverError> {
    let port_of = |process: &Running| match process.address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    };
    let taken: Vec<u16> = running.values().filter_map(port_of).collect();
    let port = ports::pick(&taken).ok_or_else(|| DriverError::new("no free loopback port was found"))?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
}

impl Running {
    async fn is_gone_within(&mut self, limit: Duration) -> bool {
        let gone = self.has_exited.wait_for(|has_exited| *has_exited);
        // A closed channel means that the supervisor is gone, and so is the process.
        tokio::time::timeout(limit, gone).await.is_ok()
    }

    fn is_frozen(&self) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        // The state follows the program's name, which is in parentheses and may hold some itself.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, Some('T' | 't'))
    }
}

impl Driver for ProcessDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        let program = self.settings.command.first().map_or("", String::as_str);
        let result = if is_runnable(program) {
            Ok(())
        } else {
            Err(DriverError::new(format!("there is no program '{program}' to run")))
        };
        ready(result).boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        ready(self.spawn(order)).boxed()
    }

    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        self.end(life, how).boxed()
    }

    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>> {
        ready(Ok(self.running().get(&life).is_some_and(Running::is_frozen))).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>> {
        let running = self.running();
        let found = running.iter().map(|(life, process)| Found {
            life: *life,
            name: process.name.clone(),
            state: FoundState::Running { address: process.address.clone(), is_frozen: process.is_frozen() },
        });
        ready(Ok(found.collect())).boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        ready(self.sockets.as_ref().map_or(Ok(()), SocketFolder::remove)).boxed()
    }
}

/// A child with the one task that waits for its end.
struct Supervised {
    life: Life,
    pid: Pid,
    address: Address,
    child: Child,
    lines: LastLines,
}

impl Supervised {
    async fn supervise(
        mut self,
        running: Arc<Mutex<BTreeMap<Life, Running>>>,
        events: EventSender,
        exited: watch::Sender<bool>,
    ) {
        let status = self.child.wait().await;
        // What it left behind in its group goes with it.
        let _ = kill_process_group(self.pid, Signal::KILL);
        if let Address::Unix(path) = &self.address {
            // It was the replica's, and most have removed it themselves; the folder goes in any case.
            let _ = sockets::remove(path);
        }
        let last_output = self.lines.last_within(LAST_OUTPUT_WAIT).await;
        let exit = Exit { last_output, ..exit_of(&status) };
        running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.life);
        // The receivers are gone when the balancer ends; then nobody needs to know.
        let _ = events.send(Event::Exited(self.life, exit)).await;
        let _ = exited.send(true);
    }
}

fn exit_of(status: &std::io::Result<ExitStatus>) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => Exit { code: status.code().map(i64::from), signal: status.signal(), ..Exit::default() },
        Err(_) => Exit::default(),
    }
}

fn is_runnable(program: &str) -> bool {
    let is_file = |path: &Path| path.is_file();
    if program.contains('/') {
        return is_file(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && std::env::split_paths(&path).any(|folder| is_file(&folder.join(program)))
}
