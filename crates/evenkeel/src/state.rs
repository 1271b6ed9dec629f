//! Where the desired state is kept when the configuration does not say.
//!
//! The desired state lives as long as its replicas may: a balancer whose replicas all end with it begins
//! anew each time and keeps nothing, unless it is told to. Containers end with nobody who is killed, so it is
//! always kept who they are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use config::{DriverChoice, OnExit, Settings};
use control::{StateDir, StoreError};

use crate::identity::DOCKER;

/// The folder in a state directory in which kept processes are written down.
const PROCESSES: &str = "processes";

/// Opens the folder of the desired state, if there is to be one, or if an earlier balancer left something.
pub(crate) fn open(settings: &Settings, owner: &str) -> Result<Option<StateDir>, StoreError> {
    let keeps_replicas =
        settings.services.iter().any(|service| service.on_exit == OnExit::Keep && service.is_owned());
    match &settings.state_dir {
        Some(path) => {
            let state = StateDir::open(path, true)?;
            note_owner(&state, owner);
            Ok(Some(state))
        }
        None => {
            let folder = match files::state_folder() {
                Ok(folder) => folder.join(owner),
                // Nobody could have left anything there.
                Err(_) if !keeps_replicas => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let has_processes = folder.join(PROCESSES).is_dir();
            let is_container =
                |service: &config::ServiceSettings| matches!(service.driver, DriverChoice::Docker { .. });
            let has_containers = settings.services.iter().any(is_container);
            let had_containers = has_entries(&containers(&folder));
            (keeps_replicas || has_containers || has_processes || had_containers)
                .then(|| StateDir::open(&folder, false))
                .transpose()
        }
    }
}

/// Opens the folder of the desired state if there is one. Nothing is made.
pub(crate) fn find(settings: &Settings, owner: &str) -> Result<Option<StateDir>, StoreError> {
    let (folder, is_chosen) = match &settings.state_dir {
        Some(path) => (path.clone(), true),
        None => match files::state_folder() {
            Ok(folder) => (folder.join(owner), false),
            // Nobody could have left anything there.
            Err(_) => return Ok(None),
        },
    };
    folder.is_dir().then(|| StateDir::open(&folder, is_chosen)).transpose()
}

/// The file in a state directory that says whose it is.
const OWNER: &str = "owner";
/// No owner is longer.
const OWNER_BYTES_MAX: usize = 256;

/// Whose the state directory is that the operator has chosen, if a balancer was started with it before. Whoever
/// has it goes on as the same owner, wherever it listens now.
pub(crate) fn owner(settings: &Settings) -> Option<String> {
    let stored = std::fs::read_to_string(settings.state_dir.as_ref()?.join(OWNER)).ok()?;
    let owner = stored.trim();
    let is_legal = !owner.is_empty()
        && owner.len() <= OWNER_BYTES_MAX
        && !owner.contains(|one: char| one == '/' || one.is_whitespace());
    is_legal.then(|| owner.to_owned())
}

/// Writes down whose a state directory is.
fn note_owner(state: &StateDir, owner: &str) {
    let path = state.path().join(OWNER);
    if std::fs::read_to_string(&path).is_ok_and(|noted| noted.trim() == owner) {
        return;
    }
    if let Err(error) = std::fs::write(&path, format!("{owner}\n")) {
        tracing::warn!("cannot write down in {} whose it is: {error}", path.display());
    }
}

/// The services of which something is written down in a folder: containers, or processes that were kept.
pub(crate) fn services_in(folder: &Path) -> BTreeSet<String> {
    let names = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let filled = entries.filter(|entry| has_entries(&entry.path()));
        filled.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    names(containers(folder)).into_iter().chain(names(folder.join(PROCESSES))).collect()
}

/// Whether containers were written down, of whatever service.
pub(crate) fn has_containers(state: &StateDir) -> bool {
    has_entries(&containers(state.path()))
}

/// Whether networks were.
pub(crate) fn has_networks(state: &StateDir) -> bool {
    has_entries(&state.path().join(DOCKER).join("networks"))
}

fn containers(folder: &Path) -> PathBuf {
    folder.join(DOCKER).join("containers")
}

fn has_entries(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
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
