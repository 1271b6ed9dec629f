//! What makes a release of containers what it is, as it is stored: with the very image, because a name may mean
//! another one by then.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fittings::Fittings;
use super::pinned::Pinned;
use super::settings::DockerSettings;
use crate::differences::Differences;
use crate::{ReplicaEnvironment, ServerId};

/// All that its containers have in common, and is not the balancer's.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DockerRecipe {
    image: String,
    image_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    port: u16,
    server_id: ServerId,
    env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpus: Option<f64>,
    capabilities: Vec<String>,
    new_privileges: bool,
    #[serde(default, skip_serializing_if = "Fittings::are_none")]
    fittings: Fittings,
    stop_timeout: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
}

impl DockerRecipe {
    pub(super) fn of(pinned: &Pinned) -> Self {
        let settings = pinned.settings.clone();
        let ReplicaEnvironment { service: _, server_id, extra } = settings.environment;
        Self {
            image: settings.image,
            image_id: pinned.image_id.clone(),
            command: settings.command,
            port: settings.port,
            server_id,
            env: extra,
            memory: settings.memory,
            cpus: settings.cpus,
            capabilities: settings.capabilities,
            new_privileges: settings.new_privileges,
            fittings: settings.fittings,
            stop_timeout: settings.stop_timeout,
            stop_signal: settings.stop_signal,
        }
    }

    /// These settings, but with this to be run.
    pub(super) fn within(&self, settings: &DockerSettings) -> Pinned {
        let it = self.clone();
        let environment =
            ReplicaEnvironment { server_id: it.server_id, extra: it.env, ..settings.environment.clone() };
        let settings = DockerSettings {
            image: it.image,
            command: it.command,
            port: it.port,
            environment,
            memory: it.memory,
            cpus: it.cpus,
            capabilities: it.capabilities,
            new_privileges: it.new_privileges,
            fittings: it.fittings,
            stop_timeout: it.stop_timeout,
            stop_signal: it.stop_signal,
            ..settings.clone()
        };
        Pinned { settings, image_id: it.image_id }
    }

    /// The keys that these settings have other values for. `image_id` is what their image's name means now, if
    /// it means any.
    pub(super) fn differences(&self, asked: &DockerSettings, image_id: Option<String>) -> Vec<String> {
        let is_renamed = self.image != asked.image;
        let means_another = image_id.is_some_and(|id| id != self.image_id) && !is_renamed;
        let pinned = Pinned { settings: asked.clone(), image_id: self.image_id.clone() };
        let asked = Self::of(&pinned);
        let differences = self.fittings.note(&asked.fittings, Differences::default());
        differences
            .note("image", &self.image, &asked.image)
            .note("image (its name means another one now)", &means_another, &false)
            .note("command", &self.command, &asked.command)
            .note("port", &self.port, &asked.port)
            .note_variables(&self.env, &asked.env)
            .note("server_id", &self.server_id, &asked.server_id)
            .note("memory", &self.memory, &asked.memory)
            .note("cpus", &self.cpus, &asked.cpus)
            .note("capabilities", &self.capabilities, &asked.capabilities)
            .note("new_privileges", &self.new_privileges, &asked.new_privileges)
            .note("stop_timeout", &self.stop_timeout, &asked.stop_timeout)
            .note("stop_signal", &self.stop_signal, &asked.stop_signal)
            .keys()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fittings::{Gpus, Source, Volume};
    use super::super::fixtures::settings;
    use super::*;

    #[test]
    fn what_a_container_has_beside_is_stored_and_told_by_its_keys() {
        let volume = Volume { source: Source::Named("data".into()), target: "/data".into(), read_only: true };
        let fittings = Fittings { volumes: vec![volume], gpus: Some(Gpus::Count(1)), ..Fittings::default() };
        let deployed = DockerSettings { fittings, ..settings() };
        let pinned = Pinned { settings: deployed.clone(), image_id: "sha256:a".into() };
        let stored = serde_json::to_string(&DockerRecipe::of(&pinned)).unwrap();
        let expected = "\"fittings\":{\"volumes\":[{\"source\":{\"named\":\"data\"},\"target\":\"/data\",\"read_only\":true}],\
                        \"gpus\":{\"count\":1}}";
        assert!(stored.contains(expected), "{stored}");
        let stored: DockerRecipe = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored.within(&settings()).release(), pinned.release());
        let fittings = Fittings { read_only: true, ..Fittings::default() };
        let asked = DockerSettings { fittings, ..settings() };
        assert_eq!(stored.differences(&asked, None), ["volumes", "read_only", "gpus"]);
    }

    #[test]
    fn what_was_stored_is_the_same_release_with_the_very_image_whatever_else_is_asked_for() {
        let deployed = Pinned {
            settings: DockerSettings { cpus: Some(0.3), memory: Some(64 << 20), ..settings() },
            image_id: "sha256:a".into(),
        };
        let stored = serde_json::to_string(&DockerRecipe::of(&deployed)).unwrap();
        let stored: DockerRecipe = serde_json::from_str(&stored).unwrap();
        let asked = DockerSettings { image: "shop:2".into(), port: 80, ..settings() };
        let resumed = stored.within(&asked);
        assert_eq!((resumed.release(), &resumed.image_id), (deployed.release(), &deployed.image_id));
        assert_eq!(stored.differences(&asked, None), ["image", "port", "memory", "cpus"]);
        let plain = serde_json::to_string(&stored).unwrap();
        assert!(!plain.contains("fittings"), "as before there were any: {plain}");
        let same = |id: &str| stored.differences(&deployed.settings, Some(id.into()));
        assert!(same("sha256:a").is_empty());
        assert_eq!(same("sha256:b"), ["image (its name means another one now)"]);
        // What only a restart can change is what the configuration says.
        let moved = stored.within(&DockerSettings { network: "other".into(), ..settings() });
        assert_eq!(moved.settings.network, "other");
    }
}
