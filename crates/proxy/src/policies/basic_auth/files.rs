//! All password files of a balancer, each read once, whoever goes by it; and the thread that looks every second
//! whether one has changed.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::passwords::Passwords;
use super::porters::Porters;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Those that are in use, and who compares passwords with all of them.
#[derive(Default)]
pub(crate) struct PasswordFiles {
    pub(super) porters: Arc<Porters>,
    open: Mutex<HashMap<PathBuf, Weak<Passwords>>>,
    is_watched: OnceLock<()>,
}

impl PasswordFiles {
    /// One of them, for as long as somebody holds it.
    pub(super) fn open(self: &Arc<Self>, file: &Path) -> Arc<Passwords> {
        self.is_watched.get_or_init(|| self.watch());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(passwords) = open.get(file).and_then(Weak::upgrade) {
            return passwords;
        }
        open.retain(|_, passwords| passwords.strong_count() > 0);
        let passwords = Arc::new(Passwords::open(file));
        open.insert(file.to_owned(), Arc::downgrade(&passwords));
        passwords
    }

    fn watch(self: &Arc<Self>) {
        let files = Arc::downgrade(self);
        let look = move || {
            while let Some(files) = files.upgrade() {
                let in_use = files.in_use();
                drop(files);
                in_use.iter().for_each(|passwords| passwords.look());
                thread::sleep(LOOK_INTERVAL);
            }
        };
        if let Err(error) = thread::Builder::new().name("password-files".into()).spawn(look) {
            tracing::error!(%error, "changes of password files are not seen");
        }
    }

    fn in_use(&self) -> Vec<Arc<Passwords>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for PasswordFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFiles").finish_non_exhaustive()
    }
}
