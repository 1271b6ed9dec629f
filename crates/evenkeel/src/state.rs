//! Where the desired state is kept when the configuration does not say.
//!
//! The desired state lives as long as its replicas may: a balancer whose replicas all end with it begins
//! anew each time and keeps nothing, unless it is told to.

use std::path::PathBuf;

use config::{OnExit, Settings};
use control::{StateDir, StoreError};

/// The folder in a state directory in which kept processes are written down.
const PROCESSES: &str = "processes";

/// Opens the folder of the desired state, if there is to be one, or if an earlier balancer left something.
pub(crate) fn open(settings: &Settings, owner: &str) -> Result<Option<StateDir>, StoreError> {
    let keeps_replicas =
        settings.services.iter().any(|service| service.on_exit == OnExit::Keep && service.is_owned());
    match &settings.state_dir {
        Some(path) => StateDir::open(path, true).map(Some),
        None => {
            let folder = default_folder().join(owner);
            let has_processes = folder.join(PROCESSES).is_dir();
            (keeps_replicas || has_processes).then(|| StateDir::open(&folder, false)).transpose()
        }
    }
}

/// Where kept processes are written down, a folder for each service.
pub(crate) fn processes(state: &StateDir) -> PathBuf {
    state.path().join(PROCESSES)
}

/// The services that kept processes were written down of, with their folders.
pub(crate) fn folders_of_processes(state: &StateDir) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(processes(state)).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
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
