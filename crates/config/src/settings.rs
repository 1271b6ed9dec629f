//! The validated settings: what the operator asked for, with every default filled in, and the keys of
//! the file that they are filled from, each declared once.
//!
//! Whoever holds a value of these types may trust it: the limits that are named here were checked
//! at the door. No running state is known here.

mod limits;

mod certificate;
mod clients;
mod fittings;
mod driver;
mod error_pages;
mod folder;
mod scope;
mod forward_auth;
mod headers;
mod compression;
mod companions;
mod listeners;
mod redirects;
mod relative;
mod rewrite;
mod rights;
mod operators;
mod placing;
mod policies;
mod protection;
mod service;
mod sticky;
mod tables;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use fleet::{Address, ReplicaName};
use proxy::{AccessLogSettings, ClientSettings, Redirect};

pub(crate) use driver::DriverKeys;
pub use driver::{DriverChoice, OnExit};
pub use limits::CONNECTIONS_MAX;
pub(crate) use limits::{
    CERTIFICATES_MAX, LISTENERS_MAX, LOCATIONS_MAX, REDIRECTS_MAX, REPLICAS_MAX, ROUTES_MAX, SERVICES_MAX,
};
pub use listeners::ListenerSettings;
pub(crate) use listeners::{Place, clashes};
pub use placing::Algorithm;
pub(crate) use placing::PlacingKeys;
pub(crate) use protection::{LocationKeys, ProtectionKeys};
pub(crate) use redirects::RedirectKeys;
pub use rights::Rights;
pub(crate) use scope::ScopeKeys;
pub(crate) use service::ENV_RESERVED;
pub use service::ServiceSettings;
pub(crate) use service::{ServiceKeys, keys_at_the_door};
pub use sticky::StickySettings;
pub use tables::Heartbeat;

use clients::Limits;
use limits::WORKERS_MAX;
use operators::{Admin, Contract};

use crate::form::{Flag, List, Maybe, Text, Whole};
use crate::keys::{Key, Keys, Level, Table, Told};
use crate::only::DriverKind;
use crate::problem::Wrong;
use crate::source::ContractSource;
use crate::value;

/// The image of the demo replica, as `make image` builds it.
const DEMO_IMAGE: &str = "evenkeel-replica";
const TRUSTED_PROXIES_MAX: usize = 1000;
const RESERVED_NAMES_MAX: usize = 1000;

/// Everything that the operator decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The first listener, without TLS; left out only if there are others.
    pub listen: Option<SocketAddr>,
    /// Whether HTTP/2 is spoken on that.
    pub is_http2: bool,
    /// The others, in the order of the file.
    pub listeners: Vec<ListenerSettings>,
    /// Where the admin API is served.
    pub admin: Address,
    /// The names that it may be called by beside `localhost` and addresses, in lower case.
    pub admin_hosts: Vec<String>,
    /// The file of its token, if the operator has chosen one.
    pub admin_token: Option<PathBuf>,
    /// The file of a token that may look.
    pub admin_view_token: Option<PathBuf>,
    /// How many data-plane threads, at least one.
    pub workers: usize,
    /// Where the desired state is kept, if the operator has chosen a folder.
    pub state_dir: Option<PathBuf>,
    /// Whose containers these are, on a host that several balancers share.
    pub owner: Option<String>,
    /// Names that no replica may have, besides those of services.
    pub reserved_names: Vec<String>,
    /// Whether the first service answers `/rep`, `/add` and `/rm` on the listener.
    pub contract: bool,
    /// Whom it answers there.
    pub contract_from: Vec<ContractSource>,
    /// What clients may do. How many of them may connect is not decided here, see `connections_max`.
    pub clients: ClientSettings,
    /// The most connections of clients; without it, as many as the system has descriptors for.
    pub connections_max: Option<usize>,
    /// The most requests under way; without it, as many as there may be connections to replicas.
    pub requests_max: Option<usize>,
    /// The most that clients may make us keep, in bytes; without it, a share of what there is.
    pub memory_max: Option<u64>,
    /// Where requests are written down, if anywhere.
    pub access_log: Option<AccessLogSettings>,
    /// Who is sent elsewhere, in the order of the file.
    pub redirects: Vec<Redirect>,
    /// At least one, in the order of the file.
    pub services: Vec<ServiceSettings>,
}

/// The whole file as its keys have it: what one key decides is not yet what others make of it.
#[derive(Clone, Debug)]
pub(crate) struct FileKeys {
    pub(crate) settings: Settings,
    /// Without it, the limit of the head decides, too.
    pub(crate) request_line_max: Option<usize>,
    pub(crate) redirects: Vec<RedirectKeys>,
    pub(crate) services: Vec<ServiceKeys>,
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
            let keys = DriverKeys {
                kind: DriverKind::Docker,
                image: DEMO_IMAGE.to_owned(),
                ..DriverKeys::default()
            };
            service.driver = keys.choice();
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
            is_http2: true,
            listeners: Vec::new(),
            admin: Address::Tcp(local(5001)),
            admin_hosts: Vec::new(),
            admin_token: None,
            admin_view_token: None,
            workers: cpus.min(WORKERS_MAX as usize),
            state_dir: None,
            owner: None,
            reserved_names: Vec::new(),
            contract: false,
            contract_from: ContractSource::loopback(),
            clients: ClientSettings::default(),
            connections_max: None,
            requests_max: None,
            memory_max: None,
            access_log: None,
            redirects: Vec::new(),
            services: Vec::new(),
        }
    }
}

impl Settings {
    /// Every listener, `listen` first.
    pub fn all_listeners(&self) -> Vec<ListenerSettings> {
        let is_http2 = self.is_http2;
        let name = ListenerSettings::LISTEN;
        let plain = |address| ListenerSettings {
            address,
            is_http2,
            name: name.to_owned(),
            ..ListenerSettings::blank()
        };
        self.listen.map(plain).into_iter().chain(self.listeners.iter().cloned()).collect()
    }

    /// Refuses listeners and an admin API that would be in each other's way.
    pub fn check_addresses(&self) -> Result<(), String> {
        let listen = self.listen.map(|address| Place { key: "listen", address });
        let admin = match self.admin {
            Address::Tcp(address) => Some(Place { key: "admin", address }),
            Address::Unix(_) => None,
        };
        let others = self.listeners.iter();
        let others = others.map(|listener| Place { key: "address", address: listener.address });
        let places: Vec<Place> = listen.into_iter().chain(admin).chain(others).collect();
        clashes(&places).into_iter().next().map_or(Ok(()), |clash| Err(clash.what))
    }
}

impl Level for FileKeys {
    fn blank() -> Self {
        let settings = Settings::with_defaults();
        Self { settings, request_line_max: None, redirects: Vec::new(), services: Vec::new() }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let it = &mut self.settings;
        keys.key(
            Key::new(
                "listen",
                Maybe(Text::of("address", value::socket_address)),
                "where requests are accepted, without TLS; port 0 takes any free port",
            )
            .default(Told::And("none if there is a `[[listener]]`")),
            &mut it.listen,
        );
        keys.key(
            Key::new(
                "http2",
                Flag,
                "whether HTTP/2 is spoken on `listen`, with clients that begin with its preface, as those of gRPC \
                 do inside of a network",
            ),
            &mut it.is_http2,
        );
        let listener = Table::new(
            "listener",
            "[[listener]]",
            "further addresses, with TLS or the PROXY protocol, see [below](#listener)",
        );
        keys.tables(
            listener.kind("array of tables").default("none").limits("at most 64"),
            "begin each with the header [[listener]]",
            &mut it.listeners,
        );
        let mut admin = Admin {
            address: &mut it.admin,
            hosts: &mut it.admin_hosts,
            token: &mut it.admin_token,
            view_token: &mut it.admin_view_token,
        };
        operators::admin(keys, &mut admin);
        keys.key(
            Key::new("workers", Whole(1..=WORKERS_MAX), "threads that carry requests")
                .default(Told::Instead("one per CPU")),
            &mut it.workers,
        );
        identity(keys, it);
        names(keys, it);
        behaviour(keys, it);
        let mut limits = Limits {
            clients: &mut it.clients,
            connections_max: &mut it.connections_max,
            requests_max: &mut it.requests_max,
            memory_max: &mut it.memory_max,
            request_line_max: &mut self.request_line_max,
        };
        clients::limits(keys, &mut limits);
        clients::timeouts(keys, &mut it.clients.timeouts);
        let says = "where requests are written down, see [below](#access_log)";
        keys.optional(Table::new("access_log", "[access_log]", says).default("none"), &mut it.access_log);
        let says = "requests that are sent elsewhere, see [below](#redirect)";
        let redirect = Table::new("redirect", "[[redirect]]", says);
        keys.tables(
            redirect.kind("array of tables").default("none").limits("at most 1000"),
            "begin each with the header [[redirect]]",
            &mut self.redirects,
        );
        let service = Table::new("service", "[[service]]", "the services, see below");
        keys.tables(
            service.kind("array of tables").default("required").limits("1–64"),
            "begin each with the header [[service]]",
            &mut self.services,
        );
    }
}

fn identity(keys: &mut impl Keys, it: &mut Settings) {
    keys.key(
        Key::new(
            "state_dir",
            Maybe(Text::path(value::directory)),
            "the directory where what should run is kept across restarts",
        )
        .default(Told::Instead("see below"))
        .limits(Told::Instead("not empty")),
        &mut it.state_dir,
    );
    keys.key(
        Key::new(
            "owner",
            Maybe(Text::of("string", value::owner)),
            "whose containers these are; two balancers on one host need two owners; without it, who had the `state_dir` before, or this configuration file",
        )
        .default(Told::Instead("the first address that is listened on"))
        .limits(Told::Instead("1–63 characters of `A-Z a-z 0-9 _ . : -`, the first a letter or digit")),
        &mut it.owner,
    );
}

fn names(keys: &mut impl Keys, it: &mut Settings) {
    let example = "reserved_names = [\"db\", \"cache\"]";
    let each = Text::of("string", reserved_name);
    keys.key(
        Key::new(
            "reserved_names",
            List { each, example, most: Some(RESERVED_NAMES_MAX) },
            "names that callers may not choose for replicas, whatever is running: those of machines that may come to \
             the network of a service, see below",
        ),
        &mut it.reserved_names,
    );
}

/// A name that no replica may have.
fn reserved_name(text: &str) -> Result<String, Wrong> {
    let parsed = ReplicaName::parse(text).map(|name| name.to_string());
    parsed.map_err(|_| {
        value::must_be("2 to 63 letters, digits, \"_\", \".\" or \"-\", as replicas may be called", text)
    })
}

fn behaviour(keys: &mut impl Keys, it: &mut Settings) {
    let mut contract = Contract { is_on: &mut it.contract, from: &mut it.contract_from };
    operators::contract(keys, &mut contract);
    keys.key(
        Key::new(
            "request_id",
            Flag,
            "whether each request gets an `X-Request-Id` that its replica, its client and the access log see; \
             one that the client brings is kept if it is 1–128 printable characters",
        ),
        &mut it.clients.has_request_ids,
    );
    let example = "trusted_proxies = [\"10.0.0.0/8\"]";
    let each = Text::of("string", value::address_range);
    keys.key(
        Key::new(
            "trusted_proxies",
            List { each, example, most: Some(TRUSTED_PROXIES_MAX) },
            "IP addresses, and ranges of them (`\"10.0.0.0/8\"`), of proxies in front of this one, see below",
        ),
        &mut it.clients.trusted_proxies,
    );
}
