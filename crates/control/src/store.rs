//! The store: where the desired state of each service is kept, so that no crash can lose it. What is written
//! names the revision that it follows, so that nobody overwrites what he has not seen.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use driver::Recipe;
use fleet::{Desired, Release};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// Keeps what should run, for each service by its name.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What is stored of a service; nothing if nothing ever was.
    fn read(&self, service: &str) -> BoxFuture<'static, Result<Option<Stored>, StoreError>>;

    /// Stores what should run of a service, and what the releases are that it names, if it follows what is stored:
    /// if that still has this revision. Returns the new one. Recipes may hold secrets, and are for nobody else to read.
    /// When this returns without error, no crash can lose it. After any other error than
    /// [`StoreError::Conflict`] the revision is as it was, whatever is stored; it may be tried again.
    fn write(&self, service: &str, next: &Stored) -> BoxFuture<'static, Result<Revision, StoreError>>;

    /// The revision of what is stored of a service, now and from now on.
    fn watch(&self, service: &str) -> watch::Receiver<Revision>;

    /// Whether what is stored counts when nothing of its fleet is left.
    fn outlasts_fleets(&self) -> bool;

    /// Where it is that a service is stored, for people.
    fn location(&self, service: &str) -> String;
}

/// Which of the values that were stored one after the other it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Nothing was ever stored.
    pub const NONE: Self = Self(0);

    /// The one that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is stored of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Which one it is; or which one it follows, where it is to be stored.
    pub revision: Revision,
    /// What should run.
    pub desired: Desired,
    /// What the releases are that may be started, as far as that was known.
    pub recipes: Recipes,
}

/// What releases are.
pub type Recipes = BTreeMap<Release, Recipe>;

/// Why what should run cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum StoreError {
    #[error("cannot use the state directory {}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NotOurs(#[from] files::NotOurs),
    #[error(transparent)]
    NoFolder(#[from] files::NoFolder),
    #[error("another evenkeel is running with the state directory {}; give this one its own state_dir", path.display())]
    InUse { path: PathBuf },
    #[error(
        "what should run takes {size} bytes in {}, with the variables of its releases, and {max} is the most", path.display()
    )]
    TooLarge { path: PathBuf, size: usize, max: usize },
    #[error("cannot store what should run in {}", path.display())]
    NotStored { path: PathBuf, source: io::Error },
    #[error("cannot read {}: {why}; move it away to begin anew", path.display())]
    NotRead { path: PathBuf, why: String },
    #[error(
        "somebody else has changed {location}: it has revision {found}, not {expected}; it is not written over"
    )]
    Conflict { location: String, expected: Revision, found: Revision },
}
