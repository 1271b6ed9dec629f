//! One service: what is decided about it, with every default, and its keys, each declared once. A new
//! key is a field of [`ServiceSettings`], its default, and its declaration in this file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use driver::ServerId;
use fleet::{HealthSettings, RolloutSettings};
use proxy::{KeyRule, PathForm, Policies, Protocol, RequestLimits, Scope, ServiceTimeouts};

use super::companions;
use super::driver::{DriverChoice, DriverKeys, OnExit};
use super::limits::{REPLICAS_MAX, RETRIES_MAX, SPARES_MAX, WAIT_MAX};
use super::placing::{Algorithm, PlacingKeys};
use super::policies;
use super::protection::{LocationKeys, ProtectionKeys};
use super::scope::ScopeKeys;
use super::sticky::{self, StickySettings};
use super::tables::{self, Heartbeat};
use crate::form::{Choice, List, Maybe, Named, Text, Time, Whole};
use crate::keys::{Effect, Key, Keys, Level, Table, Told};
use crate::only::{OF_DOCKER, OF_OWNED};
use crate::value;

/// What every replica is told; the operator's own value would never arrive.
pub(crate) const ENV_RESERVED: [&str; 5] =
    ["SERVER_ID", "PORT", "EVENKEEL_SERVICE", "EVENKEEL_SEAT", "EVENKEEL_LIFE"];
const START_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const ENV_FILES_MAX: usize = 16;

/// One fleet and the requests that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSettings {
    /// Unique among the services: `[a-z0-9][a-z0-9-]{0,31}`.
    pub name: String,
    /// Which requests it is for.
    pub scope: Scope,
    /// What becomes of paths that can be read in more than one way.
    pub path_form: PathForm,
    /// What its requests go through beside.
    pub policies: Policies,
    /// How many to begin with, from 0 to `max_replicas`.
    pub replicas: u32,
    /// How they are run.
    pub driver: DriverChoice,
    /// The port that a replica listens on inside its container.
    pub port: u16,
    /// The operator's own environment variables.
    pub env: BTreeMap<String, String>,
    /// Files with more of them; those of `env` win.
    pub env_files: Vec<PathBuf>,
    /// What requests are placed by.
    pub key: KeyRule,
    /// How its sessions are kept where they are.
    pub sticky: StickySettings,
    /// How keys are placed.
    pub algorithm: Algorithm,
    /// How much of the keys seats 1, 2, … should get, each from 1 to [`WEIGHT_MAX`](placement::WEIGHT_MAX); those behind the
    /// end have 1. Empty with `Classic`.
    pub weights: Vec<u32>,
    /// The bound on a replica's load in multiples of the mean, from 1 to 100; 0 is no bound.
    pub load_factor: f64,
    /// What `SERVER_ID` tells a replica.
    pub server_id: ServerId,
    /// How long from the start order to the first good heartbeat.
    pub start_timeout: Duration,
    /// The most replicas that anybody may ask for.
    pub max_replicas: u32,
    /// How many are held ready beside them to take the seats of those that die.
    pub spares: u32,
    /// What replicas speak.
    pub protocol: Protocol,
    /// How long replicas may take.
    pub timeouts: ServiceTimeouts,
    /// How many of its requests may be under way, and how many may wait.
    pub limits: RequestLimits,
    /// How many more times a request is sent that a replica had when it failed.
    pub retries: u32,
    /// How replicas are asked whether they are well.
    pub heartbeat: Heartbeat,
    /// What is thought of their heartbeats, and of their responses to requests.
    pub health: HealthSettings,
    /// How long a replica on its way out may keep the requests that it has.
    pub drain_deadline: Duration,
    /// How long from the stop signal to the kill.
    pub stop_timeout: Duration,
    /// The signal that asks a container to stop, as in `SIGTERM`; the image decides without it.
    pub stop_signal: Option<String>,
    /// What becomes of the replicas when the balancer ends.
    pub on_exit: OnExit,
    /// How careful a rollout is.
    pub rollout: RolloutSettings,
}

/// A service as its keys have it: what one key decides is not yet what others make of it.
#[derive(Clone, Debug)]
pub(crate) struct ServiceKeys {
    pub(crate) settings: ServiceSettings,
    pub(crate) scope: ScopeKeys,
    pub(crate) protection: ProtectionKeys,
    pub(crate) locations: Vec<LocationKeys>,
    pub(crate) driver: DriverKeys,
    pub(crate) placing: PlacingKeys,
    /// What becomes of `drain_deadline`, if that is given.
    pub(crate) drain_deadline: Option<Duration>,
}

impl ServiceSettings {
    /// Every default under a name: three bundled demo replicas that take all requests.
    pub(crate) fn named(name: &str) -> Self {
        let driver = DriverKeys::default().choice();
        let timeouts = ServiceTimeouts::default();
        Self {
            name: name.to_owned(),
            scope: Scope::default(),
            path_form: PathForm::default(),
            policies: Policies::default(),
            replicas: 3,
            port: 5000,
            env: BTreeMap::new(),
            env_files: Vec::new(),
            key: KeyRule::Random,
            sticky: StickySettings::default(),
            algorithm: Algorithm::Rendezvous,
            weights: Vec::new(),
            load_factor: Algorithm::Rendezvous.load_factor_default(),
            server_id: ServerId::default(),
            start_timeout: Duration::from_secs(30),
            max_replicas: 100,
            spares: 0,
            protocol: Protocol::default(),
            // A replica that goes may end whatever it may have begun.
            drain_deadline: timeouts.response,
            timeouts,
            limits: RequestLimits::default(),
            retries: 1,
            heartbeat: Heartbeat::default(),
            health: HealthSettings::default(),
            stop_timeout: Duration::from_secs(10),
            stop_signal: None,
            on_exit: driver.on_exit_default(),
            rollout: RolloutSettings::default(),
            driver,
        }
    }

    /// Variables that its replicas are given by us, whatever anybody else says.
    pub fn reserved_variables(&self) -> impl Iterator<Item = &'static str> {
        let has_sockets = matches!(self.driver, DriverChoice::Process { socket: true, .. });
        ENV_RESERVED.into_iter().chain(has_sockets.then_some("SOCKET"))
    }

    /// Whether its replicas are ours to start and stop.
    pub fn is_owned(&self) -> bool {
        !matches!(self.driver, DriverChoice::Static { .. } | DriverChoice::Files { .. })
    }
}

impl ServiceKeys {
    /// The keys that stand for a service.
    pub(crate) fn of(settings: &ServiceSettings) -> Self {
        let driver = DriverKeys { on_exit: Some(settings.on_exit), ..DriverKeys::of(&settings.driver) };
        let load_factor = Some(settings.load_factor);
        let placing = PlacingKeys { load_factor, ..PlacingKeys::of(&settings.algorithm) };
        Self {
            settings: settings.clone(),
            scope: ScopeKeys::of(&settings.scope),
            protection: LocationKeys::of_all(&settings.policies),
            locations: LocationKeys::of(&settings.policies),
            driver,
            placing,
            drain_deadline: Some(settings.drain_deadline),
        }
    }
}

impl Level for ServiceKeys {
    fn blank() -> Self {
        let settings = ServiceSettings::named("");
        let (scope, driver) = (ScopeKeys::default(), DriverKeys::default());
        Self {
            settings,
            scope,
            protection: ProtectionKeys::default(),
            locations: Vec::new(),
            driver,
            placing: PlacingKeys::default(),
            drain_deadline: None,
        }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        routing(keys, self);
        self.driver.walk_choice(keys);
        port(keys, &mut self.settings);
        self.driver.walk_rest(keys);
        placed_by(keys, &mut self.settings);
        self.placing.walk(keys);
        living(keys, self);
        tables::heartbeat(keys, &mut self.settings.heartbeat, &mut self.settings.health);
        tables::responses(keys, &mut self.settings.health);
        tables::drain(keys, &mut self.drain_deadline);
        tables::deploy(keys, &mut self.settings.rollout);
        tables::timeouts(keys, &mut self.settings.timeouts);
        tables::limits(keys, &mut self.settings.limits);
        protections(keys, self);
        policies::keys(keys, &mut self.settings.policies);
        companions::companions(keys, &mut self.settings.policies);
    }
}

fn routing(keys: &mut impl Keys, it: &mut ServiceKeys) {
    keys.key(
        Key::new(
            "name",
            Text::of("string", value::service_name),
            "what the service is called, in logs, metrics and labels",
        )
        .default(Told::Instead("required"))
        .limits(Told::Instead("1–32 characters of `a-z 0-9 -`, the first no `-`; unique")),
        &mut it.settings.name,
    );
    it.scope.walk(keys);
    it.scope.walk_internal(keys);
    path_form(keys, &mut it.settings);
    let it = &mut it.settings;
    keys.key(
        Key::new("replicas", Whole(0..=REPLICAS_MAX), "how many replicas to begin with")
            .effect(Effect::Beginning)
            .default(Told::And("with `static`, the number of addresses"))
            .limits(Told::Instead("0–`max_replicas`")),
        &mut it.replicas,
    );
}

fn path_form(keys: &mut impl Keys, it: &mut ServiceSettings) {
    keys.key(
        Key::new(
            "path_form",
            Choice::between(
                ["normalize", "refuse", "as-sent"],
                [PathForm::Normalize, PathForm::Refuse, PathForm::AsSent],
            ),
            "what becomes of a path that can be read in more than one way, see [Paths](#paths): it is sent on in its \
             normal form, the request gets 400, or it is sent on as it came",
        ),
        &mut it.path_form,
    );
}

/// What is said of requests before it is known which replicas they go to.
pub(crate) fn keys_at_the_door(keys: &mut impl Keys) {
    let mut it = ServiceKeys::blank();
    it.scope.walk(keys);
    it.scope.walk_internal(keys);
    path_form(keys, &mut it.settings);
    key(keys, &mut it.settings);
    sticky::sticky(keys, &mut it.settings.sticky);
    protections(keys, &mut it);
    policies::keys(keys, &mut it.settings.policies);
}

/// What keeps requests from replicas.
fn protections(keys: &mut impl Keys, it: &mut ServiceKeys) {
    it.protection.walk(keys);
    let says = "other values of these for some paths";
    keys.tables(
        Table::new("location", "[[service.location]]", says)
            .kind("array of tables")
            .default("none")
            .limits("at most 64"),
        "begin each with the header [[service.location]]",
        &mut it.locations,
    );
}

fn port(keys: &mut impl Keys, it: &mut ServiceSettings) {
    keys.key(
        Key::new(
            "port",
            Whole(1..=u32::from(u16::MAX)),
            "the port that a container listens on; child processes are each given a free one (or a socket, see \
             `socket`), and static addresses have their own",
        )
        .effect(Effect::Deploy),
        &mut it.port,
    );
}

fn placed_by(keys: &mut impl Keys, it: &mut ServiceSettings) {
    keys.key(Key::new("env", Named, "").only(OF_OWNED).effect(Effect::Deploy), &mut it.env);
    let example = "env_file = [\"app.env\"]";
    let each = Text { kind: "string", ..Text::path(value::file) };
    keys.key(
        Key::new("env_file", List { each, example, most: Some(ENV_FILES_MAX) }, "")
            .only(OF_OWNED)
            .effect(Effect::Deploy),
        &mut it.env_files,
    );
    key(keys, it);
    sticky::sticky(keys, &mut it.sticky);
}

fn key(keys: &mut impl Keys, it: &mut ServiceSettings) {
    keys.key(
        Key::new(
            "key",
            Text { kind: "string", parse: value::key_rule, show: value::shown_key_rule },
            "what a request is placed by",
        )
        .limits(Told::Instead("see [Keys](#keys)")),
        &mut it.key,
    );
}

fn living(keys: &mut impl Keys, it: &mut ServiceKeys) {
    keys.key(
        Key::new("server_id", Choice::between(["name", "number"], [ServerId::Name, ServerId::Number]), "")
            .only(OF_OWNED)
            .effect(Effect::Deploy),
        &mut it.settings.server_id,
    );
    keys.key(
        Key::new(
            "start_timeout",
            Time(START_TIMEOUT_MIN..=WAIT_MAX),
            "a replica that is not healthy by then has failed to start",
        ),
        &mut it.settings.start_timeout,
    );
    keys.key(
        Key::new("max_replicas", Whole(1..=REPLICAS_MAX), "the most replicas that anybody may ask for"),
        &mut it.settings.max_replicas,
    );
    keys.key(
        Key::new(
            "spares",
            Whole(0..=SPARES_MAX),
            "how many warm standbys run beside the replicas and take the seats of those that die, see \
             [operation](operation.md#spares); they do not count for `max_replicas`",
        )
        .only(OF_OWNED)
        .limits(Told::And("not with `static`")),
        &mut it.settings.spares,
    );
    keys.key(
        Key::new("stop_timeout", Time(Duration::ZERO..=WAIT_MAX), "").only(OF_OWNED).effect(Effect::Deploy),
        &mut it.settings.stop_timeout,
    );
    keys.key(
        Key::new("stop_signal", Maybe(Text::of("string", value::signal)), "")
            .only(OF_DOCKER)
            .effect(Effect::Deploy)
            .default(Told::Instead("what the image says")),
        &mut it.settings.stop_signal,
    );
    keys.key(
        Key::new("on_exit", Maybe(Choice::between(["keep", "stop"], [OnExit::Keep, OnExit::Stop])), "")
            .only(OF_OWNED)
            .default(Told::Instead("process: `\"stop\"`; docker: `\"keep\"`")),
        &mut it.driver.on_exit,
    );
    keys.key(
        Key::new(
            "protocol",
            Text { kind: "string", parse: value::protocol, show: value::shown_protocol },
            "what replicas speak: HTTP/1.1, or HTTP/2 without TLS from the first byte on, heartbeats included; \
             with `path = \"/grpc.health.v1.Health/Check\"` the heartbeat is gRPC's health check, and `SERVING` \
             the good answer",
        )
        .limits(Told::Instead("`\"http1\"`, `\"h2c\"`")),
        &mut it.settings.protocol,
    );
    keys.key(
        Key::new(
            "retries",
            Whole(0..=RETRIES_MAX),
            "how many more times a request is sent that a replica had when it died or broke off, if its method is \
             idempotent and its body still whole; then 502. 0 is never. A request of which nothing was sent goes \
             to another replica in any case",
        ),
        &mut it.settings.retries,
    );
}
