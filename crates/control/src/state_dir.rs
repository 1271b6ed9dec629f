//! The store on disk: one file for each service in a folder that is locked.
//!
//! A new file, synced, renamed over the old one, and the folder synced: whoever reads it finds the
//! old state or the new one, never a part.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fleet::Desired;
use futures_util::future::{BoxFuture, FutureExt};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;

use crate::store::{Revision, Store, StoreError, Stored};
use crate::stored_file::{parse, to_bytes};

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
        fs::create_dir_all(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(unusable)?;
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
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::NotRead { path, why: error.to_string() }),
        };
        let desired = parse(&text).map_err(|why| StoreError::NotRead { path, why })?;
        Ok(Some(Stored { revision: *self.shelf(service).revision.borrow(), desired }))
    }

    /// When this returns without error, it is on disk.
    fn write_now(
        &self,
        service: &str,
        desired: &Desired,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let shelf = self.shelf(service);
        let _writing = shelf.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = *shelf.revision.borrow();
        if found != expected {
            return Err(StoreError::Conflict { location: self.location(service), expected, found });
        }
        let path = self.file(service);
        let not_stored = |source| StoreError::NotStored { path: path.clone(), source };
        let bytes = to_bytes(desired).map_err(|error| not_stored(error.into()))?;
        let new_path = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new_path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new_path, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(not_stored)?;
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

    fn write(
        &self,
        service: &str,
        desired: &Desired,
        expected: Revision,
    ) -> BoxFuture<'static, Result<Revision, StoreError>> {
        let (state, service, desired) = (self.clone(), service.to_string(), desired.clone());
        async move {
            let path = state.file(&service);
            let write = move || state.write_now(&service, &desired, expected);
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
