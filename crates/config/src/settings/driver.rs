//! How replicas are run: the choice between the drivers, and the keys that not every driver has.

use fleet::Address;

use crate::form::{Choice, Flag, List, Maybe, Number, Size, Text};
use crate::keys::{Effect, Key, Keys, Told};
use crate::only::{DriverKind, Only};
use crate::value;

/// The network that containers join unless told otherwise.
pub(crate) const NETWORK_DEFAULT: &str = "evenkeel";
/// The container engine takes no less.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
const MEMORY_BYTES_MAX: u64 = 16 << 40;
const CPUS_MIN: f64 = 0.01;
const CPUS_MAX: f64 = 1024.0;

/// Keys of services whose replicas we start.
pub(crate) const OF_OWNED: Only = Only::Drivers(&[DriverKind::Process, DriverKind::Docker]);
/// Keys of services that run as containers.
pub(crate) const OF_DOCKER: Only = Only::Drivers(&[DriverKind::Docker]);
/// Keys of services that run as child processes.
pub(crate) const OF_PROCESS: Only = Only::Drivers(&[DriverKind::Process]);
/// Keys of services that somebody else runs.
pub(crate) const OF_STATIC: Only = Only::Drivers(&[DriverKind::Static]);

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
    },
    /// Somebody else runs them.
    Static {
        /// Where they are: at least one, each once.
        addresses: Vec<Address>,
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
    pub(crate) socket: bool,
    pub(crate) network: String,
    pub(crate) publish: bool,
    pub(crate) memory: Option<u64>,
    pub(crate) cpus: Option<f64>,
    pub(crate) on_exit: Option<OnExit>,
}

impl Default for DriverKeys {
    fn default() -> Self {
        Self {
            kind: DriverKind::default(),
            image: String::new(),
            command: None,
            addresses: Vec::new(),
            socket: false,
            network: NETWORK_DEFAULT.to_owned(),
            publish: false,
            memory: None,
            cpus: None,
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
                Maybe(List { each: Text::of("string", value::command_word), example, most: None }),
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
    }

    /// Names those that say how.
    pub(super) fn walk_rest(&mut self, keys: &mut impl Keys) {
        let it = self;
        keys.key(Key::new("socket", Flag, "").only(OF_PROCESS), &mut it.socket);
        keys.key(
            Key::new("network", Text::of("string", value::network), "").only(OF_DOCKER),
            &mut it.network,
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
    }

    /// The keys that stand for a choice that was made.
    pub(crate) fn of(choice: &DriverChoice) -> Self {
        let base = Self::default();
        match choice.clone() {
            DriverChoice::Process { command, socket } => {
                Self { kind: DriverKind::Process, command, socket, ..base }
            }
            DriverChoice::Docker { image, command, network, publish, memory, cpus } => {
                Self { kind: DriverKind::Docker, image, command, network, publish, memory, cpus, ..base }
            }
            DriverChoice::Static { addresses } => Self { kind: DriverKind::Static, addresses, ..base },
        }
    }

    /// The choice that they stand for.
    pub(crate) fn choice(&self) -> DriverChoice {
        let Self { kind, image, command, addresses, socket, network, publish, memory, cpus, .. } =
            self.clone();
        match kind {
            DriverKind::Process => DriverChoice::Process { command, socket },
            DriverKind::Docker => DriverChoice::Docker { image, command, network, publish, memory, cpus },
            DriverKind::Static => DriverChoice::Static { addresses },
        }
    }
}

impl DriverChoice {
    pub(crate) fn on_exit_default(&self) -> OnExit {
        match self {
            Self::Process { .. } => OnExit::Stop,
            // What somebody else runs is not ours to stop.
            Self::Docker { .. } | Self::Static { .. } => OnExit::Keep,
        }
    }
}
