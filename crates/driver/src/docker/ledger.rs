//! What was written down of the things that we made on an engine: which seal we gave away, and which
//! container or network got it. It knows nothing of what seals are for.
//!
//! A file for each seal, named by its number, in a folder that is ours alone. The file is there before
//! the engine is asked for the thing, and holds its ID as soon as the engine has told it. It goes when the
//! thing is gone. What cannot be written is kept in memory and written later: nobody's start waits for a disk
//! that is full.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::DriverError;

/// A longer file holds no ID.
const ID_BYTES_MAX: usize = 256;

/// How many are remembered that are gone, because a list that was asked for before may still show them.
const ENDED_MAX: usize = 1000;

/// How many are remembered that are not there, for they may be on another engine, or about to be made. The
/// oldest go first.
const ABSENT_MAX: usize = 1000;

/// The seals that were given away, and to whom. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    /// Who had one and is gone, the last ones.
    ended: Arc<Mutex<VecDeque<String>>>,
    /// Held while files are written.
    writing: Arc<Mutex<()>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    holder: Holder,
    since: SystemTime,
    is_written: bool,
}

/// Who has a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    /// Whoever the engine made; it has not said who that is.
    Unknown,
    /// The thing with this ID.
    Id(String),
    /// Nobody any more.
    Gone,
}

impl Ledger {
    /// Reads what is written in a folder, which need not exist.
    pub(super) fn open(folder: &Path) -> Result<Self, DriverError> {
        let cannot = |error: io::Error| {
            DriverError::caused(format!("cannot read what was written down in '{}'", folder.display()), error)
        };
        let mut entries = BTreeMap::new();
        let files = match fs::read_dir(folder) {
            Ok(files) => Some(files),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        for file in files.into_iter().flatten() {
            let file = file.map_err(cannot)?;
            let Ok(number) = file.file_name().into_string() else { continue };
            if !is_number(&number) {
                continue;
            }
            let text = fs::read_to_string(file.path()).map_err(cannot)?;
            let holder = match text.trim_end() {
                "" => Holder::Unknown,
                id if id.len() <= ID_BYTES_MAX => Holder::Id(id.to_owned()),
                _ => continue,
            };
            let since = file.metadata().and_then(|metadata| metadata.modified()).map_err(cannot)?;
            entries.insert(number, Entry { holder, since, is_written: true });
        }
        Ok(Self {
            folder: folder.to_owned(),
            entries: Arc::new(Mutex::new(entries)),
            ended: Arc::default(),
            writing: Arc::default(),
        })
    }

    /// A seal is about to be given away.
    pub(super) async fn issue(&self, number: &str) {
        self.set(number, Holder::Unknown);
        self.write().await;
    }

    /// It has gone to this one.
    pub(super) async fn bind(&self, number: &str, id: &str) {
        self.set(number, Holder::Id(id.to_owned()));
        self.write().await;
    }

    /// The one with this ID is gone.
    pub(super) async fn forget(&self, id: &str) {
        {
            let mut ended = self.ended();
            ended.push_back(id.to_owned());
            let surplus = ended.len().saturating_sub(ENDED_MAX);
            ended.drain(..surplus);
        }
        for entry in self.entries().values_mut() {
            if matches!(&entry.holder, Holder::Id(holder) if holder == id) {
                *entry = Entry::now(Holder::Gone);
            }
        }
        self.write().await;
    }

    /// The IDs of all who have one, as far as the engine has told them.
    pub(super) fn ids(&self) -> Vec<String> {
        let entries = self.entries();
        let ids = entries.values().filter_map(|entry| match &entry.holder {
            Holder::Id(id) => Some(id.clone()),
            Holder::Unknown | Holder::Gone => None,
        });
        ids.collect()
    }

    /// Whether the one with this ID was removed lately.
    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.ended().iter().any(|ended| ended == id)
    }

    /// A seal that was not given away after all. After any other failure than a certain one, somebody may have it.
    pub(super) async fn withdraw(&self, number: &str) {
        if let Some(entry) = self.entries().get_mut(number)
            && entry.holder == Holder::Unknown
        {
            *entry = Entry::now(Holder::Gone);
        }
        self.write().await;
    }

    /// These are there now. Of the others, the oldest are forgotten when they are too many.
    pub(super) async fn prune(&self, there: &BTreeSet<&str>) {
        {
            let mut entries = self.entries();
            let is_there = |entry: &Entry| match &entry.holder {
                Holder::Id(id) => there.contains(id.as_str()),
                Holder::Unknown | Holder::Gone => false,
            };
            let mut absent: Vec<&mut Entry> = entries.values_mut().filter(|entry| !is_there(entry)).collect();
            absent.sort_by_key(|entry| entry.since);
            let surplus = absent.len().saturating_sub(ABSENT_MAX);
            absent.into_iter().take(surplus).for_each(|entry| *entry = Entry::now(Holder::Gone));
        }
        self.write().await;
    }

    /// Whether a seal belongs to the one with this ID. One of which the engine has not told who got it
    /// belongs to whoever shows it first under its own name: at any moment only one can have a name.
    pub(super) fn belongs(&self, number: &str, id: &str, has_its_own_name: bool) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(number) else { return false };
        match &entry.holder {
            Holder::Id(holder) => holder == id,
            Holder::Unknown if has_its_own_name => {
                *entry = Entry::now(Holder::Id(id.to_owned()));
                true
            }
            Holder::Unknown | Holder::Gone => false,
        }
    }

    /// Writes what is not written yet.
    pub(super) async fn write(&self) {
        if self.entries().values().all(|entry| entry.is_written) {
            return;
        }
        let ledger = self.clone();
        let written = tokio::task::spawn_blocking(move || ledger.write_now()).await;
        if let Ok(Err(why)) = written {
            tracing::warn!(
                "cannot write down in {} which containers are ours: {why}; a next start would not know them",
                self.folder.display()
            );
        }
    }

    fn write_now(&self) -> Result<(), String> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<(String, Entry)> = {
            let entries = self.entries();
            let due = entries.iter().filter(|(_, entry)| !entry.is_written);
            due.map(|(number, entry)| (number.clone(), entry.clone())).collect()
        };
        files::ensure_own_folder(&self.folder).map_err(|error| fleet::in_full(&error))?;
        for (number, entry) in due {
            self.write_one(&number, &entry.holder).map_err(|error| error.to_string())?;
            let mut entries = self.entries();
            match entries.get_mut(&number) {
                Some(now) if *now != entry => {}
                Some(_) if entry.holder == Holder::Gone => {
                    entries.remove(&number);
                }
                Some(now) => now.is_written = true,
                None => {}
            }
        }
        Ok(())
    }

    /// Not synced: a file that a loss of power leaves empty still counts for who has its seal and name.
    fn write_one(&self, number: &str, holder: &Holder) -> io::Result<()> {
        let path = self.folder.join(number);
        let gone = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let id = match holder {
            Holder::Gone => return gone(&path),
            Holder::Unknown => "",
            Holder::Id(id) => id,
        };
        let new_path = path.with_extension("new");
        gone(&new_path)?;
        let written = files::create_new(&new_path, 0o600).and_then(|mut file| file.write_all(id.as_bytes()));
        let written = written.and_then(|()| fs::rename(&new_path, &path));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&new_path);
        })
    }

    fn set(&self, number: &str, holder: Holder) {
        self.entries().insert(number.to_owned(), Entry::now(holder));
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// One that is not written yet.
    fn now(holder: Holder) -> Self {
        Self { holder, since: SystemTime::now(), is_written: false }
    }
}

/// Whether a file is called as those of seals are.
fn is_number(name: &str) -> bool {
    name.len() == super::seal::NUMBER_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FIRST: &str = "00000000000000000000000000000001";
    const SECOND: &str = "00000000000000000000000000000002";

    #[tokio::test]
    async fn a_seal_belongs_to_whom_it_was_given_now_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("containers/web");
        let ledger = Ledger::open(&path).unwrap();
        assert!(!ledger.belongs(FIRST, "a", true), "it was never given away");
        ledger.issue(FIRST).await;
        ledger.bind(FIRST, "a").await;
        ledger.issue(SECOND).await;
        for ledger in [&ledger, &Ledger::open(&path).unwrap()] {
            assert!(ledger.belongs(FIRST, "a", false), "whatever it is called now");
            assert!(!ledger.belongs(FIRST, "b", true), "a copy has another ID");
        }
        let again = Ledger::open(&path).unwrap();
        assert!(!again.belongs(SECOND, "c", false), "not under another name");
        assert!(again.belongs(SECOND, "c", true), "the engine's response did not get through");
        assert!(!again.belongs(SECOND, "d", true), "and nobody else after it");
        again.write().await;
        assert!(!again.has_ended("a"));
        again.forget("a").await;
        assert!(again.has_ended("a"));
        let last = Ledger::open(&path).unwrap();
        assert!(!last.belongs(FIRST, "a", true), "what is over cannot come again");
        assert!(last.belongs(SECOND, "c", false));
        last.issue(FIRST).await;
        last.withdraw(FIRST).await;
        last.withdraw(SECOND).await;
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "what was given away cannot be withdrawn");
    }

    #[tokio::test]
    async fn of_those_that_are_not_there_the_oldest_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("web")).unwrap();
        let number = |index: usize| format!("{index:032x}");
        for index in 0..ABSENT_MAX + 3 {
            ledger.set(&number(index), Holder::Id(index.to_string()));
        }
        ledger.prune(&BTreeSet::from(["0"])).await;
        let is_known = |index: usize| ledger.belongs(&number(index), &index.to_string(), false);
        assert_eq!([0, 1, 2, 3, ABSENT_MAX + 2].map(is_known), [true, false, false, true, true]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_counts_and_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web");
        fs::write(&path, "in the way").unwrap();
        let ledger = Ledger::open(&folder.path().join("none")).unwrap();
        let ledger = Ledger { folder: path.clone(), ..ledger };
        ledger.issue(FIRST).await;
        ledger.bind(FIRST, "a").await;
        assert!(ledger.belongs(FIRST, "a", false));
        fs::remove_file(&path).unwrap();
        ledger.write().await;
        assert!(Ledger::open(&path).unwrap().belongs(FIRST, "a", false));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join(FIRST)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
