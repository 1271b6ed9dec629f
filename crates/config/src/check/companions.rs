//! Services that take a part of another one's requests, or get copies of them: whose these are, and what follows from
//! it. The door is that of the other service, so they have no routes and no policies of their own, and cannot be a way
//! round them.

use std::fmt::Debug;

use fleet::HealthSettings;
use proxy::{Policies, Scope};

use super::Checker;
use crate::form::Form;
use crate::found::Found;
use crate::keys::{Key, Keys, Level, Table};
use crate::problem::Wrong;
use crate::settings::{DriverChoice, ServiceSettings, keys_at_the_door};
use crate::suggest;

/// A service that stands behind another one's door.
struct Companion<'a> {
    /// What it is, which is also the table that says so.
    kind: &'static str,
    /// The name of the other one.
    of: &'a str,
    /// The service's table, and within it the one that says so.
    table: &'a Found,
    own: &'a Found,
}

impl Checker<'_, '_> {
    /// Gives canaries and mirrors what belongs to the requests that they get.
    pub(super) fn companions(&mut self, services: &mut [ServiceSettings], tables: &[Found]) {
        for place in 0..services.len() {
            let settings = services[place].clone();
            let Some(companion) = tables.get(place).and_then(|table| companion(&settings, table)) else {
                continue;
            };
            services[place].scope = Scope::nothing();
            if let (Some(_), Some(table)) = (&settings.policies.canary, companion.table.table("mirror")) {
                self.note(&table.at, Wrong::new("a service is a canary or a mirror, not both"));
            }
            self.refuse_own_door(&companion);
            if let Some(service) = self.of(&companion, services) {
                let has_files = |one: &ServiceSettings| matches!(one.driver, DriverChoice::Files { .. });
                if companion.kind == "mirror" && (has_files(service) || has_files(&settings)) {
                    let wrong =
                        Wrong::new("only requests to replicas have copies, and only replicas get them");
                    self.note(&companion.own.at, wrong.help("neither service can have driver = \"files\""));
                }
                services[place] = behind(service, &settings, companion.table);
            }
        }
        self.fit_shares(services, tables);
    }

    /// The service whose requests it gets.
    fn of<'a>(
        &mut self,
        companion: &Companion<'_>,
        services: &'a [ServiceSettings],
    ) -> Option<&'a ServiceSettings> {
        let Companion { kind, of, own, .. } = companion;
        if !own.has("of") {
            let wrong = Wrong::new(format!("a {kind} needs the name of a service, `of`"));
            self.note(&own.at, wrong.help("the one whose requests it gets"));
        }
        let at = own.value_at("of").filter(|_| own.is_sound("of"))?;
        let has_own = |service: &&ServiceSettings| {
            service.policies.canary.is_none() && service.policies.mirror.is_none()
        };
        match services.iter().find(|service| service.name == *of) {
            Some(service) if has_own(&service) => return Some(service),
            Some(_) => {
                self.note(
                    at,
                    Wrong::new(format!("{of:?} has no requests of its own: it gets another one's")),
                );
            }
            None => {
                let names: Vec<&str> =
                    services.iter().filter(has_own).map(|service| service.name.as_str()).collect();
                let wrong = Wrong::new(format!("there is no service named {of:?}"));
                self.note(at, wrong.help(suggest::help(of, &names, '"')));
            }
        }
        None
    }

    /// Notes what is said of requests that are another service's.
    fn refuse_own_door(&mut self, companion: &Companion<'_>) {
        let Companion { kind, of, table, .. } = companion;
        let mut names = Names::default();
        keys_at_the_door(&mut names);
        for name in names.0 {
            if let Some(at) = table.key_at(name) {
                let wrong =
                    Wrong::new(format!("`{name}` is not for a {kind}: its requests come in by {of:?}"));
                self.note(
                    at,
                    wrong.help(format!("set it there, where it counts for both, and remove `{name}` here")),
                );
            }
        }
    }

    /// Notes that more than all are to go elsewhere.
    fn fit_shares(&mut self, services: &[ServiceSettings], tables: &[Found]) {
        for service in services {
            let mut sum = 0.0;
            for (one, table) in services.iter().zip(tables) {
                let Some(canary) = one.policies.canary.as_ref().filter(|canary| canary.of == service.name)
                else {
                    continue;
                };
                sum += canary.share;
                let at = table.table("canary").and_then(|table| table.value_at("share"));
                if let Some(at) = at.filter(|_| sum > 100.0) {
                    let what =
                        format!("the canaries of {:?} take {sum} % together, more than all", service.name);
                    self.note(at, Wrong::new(what));
                }
            }
        }
    }
}

fn companion<'a>(settings: &'a ServiceSettings, table: &'a Found) -> Option<Companion<'a>> {
    let Policies { canary, mirror, .. } = &settings.policies;
    let (kind, of) = match (canary, mirror) {
        (Some(canary), _) => ("canary", &canary.of),
        (None, Some(mirror)) => ("mirror", &mirror.of),
        (None, None) => return None,
    };
    Some(Companion { kind, of, table, own: table.table(kind)? })
}

/// A canary or a mirror behind the door of this service.
fn behind(service: &ServiceSettings, companion: &ServiceSettings, table: &Found) -> ServiceSettings {
    let have_equal_work = service.health.have_equal_work;
    let means_session = service.sticky.means_session(&service.key);
    let load_factor = if means_session && !table.has("load_factor") { 0.0 } else { companion.load_factor };
    let Policies { canary, mirror, .. } = companion.policies.clone();
    // Nobody reads the answers of a mirror.
    let compression = service.policies.compression.clone().filter(|_| mirror.is_none());
    ServiceSettings {
        scope: Scope::nothing(),
        path_form: service.path_form,
        key: service.key.clone(),
        sticky: service.sticky.clone(),
        policies: Policies { canary, mirror, compression, ..service.policies.clone() },
        health: HealthSettings { have_equal_work, ..companion.health.clone() },
        load_factor,
        ..companion.clone()
    }
}

/// The names of keys, and of tables, not of what is in these.
#[derive(Default)]
struct Names(Vec<&'static str>);

impl Keys for Names {
    fn key<T: Debug, F: Form<T>>(&mut self, key: Key<F>, _: &mut T) {
        self.0.push(key.name);
    }

    fn table(&mut self, table: Table, _: impl FnOnce(&mut Self)) {
        self.0.push(table.name);
    }

    fn optional<L: Level>(&mut self, table: Table, _: &mut Option<L>) {
        self.0.push(table.name);
    }

    fn tables<L: Level>(&mut self, table: Table, _: &'static str, _: &mut Vec<L>) {
        self.0.push(table.name);
    }
}
