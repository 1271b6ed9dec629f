//! Services that others ask whether a request may pass: that they are there, and that nothing is said of them that
//! only concerns requests of clients.

use proxy::Scope;

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::{DriverChoice, ServiceSettings};
use crate::suggest;

/// What is said of requests of clients alone.
const OF_CLIENTS: [&str; 14] = [
    "host",
    "hosts",
    "path",
    "paths",
    "listeners",
    "default",
    "allow",
    "deny",
    "max_body",
    "basic_auth",
    "rate_limit",
    "forward_auth",
    "location",
    "response_headers",
];

impl Checker<'_, '_> {
    /// Notes what does not fit.
    pub(super) fn asked(&mut self, services: &[ServiceSettings], tables: &[Found]) {
        for (service, table) in services.iter().zip(tables) {
            let is_internal = service.scope == Scope::nothing() && service.policies.canary.is_none();
            for key in OF_CLIENTS.into_iter().filter(|_| is_internal) {
                if let Some(at) = table.key_at(key) {
                    let wrong =
                        Wrong::new(format!("`{key}` is about requests of clients, and none comes here"));
                    self.note(at, wrong.help("remove it, or `internal`"));
                }
            }
            self.asked_by(table, services);
            for location in table.tables("location") {
                self.asked_by(location, services);
            }
        }
    }

    fn asked_by(&mut self, table: &Found, services: &[ServiceSettings]) {
        let Some(auth) = table.table("forward_auth") else { return };
        if !auth.has("service") {
            let wrong = Wrong::new("`forward_auth` needs a `service`, by its name");
            self.note(
                &auth.at,
                wrong.help("add service = \"auth\", or whatever the one that is asked is called"),
            );
        }
        let (Some(at), Some(name)) = (auth.value_at("service"), auth.text("service")) else { return };
        let name = name.text.as_str();
        match services.iter().find(|service| service.name == name) {
            _ if !auth.is_sound("service") => {}
            None => {
                let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
                let wrong = Wrong::new(format!("there is no service named {name:?}"));
                self.note(at, wrong.help(suggest::help(name, &names, '"')));
            }
            Some(service) if service.policies.canary.is_some() => {
                let wrong = Wrong::new(format!("{name:?} is a canary, and has no requests of its own"));
                self.note(at, wrong.help("name the service that it is one of"));
            }
            Some(service) if matches!(service.driver, DriverChoice::Files { .. }) => {
                let wrong = Wrong::new(format!("{name:?} has files instead of replicas, and nobody to ask"));
                self.note(at, wrong.help("name a service with replicas"));
            }
            Some(_) => {}
        }
    }
}
