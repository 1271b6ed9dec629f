//! The validated settings: what the operator asked for, with every default filled in.
//!
//! Whoever holds a value of these types may trust it: the limits that are named here were checked
//! at the door. No file, no text form and no running state is known here.

mod listeners;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use fleet::{Address, RolloutSettings};
use placement::{ClassicHash, MaglevSize, Probe, RingLayout, SeatChoice, SeatNames};
use proxy::{AccessLogSettings, ClientSettings, Protocol, ServiceTimeouts};

pub use listeners::ListenerSettings;
pub(crate) use listeners::{Place, clashes};

/// The most worker threads.
pub(crate) const WORKERS_MAX: u32 = 256;
/// The most services of one balancer.
pub(crate) const SERVICES_MAX: usize = 64;
/// The most further listeners.
pub(crate) const LISTENERS_MAX: usize = 64;
/// The most certificates of one listener.
pub(crate) const CERTIFICATES_MAX: usize = 1000;
/// The most connections of clients that anybody may ask for.
pub const CONNECTIONS_MAX: u32 = 1_000_000;
/// The highest value that `max_replicas` may have.
pub(crate) const REPLICAS_MAX: u32 = 10_000;
// Spares begin in seats that no replica of a fleet can have.
const _: () = assert!(REPLICAS_MAX < fleet::SPARE_SEAT_MIN);

/// The most spares of one service.
pub(crate) const SPARES_MAX: u32 = 100;

/// The image of the demo replica, as `make image` builds it.
pub(crate) const DEMO_IMAGE: &str = "evenkeel-replica";
/// The network that containers join unless told otherwise.
pub(crate) const NETWORK_DEFAULT: &str = "evenkeel";

/// Everything that the operator decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The first listener, without TLS; left out only if there are others.
    pub listen: Option<SocketAddr>,
    /// The others, in the order of the file.
    pub listeners: Vec<ListenerSettings>,
    /// Where the admin API is served.
    pub admin: AdminAddress,
    /// How many data-plane threads, from 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Where the wish is kept, if the operator has chosen a folder.
    pub state_dir: Option<PathBuf>,
    /// Whose containers these are, on a host that several balancers share.
    pub owner: Option<String>,
    /// Whether the first service answers `/rep`, `/add` and `/rm` on the listener.
    pub contract: bool,
    /// What clients may do. How many of them may connect is not decided here, see `connections_max`.
    pub clients: ClientSettings,
    /// The most connections of clients; without it, as many as the system has descriptors for.
    pub connections_max: Option<usize>,
    /// Where requests are written down, if anywhere.
    pub access_log: Option<AccessLogSettings>,
    /// From 1 to [`SERVICES_MAX`], in the order of the file.
    pub services: Vec<ServiceSettings>,
}

/// Where the admin API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// On a TCP port.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

/// One fleet and the requests that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSettings {
    /// Unique among the services: `[a-z0-9][a-z0-9-]{0,31}`.
    pub name: String,
    /// `*`, a host name in lower case, or `*.` and a host name.
    pub host: String,
    /// The prefix that a request's path must have; begins with `/`.
    pub path: String,
    /// How many to begin with, from 0 to `max_replicas`.
    pub replicas: u32,
    /// How they are run.
    pub driver: DriverChoice,
    /// The port that a replica listens on inside its container.
    pub port: u16,
    /// The operator's own environment variables.
    pub env: BTreeMap<String, String>,
    /// What requests are placed by.
    pub key: KeyRule,
    /// How keys are placed.
    pub algorithm: Algorithm,
    /// How much of the keys seats 1, 2, … should get, each from 1 to
    /// [`WEIGHT_MAX`](placement::WEIGHT_MAX); those behind the end have 1. Empty with `Classic`.
    pub weights: Vec<u32>,
    /// The bound on a replica's load in multiples of the mean, from 1 to 100; 0 is no bound.
    pub load_factor: f64,
    /// What `SERVER_ID` tells a replica.
    pub server_id: ServerId,
    /// How long from the start order to the first good heartbeat.
    pub start_timeout: Duration,
    /// The most replicas that anybody may ask for, from 1 to [`REPLICAS_MAX`].
    pub max_replicas: u32,
    /// How many are held ready beside them to take the seats of those that die, up to [`SPARES_MAX`].
    pub spares: u32,
    /// What replicas speak.
    pub protocol: Protocol,
    /// How long replicas may take.
    pub timeouts: ServiceTimeouts,
    /// How replicas are asked whether they are well.
    pub heartbeat: Heartbeat,
    /// What is thought of their answers to requests.
    pub responses: Responses,
    /// How long a replica on its way out may keep the requests that it has.
    pub drain_deadline: Duration,
    /// How long from the stop signal to the kill.
    pub stop_timeout: Duration,
    /// The signal that asks a container to stop, as in `SIGTERM`; the image decides without it.
    pub stop_signal: Option<String>,
    /// What becomes of the replicas when the balancer ends.
    pub on_exit: OnExit,
    /// How careful a rollout is: from 1 to [`REPLICAS_MAX`] seats at a time.
    pub rollout: RolloutSettings,
}

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

/// What a request is placed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// A number drawn per request.
    Random,
    /// The path, without the query.
    Path,
    /// The client's address, without its port.
    ClientIp,
    /// The value of a header; the name is legal and in lower case.
    Header(String),
    /// The value of a cookie; the name is a token.
    Cookie(String),
    /// The value of a query parameter; the name is not empty.
    Query(String),
}

/// How keys are placed on seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Rendezvous hashing: an even spread, and no table.
    Rendezvous,
    /// The slot table of the original system.
    Classic {
        /// M, at least 1.
        slots: u16,
        /// K, from 1 to M.
        virtual_servers: u16,
        /// What happens when a slot is taken.
        probe: Probe,
        /// Where virtual servers and requests go.
        hash: ClassicHash,
        /// Which seat number a new replica gets.
        seat_choice: SeatChoice,
    },
    /// A ring of points, as nginx or libketama make it.
    Ring {
        /// Where the points are.
        layout: RingLayout,
        /// What seats are hashed by.
        names: SeatNames,
    },
    /// Maglev's lookup table, as Envoy fills it.
    Maglev {
        /// The number of slots.
        size: MaglevSize,
        /// What seats are hashed by.
        names: SeatNames,
    },
}

/// What `SERVER_ID` tells a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerId {
    /// Its name, `server_1`.
    Name,
    /// The bare number of its seat, `1`.
    Number,
}

/// What becomes of the replicas when the balancer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// They go on running, and the next balancer adopts them.
    Keep,
    /// They are drained and stopped.
    Stop,
}

/// How replicas are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// What is requested; begins with `/`.
    pub path: String,
    /// The time between two questions, at least 10 ms.
    pub every: Duration,
    /// How long an answer may take; at most `every`.
    pub timeout: Duration,
    /// After how many misses in a row a replica counts as silent, at least 1.
    pub misses: u32,
    /// After how many good answers in a row it no longer does, at least 1.
    pub rise: u32,
}

/// What is thought of answers to requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Responses {
    /// After how many failed ones in a row a replica is not asked for a while; 0 is never.
    pub failures: u32,
    /// How many times as long as its peers it takes that counts as slow, from 2 to 1000; 0 is never.
    pub slow_factor: f64,
    /// How long it is not asked, the first time.
    pub ejection: Duration,
}

impl Settings {
    /// What runs without a configuration: three bundled demo replicas as child processes that
    /// serve the contract.
    pub fn demo() -> Self {
        Self { contract: true, services: vec![ServiceSettings::named("web")], ..Self::with_defaults() }
    }

    /// Runs the demo as containers instead of processes.
    pub fn use_docker_for_demo(&mut self) {
        for service in &mut self.services {
            service.driver = DriverChoice::Docker {
                image: DEMO_IMAGE.to_owned(),
                command: None,
                network: NETWORK_DEFAULT.to_owned(),
                publish: false,
                memory: None,
                cpus: None,
            };
            service.on_exit = service.driver.on_exit_default();
        }
    }

    /// Begins with another number of replicas of the first service.
    pub fn override_replicas(&mut self, replicas: u32) -> Result<(), String> {
        let Some(service) = self.services.first_mut() else { return Ok(()) };
        if !service.is_owned() {
            return Err(format!("the addresses of service '{}' decide how many there are", service.name));
        }
        if replicas > service.max_replicas {
            return Err(format!("max_replicas of service '{}' is {}", service.name, service.max_replicas));
        }
        service.replicas = replicas;
        Ok(())
    }

    /// Every default, and no service yet.
    pub fn with_defaults() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let cpus = available_parallelism().map_or(1, NonZero::get);
        Self {
            listen: Some(local(5000)),
            listeners: Vec::new(),
            admin: AdminAddress::Tcp(local(5001)),
            workers: cpus.min(WORKERS_MAX as usize),
            state_dir: None,
            owner: None,
            contract: false,
            clients: ClientSettings::default(),
            connections_max: None,
            access_log: None,
            services: Vec::new(),
        }
    }
}

impl ServiceSettings {
    /// Every default under a name: three bundled demo replicas that take all requests.
    pub fn named(name: &str) -> Self {
        let driver = DriverChoice::Process { command: None, socket: false };
        Self {
            name: name.to_owned(),
            host: "*".to_owned(),
            path: "/".to_owned(),
            replicas: 3,
            port: 5000,
            env: BTreeMap::new(),
            key: KeyRule::Random,
            algorithm: Algorithm::Rendezvous,
            weights: Vec::new(),
            load_factor: Algorithm::Rendezvous.load_factor_default(),
            server_id: ServerId::Name,
            start_timeout: Duration::from_secs(30),
            max_replicas: 100,
            spares: 0,
            protocol: Protocol::default(),
            timeouts: ServiceTimeouts::default(),
            heartbeat: Heartbeat::default(),
            responses: Responses::default(),
            drain_deadline: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            stop_signal: None,
            on_exit: driver.on_exit_default(),
            rollout: RolloutSettings::default(),
            driver,
        }
    }
}

impl ServiceSettings {
    /// Whether its replicas are ours to start and stop.
    pub fn is_owned(&self) -> bool {
        !matches!(self.driver, DriverChoice::Static { .. })
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            path: "/heartbeat".to_owned(),
            every: Duration::from_millis(500),
            timeout: Duration::from_millis(250),
            misses: 2,
            rise: 2,
        }
    }
}

impl Default for Responses {
    fn default() -> Self {
        Self { failures: 3, slow_factor: 5.0, ejection: Duration::from_secs(10) }
    }
}

impl Algorithm {
    pub(crate) fn load_factor_default(&self) -> f64 {
        match self {
            Self::Rendezvous | Self::Ring { .. } | Self::Maglev { .. } => 1.25,
            // The classic formulas promise exact, uneven shares, and a bound would bend them.
            Self::Classic { .. } => 0.0,
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
