//! Replicas as processes, each in its own session, on its own loopback port or Unix socket.
//!
//! An exit is seen through the process itself, never by polling, and every child is reaped. Children
//! end with the balancer; those that are kept have a keeper of their own, and a record by which the
//! next balancer finds them. What leaves the group of its replica is known by a token, and ends with it.

mod account;
mod inherited;
mod settings;
mod recipe;

mod output;
mod ports;
mod sockets;
mod starter;

mod token;
mod identity;
mod kin;
mod leftovers;
mod port;
mod keeper;
mod kept;
mod log;
mod log_reader;
mod record;
mod releases;
mod running;

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use fleet::{Address, Event, Exit, Found, Life, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::known_releases::KnownReleases;
use crate::order::Endpoint;
use crate::{Driver, DriverError, EventSender, Extent, Following, Recognition, StartOrder, Whereabouts};
use identity::{Hold, Stat};
use keeper::exit_of;
use leftovers::end_with;
use log_reader::LogReader;
use output::{Output, OutputThread};
use port::Port;
use record::Folder;
use running::{Process, Running, Table, forget, lock};
use sockets::SocketFolder;
use starter::Starter;

pub use account::Account;
pub use keeper::keep;
pub use kept::end_orphaned;
pub use leftovers::end_unknown;
pub use ports::PortRange;
pub use recipe::ProcessRecipe;
pub use settings::{KeepSettings, ListenedBy, ProcessSettings};
pub use token::LifeMark;

/// How long the last output may take to arrive after an exit. Usually it is there; a grandchild
/// that holds the pipe must not delay the news.
const LAST_OUTPUT_WAIT: Duration = Duration::from_millis(20);

/// How long a process may take to be gone after it was killed.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Starts, watches and stops processes.
#[derive(Debug)]
pub struct ProcessDriver {
    /// What it was made with. What is kept where, and whether there are sockets, is the same for all releases; what is
    /// run may be something else even to begin with.
    settings: ProcessSettings,
    releases: KnownReleases<ProcessSettings>,
    events: EventSender,
    running: Table,
    /// Whoever has it begins a process, and nobody else picks a port meanwhile.
    starter: AsyncMutex<Starter>,
    /// Where it is read what they write.
    outputs: OutputThread,
    /// Where the sockets are, if replicas have some.
    sockets: Option<Sockets>,
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
        let outputs = OutputThread::start()
            .map_err(|error| DriverError::caused("cannot begin a thread for output", error))?;
        let starter = Starter::new();
        let starter =
            starter.map_err(|error| DriverError::caused("cannot begin a thread for starts", error))?;
        let starter = AsyncMutex::new(starter);
        Ok(Self { settings, releases, events, running: Arc::default(), starter, outputs, sockets })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Life, Running>> {
        lock(&self.running)
    }

    fn new_token(&self, life: Life) -> String {
        self.settings.mark.token(&self.settings.environment.service, life)
    }

    /// Where a life is to listen; nobody does yet.
    fn address(&self, life: Life) -> Result<Address, DriverError> {
        match &self.sockets {
            Some(Sockets::Private(folder)) => folder.address(life),
            Some(Sockets::Kept(folder)) => sockets::address(&folder.files(life).socket()),
            None => ports::free(self.settings.ports, self.running().values().map(|one| &one.address)),
        }
    }

    async fn spawn(&self, order: StartOrder) -> Result<Address, DriverError> {
        let settings = self.releases.get(order.release)?;
        let mut starter = self.starter.lock().await;
        let address = self.address(order.life)?;
        let token = self.new_token(order.life);
        let child = starter.begin(settings.command(&order, &Endpoint::of(&address), &token)).await;
        let mut child = child
            .map_err(|error| DriverError::caused(format!("cannot run '{}'", settings.command[0]), error))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| DriverError::new("the process ended before it began"))?;
        tracing::debug!(replica = %order.name, life = %order.life, %pid, %address, "a process has begun");
        let output = self.outputs.follow(&mut child, &order.name);
        let (exited, has_exited) = watch::channel(false);
        let (process, release) = (Process::Tethered(pid), Some(settings.release()));
        let (address_kept, port) = (address.clone(), Port::default());
        let name = order.name.clone();
        let told = Some(Arc::clone(output.told()));
        let one = Running { name, process, address: address_kept, port, release, has_exited, told };
        self.running().insert(order.life, one);
        let (life, name, address_used) = (order.life, order.name, address.clone());
        let supervised = Supervised { life, name, token, pid, address: address_used, child, output };
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

impl Driver for ProcessDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async {
            self.check_first()?;
            match &self.settings.keep {
                Some(keep) => self.adopt(keep).await,
                None => {
                    self.end_leftovers(Vec::new()).await;
                    Ok(())
                }
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

    fn recognise(&self, life: Life) -> BoxFuture<'_, Recognition> {
        let Some(one) = self.running().get(&life).cloned() else { return ready(Recognition::Nobody).boxed() };
        let is_checked = self.releases.latest().listened_by == ListenedBy::Itself;
        match (one.process.root(), one.address) {
            (Some(root), Address::Tcp(address)) if is_checked => {
                async move { one.port.recognise(root, address).await }.boxed()
            }
            // The folder of a socket is ours.
            _ => ready(Recognition::Itself).boxed(),
        }
    }

    fn why_unheard<'a>(&'a self, life: Life, address: &'a Address) -> BoxFuture<'a, Option<String>> {
        let root = self.running().get(&life).and_then(|one| one.process.root());
        let Some(root) = root else { return ready(None).boxed() };
        async move {
            let look = tokio::task::spawn_blocking(move || port::listens_on(root)).await;
            let addresses: Vec<String> = look.ok()?.iter().map(ToString::to_string).collect();
            let is_elsewhere = !addresses.is_empty() && !addresses.contains(&address.to_string());
            is_elsewhere.then(|| format!("it listens on {} instead", addresses.join(", ")))
        }
        .boxed()
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

    fn whereabouts(&self, life: Life) -> Option<Whereabouts> {
        let pid = match &self.running().get(&life)?.process {
            Process::Tethered(pid) => *pid,
            // Its keeper may not have begun it yet.
            Process::Kept(keeper) => *keeper.children().first()?,
            Process::Over(_) => return None,
        };
        Some(Whereabouts { what: format!("pid {pid}"), since: Stat::of(pid)?.since()? })
    }

    fn output(&self, life: Life, extent: Extent) -> Option<Following> {
        let one = self.running().get(&life).cloned()?;
        if let Some(told) = one.told {
            return Some(told.follow(extent));
        }
        let folder = Folder::new(&self.settings.keep.as_ref()?.folder);
        let log = LogReader::new(folder.files(life).log());
        Some(Following::of(self.outputs.runtime(), |told| log.tell(extent, one.has_exited, told)))
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        let removed = match &self.sockets {
            Some(Sockets::Private(folder)) => folder.remove(),
            Some(Sockets::Kept(_)) | None => Ok(()),
        };
        ready(removed).boxed()
    }
}

/// A child with the one task that waits for its end.
struct Supervised {
    life: Life,
    name: ReplicaName,
    token: String,
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
        forget(&running, self.life);
        let exit = Exit { last_output, ..exit_of(&self.child.wait().await) };
        // The receivers are gone when the balancer ends; then nobody needs to know.
        let _ = events.send(Event::Exited(self.life, exit)).await;
        // Who left the group; the seat need not wait for that.
        end_with(&self.name, self.token).await;
        let _ = exited.send(true);
    }
}
