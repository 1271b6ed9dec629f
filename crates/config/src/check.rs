//! From the file's shape to validated settings: limits, defaults, and what must fit together.
//!
//! A wrong value is noted and its default stands in for it, so that one run finds all problems.
//! What comes out may be used only when no problem was noted.

mod clients;
mod driver;
mod listeners;
mod placing;
mod service;
mod spares;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::file::{File, ServiceTable};
use super::problem::{Problems, Span, Wrong};
use super::reader::Given;
use super::settings::{SERVICES_MAX, ServiceSettings, Settings, WORKERS_MAX};
use super::value;

/// The settings of a file; to be trusted only if no problem was added.
pub(crate) fn check(file: &File, problems: &mut Problems<'_>) -> Settings {
    let mut checker = Checker { problems };
    let base = Settings::with_defaults();
    let workers_default = u32::try_from(base.workers).expect("the default is at most WORKERS_MAX");
    let settings = Settings {
        listen: checker.listen(file).or(base.listen.filter(|_| file.listeners.is_none())),
        listeners: checker.listeners(file),
        admin: checker.parse(&file.admin, value::admin_address).unwrap_or(base.admin),
        workers: checker.whole(&file.workers, 1..=WORKERS_MAX).unwrap_or(workers_default) as usize,
        state_dir: checker.parse(&file.state_dir, value::directory),
        owner: checker.parse(&file.owner, value::owner),
        contract: file.contract.as_ref().map_or(base.contract, |given| given.value),
        clients: checker.clients(file),
        connections_max: checker.connections_max(&file.limits),
        access_log: file.access_log.as_ref().map(|table| checker.access_log(table)),
        services: checker.services(file.services.as_deref()),
    };
    checker.compare_addresses(file);
    checker.refuse_lost_keys(file, &settings);
    settings
}

/// Whether a service's host and path are what its file says, or are not given.
fn has_route(table: &ServiceTable) -> bool {
    let is_host = |given: &Given<String>| value::host(&given.value).is_ok();
    let is_path = |given: &Given<String>| value::path_prefix(&given.value).is_ok();
    let is_fine = |key| !table.keys.contains_key(key);
    table.host.as_ref().map_or_else(|| is_fine("host"), is_host)
        && table.path.as_ref().map_or_else(|| is_fine("path"), is_path)
}

/// Checks values, and notes what is wrong with them.
struct Checker<'p, 't> {
    problems: &'p mut Problems<'t>,
}

impl Checker<'_, '_> {
    fn services(&mut self, tables: Option<&[ServiceTable]>) -> Vec<ServiceSettings> {
        let Some(tables) = tables else {
            let help = "add at least one: a line [[service]], and below it name = \"web\"";
            self.problems.add(None, Wrong::new("there is no service").help(help));
            return Vec::new();
        };
        if let Some(table) = tables.get(SERVICES_MAX) {
            let what = format!("there are {} services, but at most {SERVICES_MAX} may be", tables.len());
            self.note(&table.at, Wrong::new(what));
        }
        let services: Vec<ServiceSettings> =
            tables.iter().take(SERVICES_MAX).map(|table| self.service(table)).collect();
        for later in 1..services.len() {
            self.compare(&services[..=later], &tables[..=later]);
        }
        services
    }

    /// Notes what the last service has in common with an earlier one and must not have.
    fn compare(&mut self, services: &[ServiceSettings], tables: &[ServiceTable]) {
        let ([earlier @ .., service], [earlier_tables @ .., table]) = (services, tables) else { return };
        let other = |is_alike: &dyn Fn(&ServiceSettings, &ServiceTable) -> bool| {
            let mut others = earlier.iter().zip(earlier_tables);
            let (one, its_table) = others.find(|(one, its_table)| is_alike(one, its_table))?;
            Some((one, self.problems.line_number(&its_table.at)))
        };
        // What stands in for a wrong value is not the operator's, and rivals nobody.
        let namesake = table.name.as_ref().filter(|_| !service.name.is_empty()).and_then(|given| {
            let (_, line) = other(&|one, _| one.name == service.name)?;
            let what = format!("there is another service named \"{}\"", service.name);
            Some((given.at.clone(), Wrong::new(what).help(format!("it begins on line {line}"))))
        });
        let is_rival = |one: &ServiceSettings, its_table: &ServiceTable| {
            let is_same = one.host == service.host && one.path == service.path;
            is_same && has_route(table) && has_route(its_table)
        };
        let rival = other(&is_rival).map(|(one, line)| {
            let given = table.path.as_ref().or(table.host.as_ref());
            let (host, path) = (&service.host, &service.path);
            let what = format!("host \"{host}\" with path \"{path}\" belongs to another service already");
            let help = format!("to \"{}\", which begins on line {line}", one.name);
            (given.map_or(&table.at, |given| &given.at).clone(), Wrong::new(what).help(help))
        });
        for (at, wrong) in namesake.into_iter().chain(rival) {
            self.note(&at, wrong);
        }
    }

    /// What a check returns, and whether it found nothing wrong.
    fn watch<T>(&mut self, check: impl FnOnce(&mut Self) -> T) -> (T, bool) {
        let before = self.problems.count();
        let value = check(self);
        (value, self.problems.count() == before)
    }

    fn note(&mut self, at: &Span, wrong: Wrong) {
        self.problems.add(Some(at), wrong);
    }

    /// Notes a key that only other drivers, or only other algorithms, have: it would have no effect,
    /// and whoever wrote it believes that it has one.
    fn refuse_foreign_key(
        &mut self,
        (key, at): (&str, &Span),
        (chosen_by, owners): (&str, &[&str]),
        (is, is_default): (&str, bool),
    ) {
        let choices: Vec<String> = owners.iter().map(|owner| format!("{chosen_by} = \"{owner}\"")).collect();
        let owners = choices.join(" or ");
        let default = if is_default { ", the default" } else { "" };
        let what = format!("`{key}` belongs to {owners}; this service has \"{is}\"{default}");
        self.note(at, Wrong::new(what).help(format!("set {owners}, or remove `{key}`")));
    }

    /// What a value means; nothing if it is absent, or wrong and so noted.
    fn parse<T>(
        &mut self,
        given: &Option<Given<String>>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.parse_given(given.as_ref()?, parse)
    }

    fn parse_given<T>(
        &mut self,
        given: &Given<String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let wrong = match parse(&given.value) {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        self.note(&given.at, Wrong { what: format!("`{}` {}", given.key, wrong.what), ..wrong });
        None
    }

    /// An integer within limits.
    fn whole(&mut self, given: &Option<Given<i128>>, limits: RangeInclusive<u32>) -> Option<u32> {
        self.whole_given(given.as_ref()?, limits)
    }

    fn whole_given(&mut self, given: &Given<i128>, limits: RangeInclusive<u32>) -> Option<u32> {
        let value = u32::try_from(given.value).ok().filter(|value| limits.contains(value));
        if value.is_none() {
            let is = if i64::try_from(given.value).is_ok() {
                format!(", not {}", given.value)
            } else {
                String::new()
            };
            self.note(&given.at, out_of_range(&given.key, (limits.start(), limits.end()), &is));
        }
        value
    }

    /// A TCP port, a number of slots, or the like.
    fn small(&mut self, given: &Option<Given<i128>>, limits: RangeInclusive<u16>) -> Option<u16> {
        let value = self.whole(given, u32::from(*limits.start())..=u32::from(*limits.end()))?;
        Some(u16::try_from(value).expect("the limits are those of a u16"))
    }

    /// A size within limits, in bytes.
    fn size(&mut self, given: &Option<Given<String>>, limits: RangeInclusive<u64>) -> Option<u64> {
        let given = given.as_ref()?;
        let value = self.parse_given(given, value::size)?;
        if limits.contains(&value) {
            return Some(value);
        }
        let [start, end] = [*limits.start(), *limits.end()].map(value::shown_size);
        self.note(&given.at, out_of_range(&given.key, (&start, &end), &format!(", not {:?}", given.value)));
        None
    }

    /// A duration within limits.
    fn duration(
        &mut self,
        given: &Option<Given<String>>,
        limits: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let given = given.as_ref()?;
        let value = self.parse_given(given, value::duration)?;
        if limits.contains(&value) {
            return Some(value);
        }
        let [start, end] = [*limits.start(), *limits.end()].map(humantime::format_duration);
        self.note(&given.at, out_of_range(&given.key, (&start, &end), &format!(", not {:?}", given.value)));
        None
    }
}

fn out_of_range(key: &str, (start, end): (&dyn Display, &dyn Display), is: &str) -> Wrong {
    Wrong::new(format!("`{key}` must be from {start} to {end}{is}"))
}
