//! How replicas are run: the choice between the drivers, and the keys that not every driver has.

use std::collections::BTreeMap;
use std::path::{Path, absolute};

use driver::{Fittings, ListenedBy, PortRange, Pull, Source};
use fleet::Address;
use proxy::Folder;

use super::fittings;
use super::folder;
use super::rights::Rights;
use crate::container::tables::Secrets;
use crate::form::{Choice, Flag, List, Maybe, Number, Size, Text};
use crate::keys::{Effect, Key, Keys, Told};
use crate::only::{DriverKind, OF_DOCKER, OF_OWNED, OF_PROCESS, OF_STATIC};
use crate::problem::Wrong;
use crate::{capability, value, words};

/// The network that containers join unless told otherwise.
const NETWORK_DEFAULT: &str = "evenkeel";
/// The container engine takes no less.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
const MEMORY_BYTES_MAX: u64 = 16 << 40;
const CPUS_MIN: f64 = 0.01;
const CPUS_MAX: f64 = 1024.0;
const CAPABILITIES_MAX: usize = 64;
const NETWORKS_MAX: usize = 16;

/// How the replicas of a service are run.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverChoice {
    /// As child processes.
    Process {
        /// The program and its arguments, with placeholders; the bundled demo replica without it.
        command: Option<Vec<String>>,
        /// Whether each listens on a Unix socket instead of a port; the command has no `{port}` then,
        /// and no `{socket}` otherwise.
        socket: bool,
        /// Who may listen on the port of a replica.
        listened_by: ListenedBy,
        /// What replicas may do and know.
        rights: Rights,
        /// Where they begin; where the balancer does without it.
        directory: Option<String>,
        /// Out of which each is given a port.
        ports: PortRange,
    },
    /// As containers.
    Docker {
        /// What they are made from.
        image: String,
        /// Replaces the image's own command.
        command: Option<Vec<String>>,
        /// The network that they join.
        network: String,
        /// Whether they are reached through ports that are published on the host.
        publish: bool,
        /// The memory limit of each, in bytes.
        memory: Option<u64>,
        /// The limit of processor time of each, in CPUs.
        cpus: Option<f64>,
        /// What it may do beyond its user's rights, as `NET_BIND_SERVICE`.
        capabilities: Vec<String>,
        /// Whether a replica may get more rights than it was started with, as by a `setuid` program.
        new_privileges: bool,
        /// What it has beside.
        fittings: Box<Fittings>,
        /// The files whose contents they have as secrets, by the names that those have inside.
        secrets: BTreeMap<String, String>,
        /// When the image is fetched.
        pull: Pull,
    },
    /// Somebody else runs them.
    Static {
        /// Where they are: at least one, each once.
        addresses: Vec<Address>,
    },
    /// There are none: the balancer answers with files itself.
    Files {
        /// Which.
        folder: Folder,
    },
}

/// What becomes of the replicas when the balancer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// They go on running, and the next balancer adopts them.
    Keep,
    /// They are drained and stopped.
    Stop,
}

/// The keys of drivers, each with a value, whatever the driver is.
#[derive(Clone, Debug)]
pub(crate) struct DriverKeys {
    pub(crate) kind: DriverKind,
    pub(crate) image: String,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) socket: Option<bool>,
    pub(crate) listened_by: ListenedBy,
    pub(crate) rights: Rights,
    pub(crate) directory: Option<String>,
    pub(crate) ports: PortRange,
    pub(crate) network: String,
    /// Several, in the place of the one.
    pub(crate) networks: Vec<String>,
    pub(crate) publish: bool,
    pub(crate) memory: Option<u64>,
    pub(crate) cpus: Option<f64>,
    pub(crate) capabilities: Vec<String>,
    /// But for users and networks, which have keys of their own.
    pub(crate) fittings: Fittings,
    pub(crate) folder: Folder,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) pull: Pull,
    pub(crate) on_exit: Option<OnExit>,
}

impl Default for DriverKeys {
    fn default() -> Self {
        Self {
            kind: DriverKind::default(),
            image: String::new(),
            command: None,
            addresses: Vec::new(),
            socket: None,
            listened_by: ListenedBy::default(),
            rights: Rights::default(),
            directory: None,
            ports: PortRange::default(),
            network: NETWORK_DEFAULT.to_owned(),
            networks: Vec::new(),
            publish: false,
            memory: None,
            cpus: None,
            capabilities: Vec::new(),
            fittings: Fittings::default(),
            folder: Folder::default(),
            secrets: BTreeMap::new(),
            pull: Pull::default(),
            on_exit: None,
        }
    }
}

impl DriverKeys {
    /// Names the keys that say what is run.
    pub(super) fn walk_choice(&mut self, keys: &mut impl Keys) {
        let it = self;
        keys.key(
            Key::new(
                "driver",
                Choice::between(DriverKind::ALL.map(DriverKind::name), DriverKind::ALL),
                "how replicas are run, see [Drivers](#drivers)",
            ),
            &mut it.kind,
        );
        keys.key(
            Key::new("image", Text::of("string", value::image), "")
                .only(OF_DOCKER)
                .effect(Effect::Deploy)
                .default(Told::Instead("required")),
            &mut it.image,
        );
        let example = "command = [\"./server\", \"--port\", \"{port}\"]";
        keys.key(
            Key::new(
                "command",
                Maybe(List { each: Text::of("string", words::command_word), example, most: None }),
                "",
            )
            .only(OF_OWNED)
            .effect(Effect::Deploy)
            .default(Told::Instead("the bundled demo replica; for containers, the image's own")),
            &mut it.command,
        );
        let example = "addresses = [\"127.0.0.1:9001\"]";
        keys.key(
            Key::new(
                "addresses",
                List { each: Text::of("address", value::replica_address), example, most: None },
                "",
            )
            .only(OF_STATIC)
            .kind("array of addresses and sockets")
            .default(Told::Instead("required")),
            &mut it.addresses,
        );
        folder::keys(keys, &mut it.folder);
    }

    /// Names those that say how.
    pub(super) fn walk_rest(&mut self, keys: &mut impl Keys) {
        let it = self;
        keys.key(
            Key::new("socket", Maybe(Flag), "")
                .only(OF_PROCESS)
                .default(Told::Instead("whether `command` has `{socket}`")),
            &mut it.socket,
        );
        let listeners = Choice::between(["itself", "anybody"], [ListenedBy::Itself, ListenedBy::Anybody]);
        keys.key(Key::new("listened_by", listeners, "").only(OF_PROCESS), &mut it.listened_by);
        keys.key(
            Key::new("ports", Text::of("string", value::port_range), "").only(OF_PROCESS),
            &mut it.ports,
        );
        it.rights.walk(keys);
        keys.key(
            Key::new("directory", Maybe(Text::of("directory", directory)), "")
                .only(OF_PROCESS)
                .effect(Effect::Deploy)
                .default(Told::Instead("that of the balancer")),
            &mut it.directory,
        );
        keys.key(
            Key::new("network", Text::of("string", value::network), "").only(OF_DOCKER),
            &mut it.network,
        );
        let example = "networks = [\"front\", \"database\"]";
        let each = Text::of("string", value::network);
        keys.key(
            Key::new("networks", List { each, example, most: Some(NETWORKS_MAX) }, "")
                .only(OF_DOCKER)
                .effect(Effect::Deploy)
                .default(Told::Instead("the one of `network`")),
            &mut it.networks,
        );
        keys.key(Key::new("publish", Flag, "").only(OF_DOCKER), &mut it.publish);
        keys.key(
            Key::new("memory", Maybe(Size(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX)), "")
                .only(OF_DOCKER)
                .effect(Effect::Deploy)
                .default(Told::Instead("no limit")),
            &mut it.memory,
        );
        keys.key(
            Key::new("cpus", Maybe(Number { limits: CPUS_MIN..=CPUS_MAX, or_zero: None }), "")
                .only(OF_DOCKER)
                .effect(Effect::Deploy)
                .default(Told::Instead("no limit")),
            &mut it.cpus,
        );
        it.walk_rights(keys);
    }

    /// Names those that say what replicas may do.
    fn walk_rights(&mut self, keys: &mut impl Keys) {
        let example = "capabilities = [\"NET_BIND_SERVICE\"]";
        let each = Text::of("string", capability::named);
        keys.key(
            Key::new("capabilities", List { each, example, most: Some(CAPABILITIES_MAX) }, "")
                .only(OF_DOCKER)
                .effect(Effect::Deploy),
            &mut self.capabilities,
        );
        fittings::walk(keys, &mut self.fittings);
        keys.key(Key::new("secrets", Secrets, "").only(OF_DOCKER).effect(Effect::Deploy), &mut self.secrets);
        let words =
            Choice::between(["never", "missing", "always"], [Pull::Never, Pull::Missing, Pull::Always]);
        keys.key(Key::new("pull", words, "").only(OF_DOCKER).effect(Effect::Deploy), &mut self.pull);
    }

    /// The keys that stand for a choice that was made.
    pub(crate) fn of(choice: &DriverChoice) -> Self {
        let base = Self::default();
        match choice.clone() {
            DriverChoice::Process { command, socket, listened_by, rights, directory, ports } => {
                let kind = DriverKind::Process;
                let unsaid = Self { kind, command, listened_by, rights, directory, ports, ..base };
                let is_said = unsaid.has_sockets() != socket;
                Self { socket: is_said.then_some(socket), ..unsaid }
            }
            DriverChoice::Docker {
                image,
                command,
                network,
                publish,
                memory,
                cpus,
                capabilities,
                new_privileges,
                fittings,
                secrets,
                pull,
            } => Self {
                kind: DriverKind::Docker,
                image,
                command,
                networks: all_networks(&network, &fittings.networks),
                network,
                publish,
                memory,
                cpus,
                capabilities,
                rights: Rights { new_privileges, user: fittings.user.clone(), ..Rights::default() },
                fittings: Fittings { user: None, networks: Vec::new(), ..*fittings },
                secrets,
                pull,
                ..base
            },
            DriverChoice::Static { addresses } => Self { kind: DriverKind::Static, addresses, ..base },
            DriverChoice::Files { folder } => Self { kind: DriverKind::Files, folder, ..base },
        }
    }

    /// Whether replicas listen on Unix sockets: as it is said, or else if the command can take one.
    pub(crate) fn has_sockets(&self) -> bool {
        let takes_one = |words: &Vec<String>| words.iter().any(|word| words::has_placeholder(word, "socket"));
        self.socket.unwrap_or_else(|| self.command.as_ref().is_some_and(takes_one))
    }

    /// The choice that they stand for.
    pub(crate) fn choice(&self) -> DriverChoice {
        let socket = self.has_sockets();
        let it = self.clone();
        match it.kind {
            DriverKind::Process => DriverChoice::Process {
                command: it.command,
                socket,
                listened_by: it.listened_by,
                rights: it.rights,
                directory: it.directory,
                ports: it.ports,
            },
            DriverKind::Docker => DriverChoice::Docker {
                image: it.image,
                command: it.command,
                network: it.networks.first().cloned().unwrap_or(it.network),
                publish: it.publish,
                memory: it.memory,
                cpus: it.cpus,
                capabilities: it.capabilities,
                new_privileges: it.rights.new_privileges,
                fittings: Box::new(Fittings {
                    user: it.rights.in_container(),
                    networks: it.networks.into_iter().skip(1).collect(),
                    ..it.fittings
                }),
                secrets: it.secrets,
                pull: it.pull,
            },
            DriverKind::Static => DriverChoice::Static { addresses: it.addresses },
            DriverKind::Files => DriverChoice::Files { folder: it.folder },
        }
    }
}

fn directory(text: &str) -> Result<String, Wrong> {
    value::directory(text).map(|_| text.to_owned())
}

/// All networks, if there are several.
fn all_networks(first: &str, further: &[String]) -> Vec<String> {
    let first = (!further.is_empty()).then(|| first.to_owned());
    first.into_iter().chain(further.iter().cloned()).collect()
}

impl DriverChoice {
    /// Takes relative paths to begin at this folder.
    pub(super) fn in_folder(&mut self, base: &Path) {
        let settle = |path: &mut String| {
            let joined = base.join(&*path);
            // Neither an engine nor a process that begins elsewhere has a folder to begin at.
            *path = absolute(&joined).unwrap_or(joined).to_string_lossy().into_owned();
        };
        match self {
            Self::Docker { fittings, secrets, .. } => {
                secrets.values_mut().for_each(settle);
                let sources = fittings.volumes.iter_mut().map(|volume| &mut volume.source);
                sources.for_each(|source| match source {
                    Source::Host(path) => settle(path),
                    Source::Named(_) => {}
                });
            }
            Self::Files { folder } => folder.root = base.join(&folder.root),
            Self::Process { directory, .. } => directory.iter_mut().for_each(settle),
            Self::Static { .. } => {}
        }
    }

    pub(crate) fn on_exit_default(&self) -> OnExit {
        match self {
            Self::Process { .. } => OnExit::Stop,
            // What somebody else runs is not ours to stop.
            Self::Docker { .. } | Self::Static { .. } | Self::Files { .. } => OnExit::Keep,
        }
    }
}
