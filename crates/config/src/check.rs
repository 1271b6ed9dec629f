//! From what the keys say to validated settings: what must fit together, what is missing, and which
//! defaults depend on other keys. Single values were checked when they were read.
//!
//! A wrong value is noted and its default stands in for it, so that one run finds all problems.
//! What comes out may be used only when no problem was noted.

mod asked;
mod certificates;
mod clients;
mod companions;
mod container;
mod driver;
mod folder;
mod listeners;
mod placing;
mod protection;
mod redirects;
mod routes;
mod service;
mod spares;

use crate::found::Found;
use crate::problem::{Problems, Span, Wrong};
use crate::settings::{FileKeys, SERVICES_MAX, ServiceKeys, ServiceSettings, Settings};

/// The settings of a file; to be trusted only if no problem was added.
pub(crate) fn check(keys: FileKeys, found: &Found, problems: &mut Problems<'_>) -> Settings {
    let mut checker = Checker { problems };
    let mut settings = keys.settings;
    if !found.has("listen") && found.has("listener") {
        settings.listen = None;
    }
    checker.listeners(&mut settings, found);
    checker.fit_head(&mut settings, keys.request_line_max, found.table("limits"));
    settings.services = checker.services(keys.services, found);
    settings.redirects = checker.redirects(keys.redirects, found);
    checker.compare_addresses(&settings, found);
    checker.certificates(&settings, found);
    checker.routes(&settings, found);
    checker.refuse_lost_keys(&settings, found);
    settings
}

/// Checks values, and notes what is wrong with them.
struct Checker<'p, 't> {
    problems: &'p mut Problems<'t>,
}

impl Checker<'_, '_> {
    fn services(&mut self, keys: Vec<ServiceKeys>, found: &Found) -> Vec<ServiceSettings> {
        if !found.has("service") {
            let help = "add at least one: a line [[service]], and below it name = \"web\"";
            self.problems.add(None, Wrong::new("there is no service").help(help));
        }
        let tables = found.tables("service");
        if let Some(table) = tables.get(SERVICES_MAX) {
            let what = format!("there are {} services, but at most {SERVICES_MAX} may be", tables.len());
            self.note(&table.at, Wrong::new(what));
        }
        let checked = keys.into_iter().zip(tables).take(SERVICES_MAX);
        let mut services: Vec<ServiceSettings> =
            checked.map(|(service, table)| self.service(service, table)).collect();
        for later in 1..services.len() {
            self.compare(&services[..=later], &tables[..=later]);
        }
        self.companions(&mut services, tables);
        self.asked(&services, tables);
        services
    }

    /// Notes a name that an earlier service has.
    fn compare(&mut self, services: &[ServiceSettings], tables: &[Found]) {
        let ([earlier @ .., service], [earlier_tables @ .., table]) = (services, tables) else { return };
        let mut others = earlier.iter().zip(earlier_tables);
        let other = others.find(|(one, _)| one.name == service.name);
        // What stands in for a wrong value is not the operator's, and rivals nobody.
        let at = table.value_at("name").filter(|_| !service.name.is_empty());
        if let (Some((_, its_table)), Some(at)) = (other, at) {
            let what = format!("there is another service named \"{}\"", service.name);
            let line = self.problems.line_number(&its_table.at);
            self.note(at, Wrong::new(what).help(format!("it begins on line {line}")));
        }
    }

    /// Notes keys that only other drivers (or only other algorithms) have: they would have no effect,
    /// and whoever wrote them believes that they have one.
    fn refuse_foreign_keys(&mut self, table: &Found, chosen_by: &str, is: &str) {
        for (key, spot) in table.keys() {
            let Some(only) = spot.only.filter(|only| only.chosen_by() == chosen_by) else { continue };
            let owners = only.owners();
            if owners.contains(&is) {
                continue;
            }
            let choices: Vec<String> =
                owners.iter().map(|owner| format!("{chosen_by} = \"{owner}\"")).collect();
            let owners = choices.join(" or ");
            let default = if table.text(chosen_by).is_none() { ", the default" } else { "" };
            let what = format!("`{key}` belongs to {owners}; this service has \"{is}\"{default}");
            self.note(&spot.key_at, Wrong::new(what).help(format!("set {owners}, or remove `{key}`")));
        }
    }

    fn note(&mut self, at: &Span, wrong: Wrong) {
        self.problems.add(Some(at), wrong);
    }
}
