//! One service: what is decided about it, with every default, and its keys, each declared once. A new
//! key is a field of [`ServiceSettings`], its default, and its declaration in this file.

use std::collections::BTreeMap;
use std::time::Duration;

use driver::ServerId;
use fleet::{HealthSettings, RolloutSettings};
use proxy::{KeyRule, Protocol, ServiceTimeouts};

use super::driver::{DriverChoice, DriverKeys, OF_DOCKER, OF_OWNED, OnExit};
use super::limits::{REPLICAS_MAX, SPARES_MAX, WAIT_MAX};
use super::placing::{Algorithm, PlacingKeys};
use super::tables::{self, Heartbeat};
use crate::form::{Choice, Maybe, Named, Text, Time, Whole};
use crate::keys::{Effect, Key, Keys, Level, Told};
use crate::value;

const START_TIMEOUT_MIN: Duration = Duration::from_millis(100);
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
    pub(crate) driver: DriverKeys,
    pub(crate) placing: PlacingKeys,
}

impl ServiceSettings {
    /// Every default under a name: three bundled demo replicas that take all requests.
    pub(crate) fn named(name: &str) -> Self {
        let driver = DriverKeys::default().choice();
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
            server_id: ServerId::default(),
            start_timeout: Duration::from_secs(30),
            max_replicas: 100,
            spares: 0,
            protocol: Protocol::default(),
            timeouts: ServiceTimeouts::default(),
            heartbeat: Heartbeat::default(),
            health: HealthSettings::default(),
            drain_deadline: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            stop_signal: None,
            on_exit: driver.on_exit_default(),
            rollout: RolloutSettings::default(),
            driver,
        }
    }

    /// Whether its replicas are ours to start and stop.
    pub fn is_owned(&self) -> bool {
        !matches!(self.driver, DriverChoice::Static { .. })
    }
}

impl ServiceKeys {
    /// The keys that stand for a service.
    pub(crate) fn of(settings: &ServiceSettings) -> Self {
        let driver = DriverKeys { on_exit: Some(settings.on_exit), ..DriverKeys::of(&settings.driver) };
        let load_factor = Some(settings.load_factor);
        let placing = PlacingKeys { load_factor, ..PlacingKeys::of(&settings.algorithm) };
        Self { settings: settings.clone(), driver, placing }
    }
}

impl Level for ServiceKeys {
    fn blank() -> Self {
        let settings = ServiceSettings::named("");
        Self { settings, driver: DriverKeys::default(), placing: PlacingKeys::default() }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        routing(keys, &mut self.settings);
        self.driver.walk_choice(keys);
        port(keys, &mut self.settings);
        self.driver.walk_rest(keys);
        placed_by(keys, &mut self.settings);
        self.placing.walk(keys);
        living(keys, self);
        tables::heartbeat(keys, &mut self.settings.heartbeat, &mut self.settings.health);
        tables::responses(keys, &mut self.settings.health);
        tables::drain(keys, &mut self.settings.drain_deadline);
        tables::deploy(keys, &mut self.settings.rollout);
        tables::timeouts(keys, &mut self.settings.timeouts);
    }
}

fn routing(keys: &mut impl Keys, it: &mut ServiceSettings) {
    keys.key(
        Key::new(
            "name",
            Text::of("string", value::service_name),
            "what the service is called, in logs, metrics and labels",
        )
        .default(Told::Instead("required"))
        .limits(Told::Instead("1–32 characters of `a-z 0-9 -`, the first no `-`; unique")),
        &mut it.name,
    );
    keys.key(
        Key::new(
            "host",
            Text::of("string", value::host),
            "whose requests it gets: `\"*\"` for every host, `\"example.org\"` for one, `\"*.example.org\"` for \
             those below it; without a port; lower and upper case are the same",
        ),
        &mut it.host,
    );
    keys.key(
        Key::new(
            "path",
            Text::of("string", value::path_prefix),
            "the prefix of the paths that it gets; the longest match wins",
        )
        .limits(Told::Instead("at most 1024 characters, begins with `/`")),
        &mut it.path,
    );
    keys.key(
        Key::new("replicas", Whole(0..=REPLICAS_MAX), "how many replicas to begin with")
            .effect(Effect::Beginning)
            .default(Told::And("with `static`, the number of addresses"))
            .limits(Told::Instead("0–`max_replicas`")),
        &mut it.replicas,
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
}
