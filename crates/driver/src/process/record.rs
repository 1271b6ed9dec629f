//! What is written down of a process that may outlive its balancer, and the files of each life.
//!
//! All of it is in one folder for each service, which only the owner of the state directory uses:
//! for a life `1.4` the record `1.4.json`, what it wrote (`1.4.log`), how it ended (`1.4.exit`) and
//! perhaps its socket (`1.4.sock`). A record is there before its process is, and whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fleet::{Address, Exit, Life, Release, ReplicaName};
use placement::Seat;
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::log;
use crate::StartOrder;

/// The shape of a record; one of another shape is not guessed at.
const FORMAT: u32 = 1;

/// How the names of a life's files end.
const ENDINGS: [&str; 6] = ["json", "log", "log.old", "exit", "sock", "new"];

/// What is known of a kept process before it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    format: u32,
    seat: u32,
    incarnation: u64,
    name: String,
    address: String,
    /// What its processes carry in their environment.
    pub(super) token: String,
    /// What it was started from, as a short text to be compared.
    pub(super) spec: String,
}

/// The record of a life.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) life: Described,
    /// What looks after the process, and ends with it.
    pub(super) keeper: Identity,
}

/// How a life ended, as its keeper saw it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExitFile {
    code: Option<i64>,
    signal: Option<i32>,
}

impl Described {
    /// One that is started by this order, and what it was `started_from`.
    pub(super) fn new(order: &StartOrder, address: &Address, token: String, started_from: Release) -> Self {
        Self {
            format: FORMAT,
            seat: order.life.seat.number(),
            incarnation: order.life.incarnation,
            name: order.name.to_string(),
            address: address.to_string(),
            token,
            spec: started_from.to_string(),
        }
    }

    /// Who it is and where it listens; nothing if that makes no sense.
    pub(super) fn identity(&self) -> Option<(Life, ReplicaName, Address)> {
        let seat = Seat::new(self.seat).filter(|_| self.format == FORMAT)?;
        let life = Life { seat, incarnation: self.incarnation };
        Some((life, ReplicaName::parse(&self.name).ok()?, self.address.parse().ok()?))
    }
}

/// The folder of one service's kept processes.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes it, for its owner only; one that somebody else may write to is not used.
    pub(super) fn create(&self) -> Result<(), files::NotOurs> {
        files::ensure_own_folder(&self.0)
    }

    pub(super) fn files(&self, life: Life) -> Files {
        Files { stem: self.0.join(life.to_string()) }
    }

    /// Every record that can be understood. Other files of lives belong to nobody, and are removed.
    pub(super) fn records(&self) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names: Vec<String> =
            entries.flatten().filter_map(|one| one.file_name().into_string().ok()).collect();
        let mut records = Vec::new();
        for stem in names.iter().filter_map(|name| name.strip_suffix(".json")) {
            let path = self.0.join(format!("{stem}.json"));
            let record: Option<Record> =
                fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            // The name must be its own too, or two records could speak of one life.
            match record.filter(|record| record.life.is_called(stem)) {
                Some(record) => records.push(record),
                None => tracing::warn!("'{}' is no record of a replica; it is removed", path.display()),
            }
        }
        for name in names {
            let is_of_a_life = records.iter().any(|record| record.life.owns(&name));
            if !is_of_a_life && is_of_ours(&name) {
                let _ = fs::remove_file(self.0.join(name));
            }
        }
        Ok(records)
    }
}

impl Described {
    fn is_called(&self, stem: &str) -> bool {
        self.identity().is_some_and(|(life, ..)| life.to_string() == stem)
    }

    fn owns(&self, file_name: &str) -> bool {
        let ending = file_name.strip_prefix(&format!("{}.{}.", self.seat, self.incarnation));
        ending.is_some_and(|ending| ending != "new" && ENDINGS.contains(&ending))
    }
}

/// Whether a file is called as only those of lives are.
fn is_of_ours(file_name: &str) -> bool {
    let mut parts = file_name.splitn(3, '.');
    let mut is_number = || parts.next().is_some_and(|part| part.parse::<u64>().is_ok());
    is_number() && is_number() && parts.next().is_some_and(|ending| ENDINGS.contains(&ending))
}

/// The files of one life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Files {
    stem: PathBuf,
}

impl Files {
    fn with(&self, ending: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.with(".log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.with(".sock")
    }

    /// Writes the record: the whole of it appears at once.
    pub(super) fn write_record(&self, record: &Record) -> io::Result<()> {
        self.write(".json", &serde_json::to_vec(record)?)
    }

    pub(super) fn remove_record(&self) {
        let _ = fs::remove_file(self.with(".json"));
    }

    /// Writes down how the process ended.
    pub(super) fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        self.write(".exit", &serde_json::to_vec(&ExitFile { code: exit.code, signal: exit.signal })?)
    }

    /// How the process ended, as far as that was written down, and its last lines.
    pub(super) fn read_exit(&self) -> Exit {
        let file = fs::read(self.with(".exit")).ok();
        let known: Option<ExitFile> = file.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let (code, signal) = known.map_or((None, None), |known| (known.code, known.signal));
        Exit { code, signal, last_output: log::last_lines(&self.log()), ..Exit::default() }
    }

    /// Removes what a life has left; what it wrote last is kept until its seat's next one is over.
    /// The record goes last, because while it is there a next start does the rest.
    pub(super) fn remove(&self) {
        log::retire(&self.log());
        for ending in [".exit", ".sock", ".new", ".json"] {
            let _ = fs::remove_file(self.with(ending));
        }
    }

    fn write(&self, ending: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, new_path) = (self.with(ending), self.with(".new"));
        let write = || {
            // What a keeper that was killed left there is nobody's, a link least of all.
            let _ = fs::remove_file(&new_path);
            files::create_new(&new_path, 0o600)?.write_all(bytes)?;
            // Not synced: what a loss of power could take away speaks of processes that it ended.
            fs::rename(&new_path, &path)
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&new_path);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seat: u32, incarnation: u64) -> Record {
        let life = Life { seat: Seat::new(seat).unwrap(), incarnation };
        let name = ReplicaName::parse(&format!("web_{seat}")).unwrap();
        let address = "127.0.0.1:20001".parse().unwrap();
        let order = StartOrder { life, name, release: Release::default() };
        let life = Described::new(&order, &address, "me/web/x".into(), Release::of_hash(1));
        Record { life, keeper: Identity::own().unwrap() }
    }

    fn names(folder: &Folder) -> Vec<String> {
        let entries = fs::read_dir(&folder.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn records_are_read_back_and_what_belongs_to_none_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::new(&base.path().join("processes/web"));
        assert!(folder.records().unwrap().is_empty(), "none is there yet");
        folder.create().unwrap();
        let kept = record(1, 4);
        let (life, name, address) = kept.life.identity().unwrap();
        let files = folder.files(life);
        files.write_record(&kept).unwrap();
        files.write_exit(&Exit { code: Some(7), ..Exit::default() }).unwrap();
        fs::write(files.log(), "one\ntwo\n").unwrap();
        for stray in ["2.1.json", "2.1.log", "1.4.new", "1.3.sock", "1.previous.log", "notes"] {
            fs::write(folder.0.join(stray), "{").unwrap();
        }
        // A record under another life's name speaks of nobody.
        fs::copy(folder.0.join("1.4.json"), folder.0.join("3.1.json")).unwrap();
        let records = folder.records().unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].life.identity(), Some((life, name, address)));
        assert_eq!(records[0].keeper, kept.keeper);
        assert_eq!(names(&folder), ["1.4.exit", "1.4.json", "1.4.log", "1.previous.log", "notes"]);
        let exit = files.read_exit();
        assert_eq!((exit.code, exit.last_output), (Some(7), vec!["one".to_owned(), "two".to_owned()]));
        files.remove();
        assert_eq!(names(&folder), ["1.previous.log", "notes"], "what is not called like ours stays");
    }

    #[test]
    fn a_record_of_another_shape_is_not_guessed_at() {
        let of_another = Record { life: Described { format: 2, ..record(1, 1).life }, ..record(1, 1) };
        assert!(of_another.life.identity().is_none());
        assert!(Described { seat: 0, ..record(1, 1).life }.identity().is_none());
        assert!(Described { address: "nowhere".into(), ..record(1, 1).life }.identity().is_none());
    }
}
