//! One `[[service]]`: what depends neither on the driver nor on the algorithm.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::RolloutSettings;
use proxy::ServiceTimeouts;

use super::Checker;
use crate::file::{DeployTable, HeartbeatTable, ResponsesTable, ServiceTable, ServiceTimeoutsTable};
use crate::problem::Wrong;
use crate::settings::{Heartbeat, REPLICAS_MAX, Responses, ServerId, ServiceSettings};
use crate::{suggest, value};

const MISSES_MAX: u32 = 100;
const FAILURES_MAX: u32 = 1000;
const SLOW_FACTOR_MIN: f64 = 2.0;
const SLOW_FACTOR_MAX: f64 = 1000.0;
const EJECTION_MIN: Duration = Duration::from_millis(100);
const EJECTION_MAX: Duration = Duration::from_hours(1);
const HEARTBEAT_EVERY_MIN: Duration = Duration::from_millis(10);
const HEARTBEAT_EVERY_MAX: Duration = Duration::from_hours(1);
const HEARTBEAT_TIMEOUT_MIN: Duration = Duration::from_millis(1);
const START_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const BAKE_MAX: Duration = Duration::from_hours(1);
const CONNECT_MAX: Duration = Duration::from_mins(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// For whatever is waited for: longer than this is as good as for ever.
pub(super) const WAIT_MAX: Duration = Duration::from_hours(24);

/// What every replica is told; the operator's own value would never arrive.
const ENV_RESERVED: [&str; 5] = ["SERVER_ID", "PORT", "EVENKEEL_SERVICE", "EVENKEEL_SEAT", "EVENKEEL_LIFE"];

impl Checker<'_, '_> {
    pub(super) fn service(&mut self, table: &ServiceTable) -> ServiceSettings {
        let base = ServiceSettings::named("");
        if !table.keys.contains_key("name") {
            let help = "add name = \"web\", or what else it is to be called";
            self.note(&table.at, Wrong::new("a service needs a `name`").help(help));
        }
        let driver = self.driver(table);
        let ((algorithm, weights), is_placing_sound) =
            self.watch(|checker| (checker.algorithm(table, &driver), checker.weights(table, &driver)));
        let max_replicas = self.whole(&table.max_replicas, 1..=REPLICAS_MAX);
        let is_limit_sound = max_replicas.is_some() || !table.keys.contains_key("max_replicas");
        let server_ids = [("name", ServerId::Name), ("number", ServerId::Number)];
        let service = ServiceSettings {
            name: self.parse(&table.name, value::service_name).unwrap_or(base.name),
            host: self.parse(&table.host, value::host).unwrap_or(base.host),
            path: self.parse(&table.path, value::path_prefix).unwrap_or(base.path),
            replicas: self.replicas(table, &driver),
            port: self.small(&table.port, 1..=u16::MAX).unwrap_or(base.port),
            env: self.env(table),
            key: self.parse(&table.key, value::key_rule).unwrap_or(base.key),
            load_factor: self.load_factor(table, &algorithm),
            algorithm,
            weights,
            server_id: self
                .parse(&table.server_id, |text| value::choice(text, &server_ids))
                .unwrap_or(base.server_id),
            start_timeout: self
                .duration(&table.start_timeout, START_TIMEOUT_MIN..=WAIT_MAX)
                .unwrap_or(base.start_timeout),
            max_replicas: max_replicas.unwrap_or(base.max_replicas),
            spares: self.spares(table).unwrap_or(base.spares),
            protocol: self.parse(&table.protocol, value::protocol).unwrap_or(base.protocol),
            timeouts: self.service_timeouts(&table.timeouts),
            heartbeat: self.heartbeat(&table.heartbeat),
            responses: self.responses(&table.responses),
            drain_deadline: self
                .duration(&table.drain_deadline, Duration::ZERO..=WAIT_MAX)
                .unwrap_or(base.drain_deadline),
            stop_timeout: self
                .duration(&table.stop_timeout, Duration::ZERO..=WAIT_MAX)
                .unwrap_or(base.stop_timeout),
            stop_signal: self.parse(&table.stop_signal, value::signal),
            on_exit: self.parse(&table.on_exit, value::on_exit).unwrap_or_else(|| driver.on_exit_default()),
            rollout: self.rollout(&table.deploy),
            driver,
        };
        // What stands in for a wrong value is not the operator's, and need not fit.
        if is_limit_sound {
            self.fit_limit(table, &service);
        }
        if is_placing_sound {
            self.fit_placement(table, &service);
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

    /// Notes a problem at the key that most likely made the replicas too many.
    pub(super) fn note_count(&mut self, table: &ServiceTable, wrong: Wrong) {
        let keys = ["replicas", "addresses", "max_replicas", "slots", "virtual", "table_size"];
        let at = keys.iter().find_map(|key| table.keys.get(*key));
        self.note(at.unwrap_or(&table.at), wrong);
    }

    fn env(&mut self, table: &ServiceTable) -> BTreeMap<String, String> {
        let mut reserved = ENV_RESERVED.to_vec();
        // Elsewhere the name means nothing to us, and may mean something to the operator.
        reserved.extend(table.has_sockets().then_some("SOCKET"));
        for given in &table.env {
            let name = given.key.as_str();
            if reserved.contains(&name) {
                let help = format!("the balancer sets {}", suggest::list(&reserved, '`'));
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

    fn heartbeat(&mut self, table: &HeartbeatTable) -> Heartbeat {
        let base = Heartbeat::default();
        let every = self.duration(&table.every, HEARTBEAT_EVERY_MIN..=HEARTBEAT_EVERY_MAX);
        let timeout = self.duration(&table.timeout, HEARTBEAT_TIMEOUT_MIN..=HEARTBEAT_EVERY_MAX);
        let heartbeat = Heartbeat {
            path: self.parse(&table.path, value::heartbeat_path).unwrap_or(base.path),
            every: every.unwrap_or(base.every),
            timeout: timeout.unwrap_or(base.timeout),
            misses: self.whole(&table.misses, 1..=MISSES_MAX).unwrap_or(base.misses),
            rise: self.whole(&table.rise, 1..=MISSES_MAX).unwrap_or(base.rise),
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

    fn rollout(&mut self, table: &DeployTable) -> RolloutSettings {
        let base = RolloutSettings::default();
        RolloutSettings {
            at_once: self.whole(&table.at_once, 1..=REPLICAS_MAX).unwrap_or(base.at_once),
            bake: self.duration(&table.bake, Duration::ZERO..=BAKE_MAX).unwrap_or(base.bake),
        }
    }

    fn responses(&mut self, table: &ResponsesTable) -> Responses {
        let base = Responses::default();
        Responses {
            failures: self.whole(&table.failures, 0..=FAILURES_MAX).unwrap_or(base.failures),
            slow_factor: self.slow_factor(table).unwrap_or(base.slow_factor),
            ejection: self.duration(&table.ejection, EJECTION_MIN..=EJECTION_MAX).unwrap_or(base.ejection),
        }
    }

    fn slow_factor(&mut self, table: &ResponsesTable) -> Option<f64> {
        let given = table.slow_factor.as_ref()?;
        // Written so that NaN, which compares as false with everything, is refused.
        if given.value == 0.0 || (SLOW_FACTOR_MIN..=SLOW_FACTOR_MAX).contains(&given.value) {
            return Some(given.value);
        }
        let what = format!(
            "`slow_factor` must be 0, or from {SLOW_FACTOR_MIN} to {SLOW_FACTOR_MAX}, not {}",
            given.value
        );
        let help = "5 ejects a replica that takes five times as long as its peers; 0 ejects none for that";
        self.note(&given.at, Wrong::new(what).help(help));
        None
    }

    fn service_timeouts(&mut self, table: &ServiceTimeoutsTable) -> ServiceTimeouts {
        let base = ServiceTimeouts::default();
        let limits = TIMEOUT_MIN..=WAIT_MAX;
        ServiceTimeouts {
            connect: self.duration(&table.connect, TIMEOUT_MIN..=CONNECT_MAX).unwrap_or(base.connect),
            response: self.duration(&table.response, limits.clone()).unwrap_or(base.response),
            idle: self.duration(&table.idle, limits.clone()).unwrap_or(base.idle),
            request: self
                .duration(&table.request, Duration::ZERO..=WAIT_MAX)
                .filter(|limit| !limit.is_zero()),
            upgrade_idle: self.duration(&table.upgrade_idle, limits).unwrap_or(base.upgrade_idle),
        }
    }
}
