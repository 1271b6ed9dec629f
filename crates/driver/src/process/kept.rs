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

use super::identity::{Hold, Leftovers, TOKEN};
use super::keeper::{GO, KeepOrder, RECORDED, exit_of};
use super::record::{Described, Files, Folder, Record};
use super::{Process, ProcessDriver, Running, Table};
use crate::order::Endpoint;
use crate::{Driver, DriverError, EventSender, KeepSettings, ProcessSettings, StartOrder};

/// A keeper says no more than this in one line.
const WORDS_BYTES_MAX: u64 = 4096;

/// How long a random part of a token is.
const RANDOM_LENGTH: usize = 16;

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
    /// The keeper's process id, which is also its session's.
    session: i32,
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
        folder.create().map_err(|error| NotKept::NotRecorded(error.to_string()))?;
        let files = folder.files(order.life);
        let token = new_token(keep, &self.settings.environment.service, order.life);
        let (told, begun) = oneshot::channel();
        let address = {
            let mut starter = self.starter.lock().await;
            let address = self.address(order.life).map_err(NotKept::Failed)?;
            let endpoint = Endpoint::of(&address);
            let mut keeper = settings.keeper(keep, order, &endpoint);
            keeper.env(TOKEN, &token);
            let (child, hold) = held(starter.begin(keeper).await).map_err(NotKept::Failed)?;
            let (exited, has_exited) = watch::channel(false);
            let life = Described::new(order, &address, token.clone(), settings.release());
            let command = settings.command.iter().map(|word| order.fill_in(word, &endpoint)).collect();
            let watched = Watched {
                life: order.life,
                name: order.name.clone(),
                files: files.clone(),
                token,
                session: hold.pid(),
                running: Arc::clone(&self.running),
                events: self.events.clone(),
                exited,
            };
            let process = Process::Kept(hold);
            let (name, release) = (order.name.clone(), Some(settings.release()));
            let one = Running { name, process, address: address.clone(), release, has_exited };
            self.running().insert(order.life, one);
            tokio::spawn(watched.begin(child, KeepOrder { life, files, command }, told));
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
        let token = token_of_service(keep, &self.settings.environment.service);
        match (Leftovers { token, spared, session: None }).end().await {
            Ok(0) => {}
            Ok(count) => tracing::warn!("ended {count} processes of replicas that are over"),
            Err(count) => tracing::error!("{count} processes of replicas that are over do not end"),
        }
        Ok(())
    }

    /// Returns the token of a life that goes on.
    fn adopt_one(&self, record: Record, folder: &Folder) -> Option<String> {
        let (life, name, address) = record.life.identity()?;
        let files = folder.files(life);
        let (exited, has_exited) = watch::channel(false);
        let Some(hold) = record.keeper.hold().map(Arc::new) else {
            let process = Process::Over(files.read_exit());
            self.running().insert(life, Running { name, process, address, release: None, has_exited });
            return None;
        };
        let release = Release::parse(&record.life.spec);
        if release != Some(self.releases.first()) {
            tracing::info!(%name, "runs something else than the configuration asks for");
        }
        let token = record.life.token;
        let watched = Watched {
            life,
            name: name.clone(),
            files,
            token: token.clone(),
            session: record.keeper.pid(),
            running: Arc::clone(&self.running),
            events: self.events.clone(),
            exited,
        };
        let process = Process::Kept(Arc::clone(&hold));
        self.running().insert(life, Running { name, process, address, release, has_exited });
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
        let leftovers =
            Leftovers { token: self.token.clone(), spared: Vec::new(), session: Some(self.session) };
        if let Err(count) = leftovers.end().await {
            tracing::error!(replica = %self.name, "{count} of its processes do not end");
        }
        let files = self.files.clone();
        let known = tokio::task::spawn_blocking(move || {
            let known = files.read_exit();
            files.remove();
            known
        });
        let known = known.await.unwrap_or_default();
        let is_known = known.code.is_some() || known.signal.is_some();
        let exit = if is_known { known } else { Exit { last_output: known.last_output, ..seen } };
        super::lock(&self.running).remove(&self.life);
        // The receivers are gone when the balancer ends; then nobody needs to know.
        let _ = self.events.send(Event::Exited(self.life, exit)).await;
        let _ = self.exited.send(true);
    }

    fn forget(&self) {
        super::lock(&self.running).remove(&self.life);
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

fn token_of_service(keep: &KeepSettings, service: &str) -> String {
    format!("{}/{service}/", keep.owner)
}

fn new_token(keep: &KeepSettings, service: &str, life: Life) -> String {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(RANDOM_LENGTH).collect();
    format!("{}{life}/{random}", token_of_service(keep, service))
}

/// Ends every process of a service that is configured no more, and removes its folder. `settings`
/// need no command.
pub async fn end_orphaned(settings: ProcessSettings) -> Result<usize, DriverError> {
    let Some(keep) = settings.keep.clone() else { return Ok(0) };
    // Nobody listens to what becomes of them.
    let (events, _) = tokio::sync::mpsc::channel(1);
    let driver = ProcessDriver::new(settings, events)?;
    driver.adopt(&keep).await?;
    let found = driver.list().await?;
    let stops = found.iter().map(|one| driver.stop(one.life, fleet::StopHow::Graceful));
    futures_util::future::try_join_all(stops).await?;
    let removed = std::fs::remove_dir_all(&keep.folder);
    removed
        .map_err(|error| DriverError::caused(format!("cannot remove '{}'", keep.folder.display()), error))?;
    Ok(found.len())
}
