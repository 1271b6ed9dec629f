//! What a container has beside its image, its command and its limits: volumes, a user, further networks and
//! what else an operator gives it. It is part of what makes a release what it is, and is stored as it stands
//! here. Nothing here talks to an engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::differences::Differences;

/// What a container has beside; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fittings {
    /// Volumes, and folders and files of the host, each in a place of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub volumes: Vec<Volume>,
    /// Folders in memory.
    #[serde(skip_serializing_if = "is_default")]
    pub tmpfs: Vec<Tmpfs>,
    /// Whether nothing can be written beside those.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Whom its first process runs as, `USER` or `USER:GROUP`; the image says it otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub user: Option<String>,
    /// The networks that it joins beside the one by which it is reached.
    #[serde(skip_serializing_if = "is_default")]
    pub networks: Vec<String>,
    /// Whether an init of the engine is its first process, which buries orphans.
    #[serde(skip_serializing_if = "is_default")]
    pub init: bool,
    /// Limits of the kernel, by their names, as `nofile`.
    #[serde(skip_serializing_if = "is_default")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Hosts that it knows beside those of its networks, as `NAME:ADDRESS`.
    #[serde(skip_serializing_if = "is_default")]
    pub extra_hosts: Vec<String>,
    /// What its command is an argument of, in place of what the image says.
    #[serde(skip_serializing_if = "is_default")]
    pub entrypoint: Option<Vec<String>>,
    /// Where it begins, in place of what the image says.
    #[serde(skip_serializing_if = "is_default")]
    pub working_dir: Option<String>,
    /// The operator's own labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// What keeps its output, in place of what the engine is set to.
    #[serde(skip_serializing_if = "is_default")]
    pub log_driver: Option<String>,
    /// What that is told.
    #[serde(skip_serializing_if = "is_default")]
    pub log_options: BTreeMap<String, String>,
    /// Devices of the host.
    #[serde(skip_serializing_if = "is_default")]
    pub devices: Vec<Device>,
    /// Processors for graphics.
    #[serde(skip_serializing_if = "is_default")]
    pub gpus: Option<Gpus>,
    /// Whether what the healthcheck of its image finds is a sign, too.
    #[serde(skip_serializing_if = "is_default")]
    pub image_health: bool,
    /// Its secrets: under their names, the digests by which their contents are kept.
    #[serde(skip_serializing_if = "is_default")]
    pub secrets: BTreeMap<String, String>,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// Never: it is here, or somebody brings it here.
    #[default]
    Never,
    /// When it is not here.
    Missing,
    /// Before each deployment, so that a name means what it means where it comes from.
    Always,
}

/// A volume, or a folder or file of the host, in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// What it is.
    pub source: Source,
    /// Where it is, a path inside.
    pub target: String,
    /// Whether it cannot be written from inside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
}

/// Where the data of a volume are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In a volume of this name. The engine makes it when it is not there; it is never removed by us.
    Named(String),
    /// In this place of the host, which must be there.
    Host(String),
}

/// A folder in memory, which is empty at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Where it is, a path inside.
    pub target: String,
    /// As the kernel takes them, `size=64m,mode=1777`; without any, the engine's own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: String,
}

/// A limit of the kernel; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// What it is to begin with.
    pub soft: i64,
    /// How far it may be raised.
    pub hard: i64,
}

/// A device of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its path on the host.
    pub host: String,
    /// Its path inside.
    pub target: String,
    /// What may be done with it: some of `r`, `w` and `m`, to make it.
    pub rights: String,
}

/// Which processors for graphics a container gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gpus {
    /// All that there are.
    All,
    /// As many, whichever.
    Count(u32),
    /// These.
    Named(Vec<String>),
}

impl Fittings {
    /// Whether there is nothing beside.
    pub(super) fn are_none(&self) -> bool {
        is_default(self)
    }

    /// The keys that others have other values for.
    pub(super) fn note(&self, asked: &Self, differences: Differences) -> Differences {
        // Every field is named here, so that a new one cannot be forgotten.
        let Self {
            volumes,
            tmpfs,
            read_only,
            user,
            networks,
            init,
            ulimits,
            extra_hosts,
            entrypoint,
            working_dir,
            labels,
            log_driver,
            log_options,
            devices,
            gpus,
            image_health,
            secrets,
        } = self;
        differences
            .note("volumes", volumes, &asked.volumes)
            .note("tmpfs", tmpfs, &asked.tmpfs)
            .note("read_only", read_only, &asked.read_only)
            .note("user", user, &asked.user)
            .note("networks", networks, &asked.networks)
            .note("init", init, &asked.init)
            .note("ulimits", ulimits, &asked.ulimits)
            .note("extra_hosts", extra_hosts, &asked.extra_hosts)
            .note("entrypoint", entrypoint, &asked.entrypoint)
            .note("working_dir", working_dir, &asked.working_dir)
            .note("labels", labels, &asked.labels)
            .note("log_driver", log_driver, &asked.log_driver)
            .note("log_options", log_options, &asked.log_options)
            .note("devices", devices, &asked.devices)
            .note("gpus", gpus, &asked.gpus)
            .note("image_health", image_health, &asked.image_health)
            .note("secrets", secrets, &asked.secrets)
    }

    /// All of it in words. What is not given is not in them, so that they stay what they are when there is more to
    /// be given.
    pub(super) fn in_words(&self) -> String {
        serde_json::to_string(self).expect("names are strings, and nothing in it can fail")
    }
}

fn is_default<T: Default + PartialEq>(it: &T) -> bool {
    *it == T::default()
}
