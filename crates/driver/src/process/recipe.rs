//! What makes a release of processes what it is, as it is stored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::settings::ProcessSettings;
use crate::differences::Differences;
use crate::{ReplicaEnvironment, ServerId};

/// All that its replicas have in common, and is not the balancer's.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessRecipe {
    command: Vec<String>,
    server_id: ServerId,
    env: BTreeMap<String, String>,
    /// Only a restart can change it, but a command is made for the one or the other.
    socket: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
    new_privileges: bool,
    inherit: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<PathBuf>,
    stop_timeout: Duration,
}

impl ProcessRecipe {
    pub(crate) fn of(settings: &ProcessSettings) -> Self {
        let ReplicaEnvironment { service: _, server_id, extra } = settings.environment.clone();
        Self {
            command: settings.command.clone(),
            server_id,
            env: extra,
            socket: settings.socket,
            account: settings.account.clone(),
            new_privileges: settings.new_privileges,
            inherit: settings.inherit.clone(),
            directory: settings.directory.clone(),
            stop_timeout: settings.stop_timeout,
        }
    }

    /// These settings, but with this to be run. Nothing if that cannot be reached as the replicas are to be now.
    pub(super) fn within(&self, settings: &ProcessSettings) -> Option<ProcessSettings> {
        let Self {
            command,
            server_id,
            env,
            socket,
            account,
            new_privileges,
            inherit,
            directory,
            stop_timeout,
        } = self.clone();
        let environment = ReplicaEnvironment { server_id, extra: env, ..settings.environment.clone() };
        let settings = settings.clone();
        (socket == settings.socket).then_some(ProcessSettings {
            command,
            environment,
            account,
            new_privileges,
            inherit,
            directory,
            stop_timeout,
            ..settings
        })
    }

    /// The keys that these settings have other values for.
    pub(super) fn differences(&self, asked: &ProcessSettings) -> Vec<String> {
        let asked = Self::of(asked);
        Differences::default()
            .note("command", &self.command, &asked.command)
            .note_variables(&self.env, &asked.env)
            .note("server_id", &self.server_id, &asked.server_id)
            .note("user", &self.account, &asked.account)
            .note("new_privileges", &self.new_privileges, &asked.new_privileges)
            .note("inherit", &self.inherit, &asked.inherit)
            .note("directory", &self.directory, &asked.directory)
            .note("stop_timeout", &self.stop_timeout, &asked.stop_timeout)
            .keys()
    }
}

#[cfg(test)]
mod tests {
    use files::Secret;

    use super::super::ports::PortRange;
    use super::super::settings::ListenedBy;
    use super::super::token::LifeMark;
    use super::*;

    fn settings(command: &str) -> ProcessSettings {
        ProcessSettings {
            command: vec![command.into(), "{port}".into()],
            tether: Vec::new(),
            environment: ReplicaEnvironment {
                service: "web".into(),
                server_id: ServerId::Number,
                extra: BTreeMap::from([("TOKEN".into(), "s3cret".into())]),
            },
            socket: false,
            listened_by: ListenedBy::Itself,
            account: None,
            new_privileges: true,
            inherit: vec!["LANG".into()],
            directory: None,
            ports: PortRange::default(),
            stop_timeout: Duration::from_millis(1500),
            secret: Secret::of([1; 32]),
            mark: LifeMark { owner: "me".into(), key: Secret::of([2; 32]) },
            keep: None,
        }
    }

    #[test]
    fn what_was_stored_is_the_same_release_again_whatever_else_is_asked_for() {
        let deployed = settings("good");
        let stored = serde_json::to_string(&ProcessRecipe::of(&deployed)).unwrap();
        let stored: ProcessRecipe = serde_json::from_str(&stored).unwrap();
        let mut asked = settings("bad");
        asked.stop_timeout = Duration::from_secs(9);
        asked.directory = Some("/srv".into());
        asked.environment.extra = BTreeMap::from([("TOKEN".into(), "other".into())]);
        let resumed = stored.within(&asked).unwrap();
        assert_eq!(resumed.release(), deployed.release());
        assert_ne!(resumed.release(), asked.release());
        assert_eq!(stored.differences(&asked), ["command", "env.TOKEN", "directory", "stop_timeout"]);
        assert!(stored.differences(&deployed).is_empty());
    }

    #[test]
    fn a_command_for_ports_is_not_run_with_sockets() {
        let stored = ProcessRecipe::of(&settings("good"));
        assert!(stored.within(&ProcessSettings { socket: true, ..settings("bad") }).is_none());
    }
}
