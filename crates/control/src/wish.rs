//! The stored wish: what should run, kept where a crash cannot lose it.
//!
//! A new file, synced, renamed over the old one, and the folder synced: whoever reads it finds the
//! old wish or the new one, never a part.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet::{Assignment, Desired, Life, Release, ReplicaName, Transition};
use futures_util::future::{BoxFuture, FutureExt};
use placement::Seat;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// The shape of the file; a number that is not known is refused rather than guessed at.
const FORMAT: u32 = 1;

/// Above these a number is damage, not a fleet.
const SEAT_MAX: u32 = 1 << 20;
const INCARNATION_MAX: u64 = 1 << 48;

/// Keeps what should run.
pub trait WishStore: fmt::Debug + Send + Sync + 'static {
    /// What should run of a service; nothing if that was never stored. `is_left` says whether there is a
    /// trace of its fleet.
    fn read(&self, service: &str, is_left: bool) -> Result<Desired, WishError>;

    /// Stores the wish of a service. When this returns without error, no crash can lose it.
    fn write(&self, service: &str, desired: &Desired) -> BoxFuture<'static, Result<(), WishError>>;
}

/// The folder that holds the wishes of one balancer, locked for as long as this lives.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    is_chosen: bool,
    _lock: Arc<File>,
}

/// Why the wish cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum WishError {
    #[error("cannot use the state directory {}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("another evenkeel is running with the state directory {}; give this one its own state_dir", path.display())]
    InUse { path: PathBuf },
    #[error("cannot store what should run in {}", path.display())]
    NotStored { path: PathBuf, source: io::Error },
    #[error("cannot read {}: {why}; move it away to begin anew", path.display())]
    NotRead { path: PathBuf, why: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishFile {
    format: u32,
    generation: u64,
    seed: u64,
    replicas: Vec<WishedReplica>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spares: Vec<WishedReplica>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollout: Option<WishedRollout>,
}

/// A rollout that is under way, between these releases.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishedRollout {
    from: String,
    to: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishedReplica {
    seat: u32,
    /// The seat that its life began in, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun_in: Option<u32>,
    incarnation: u64,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slots: Option<Vec<u16>>,
}

impl StateDir {
    /// Opens, creates if need be, and locks a folder. A folder that the operator did not choose
    /// (`is_chosen`) keeps a wish only for as long as something of its fleet is left: whoever has
    /// removed all of it by hand wants to begin anew.
    pub fn open(path: &Path, is_chosen: bool) -> Result<Self, WishError> {
        let unusable = |source| WishError::Unusable { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), is_chosen, _lock: Arc::new(lock) }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(WishError::InUse { path: path.to_owned() }),
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When this returns without error, it is on disk.
    fn write_now(&self, service: &str, desired: &Desired) -> Result<(), WishError> {
        let path = self.file(service);
        let not_stored = |source| WishError::NotStored { path: path.clone(), source };
        let bytes = serde_json::to_vec(&file_of(desired)).map_err(|error| not_stored(error.into()))?;
        let new_path = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new_path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new_path, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(not_stored)
    }

    fn file(&self, service: &str) -> PathBuf {
        self.path.join(format!("{service}.wish"))
    }
}

impl WishStore for StateDir {
    fn read(&self, service: &str, is_left: bool) -> Result<Desired, WishError> {
        let path = self.file(service);
        if !self.is_chosen && !is_left {
            return Ok(Desired::new(fastrand::u64(..)));
        }
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Desired::new(fastrand::u64(..)));
            }
            Err(error) => return Err(WishError::NotRead { path, why: error.to_string() }),
        };
        parse(&text).map_err(|why| WishError::NotRead { path, why })
    }

    fn write(&self, service: &str, desired: &Desired) -> BoxFuture<'static, Result<(), WishError>> {
        let (state, service, desired) = (self.clone(), service.to_string(), desired.clone());
        async move {
            let path = state.file(&service);
            let written = tokio::task::spawn_blocking(move || state.write_now(&service, &desired)).await;
            written.unwrap_or_else(|_| {
                let source = io::Error::other("the writer ended early");
                Err(WishError::NotStored { path, source })
            })
        }
        .boxed()
    }
}

fn file_of(desired: &Desired) -> WishFile {
    let replica = |assignment: &Assignment| WishedReplica {
        seat: assignment.seat.number(),
        begun_in: Some(assignment.life.seat.number()).filter(|number| *number != assignment.seat.number()),
        incarnation: assignment.life.incarnation,
        name: assignment.name.to_string(),
        release: assignment.release.is_told().then(|| assignment.release.to_string()),
        slots: assignment.slots.clone(),
    };
    WishFile {
        format: FORMAT,
        generation: desired.generation,
        seed: desired.seed,
        replicas: desired.replicas.iter().map(replica).collect(),
        spares: desired.spares.iter().map(replica).collect(),
        rollout: desired
            .rollout
            .map(|Transition { from, to }| WishedRollout { from: from.to_string(), to: to.to_string() }),
    }
}

fn parse(text: &[u8]) -> Result<Desired, String> {
    let file: WishFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!("it has format {}, this version knows {FORMAT}", file.format));
    }
    let rollout = file.rollout.map(|WishedRollout { from, to }| {
        Ok::<_, String>(Transition { from: release(&from)?, to: release(&to)? })
    });
    let seat = |number: u32| {
        let seat = Seat::new(number).filter(|seat| seat.number() <= SEAT_MAX);
        seat.ok_or_else(|| format!("seat {number} is not from 1 to {SEAT_MAX}"))
    };
    let assignment = |replica: WishedReplica| {
        let begun_in = seat(replica.begun_in.unwrap_or(replica.seat))?;
        let seat = seat(replica.seat)?;
        if replica.incarnation > INCARNATION_MAX {
            return Err(format!("incarnation {} is above {INCARNATION_MAX}", replica.incarnation));
        }
        let name = ReplicaName::parse(&replica.name).map_err(|error| error.to_string())?;
        let release = replica.release.as_deref().map(release).transpose()?.unwrap_or_default();
        let life = Life { seat: begun_in, incarnation: replica.incarnation };
        Ok(Assignment { seat, life, name, release, slots: replica.slots })
    };
    let replicas: Result<Vec<_>, String> = file.replicas.into_iter().map(assignment).collect();
    let spares: Result<Vec<_>, String> = file.spares.into_iter().map(assignment).collect();
    let (generation, seed, rollout) = (file.generation, file.seed, rollout.transpose()?);
    let desired = Desired { generation, seed, replicas: replicas?, spares: spares?, rollout };
    let mut seats = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut lives = BTreeSet::new();
    for Assignment { seat, life, name, .. } in desired.replicas.iter().chain(&desired.spares) {
        if !seats.insert(seat) || !lives.insert(life) || !names.insert(name) {
            return Err(format!("seat {seat}, its life or name '{name}' is there twice"));
        }
    }
    Ok(desired)
}

fn release(text: &str) -> Result<Release, String> {
    Release::parse(text).ok_or_else(|| format!("{text:?} is no release"))
}
