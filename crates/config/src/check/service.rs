//! One `[[service]]`: what depends neither on the driver nor on the algorithm alone.

use std::collections::BTreeMap;

use fleet::{Address, HealthSettings};
use proxy::{FieldEdits, KeyRule, Policies, Protocol, SameSite};

use super::Checker;
use super::protection::Protected;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::{DriverChoice, ENV_RESERVED, Heartbeat, ServiceKeys, ServiceSettings};
use crate::suggest;

/// The question of gRPC, which is asked in its own way.
const GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";

impl Checker<'_, '_> {
    pub(super) fn service(&mut self, keys: ServiceKeys, table: &Found) -> ServiceSettings {
        if !table.has("name") {
            let help = "add name = \"web\", or what else it is to be called";
            self.note(&table.at, Wrong::new("a service needs a `name`").help(help));
        }
        let ServiceKeys {
            settings,
            scope,
            protection,
            locations,
            driver: driver_keys,
            placing,
            drain_deadline,
        } = keys;
        let scope = self.scope(scope, table);
        let protected = Protected { key: &settings.key, scope: &scope, table };
        let protections = self.protections(protection, locations, &protected);
        let driver = self.driver(&driver_keys, table);
        let before = self.problems.count();
        let algorithm = self.algorithm(&placing, &driver, table);
        let is_placing_sound = self.problems.count() == before && Self::has_sound_placing(table);
        self.check_sticky(&settings, table);
        self.check_error_pages(&settings, table);
        // A session has one place, however many requests it makes at once.
        let means_session = settings.sticky.means_session(&settings.key);
        let load_factor = if means_session { 0.0 } else { algorithm.load_factor_default() };
        let have_equal_work = settings.key == KeyRule::Random && settings.sticky.cookie.is_none();
        let service = ServiceSettings {
            replicas: self.replicas(settings.replicas, &driver, table),
            load_factor: placing.load_factor.unwrap_or(load_factor),
            drain_deadline: drain_deadline.unwrap_or(settings.timeouts.response),
            on_exit: driver_keys.on_exit.unwrap_or_else(|| driver.on_exit_default()),
            health: HealthSettings { have_equal_work, ..settings.health },
            driver,
            algorithm,
            weights: placing.weights,
            scope,
            policies: policies(settings.policies, protections),
            ..settings
        };
        self.fit_prefix(&service, table);
        for table in ["request_headers", "response_headers"].into_iter().filter_map(|key| table.table(key)) {
            self.field_edits(table);
        }
        self.check_env(&service.env, driver_keys.has_sockets(), table);
        for part in table.parts("inherit").iter().filter(|part| ENV_RESERVED.contains(&part.text.as_str())) {
            let wrong = Wrong::new(format!("`{}` is not to be inherited", part.text));
            self.note(&part.at, wrong.help("the balancer sets it for each replica"));
        }
        self.check_ports(table, &service);
        if service.spares > 0 {
            self.refuse_numbers(table);
        }
        if let Some(table) = table.table("heartbeat") {
            self.fit_heartbeat(&service.heartbeat, table);
            self.check_question(&service, table);
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

    /// Notes that pages are to be sent that there are not.
    fn check_error_pages(&mut self, settings: &ServiceSettings, table: &Found) {
        let pages = settings.policies.error_pages.as_ref();
        if let Some(at) = table.key_at("replace_errors")
            && table.is_sound("error_pages")
            && pages.is_some_and(|pages| pages.replace_errors && pages.files.is_empty())
        {
            let wrong = Wrong::new("`replace_errors` is about pages that are not set");
            self.note(at, wrong.help("add error_pages = { 404 = \"errors/404.html\" }"));
        }
    }

    /// Notes what is said of a cookie that there is not, and one that is not ours alone.
    fn check_sticky(&mut self, settings: &ServiceSettings, table: &Found) {
        let sticky = &settings.sticky;
        if sticky.cookie.is_none() && table.is_sound("sticky") {
            let is_said = [
                ("sticky_lifetime", sticky.lifetime.is_some()),
                ("sticky_same_site", sticky.same_site != SameSite::default()),
            ];
            for (name, _) in is_said.into_iter().filter(|(_, is_said)| *is_said) {
                if let Some(at) = table.key_at(name) {
                    let wrong = Wrong::new(format!("`{name}` is about a cookie that is not set"));
                    self.note(at, wrong.help("add sticky = \"NAME\", the name of that cookie"));
                }
            }
        }
        let edits = settings.policies.response_headers.as_ref();
        if let (Some(at), Some(edits)) = (table.value_at("sticky"), edits)
            && edits.drops(b"set-cookie")
        {
            let wrong = Wrong::new("`sticky` and `response_headers` do not go together");
            self.note(at, wrong.help("the latter removes `Set-Cookie`, by which clients get the cookie"));
        }
        if let (KeyRule::Cookie(name), Some(at)) = (&settings.key, table.value_at("sticky"))
            && sticky.cookie.as_ref() == Some(name)
        {
            let what = format!("`sticky` cannot be {name:?}, which is the cookie of `key`");
            self.note(
                at,
                Wrong::new(what).help("it is a cookie of the balancer's own; replicas do not get it"),
            );
        }
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

    /// Notes another port where each replica has its own, or none, and what gRPC's question has no room for.
    fn check_question(&mut self, service: &ServiceSettings, table: &Found) {
        let why = match &service.driver {
            DriverChoice::Process { socket: true, .. } => Some("replicas listen on sockets"),
            DriverChoice::Process { .. } => {
                Some("each process has a port of its own, and this would be the same for all")
            }
            DriverChoice::Docker { publish: true, .. } => Some("with `publish`, no other port is reached"),
            DriverChoice::Static { addresses } => {
                let has_socket = addresses.iter().any(|address| matches!(address, Address::Unix(_)));
                has_socket.then_some("some of the addresses are sockets")
            }
            DriverChoice::Docker { .. } | DriverChoice::Files { .. } => None,
        };
        if let (Some(at), Some(why)) = (table.key_at("port"), why) {
            self.note(at, Wrong::new(format!("`port` of a heartbeat cannot be: {why}")).help("leave it out"));
        }
        let is_grpc = service.protocol == Protocol::H2c && service.heartbeat.path == GRPC_HEALTH;
        for key in ["method", "statuses"] {
            if let (Some(at), true) = (table.key_at(key), is_grpc) {
                let wrong = Wrong::new(format!("`{key}` does not go with gRPC's health check"));
                self.note(at, wrong.help("that is a POST, and `SERVING` is its good answer"));
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

/// Tables that say nothing are none.
fn policies(keys: Policies, protections: Policies) -> Policies {
    Policies {
        rewrite: keys.rewrite.filter(|rewrite| !rewrite.is_empty()),
        hides_via: keys.hides_via,
        request_headers: unless_empty(keys.request_headers),
        response_headers: unless_empty(keys.response_headers),
        canary: keys.canary,
        mirror: keys.mirror,
        certificate: keys.certificate,
        error_pages: keys.error_pages.filter(|pages| !pages.files.is_empty()),
        compression: keys.compression.filter(|settings| !settings.codings.is_empty()),
        ..protections
    }
}

pub(super) fn unless_empty(edits: Option<FieldEdits>) -> Option<FieldEdits> {
    edits.filter(|edits| !edits.is_empty())
}
