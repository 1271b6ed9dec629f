//! What the processes of a service are made from, and the commands that follow from it. Nothing here
//! runs one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use files::Secret;
use fleet::Release;
use sockets::listeners;
use tokio::process::Command;

use super::account::{Account, Ids};
use super::inherited;
use super::ports::PortRange;
use super::token::{LifeMark, TOKEN};
use crate::keyed::Keyed;
use crate::order::{Endpoint, StartOrder};
use crate::{DriverError, ReplicaEnvironment};

/// Allows a tether's command to get new privileges.
const NEW_PRIVILEGES: &str = "--new-privileges";

/// This program itself, for a child of it.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The program and its arguments; `{name}`, `{seat}`, and `{port}` or `{socket}` are filled in.
    pub command: Vec<String>,
    /// A program and arguments put in front of the command, which end it when this process ends; its number
    /// is put behind them.
    pub tether: Vec<String>,
    /// What replicas learn from their environment.
    pub environment: ReplicaEnvironment,
    /// Whether replicas listen on Unix sockets instead of loopback ports.
    pub socket: bool,
    /// Who may listen on the port of a replica.
    pub listened_by: ListenedBy,
    /// Whom replicas run as; as the balancer's own account without it.
    pub account: Option<Account>,
    /// Whether a replica may get more rights than it was started with, as by a `setuid` program.
    pub new_privileges: bool,
    /// Which variables of the balancer's own environment replicas get, beside the few that all get.
    pub inherit: Vec<String>,
    /// Where they begin; where the balancer does without it.
    pub directory: Option<PathBuf>,
    /// Out of which each is given a port.
    pub ports: PortRange,
    /// How long a replica that was asked to stop may take before it is killed.
    pub stop_timeout: Duration,
    /// By what releases are hashed, so that nobody can find out by one what is in the environment.
    pub secret: Secret,
    /// By what its processes are known again.
    pub mark: LifeMark,
    /// Where it is written down which processes outlive this one, if any may.
    pub keep: Option<KeepSettings>,
}

/// Who may listen on the port of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenedBy {
    /// Processes of its own group, and what descends from it.
    #[default]
    Itself,
    /// Anybody, as where the command has another program listen for it. Then any account of this machine
    /// can take its place.
    Anybody,
}

/// Where and how processes outlive their balancer.
#[derive(Clone, Debug)]
pub struct KeepSettings {
    /// Where they are written down: a folder for this service alone, in a state directory that no
    /// other balancer uses. What they write and their sockets are there, too.
    pub folder: PathBuf,
    /// The words that run [`keep`](crate::keep).
    pub keeper: Vec<String>,
    /// Whether new ones are kept too; if not, only those that are there are taken over.
    pub is_for_new: bool,
}

impl ProcessSettings {
    /// A keyed hash of everything that all replicas have in common, but for the tether, the mark and the keeper,
    /// which are ours.
    pub(crate) fn release(&self) -> Release {
        // Every field is named here, so that a new one cannot be forgotten.
        let Self {
            command,
            tether: _,
            environment,
            socket,
            listened_by: _,
            account,
            new_privileges,
            inherit,
            directory,
            ports: _,
            stop_timeout,
            secret,
            mark: _,
            keep: _,
        } = self;
        let mut parts = environment.parts();
        parts.extend([socket.to_string(), format!("{stop_timeout:?}")]);
        parts.extend([format!("{account:?}"), new_privileges.to_string(), inherit.len().to_string()]);
        parts.extend(inherit.iter().cloned());
        parts.extend(command.iter().cloned());
        // Whoever has none is what it was before there was any.
        parts.extend(directory.iter().map(|directory| format!("{directory:?}")));
        Release::of_hash(Keyed::over(secret, "release", &parts).number())
    }

    /// The command that runs a replica, which ends with us. Its processes carry this token.
    pub(super) fn command(&self, order: &StartOrder, endpoint: &Endpoint, token: &str) -> Command {
        let words = self.command.iter().map(|word| order.fill_in(word, endpoint));
        let ids = self.account.as_ref().map(Account::ids);
        let parent = std::process::id();
        let mut command = tethered(
            &Tether { words: &self.tether, parent, new_privileges: self.new_privileges, ids },
            words,
        );
        self.set_environment(&mut command, order, endpoint);
        command.env(TOKEN, token);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The command that runs a keeper, and through it a replica.
    pub(super) fn keeper(&self, keeper: &[String], order: &StartOrder, endpoint: &Endpoint) -> Command {
        let mut words = keeper.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command.args(words);
        self.set_environment(&mut command, order, endpoint);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Nothing of the balancer's own but what is meant to be passed on: it may hold secrets.
    fn set_environment(&self, command: &mut Command, order: &StartOrder, endpoint: &Endpoint) {
        let passed = inherited::variables(self.account.as_ref(), &self.inherit);
        command.env_clear().envs(passed).envs(self.environment.of(order, endpoint));
    }

    /// Whether there is something to run, and who listens can be seen if it matters.
    pub(super) fn check(&self) -> Result<(), DriverError> {
        self.check_sight()?;
        self.check_program()
    }

    /// Whether who listens can be seen, if it matters.
    pub(super) fn check_sight(&self) -> Result<(), DriverError> {
        let matters = !self.socket && self.listened_by == ListenedBy::Itself;
        if matters { check_sight() } else { Ok(()) }
    }

    /// Whether there is something to run.
    pub(super) fn check_program(&self) -> Result<(), DriverError> {
        let program = self.command.first().map_or("", String::as_str);
        let directory = self.directory.as_deref();
        if let Some(missing) = directory.filter(|directory| !directory.is_dir()) {
            let what = format!("there is no directory '{}' to begin in", missing.display());
            return Err(DriverError::new(what));
        }
        if is_runnable(program, directory) {
            Ok(())
        } else {
            Err(DriverError::new(format!("there is no program '{program}' to run")))
        }
    }
}

/// What stands in front of a command, so that it ends with its parent.
pub(super) struct Tether<'a> {
    pub(super) words: &'a [String],
    pub(super) parent: u32,
    pub(super) new_privileges: bool,
    /// Whom it is run as, if not as us.
    pub(super) ids: Option<Ids>,
}

/// A command behind its tether, if there is one.
pub(super) fn tethered(tether: &Tether<'_>, command: impl Iterator<Item = String>) -> Command {
    let options = tether.new_privileges.then(|| NEW_PRIVILEGES.to_owned());
    let parent = tether.parent.to_string();
    let ours = tether.words.iter().cloned().chain(options).chain([parent]);
    let mut words = ours.filter(|_| !tether.words.is_empty()).chain(command);
    let program = words.next().unwrap_or_default();
    let mut tethered = match tether.ids {
        // Wherever this program lies, the other account need not be allowed to go there.
        Some(_) if !tether.words.is_empty() => Command::new(OWN_PROGRAM),
        _ => Command::new(&program),
    };
    tethered.arg0(program).args(words);
    if tether.words.is_empty() {
        // The tether makes a session, and a group with it.
        tethered.process_group(0);
    }
    if let Some(ids) = tether.ids {
        ids.apply_to(&mut tethered);
    }
    tethered
}

/// Refuses to give replicas ports where nobody can see who takes them.
fn check_sight() -> Result<(), DriverError> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let seen = listeners(nowhere).and_then(|_| std::fs::read_dir("/proc/self/fd"));
    seen.map(drop).map_err(|error| {
        DriverError::caused(
            "who listens on the ports of replicas cannot be seen here (/proc), so another account could answer for them; \
             have them listen on sockets (socket = true), or say listened_by = \"anybody\"",
            error,
        )
    })
}

/// Whether it is there: by its path, which begins at the directory, or in one of those of `PATH`.
fn is_runnable(program: &str, directory: Option<&Path>) -> bool {
    let is_file = |path: &Path| path.is_file();
    if program.contains('/') {
        return is_file(&directory.unwrap_or(Path::new("")).join(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && std::env::split_paths(&path).any(|folder| is_file(&folder.join(program)))
}
