//! Where the wish is kept when the configuration does not say.
//!
//! The wish lives as long as its replicas may: a balancer whose replicas all end with it begins
//! anew each time and keeps nothing, unless it is told to.

use std::path::PathBuf;

use control::{StateDir, WishError};

use crate::config::{OnExit, Settings};

/// Opens the folder of the wish, if there is to be one.
pub(crate) fn open(settings: &Settings, owner: &str) -> Result<Option<StateDir>, WishError> {
    let keeps_replicas =
        settings.services.iter().any(|service| service.on_exit == OnExit::Keep && service.is_owned());
    match (&settings.state_dir, keeps_replicas) {
        (Some(path), _) => StateDir::open(path, true).map(Some),
        (None, true) => StateDir::open(&default_folder().join(owner), false).map(Some),
        (None, false) => Ok(None),
    }
}

/// `/var/lib/evenkeel` for root, and the user's own state folder for everybody else.
fn default_folder() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/evenkeel");
    }
    let from_environment = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state_home = from_environment("XDG_STATE_HOME")
        .or_else(|| Some(from_environment("HOME")?.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    state_home.join("evenkeel")
}
