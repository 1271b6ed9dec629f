//! Services that take a part of another one's requests: whose these are, and what follows from it. The door is that
//! of the other service, so a canary has no routes and no policies of its own, and cannot be a way round them.

use std::fmt::Debug;

use fleet::HealthSettings;
use proxy::{Policies, Scope};

use super::Checker;
use crate::form::Form;
use crate::found::Found;
use crate::keys::{Key, Keys, Level, Table};
use crate::problem::Wrong;
use crate::settings::{ServiceSettings, keys_at_the_door};
use crate::suggest;

impl Checker<'_, '_> {
    /// Gives canaries what belongs to the requests that they get a part of.
    pub(super) fn canaries(&mut self, services: &mut [ServiceSettings], tables: &[Found]) {
        for place in 0..services.len() {
            let (Some(canary), Some(table)) = (&services[place].policies.canary, tables.get(place)) else {
                continue;
            };
            let Some(own) = table.table("canary") else { continue };
            let canary = canary.clone();
            services[place].scope = Scope::nothing();
            self.refuse_own_door(&canary.of, table);
            if !own.has("of") {
                let wrong = Wrong::new("a canary needs the name of a service, `of`");
                self.note(&own.at, wrong.help("the one that it takes a part of the requests of"));
            }
            let Some(at) = own.value_at("of").filter(|_| own.is_sound("of")) else { continue };
            let of = services.iter().position(|service| service.name == canary.of);
            match of.map(|of| &services[of]) {
                None => {
                    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
                    let names: Vec<&str> =
                        names.into_iter().filter(|name| *name != services[place].name).collect();
                    let wrong = Wrong::new(format!("there is no service named {:?}", canary.of));
                    self.note(at, wrong.help(suggest::help(&canary.of, &names, '"')));
                }
                Some(service) if service.policies.canary.is_some() => {
                    let what = format!("{:?} is a canary itself, and has no requests of its own", canary.of);
                    self.note(at, Wrong::new(what));
                }
                Some(service) => services[place] = behind(service, &services[place], table),
            }
        }
        self.fit_shares(services, tables);
    }

    /// Notes what is said of requests that are another service's.
    fn refuse_own_door(&mut self, of: &str, table: &Found) {
        let mut names = Names::default();
        keys_at_the_door(&mut names);
        for name in names.0 {
            if let Some(at) = table.key_at(name) {
                let wrong = Wrong::new(format!("`{name}` is not a canary's: its requests come in by {of:?}"));
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

/// A canary behind the door of this service.
fn behind(service: &ServiceSettings, canary: &ServiceSettings, table: &Found) -> ServiceSettings {
    let have_equal_work = service.health.have_equal_work;
    let load_factor = if table.has("load_factor") {
        canary.load_factor
    } else if service.sticky.means_session(&service.key) {
        0.0
    } else {
        canary.load_factor
    };
    ServiceSettings {
        path_form: service.path_form,
        key: service.key.clone(),
        sticky: service.sticky.clone(),
        policies: Policies { canary: canary.policies.canary.clone(), ..service.policies.clone() },
        health: HealthSettings { have_equal_work, ..canary.health.clone() },
        load_factor,
        ..canary.clone()
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
