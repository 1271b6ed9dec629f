//! One `[[service]]`: what does not depend on the driver.

use std::collections::BTreeMap;
use std::time::Duration;

use placement::Probe;

use super::Checker;
use crate::config::file::{HeartbeatTable, ServiceTable};
use crate::config::problem::Wrong;
use crate::config::settings::{Algorithm, Heartbeat, OnExit, REPLICAS_MAX, ServerId, ServiceSettings};
use crate::config::{suggest, value};

const MISSES_MAX: u32 = 100;
const LOAD_FACTOR_MAX: f64 = 100.0;
const HEARTBEAT_EVERY_MIN: Duration = Duration::from_millis(10);
const HEARTBEAT_EVERY_MAX: Duration = Duration::from_hours(1);
const HEARTBEAT_TIMEOUT_MIN: Duration = Duration::from_millis(1);
const START_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// For whatever is waited for: longer than this is as good as for ever.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// What every replica is told; the operator's own value would never arrive.
const ENV_RESERVED: [&str; 4] = ["SERVER_ID", "PORT", "EVENKEEL_SERVICE", "EVENKEEL_SEAT"];
const ALGORITHMS: [&str; 2] = ["rendezvous", "classic"];
const ALGORITHMS_PLANNED: [&str; 2] = ["ring", "maglev"];
/// These shape the slot table of the classic placement.
const KEYS_OF_CLASSIC: [&str; 3] = ["slots", "virtual", "probe"];

impl Checker<'_, '_> {
    pub(super) fn service(&mut self, table: &ServiceTable) -> ServiceSettings {
        let base = ServiceSettings::named("");
        if !table.keys.contains_key("name") {
            let help = "add name = \"web\", or what else it is to be called";
            self.note(&table.at, Wrong::new("a service needs a `name`").help(help));
        }
        let driver = self.driver(table);
        let (algorithm, is_algorithm_sound) = self.watch(|checker| checker.algorithm(table));
        let max_replicas = self.whole(&table.max_replicas, 1..=REPLICAS_MAX);
        let is_limit_sound = max_replicas.is_some() || !table.keys.contains_key("max_replicas");
        let server_ids = [("name", ServerId::Name), ("number", ServerId::Number)];
        let on_exits = [("keep", OnExit::Keep), ("stop", OnExit::Stop)];
        let service = ServiceSettings {
            name: self.parse(&table.name, value::service_name).unwrap_or(base.name),
            host: self.parse(&table.host, value::host).unwrap_or(base.host),
            path: self.parse(&table.path, value::path_prefix).unwrap_or(base.path),
            replicas: self.replicas(table, &driver),
            port: self.small(&table.port, 1..=u16::MAX).unwrap_or(base.port),
            env: self.env(table),
            key: self.parse(&table.key, value::key_rule).unwrap_or(base.key),
            algorithm,
            load_factor: self.load_factor(table, algorithm),
            server_id: self
                .parse(&table.server_id, |text| value::choice(text, &server_ids))
                .unwrap_or(base.server_id),
            start_timeout: self
                .duration(&table.start_timeout, START_TIMEOUT_MIN..=WAIT_MAX)
                .unwrap_or(base.start_timeout),
            max_replicas: max_replicas.unwrap_or(base.max_replicas),
            heartbeat: self.heartbeat(&table.heartbeat),
            drain_deadline: self
                .duration(&table.drain_deadline, Duration::ZERO..=WAIT_MAX)
                .unwrap_or(base.drain_deadline),
            stop_timeout: self
                .duration(&table.stop_timeout, Duration::ZERO..=WAIT_MAX)
                .unwrap_or(base.stop_timeout),
            stop_signal: self.parse(&table.stop_signal, value::signal),
            on_exit: self
                .parse(&table.on_exit, |text| value::choice(text, &on_exits))
                .unwrap_or_else(|| driver.on_exit_default()),
            driver,
        };
        // What stands in for a wrong value is not the operator's, and need not fit.
        if is_limit_sound {
            self.fit_limit(table, &service);
        }
        if is_algorithm_sound {
            self.fit_slots(table, &service);
        }
        service
    }

    /// Notes more replicas than may ever be.
    fn fit_limit(&mut self, table: &ServiceTable, service: &ServiceSettings) {
        let (replicas, limit) = (service.replicas, service.max_replicas);
        if replicas > limit {
            let what = format!("{replicas} replicas are more than `max_replicas`, which is {limit}");
            let help = format!("`replicas` is {replicas} unless it is given");
            let is_default = !table.keys.contains_key("replicas") && table.addresses.is_none();
            let wrong = Wrong { help: is_default.then_some(help), ..Wrong::new(what) };
            self.note_count(table, wrong);
        }
    }

    /// Notes more replicas than the placement has room for.
    fn fit_slots(&mut self, table: &ServiceTable, service: &ServiceSettings) {
        let Algorithm::Classic { slots, virtual_servers, .. } = service.algorithm else { return };
        let (replicas, room) = (service.replicas, u32::from(slots / virtual_servers));
        if replicas > room {
            let what = format!("{replicas} replicas do not fit: the placement has room for {room}");
            let help =
                format!("{slots} slots, {virtual_servers} of them for each replica (`slots`, `virtual`)");
            self.note_count(table, Wrong::new(what).help(help));
        }
    }

    /// Notes a problem at the key that most likely made the replicas too many.
    fn note_count(&mut self, table: &ServiceTable, wrong: Wrong) {
        let keys = ["replicas", "addresses", "max_replicas", "slots", "virtual"];
        let at = keys.iter().find_map(|key| table.keys.get(*key));
        self.note(at.unwrap_or(&table.at), wrong);
    }

    fn env(&mut self, table: &ServiceTable) -> BTreeMap<String, String> {
        for given in &table.env {
            let name = given.key.as_str();
            if ENV_RESERVED.contains(&name) {
                let help = format!("the balancer sets {}", suggest::list(&ENV_RESERVED, '`'));
                self.note(&given.key_at, Wrong::new(format!("`{name}` is not yours to set")).help(help));
            } else if name.is_empty() || name.contains(['=', '\0']) {
                self.note(&given.key_at, Wrong::new(format!("{name:?} cannot name an environment variable")));
            }
            if given.value.contains('\0') {
                self.note(&given.at, Wrong::new(format!("`{name}` must be without NUL characters")));
            }
        }
        table.env.iter().map(|given| (given.key.clone(), given.value.clone())).collect()
    }

    fn algorithm(&mut self, table: &ServiceTable) -> Algorithm {
        let name = table.algorithm.as_ref().map(|given| given.value.as_str());
        match name {
            Some("classic") => return self.classic(table),
            Some("rendezvous") | None => {}
            Some(other) => {
                let wrong = if ALGORITHMS_PLANNED.contains(&other) {
                    Wrong::new(format!("cannot be {other:?} yet"))
                        .help(format!("it is planned; today there are {}", suggest::list(&ALGORITHMS, '"')))
                } else {
                    Wrong::new(format!("cannot be {other:?}")).help(suggest::help(other, &ALGORITHMS, '"'))
                };
                self.parse(&table.algorithm, |_| Err::<(), _>(wrong.clone()));
            }
        }
        // What an algorithm of an unknown name would have for keys is not for us to say.
        let is_known = name == Some("rendezvous") || !table.keys.contains_key("algorithm");
        for key in KEYS_OF_CLASSIC.iter().filter(|_| is_known) {
            if let Some(at) = table.keys.get(*key) {
                let what =
                    format!("`{key}` belongs to algorithm = \"classic\"; this service has \"rendezvous\"");
                let help = format!("set algorithm = \"classic\", or remove `{key}`");
                self.note(at, Wrong::new(what).help(help));
            }
        }
        Algorithm::Rendezvous
    }

    fn classic(&mut self, table: &ServiceTable) -> Algorithm {
        let slots = self.small(&table.slots, 1..=u16::MAX);
        let probes = [("linear", Probe::Linear), ("quadratic", Probe::Quadratic)];
        let probe = self.parse(&table.probe, |text| value::choice(text, &probes));
        let is_slots_fine = slots.is_some() || !table.keys.contains_key("slots");
        let base = placement::ClassicSettings::default();
        let slots = slots.unwrap_or(base.slots);
        // Where the number of slots is wrong, it is no limit for anything else.
        let limit = if is_slots_fine { slots } else { u16::MAX };
        let virtual_servers = self.small(&table.virtual_servers, 1..=limit);
        let virtual_servers = virtual_servers.unwrap_or(base.virtual_servers);
        if virtual_servers > slots && table.virtual_servers.is_none() && is_slots_fine {
            let what =
                format!("`virtual` is {virtual_servers} unless it is given, and {slots} slots are fewer");
            let at = table.keys.get("slots").unwrap_or(&table.at);
            self.note(at, Wrong::new(what).help(format!("add virtual = {slots}, or less")));
        }
        Algorithm::Classic { slots, virtual_servers, probe: probe.unwrap_or(base.probe) }
    }

    fn load_factor(&mut self, table: &ServiceTable, algorithm: Algorithm) -> f64 {
        let Some(given) = &table.load_factor else { return algorithm.load_factor_default() };
        // Written so that NaN, which compares as false with everything, is refused.
        if given.value == 0.0 || (1.0..=LOAD_FACTOR_MAX).contains(&given.value) {
            return given.value;
        }
        let what = format!("`load_factor` must be 0, or from 1 to {LOAD_FACTOR_MAX}, not {}", given.value);
        let help = "1.25 allows a replica a quarter more than the mean; 0 turns the bound off";
        self.note(&given.at, Wrong::new(what).help(help));
        0.0
    }

    fn heartbeat(&mut self, table: &HeartbeatTable) -> Heartbeat {
        let base = Heartbeat::default();
        let every = self.duration(&table.every, HEARTBEAT_EVERY_MIN..=HEARTBEAT_EVERY_MAX);
        let timeout = self.duration(&table.timeout, HEARTBEAT_TIMEOUT_MIN..=HEARTBEAT_EVERY_MAX);
        let heartbeat = Heartbeat {
            path: self.parse(&table.path, value::heartbeat_path).unwrap_or(base.path),
            every: every.unwrap_or(base.every),
            timeout: timeout.unwrap_or(base.timeout),
            misses: self.whole(&table.misses, 1..=MISSES_MAX).unwrap_or(base.misses),
        };
        let is_wrong_already =
            (table.every.is_some() && every.is_none()) || (table.timeout.is_some() && timeout.is_none());
        if heartbeat.timeout > heartbeat.every
            && !is_wrong_already
            && let Some(given) = table.timeout.as_ref().or(table.every.as_ref())
        {
            let [timeout, every] = [heartbeat.timeout, heartbeat.every].map(humantime::format_duration);
            let what =
                format!("`timeout`, which is {timeout}, must not be more than `every`, which is {every}");
            self.note(&given.at, Wrong::new(what));
        }
        heartbeat
    }
}
