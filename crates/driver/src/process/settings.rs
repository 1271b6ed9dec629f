//! What the processes of a service are made from, and the commands that follow from it. Nothing here
//! runs one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fleet::Release;
use tokio::process::Command;

use crate::order::{Endpoint, StartOrder};
use crate::{DriverError, ReplicaEnvironment, known_releases};

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The program and its arguments; `{name}`, `{seat}`, and `{port}` or `{socket}` are filled in.
    pub command: Vec<String>,
    /// A program and arguments put in front of the command, which end it when this process ends.
    pub tether: Vec<String>,
    /// What replicas learn from their environment.
    pub environment: ReplicaEnvironment,
    /// Whether replicas listen on Unix sockets instead of loopback ports.
    pub socket: bool,
    /// How long a replica that was asked to stop may take before it is killed.
    pub stop_timeout: Duration,
    /// Where it is written down which processes outlive this one, if any may.
    pub keep: Option<KeepSettings>,
}

/// Where and how processes outlive their balancer.
#[derive(Clone, Debug)]
pub struct KeepSettings {
    /// Where they are written down: a folder for this service alone, in a state directory that no
    /// other balancer uses. What they write and their sockets are there, too.
    pub folder: PathBuf,
    /// The words that run [`keep`](crate::keep).
    pub keeper: Vec<String>,
    /// The mark by which one balancer knows its own.
    pub owner: String,
    /// Whether new ones are kept too; if not, only those that are there are taken over.
    pub is_for_new: bool,
}

impl ProcessSettings {
    /// A hash of everything that all replicas have in common, but for the tether and the keeper, which
    /// are ours.
    pub(crate) fn release(&self) -> Release {
        // Every field is named here, so that a new one cannot be forgotten.
        let Self { command, tether: _, environment, socket, stop_timeout, keep: _ } = self;
        let mut parts = environment.parts();
        parts.extend([socket.to_string(), format!("{stop_timeout:?}")]);
        parts.extend(command.iter().cloned());
        Release::of_hash(known_releases::hash(&parts))
    }

    /// The command that runs a replica, which ends with us.
    pub(super) fn command(&self, order: &StartOrder, endpoint: &Endpoint) -> Command {
        let command = self.command.iter().map(|word| order.fill_in(word, endpoint));
        let mut words = self.tether.iter().cloned().chain(command);
        let mut command = Command::new(words.next().unwrap_or_default());
        // The balancer's own would be a wrong one, where replicas have sockets instead.
        command.env_remove("PORT");
        command.args(words).envs(self.environment.of(order, endpoint)).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The command that runs a keeper, and through it a replica.
    pub(super) fn keeper(&self, keep: &KeepSettings, order: &StartOrder, endpoint: &Endpoint) -> Command {
        let mut words = keep.keeper.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        // The balancer's own would be a wrong one, where replicas have sockets instead.
        command.env_remove("PORT");
        command.args(words).envs(self.environment.of(order, endpoint));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Whether there is something to run.
    pub(super) fn check(&self) -> Result<(), DriverError> {
        let program = self.command.first().map_or("", String::as_str);
        if is_runnable(program) {
            Ok(())
        } else {
            Err(DriverError::new(format!("there is no program '{program}' to run")))
        }
    }
}

fn is_runnable(program: &str) -> bool {
    let is_file = |path: &Path| path.is_file();
    if program.contains('/') {
        return is_file(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && std::env::split_paths(&path).any(|folder| is_file(&folder.join(program)))
}
