//! One `[[service]]`: what depends neither on the driver nor on the algorithm alone.

use std::collections::BTreeMap;

use fleet::HealthSettings;
use proxy::KeyRule;

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::{Heartbeat, ServiceKeys, ServiceSettings};
use crate::suggest;

/// What every replica is told; the operator's own value would never arrive.
const ENV_RESERVED: [&str; 5] = ["SERVER_ID", "PORT", "EVENKEEL_SERVICE", "EVENKEEL_SEAT", "EVENKEEL_LIFE"];

impl Checker<'_, '_> {
    pub(super) fn service(&mut self, keys: ServiceKeys, table: &Found) -> ServiceSettings {
        if !table.has("name") {
            let help = "add name = \"web\", or what else it is to be called";
            self.note(&table.at, Wrong::new("a service needs a `name`").help(help));
        }
        let ServiceKeys { settings, driver: driver_keys, placing } = keys;
        let driver = self.driver(&driver_keys, table);
        let before = self.problems.count();
        let algorithm = self.algorithm(&placing, &driver, table);
        let is_placing_sound = self.problems.count() == before && Self::has_sound_placing(table);
        let service = ServiceSettings {
            replicas: self.replicas(settings.replicas, &driver, table),
            load_factor: placing.load_factor.unwrap_or_else(|| algorithm.load_factor_default()),
            on_exit: driver_keys.on_exit.unwrap_or_else(|| driver.on_exit_default()),
            health: HealthSettings { have_equal_work: settings.key == KeyRule::Random, ..settings.health },
            driver,
            algorithm,
            weights: placing.weights,
            ..settings
        };
        self.check_env(&service.env, driver_keys.socket, table);
        if service.spares > 0 {
            self.refuse_numbers(table);
        }
        if let Some(table) = table.table("heartbeat") {
            self.fit_heartbeat(&service.heartbeat, table);
        }
        // What stands in for a wrong value is not the operator's, and need not fit.
        if table.is_sound("max_replicas") {
            self.fit_limit(&service, table);
        }
        if is_placing_sound {
            self.fit_placement(&service, table);
        }
        service
    }

    /// Notes more replicas than may ever be.
    fn fit_limit(&mut self, service: &ServiceSettings, table: &Found) {
        let (replicas, limit) = (service.replicas, service.max_replicas);
        if replicas > limit {
            let what = format!("{replicas} replicas are more than `max_replicas`, which is {limit}");
            let help = format!("`replicas` is {replicas} unless it is given");
            let is_default = !table.has("replicas") && !table.has("addresses");
            let wrong = Wrong { help: is_default.then_some(help), ..Wrong::new(what) };
            self.note_count(table, wrong);
        }
    }

    /// Notes a problem at the key that most likely made the replicas too many.
    pub(super) fn note_count(&mut self, table: &Found, wrong: Wrong) {
        let keys = ["replicas", "addresses", "max_replicas", "slots", "virtual", "table_size"];
        let at = keys.iter().find_map(|key| table.key_at(key));
        self.note(at.unwrap_or(&table.at), wrong);
    }

    fn check_env(&mut self, env: &BTreeMap<String, String>, has_sockets: bool, table: &Found) {
        let mut reserved = ENV_RESERVED.to_vec();
        // Elsewhere the name means nothing to us, and may mean something to the operator.
        reserved.extend(has_sockets.then_some("SOCKET"));
        for part in table.parts("env") {
            let name = part.key.as_str();
            if reserved.contains(&name) {
                let help = format!("the balancer sets {}", suggest::list(&reserved, '`'));
                self.note(&part.key_at, Wrong::new(format!("`{name}` is not yours to set")).help(help));
            } else if name.is_empty() || name.contains(['=', '\0']) {
                self.note(&part.key_at, Wrong::new(format!("{name:?} cannot name an environment variable")));
            }
            if env.get(name).is_some_and(|value| value.contains('\0')) {
                self.note(&part.at, Wrong::new(format!("`{name}` must be without NUL characters")));
            }
        }
    }

    fn fit_heartbeat(&mut self, heartbeat: &Heartbeat, table: &Found) {
        let is_sound = table.is_sound("every") && table.is_sound("timeout");
        if heartbeat.timeout > heartbeat.every
            && is_sound
            && let Some(at) = table.value_at("timeout").or(table.value_at("every"))
        {
            let [timeout, every] = [heartbeat.timeout, heartbeat.every].map(humantime::format_duration);
            let what =
                format!("`timeout`, which is {timeout}, must not be more than `every`, which is {every}");
            self.note(at, Wrong::new(what));
        }
    }
}
