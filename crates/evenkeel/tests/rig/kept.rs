//! Processes that outlive their balancer, for tests: an owner that no other test has, a state
//! directory, and a look at everything that carries the owner's token.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::kill;

static OWNERS: AtomicU32 = AtomicU32::new(0);

/// A place for balancers, one after the other, whose processes stay. What is left of them ends when
/// this is dropped.
pub struct Kept {
    pub owner: String,
    pub folder: tempfile::TempDir,
}

/// A process that carries a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    pub pid: u32,
    /// Service and life, as in `web/1.4`.
    pub life: String,
    pub command: String,
}

impl Kept {
    pub fn new() -> Self {
        let number = OWNERS.fetch_add(1, Ordering::Relaxed);
        let owner = format!("evenkeel-kept-{}-{number}", std::process::id());
        Self { owner, folder: tempfile::tempdir().unwrap() }
    }

    /// A configuration with one service, and what a test adds to it.
    pub fn config(&self, service: &str) -> String {
        let top = self.top();
        format!("contract = true\n{top}[[service]]\nname = \"web\"\non_exit = \"keep\"\n{service}\n")
    }

    /// Owner and state directory.
    pub fn top(&self) -> String {
        format!("owner = \"{}\"\nstate_dir = {:?}\n", self.owner, self.folder.path())
    }

    /// Where the processes of the service `web` are written down.
    pub fn records(&self) -> PathBuf {
        self.folder.path().join("processes/web")
    }

    /// Everything that carries this owner's token, by process id.
    pub fn carriers(&self) -> Vec<Carrier> {
        let prefix = format!("EVENKEEL_LIFE={}/", self.owner);
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
            // Of whoever is about to become another program a part is seen for a moment, or nothing.
            let looks = (0..20).map(|_| [read("environ"), read("environ")]);
            let is_whole = |[first, second]: &[Vec<u8>; 2]| {
                first == second && (!first.is_empty() || entry.path().join("exe").read_link().is_err())
            };
            let [environment, _] = looks.into_iter().find(is_whole).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let token = environment.split('\0').find_map(|one| one.strip_prefix(&prefix));
            let Some((life, _)) = token.and_then(|token| token.rsplit_once('/')) else { continue };
            let command = String::from_utf8_lossy(&read("cmdline")).trim_end_matches('\0').replace('\0', " ");
            found.push(Carrier { pid, life: life.to_owned(), command });
        }
        found.sort_by_key(|carrier| carrier.pid);
        found
    }

    /// The keepers, by life.
    pub fn keepers(&self) -> BTreeMap<String, u32> {
        let carriers = self.carriers().into_iter().filter(|carrier| carrier.command.contains(" keep --"));
        carriers.map(|carrier| (carrier.life, carrier.pid)).collect()
    }

    /// The replicas themselves, by life.
    pub fn replicas(&self) -> BTreeMap<String, u32> {
        let is_replica = |carrier: &Carrier| {
            carrier.command.contains(" replica ") && !carrier.command.contains(" tether ")
        };
        let carriers = self.carriers().into_iter().filter(is_replica);
        carriers.map(|carrier| (carrier.life, carrier.pid)).collect()
    }

    /// How many processes each life has, its keeper among them.
    pub fn lives(&self) -> BTreeMap<String, usize> {
        let mut lives = BTreeMap::new();
        for carrier in self.carriers() {
            *lives.entry(carrier.life).or_default() += 1;
        }
        lives
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for Carrier { pid, .. } in self.carriers() {
            // It may have ended meanwhile.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
        super::forget_owner(&self.owner);
    }
}

/// Ends a process by its id and waits until it is gone.
pub fn end(pid: u32) {
    kill("-9", pid);
    super::eventually("it is gone", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    });
}
