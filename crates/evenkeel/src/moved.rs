//! A balancer that listens elsewhere than before, and has neither an owner nor a state directory of its own: its
//! address is its owner by default, so it would be somebody else now, and what it left would be nobody's.
//!
//! It is known again by its configuration file, where that is what says where to listen. What is found otherwise of
//! balancers that are gone is told, with the line that takes it over, and left alone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::Settings;

use crate::cli::UpOptions;
use crate::owner::{self, OwnerLock};
use crate::state;

/// The file in a state folder that says with which configuration file it was made.
const CONFIGURATION: &str = "configuration";
/// No path is longer.
const PATH_BYTES_MAX: u64 = 4096;
/// How many folders are looked at.
const FOLDERS_MAX: usize = 1000;

/// How a balancer is known whose owner nobody has chosen.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The configuration file, if it says where to listen. Several balancers may be started with one file and
    /// addresses of their own.
    file: Option<PathBuf>,
    services: BTreeSet<String>,
}

impl Origin {
    pub(crate) fn of(options: &UpOptions, settings: &Settings) -> Self {
        let file = options.config.as_ref().filter(|_| options.listen.is_none());
        let file = file.and_then(|file| fs::canonicalize(file).ok());
        Self { file, services: settings.services.iter().map(|service| service.name.clone()).collect() }
    }

    /// The owner that this balancer was when it listened elsewhere, with its lock; nothing if it has been here before, if
    /// none is found that is surely it, or if it is one that runs.
    pub(crate) fn moved_from(&self, address: &str) -> Option<(String, OwnerLock)> {
        if has_been_here(address) {
            return None;
        }
        let name = self.owner_in(&files::state_folder().ok()?)?;
        let lock = owner::take(&name).ok()?;
        tracing::warn!(
            "goes on as the owner \"{name}\", as which it was started with this configuration file before, when it listened there; \
             owner = \"…\" keeps a balancer's name whatever it listens on"
        );
        Some((name, lock))
    }

    /// Who such a balancer is that was started before, whether it runs or not. `address` is where the settings let it listen,
    /// if they name a port.
    pub(crate) fn owner_since(&self, address: Option<&str>) -> Option<String> {
        if let Some(address) = address.filter(|address| owner::is_held(address) || has_been_here(address)) {
            return Some(address.to_owned());
        }
        let noted = files::state_folder().ok().and_then(|root| self.owner_in(&root));
        noted.or_else(|| address.map(str::to_owned))
    }

    /// The only owner whose state was made with this very file.
    fn owner_in(&self, root: &Path) -> Option<String> {
        let mut found = folders(root).filter(|(_, folder)| self.is_of_same_file(folder));
        let (name, folder) = found.next()?;
        // Whatever of it is not configured would be ended.
        let has_all = state::services_in(&folder).iter().all(|service| self.services.contains(service));
        (has_all && found.next().is_none()).then_some(name)
    }

    fn is_of_same_file(&self, folder: &Path) -> bool {
        let noted = folder.join(CONFIGURATION);
        let is_short = fs::symlink_metadata(&noted)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= PATH_BYTES_MAX);
        self.file.as_ref().is_some_and(|file| {
            is_short && fs::read(noted).is_ok_and(|noted| noted == file.as_os_str().as_encoded_bytes())
        })
    }

    /// Writes down in a state folder that was not chosen with which file it was made.
    pub(crate) fn note(&self, folder: &Path) {
        let Some(file) = &self.file else { return };
        if self.is_of_same_file(folder) {
            return;
        }
        let path = folder.join(CONFIGURATION);
        if let Err(error) = replace(&path, file.as_os_str().as_encoded_bytes()) {
            tracing::warn!("cannot write down in {} whose it is: {error}", path.display());
        }
    }
}

/// Whether something is kept of this owner.
pub(crate) fn has_been_here(owner: &str) -> bool {
    files::state_folder().is_ok_and(|root| root.join(owner).exists())
}

/// Says of balancers that are gone, and of what they left, when an owner is here for the first time.
pub(crate) fn tell_of_others(own: &str) {
    let Ok(root) = files::state_folder() else { return };
    let others = folders(&root).filter(|(name, _)| name != own && !owner::is_held(name));
    for (name, folder) in others {
        let services = state::services_in(&folder).into_iter().collect::<Vec<_>>().join(", ");
        if !services.is_empty() {
            tracing::warn!(
                "a balancer of the owner \"{name}\" has left replicas of {services}, and none of that owner runs; if this one is \
                 to go on with them, end it and give it owner = \"{name}\" (its state is in {})",
                folder.display()
            );
        }
    }
}

/// The state folders of owners.
fn folders(root: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten().take(FOLDERS_MAX);
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state folder with what was written down of containers of this service.
    fn left(root: &Path, owner: &str, service: &str) -> PathBuf {
        let written = root.join(owner).join("docker/containers").join(service);
        fs::create_dir_all(&written).unwrap();
        fs::write(written.join("1"), "").unwrap();
        root.join(owner)
    }

    #[test]
    fn who_listens_elsewhere_is_known_by_the_file_and_only_where_nobody_else_could_be_meant() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let origin = |file: &str, services: &[&str]| Origin {
            file: (!file.is_empty()).then(|| file.into()),
            services: services.iter().map(|service| (*service).to_owned()).collect(),
        };
        let own = origin("/etc/shop.toml", &["web", "api"]);
        let owner = |origin: &Origin| origin.owner_in(root);
        assert_eq!(owner(&own), None, "there is nothing");
        let folder = left(root, "127.0.0.1:5000", "web");
        assert_eq!(owner(&own), None, "nobody knows with which file");
        own.note(&folder);
        assert_eq!(owner(&own).as_deref(), Some("127.0.0.1:5000"));
        assert_eq!(owner(&origin("/etc/other.toml", &["web"])), None, "another file");
        assert_eq!(owner(&origin("", &["web"])), None, "the address is not from a file");
        assert_eq!(owner(&origin("/etc/shop.toml", &["api"])), None, "what it left would be ended");
        own.note(&left(root, "127.0.0.1:5001", "web"));
        assert_eq!(owner(&own), None, "either could be meant");
        origin("/etc/other.toml", &[]).note(&folder);
        assert_eq!(owner(&own).as_deref(), Some("127.0.0.1:5001"), "it is whose it was last");
    }
}
