//! Replicas as processes, each in its own process group, on its own loopback port or Unix socket.
//!
//! An exit is seen through the process itself, never by polling, and every child is reaped. Children
//! end with the balancer; those that are kept have a keeper of their own, and a record by which the
//! next balancer finds them.

mod settings;

mod output;
mod ports;
mod sockets;
mod starter;

mod identity;
mod keeper;
mod kept;
mod log;
mod record;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet::{Address, Event, Exit, Found, FoundState, Life, Release, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::known_releases::KnownReleases;
use crate::order::Endpoint;
use crate::{Driver, DriverError, EventSender, Releases, Spec, StartOrder};
use identity::{Hold, Stat};
use keeper::exit_of;
use output::Output;
use record::Folder;
use sockets::SocketFolder;
use starter::Starter;

pub use keeper::keep;
pub use kept::end_orphaned;
pub use settings::{KeepSettings, ProcessSettings};

/// How long the last output may take to arrive after an exit. Usually it is there; a grandchild
/// that holds the pipe must not delay the news.
const LAST_OUTPUT_WAIT: Duration = Duration::from_millis(20);

/// How long a process may take to be gone after it was killed.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Starts, watches and stops processes.
#[derive(Debug)]
pub struct ProcessDriver {
    /// What it was made with. What is kept where, and whether there are sockets, is the same for all releases.
    settings: ProcessSettings,
    releases: KnownReleases<ProcessSettings>,
    events: EventSender,
    running: Table,
    /// Whoever has it begins a process, and nobody else picks a port meanwhile.
    starter: AsyncMutex<Starter>,
    /// Where the sockets are, if replicas have some.
    sockets: Option<Sockets>,
}

/// What runs, by life.
type Table = Arc<Mutex<BTreeMap<Life, Running>>>;

fn lock(table: &Table) -> MutexGuard<'_, BTreeMap<Life, Running>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug)]
struct Running {
    name: ReplicaName,
    process: Process,
    address: Address,
    /// What it was started with, if its record tells.
    release: Option<Release>,
    /// Turns true when the process has ended and nothing of it is left.
    has_exited: watch::Receiver<bool>,
}

/// What there is of a life.
#[derive(Clone, Debug)]
enum Process {
    /// A child, which ends with us.
    Tethered(Pid),
    /// One with a keeper, which is held.
    Kept(Arc<Hold>),
    /// It was kept, and ended while no balancer ran; its files are left.
    Over(Exit),
}

/// Where the sockets of replicas are.
#[derive(Debug)]
enum Sockets {
    /// In a folder that goes with us.
    Private(SocketFolder),
    /// Beside the records of those that do not.
    Kept(Folder),
}

impl ProcessDriver {
    /// A driver with nothing running yet. Fails if there has to be a folder for sockets and it
    /// cannot be made.
    pub fn new(settings: ProcessSettings, events: EventSender) -> Result<Self, DriverError> {
        let sockets = match &settings.keep {
            _ if !settings.socket => None,
            Some(keep) if keep.is_for_new => {
                sockets::check_kept(&keep.folder)?;
                Some(Sockets::Kept(Folder::new(&keep.folder)))
            }
            _ => Some(Sockets::Private(SocketFolder::create()?)),
        };
        let releases = KnownReleases::new(settings.release(), settings.clone());
        let starter = Starter::new();
        let starter =
            starter.map_err(|error| DriverError::caused("cannot begin a thread for starts", error))?;
        let starter = AsyncMutex::new(starter);
        Ok(Self { settings, releases, events, running: Arc::default(), starter, sockets })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Life, Running>> {
        lock(&self.running)
    }

    /// Where a life is to listen; nobody does yet.
    fn address(&self, life: Life) -> Result<Address, DriverError> {
        match &self.sockets {
            Some(Sockets::Private(folder)) => folder.address(life),
            Some(Sockets::Kept(folder)) => sockets::address(&folder.files(life).socket()),
            None => free_port(&self.running()),
        }
    }

    async fn spawn(&self, order: StartOrder) -> Result<Address, DriverError> {
        let settings = self.releases.get(order.release)?;
        let mut starter = self.starter.lock().await;
        let address = self.address(order.life)?;
        let child = starter.begin(settings.command(&order, &Endpoint::of(&address))).await;
        let mut child = child
            .map_err(|error| DriverError::caused(format!("cannot run '{}'", settings.command[0]), error))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| DriverError::new("the process ended before it began"))?;
        let output = Output::follow(&mut child, &order.name);
        let (exited, has_exited) = watch::channel(false);
        let (process, release) = (Process::Tethered(pid), Some(settings.release()));
        let one = Running { name: order.name, process, address: address.clone(), release, has_exited };
        self.running().insert(order.life, one);
        let supervised = Supervised { life: order.life, pid, address: address.clone(), child, output };
        tokio::spawn(supervised.supervise(Arc::clone(&self.running), self.events.clone(), exited));
        Ok(address)
    }

    async fn end(&self, life: Life, how: StopHow) -> Result<(), DriverError> {
        let Some(mut process) = self.running().get(&life).cloned() else { return Ok(()) };
        if let (Process::Over(_), Some(keep)) = (&process.process, &self.settings.keep) {
            Folder::new(&keep.folder).files(life).remove();
            self.running().remove(&life);
            return Ok(());
        }
        if how == StopHow::Graceful {
            process.signal(Signal::TERM);
            let stop_timeout = self.releases.latest().stop_timeout;
            if process.is_gone_within(stop_timeout).await {
                return Ok(());
            }
            tracing::warn!(replica = %process.name, "did not stop within {stop_timeout:?}, killing it");
        }
        process.signal(Signal::KILL);
        if process.is_gone_within(KILL_WAIT).await {
            return Ok(());
        }
        Err(DriverError::new(format!("replica '{}' is still there after it was killed", process.name)))
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

    fn signal(&self, signal: Signal) {
        match &self.process {
            // The group may be gone by now; then there is nobody to signal.
            Process::Tethered(pid) => drop(kill_process_group(*pid, signal)),
            // It passes on a request to stop; its own end is the replica's.
            Process::Kept(keeper) => keeper.signal(signal),
            Process::Over(_) => {}
        }
    }

    fn state(&self) -> FoundState {
        match &self.process {
            Process::Over(exit) => FoundState::Exited(exit.clone()),
            _ => FoundState::Running { address: self.address.clone(), is_frozen: self.is_frozen() },
        }
    }

    fn is_frozen(&self) -> bool {
        match &self.process {
            Process::Tethered(pid) => Stat::of(*pid).is_some_and(|stat| stat.is_stopped()),
            Process::Kept(keeper) => keeper.is_stopped(),
            Process::Over(_) => false,
        }
    }
}

impl Driver for ProcessDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async {
            self.settings.check()?;
            match &self.settings.keep {
                Some(keep) => self.adopt(keep).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        match self.settings.keep.as_ref().filter(|keep| keep.is_for_new) {
            Some(keep) => self.start_kept(order, keep).boxed(),
            None => self.spawn(order).boxed(),
        }
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
            state: process.state(),
        });
        ready(Ok(found.collect())).boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        let removed = match &self.sockets {
            Some(Sockets::Private(folder)) => folder.remove(),
            Some(Sockets::Kept(_)) | None => Ok(()),
        };
        ready(removed).boxed()
    }
}

impl Releases for ProcessDriver {
    fn release(&self) -> Release {
        self.releases.first()
    }

    fn release_of(&self, life: Life) -> Option<Release> {
        self.running().get(&life).and_then(|process| process.release)
    }

    fn learn(&self, spec: Spec) -> BoxFuture<'_, Result<Release, DriverError>> {
        let learnt = match spec {
            Spec::Process(settings) => settings.check().and_then(|()| {
                let release = settings.release();
                self.releases.learn(release, settings).map(|()| release)
            }),
            Spec::Docker(_) => Err(DriverError::new("these replicas are processes, not containers")),
        };
        ready(learnt).boxed()
    }
}

/// A child with the one task that waits for its end.
struct Supervised {
    life: Life,
    pid: Pid,
    address: Address,
    child: Child,
    output: Output,
}

impl Supervised {
    async fn supervise(mut self, running: Table, events: EventSender, exited: watch::Sender<bool>) {
        // Its end is seen before it is waited for: until then its number, which is its group's too,
        // is nobody else's. Where the kernel gives no hold there is only the wait.
        match Hold::of(self.pid) {
            Some(hold) => hold.ended().await,
            None => drop(self.child.wait().await),
        }
        // What it left behind in its group goes with it.
        let _ = kill_process_group(self.pid, Signal::KILL);
        if let Address::Unix(path) = &self.address {
            // It was the replica's, and most have removed it themselves; the folder goes in any case.
            let _ = sockets::remove(path);
        }
        let last_output = self.output.last_within(LAST_OUTPUT_WAIT).await;
        lock(&running).remove(&self.life);
        let exit = Exit { last_output, ..exit_of(&self.child.wait().await) };
        // The receivers are gone when the balancer ends; then nobody needs to know.
        let _ = events.send(Event::Exited(self.life, exit)).await;
        let _ = exited.send(true);
    }
}
