//! Certificates of clients: whoever speaks of them has a listener that asks for them.

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::{ListenerSettings, ServiceSettings, Settings};

impl Checker<'_, '_> {
    /// Notes services that would never see one.
    pub(super) fn certificates(&mut self, settings: &Settings, found: &Found) {
        let listeners = settings.all_listeners();
        for (service, table) in settings.services.iter().zip(found.tables("service")) {
            if listeners.iter().any(|listener| brings_certificates(listener, service)) {
                continue;
            }
            let of_paths = service.policies.locations.iter().map(|location| &location.protection);
            let protections = [&service.policies.protection].into_iter().chain(of_paths);
            let tables = [table].into_iter().chain(table.tables("location"));
            let required = protections.zip(tables).filter(|(protection, _)| protection.needs_certificate);
            let required = required.filter_map(|(_, table)| table.key_at("require_certificate"));
            for at in table.key_at("tell_certificate").into_iter().chain(required) {
                let what = "no listener that requests come in by asks clients for certificates";
                let help = "add client_authority = \"clients.pem\" to its [listener.tls]";
                self.note(at, Wrong::new(what).help(help));
            }
        }
    }
}

fn brings_certificates(listener: &ListenerSettings, service: &ServiceSettings) -> bool {
    let names = &service.scope.listeners;
    let is_asking = listener.tls.as_ref().is_some_and(|tls| tls.client_authority.is_some());
    is_asking && (names.is_empty() || names.contains(&listener.name))
}
