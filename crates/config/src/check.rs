//! From what the keys say to validated settings: what must fit together, what is missing, and which
//! defaults depend on other keys. Single values were checked when they were read.
//!
//! A wrong value is noted and its default stands in for it, so that one run finds all problems.
//! What comes out may be used only when no problem was noted.

mod clients;
mod driver;
mod listeners;
mod placing;
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
    checker.compare_addresses(&settings, found);
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
        let services: Vec<ServiceSettings> =
            checked.map(|(service, table)| self.service(service, table)).collect();
        for later in 1..services.len() {
            self.compare(&services[..=later], &tables[..=later]);
        }
        services
    }

    /// Notes what the last service has in common with an earlier one and must not have.
    fn compare(&mut self, services: &[ServiceSettings], tables: &[Found]) {
        let ([earlier @ .., service], [earlier_tables @ .., table]) = (services, tables) else { return };
        let other = |is_alike: &dyn Fn(&ServiceSettings, &Found) -> bool| {
            let mut others = earlier.iter().zip(earlier_tables);
            let (one, its_table) = others.find(|(one, its_table)| is_alike(one, its_table))?;
            Some((one, self.problems.line_number(&its_table.at)))
        };
        // What stands in for a wrong value is not the operator's, and rivals nobody.
        let namesake = table.value_at("name").filter(|_| !service.name.is_empty()).and_then(|at| {
            let (_, line) = other(&|one, _| one.name == service.name)?;
            let what = format!("there is another service named \"{}\"", service.name);
            Some((at.clone(), Wrong::new(what).help(format!("it begins on line {line}"))))
        });
        let has_route = |table: &Found| table.is_sound("host") && table.is_sound("path");
        let is_rival = |one: &ServiceSettings, its_table: &Found| {
            let is_same = one.host == service.host && one.path == service.path;
            is_same && has_route(table) && has_route(its_table)
        };
        let rival = other(&is_rival).map(|(one, line)| {
            let at = table.value_at("path").or(table.value_at("host")).unwrap_or(&table.at);
            let (host, path) = (&service.host, &service.path);
            let what = format!("host \"{host}\" with path \"{path}\" belongs to another service already");
            let help = format!("to \"{}\", which begins on line {line}", one.name);
            (at.clone(), Wrong::new(what).help(help))
        });
        for (at, wrong) in namesake.into_iter().chain(rival) {
            self.note(&at, wrong);
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
