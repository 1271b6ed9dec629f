//! The store on disk: one file for each service in a folder that is locked.
//!
//! A new file, synced, renamed over the old one, and the folder synced: whoever reads it finds the
//! old state or the new one, never a part.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use files::NotOurs;
use futures_util::future::{BoxFuture, FutureExt};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use tokio::sync::watch;

use crate::store::{Revision, Store, StoreError, Stored};
use crate::stored_file::{parse, to_bytes};

/// A larger file holds no fleet, and nobody could start what has so many variables.
const FILE_BYTES_MAX: usize = 16 << 20;

/// What is stored is for its owner alone.
const FILE_MODE: u32 = 0o600;

/// The folder of one balancer, locked for as long as this or a clone of it lives.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    is_chosen: bool,
    shelves: Arc<Mutex<BTreeMap<String, Arc<Shelf>>>>,
    _lock: Arc<File>,
}

/// Where one service is stored. Nobody else writes there, because the folder is locked, so that revisions
/// can be counted here and need not be in the file.
#[derive(Debug)]
struct Shelf {
    /// Held for as long as a write takes.
    writing: Mutex<()>,
    revision: watch::Sender<Revision>,
}

impl StateDir {
    /// Opens, creates if need be, and locks a folder. In a folder that the operator did not choose
    /// (`is_chosen`) what is stored counts only for as long as something of its fleet is left: whoever has
    /// removed all of it by hand wants to begin anew.
    pub fn open(path: &Path, is_chosen: bool) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::Unusable { path: path.to_owned(), source };
        files::ensure_own_folder(path).map_err(|error| match error {
            NotOurs::Unusable { source, .. } => unusable(source),
            error => error.into(),
        })?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = open(path.join("lock"), flags, Mode::RUSR | Mode::WUSR);
        let lock = File::from(lock.map_err(|error| unusable(error.into()))?);
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                Ok(Self { path: path.to_owned(), is_chosen, shelves: Arc::default(), _lock: Arc::new(lock) })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: path.to_owned() }),
            Err(error) => Err(unusable(error.into())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read_now(&self, service: &str) -> Result<Option<Stored>, StoreError> {
        let path = self.file(service);
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::NotRead { path, why: error.to_string() }),
        };
        let (desired, recipes) = parse(&text).map_err(|why| StoreError::NotRead { path, why })?;
        Ok(Some(Stored { revision: *self.shelf(service).revision.borrow(), desired, recipes }))
    }

    /// When this returns without error, it is on disk.
    fn write_now(&self, service: &str, next: &Stored) -> Result<Revision, StoreError> {
        let shelf = self.shelf(service);
        let _writing = shelf.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = *shelf.revision.borrow();
        let expected = next.revision;
        if found != expected {
            return Err(StoreError::Conflict { location: self.location(service), expected, found });
        }
        let path = self.file(service);
        let not_stored = |source| StoreError::NotStored { path: path.clone(), source };
        let bytes = to_bytes(&next.desired, &next.recipes).map_err(|error| not_stored(error.into()))?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(StoreError::TooLarge { path, size: bytes.len(), max: FILE_BYTES_MAX });
        }
        files::replace(&path, &bytes, FILE_MODE).map_err(not_stored)?;
        shelf.revision.send_replace(found.next());
        Ok(found.next())
    }

    fn shelf(&self, service: &str) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = shelves.entry(service.to_string()).or_insert_with(|| {
            let first = if self.file(service).exists() { Revision::NONE.next() } else { Revision::NONE };
            Arc::new(Shelf { writing: Mutex::new(()), revision: watch::Sender::new(first) })
        });
        Arc::clone(shelf)
    }

    // The extension is that of the first version, whose files are still read.
    fn file(&self, service: &str) -> PathBuf {
        self.path.join(format!("{service}.wish"))
    }
}

impl Store for StateDir {
    fn read(&self, service: &str) -> BoxFuture<'static, Result<Option<Stored>, StoreError>> {
        let (state, service) = (self.clone(), service.to_string());
        async move {
            let path = state.file(&service);
            let read = tokio::task::spawn_blocking(move || state.read_now(&service)).await;
            read.unwrap_or_else(|_| {
                Err(StoreError::NotRead { path, why: "the reader ended early".to_string() })
            })
        }
        .boxed()
    }

    fn write(&self, service: &str, next: &Stored) -> BoxFuture<'static, Result<Revision, StoreError>> {
        let (state, service, next) = (self.clone(), service.to_string(), next.clone());
        async move {
            let path = state.file(&service);
            let write = move || state.write_now(&service, &next);
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|_| {
                let source = io::Error::other("the writer ended early");
                Err(StoreError::NotStored { path, source })
            })
        }
        .boxed()
    }

    fn watch(&self, service: &str) -> watch::Receiver<Revision> {
        self.shelf(service).revision.subscribe()
    }

    fn outlasts_fleets(&self) -> bool {
        self.is_chosen
    }

    fn location(&self, service: &str) -> String {
        self.file(service).display().to_string()
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
