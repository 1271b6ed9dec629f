//! Processes that outlive their balancer, as the driver sees them: each is started through a keeper,
//! found again by its record, and watched through a hold on its keeper.
//!
//! A keeper ends with its replica and the other way round, so that a keeper's end is the end of a
//! life. Nobody but a keeper that is held is ever signalled, and what carries the token of a life
//! that is over.

use std::io;
use std::sync::Arc;

use fleet::{Address, Event, Exit, Life, Release, ReplicaName};
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};

use super::ProcessDriver;
use super::account::Account;
use super::identity::Hold;
use super::keeper::{GO, KeepOrder, RECORDED, exit_of};
use super::leftovers::{Leftovers, end_with};
use super::port::Port;
use super::record::{Described, Files, Folder, Record};
use super::running::{Process, Running, Table, forget};
use super::token::TOKEN;
use crate::order::Endpoint;
use crate::{Driver, DriverError, EventSender, KeepSettings, ProcessSettings, StartOrder};

/// A keeper says no more than this in one line.
const WORDS_BYTES_MAX: u64 = 4096;

/// Why a keeper did not begin.
enum NotKept {
    /// It could not write its record, for this reason.
    NotRecorded(String),
    Failed(DriverError),
}

/// A process with the one task that waits for its end.
struct Watched {
    life: Life,
    name: ReplicaName,
    files: Files,
    token: String,
    running: Table,
    events: EventSender,
    exited: watch::Sender<bool>,
}

impl ProcessDriver {
    /// Starts a process that outlives us. Where that cannot be written down, it is better to have
    /// one that ends with us than to have none.
    pub(super) async fn start_kept(
        &self,
        order: StartOrder,
        keep: &KeepSettings,
    ) -> Result<Address, DriverError> {
        match self.begin_kept(&order, keep).await {
            Ok(address) => Ok(address),
            Err(NotKept::Failed(error)) => Err(error),
            Err(NotKept::NotRecorded(why)) => {
                let (name, folder) = (&order.name, keep.folder.display());
                tracing::warn!(%name, "cannot be kept when the balancer ends, because nothing can be written in {folder}: {why}");
                self.spawn(order).await
            }
        }
    }

    async fn begin_kept(&self, order: &StartOrder, keep: &KeepSettings) -> Result<Address, NotKept> {
        let settings = self.releases.get(order.release).map_err(NotKept::Failed)?;
        let folder = Folder::new(&keep.folder);
        folder.create().map_err(|error| NotKept::NotRecorded(fleet::in_full(&error)))?;
        let files = folder.files(order.life);
        let token = self.new_token(order.life);
        let (told, begun) = oneshot::channel();
        let address = {
            let mut starter = self.starter.lock().await;
            let address = self.address(order.life).map_err(NotKept::Failed)?;
            let endpoint = Endpoint::of(&address);
            let mut keeper = settings.keeper(&keep.keeper, order, &endpoint);
            keeper.env(TOKEN, &token);
            let (child, hold) = held(starter.begin(keeper).await).map_err(NotKept::Failed)?;
            tracing::debug!(replica = %order.name, life = %order.life, keeper = hold.pid(), %address, "a keeper has begun");
            let (exited, has_exited) = watch::channel(false);
            let life = Described::new(order, &address, token.clone(), settings.release());
            let command = settings.command.iter().map(|word| order.fill_in(word, &endpoint)).collect();
            let watched = Watched {
                life: order.life,
                name: order.name.clone(),
                files: files.clone(),
                token,
                running: Arc::clone(&self.running),
                events: self.events.clone(),
                exited,
            };
            let process = Process::Kept(hold);
            let (name, release) = (order.name.clone(), Some(settings.release()));
            let (address_kept, port) = (address.clone(), Port::default());
            let one = Running { name, process, address: address_kept, port, release, has_exited, told: None };
            self.running().insert(order.life, one);
            let (ids, new_privileges) =
                (settings.account.as_ref().map(Account::ids), settings.new_privileges);
            let directory = settings.directory.clone();
            let order = KeepOrder { life, files, command, ids, new_privileges, directory };
            tokio::spawn(watched.begin(child, order, told));
            address
        };
        // The task goes on when nobody waits for this any more; whoever gave up orders a stop.
        let gone = || NotKept::Failed(DriverError::new("its keeper ended early"));
        begun.await.unwrap_or_else(|_| Err(gone())).map(|()| address)
    }

    /// Takes over what an earlier balancer left, and ends what belongs to none of its lives.
    pub(super) async fn adopt(&self, keep: &KeepSettings) -> Result<(), DriverError> {
        let folder = Folder::new(&keep.folder);
        let records = folder.records();
        let records = records.map_err(|error| {
            DriverError::caused(format!("cannot read the records in '{}'", keep.folder.display()), error)
        })?;
        let mut spared = Vec::new();
        for record in records {
            if let Some(token) = self.adopt_one(record, &folder) {
                spared.push(token);
            }
        }
        self.end_leftovers(spared).await;
        Ok(())
    }

    /// Ends what an earlier balancer left of this service, but for the lives with these tokens.
    pub(super) async fn end_leftovers(&self, spared: Vec<String>) {
        let (mark, service) = (self.settings.mark.clone(), self.settings.environment.service.clone());
        // What does not end was told.
        let _ = Leftovers::Service { mark, service: service.clone(), spared }.end_and_tell(&service).await;
    }

    /// Returns the token of a life that goes on.
    fn adopt_one(&self, record: Record, folder: &Folder) -> Option<String> {
        let (life, name, address) = record.life.identity()?;
        let files = folder.files(life);
        let (exited, has_exited) = watch::channel(false);
        let Some(hold) = record.keeper.hold().map(Arc::new) else {
            let process = Process::Over(files.read_exit());
            let (port, release) = (Port::default(), None);
            self.running()
                .insert(life, Running { name, process, address, port, release, has_exited, told: None });
            return None;
        };
        let release = Release::parse(&record.life.spec);
        if release != Some(self.releases.first()) {
            tracing::info!(%name, "runs something else than what is to be run");
        }
        let token = record.life.token;
        let watched = Watched {
            life,
            name: name.clone(),
            files,
            token: token.clone(),
            running: Arc::clone(&self.running),
            events: self.events.clone(),
            exited,
        };
        let process = Process::Kept(Arc::clone(&hold));
        let port = Port::default();
        self.running()
            .insert(life, Running { name, process, address, port, release, has_exited, told: None });
        tokio::spawn(async move {
            hold.ended().await;
            watched.over(Exit::default()).await;
        });
        Some(token)
    }
}

/// A keeper that has begun, with a hold on it.
fn held(child: io::Result<Child>) -> Result<(Child, Arc<Hold>), DriverError> {
    let mut child = child.map_err(|error| DriverError::caused("cannot run a keeper", error))?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    match pid.and_then(Hold::of) {
        Some(hold) => Ok((child, Arc::new(hold))),
        None => {
            // Without an order it does nothing, and the end of its input ends it.
            drop(child.stdin.take());
            Err(DriverError::new("this system gives no hold on processes (pidfd_open), so none can be kept"))
        }
    }
}

impl Watched {
    /// Lets a keeper begin, and waits for its end.
    async fn begin(self, mut child: Child, order: KeepOrder, told: oneshot::Sender<Result<(), NotKept>>) {
        let begun = match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => agree(input, output, &order).await,
            (None, _) | (_, None) => Err(NotKept::Failed(DriverError::new("a keeper without a line to it"))),
        };
        if begun.is_err() {
            // All of it is gone before it is told: the same life may then be started in another way.
            let _ = child.kill().await;
            self.files.remove();
            self.forget();
            let _ = told.send(begun);
            return;
        }
        // Whoever ordered the start may have stopped waiting.
        let _ = told.send(begun);
        self.over(exit_of(&child.wait().await)).await;
    }

    /// The keeper has ended; `seen` is what its parent saw of that.
    async fn over(self, seen: Exit) {
        end_with(&self.name, self.token.clone()).await;
        let files = self.files.clone();
        let known = tokio::task::spawn_blocking(move || {
            let known = files.read_exit();
            files.remove();
            known
        });
        let known = known.await.unwrap_or_default();
        let is_known = known.code.is_some() || known.signal.is_some();
        let exit = if is_known { known } else { Exit { last_output: known.last_output, ..seen } };
        forget(&self.running, self.life);
        // The receivers are gone when the balancer ends; then nobody needs to know.
        let _ = self.events.send(Event::Exited(self.life, exit)).await;
        let _ = self.exited.send(true);
    }

    fn forget(&self) {
        forget(&self.running, self.life);
        let _ = self.exited.send(true);
    }
}

/// Tells a keeper its order and, when its record is there, to go on.
async fn agree(mut input: ChildStdin, output: ChildStdout, order: &KeepOrder) -> Result<(), NotKept> {
    let failed = |error: io::Error| NotKept::Failed(DriverError::caused("a keeper did not begin", error));
    let text = serde_json::to_string(order).map_err(|error| failed(error.into()))?;
    input.write_all(format!("{text}\n").as_bytes()).await.map_err(failed)?;
    let mut said = String::new();
    BufReader::new(output.take(WORDS_BYTES_MAX)).read_line(&mut said).await.map_err(failed)?;
    match said.trim_end() {
        RECORDED => input.write_all(format!("{GO}\n").as_bytes()).await.map_err(failed),
        "" => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        why => Err(NotKept::NotRecorded(why.to_owned())),
    }
}

/// Ends every process that was kept of a service, and removes its folder; says how many ran. `settings` need
/// no command.
pub async fn end_orphaned(settings: ProcessSettings) -> Result<usize, DriverError> {
    let Some(keep) = settings.keep.clone() else { return Ok(0) };
    // Nobody listens to what becomes of them.
    let (events, _) = tokio::sync::mpsc::channel(1);
    let driver = ProcessDriver::new(settings, events)?;
    driver.adopt(&keep).await?;
    let found = driver.list().await?;
    let ran = found.iter().filter(|one| matches!(one.state, fleet::FoundState::Running { .. })).count();
    let stops = found.iter().map(|one| driver.stop(one.life, fleet::StopHow::Graceful));
    futures_util::future::try_join_all(stops).await?;
    let removed = std::fs::remove_dir_all(&keep.folder);
    removed
        .map_err(|error| DriverError::caused(format!("cannot remove '{}'", keep.folder.display()), error))?;
    Ok(ran)
}
