//! Whom requests are for: the hosts, paths and listeners of services and redirects, and who is in whose way. In
//! which order they count is the proxy's to know; here it is only said what can never have its turn.

use std::collections::HashMap;

use proxy::{PathPattern, Scope};

use super::Checker;
use crate::found::Found;
use crate::problem::{Span, Wrong};
use crate::settings::{ListenerSettings, ROUTES_MAX, ScopeKeys, ServiceSettings, Settings};
use crate::suggest;

/// What a listener that sends everybody to HTTPS leaves to services.
const ACME_PATH: &str = "/.well-known/acme-challenge/";

/// A service or a redirect, and where it stands.
struct Claimant<'a> {
    /// The name of a service.
    service: Option<&'a str>,
    scope: &'a Scope,
    table: &'a Found,
}

/// Who has claimed a host with a path, in the order of the file.
type Claims<'a> = HashMap<(&'a str, String), Vec<usize>>;

impl Checker<'_, '_> {
    /// What the keys say together. Of a key and its other form, one may be there.
    pub(super) fn scope(&mut self, keys: ScopeKeys, table: &Found) -> Scope {
        for (one, several) in [("host", "hosts"), ("path", "paths")] {
            if let (Some(at), true) = (table.key_at(one), table.has(several)) {
                let wrong = Wrong::new(format!("`{one}` and `{several}` are two forms of one key"));
                self.note(at, wrong.help(format!("put all into `{several}`, and remove `{one}`")));
            }
        }
        for key in ["hosts", "paths", "listeners"] {
            let is_empty = table.parts(key).is_empty() && table.is_sound(key);
            if let (Some(at), true) = (table.array_at(key), is_empty) {
                let wrong = Wrong::new(format!("`{key}` lists nothing, so nothing would come here"));
                self.note(at, wrong.help("remove it, and all are meant"));
            }
        }
        keys.scope()
    }

    /// Notes a prefix that is taken off, and that no path of the service has.
    pub(super) fn fit_prefix(&mut self, service: &ServiceSettings, table: &Found) {
        let strip = service.policies.rewrite.as_ref().and_then(|rewrite| rewrite.strip.as_deref());
        let (Some(strip), Some(at)) = (strip, table.value_at("strip_prefix")) else { return };
        let is_below = |path: &str, prefix: &str| {
            let rest = path.strip_prefix(prefix.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Scope { paths, is_default, .. } = &service.scope;
        let has_it = paths.iter().any(|path| match path {
            PathPattern::Exact(path) => is_below(path, strip),
            PathPattern::Prefix(path) => is_below(path, strip) || is_below(strip, path),
        });
        if !has_it && !is_default && ["path", "paths"].iter().all(|key| table.is_sound(key)) {
            let paths: Vec<String> = paths.iter().map(|path| format!("\"{path}\"")).collect();
            let wrong = Wrong::new(format!("no path of the service has the prefix \"{strip}\""));
            self.note(at, wrong.help(format!("it is for {}", paths.join(", "))));
        }
    }

    /// Notes listeners that nobody has, and those who are in each other's way.
    pub(super) fn routes(&mut self, settings: &Settings, found: &Found) {
        let services = settings.services.iter().zip(found.tables("service"));
        let services = services.map(|(service, table)| Claimant {
            service: Some(&service.name),
            scope: &service.scope,
            table,
        });
        let redirects = settings.redirects.iter().zip(found.tables("redirect"));
        let redirects =
            redirects.map(|(redirect, table)| Claimant { service: None, scope: &redirect.scope, table });
        let all: Vec<Claimant<'_>> = services.chain(redirects).collect();
        let pairs = all.iter().map(|one| one.scope.hosts.len() * one.scope.paths.len()).sum::<usize>();
        if pairs > ROUTES_MAX {
            let what =
                format!("hosts and paths make {pairs} pairs together, but at most {ROUTES_MAX} may be");
            return self.problems.add(None, Wrong::new(what));
        }
        let listeners = settings.all_listeners();
        self.listener_names(settings, found);
        for one in &all {
            self.refuse_unknown_listeners(one, &listeners);
            self.refuse_redirecting_listeners(one, &listeners);
        }
        let claims = self.claims(&all);
        self.refuse_covered(&all, &claims, &listeners);
    }

    fn listener_names(&mut self, settings: &Settings, found: &Found) {
        let tables = found.tables("listener");
        let mut names: Vec<&str> = settings.listen.map(|_| ListenerSettings::LISTEN).into_iter().collect();
        for (listener, table) in settings.listeners.iter().zip(tables) {
            let name = listener.name.as_str();
            if let Some(at) = table.value_at("name").filter(|_| names.contains(&name)) {
                let wrong = Wrong::new(format!("there is another listener named \"{name}\""));
                self.note(at, wrong);
            }
            names.extend(Some(name).filter(|name| !name.is_empty()));
        }
    }

    fn refuse_unknown_listeners(&mut self, one: &Claimant<'_>, listeners: &[ListenerSettings]) {
        let known: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let known: Vec<&str> = known.into_iter().filter(|name| !name.is_empty()).collect();
        for part in one.table.parts("listeners") {
            if one.scope.listeners.contains(&part.text) && !known.contains(&part.text.as_str()) {
                let help = match known[..] {
                    [] => format!("give one its name, with name = {:?} in a [[listener]]", part.text),
                    _ => suggest::help(&part.text, &known, '"'),
                };
                self.note(
                    &part.at,
                    Wrong::new(format!("there is no listener named {:?}", part.text)).help(help),
                );
            }
        }
    }

    /// Notes a service that could get nothing, because all its listeners send everybody elsewhere.
    fn refuse_redirecting_listeners(&mut self, one: &Claimant<'_>, listeners: &[ListenerSettings]) {
        let is_redirecting = |name: &String| {
            listeners.iter().any(|listener| listener.name == *name && listener.is_redirecting)
        };
        let Scope { listeners: own, paths, .. } = one.scope;
        let is_for_acme = paths.iter().any(|path| path.path().starts_with(ACME_PATH.trim_end_matches('/')));
        if let Some(at) = one.table.key_at("listeners")
            && !own.is_empty()
            && own.iter().all(is_redirecting)
            && !is_for_acme
        {
            let wrong = Wrong::new("nothing comes in here: its listeners send every request to HTTPS");
            self.note(at, wrong.help("name a listener without `redirect`"));
        }
    }

    /// Who has claimed what. Notes rivals: for one request, only one could have its turn.
    fn claims<'a>(&mut self, all: &[Claimant<'a>]) -> Claims<'a> {
        let mut claims = Claims::new();
        for (number, one) in all.iter().enumerate() {
            // What stands in for a wrong value is not the operator's, and rivals nobody.
            if !["host", "hosts", "path", "paths", "listeners"].iter().all(|key| one.table.is_sound(key)) {
                continue;
            }
            let mut rival = None;
            for (host, path) in pairs(one.scope) {
                let claimed = claims.entry((host, path.clone())).or_default();
                let other = claimed.iter().find(|other| meet(one.scope, all[**other].scope));
                rival = rival.or(other.map(|other| (*other, host, path)));
                claimed.push(number);
            }
            if let Some((other, host, path)) = rival {
                let wrong = self.rivalry(one, &all[other], &format!("host \"{host}\" with path \"{path}\""));
                self.note(place(one.table), wrong);
            }
        }
        claims
    }

    fn rivalry(&self, one: &Claimant<'_>, other: &Claimant<'_>, what: &str) -> Wrong {
        let what = if what.starts_with("host \"default\"") { "`default`" } else { what };
        let line = self.problems.line_number(&other.table.at);
        match other.service {
            _ if std::ptr::eq(one.table, other.table) => Wrong::new(format!("{what} stands here twice")),
            Some(name) => {
                let help = format!("to \"{name}\", which begins on line {line}");
                Wrong::new(format!("{what} belongs to another service already")).help(help)
            }
            None => {
                let help = format!("it begins on line {line}");
                Wrong::new(format!("{what} belongs to a redirect already")).help(help)
            }
        }
    }

    /// Notes what never has its turn, because others come before it on every listener.
    fn refuse_covered(&mut self, all: &[Claimant<'_>], claims: &Claims<'_>, listeners: &[ListenerSettings]) {
        for (number, one) in all.iter().enumerate() {
            let own = &one.scope.listeners;
            let meant: Vec<&str> = match own[..] {
                [] => listeners.iter().map(|listener| listener.name.as_str()).collect(),
                _ => own.iter().map(String::as_str).collect(),
            };
            let is_covered = |pair: &(&str, String), may_be_unbound: bool| {
                let others = claims.get(pair).map(Vec::as_slice).unwrap_or_default();
                let others = others.iter().filter(|other| **other != number);
                let others: Vec<&Vec<String>> = others.map(|other| &all[*other].scope.listeners).collect();
                !meant.is_empty()
                    && meant.iter().all(|name| {
                        let takes = |bound: &&Vec<String>| {
                            if bound.is_empty() {
                                may_be_unbound
                            } else {
                                bound.iter().any(|one| one == name)
                            }
                        };
                        others.iter().any(takes)
                    })
            };
            let everything = ("*", PathPattern::Prefix("/".to_owned()).to_string());
            if let (true, Some(at)) = (one.scope.is_default, one.table.key_at("default"))
                && is_covered(&everything, true)
            {
                let wrong =
                    Wrong::new("`default` gets nothing: host \"*\" with path \"/\" takes all that is left");
                self.note(at, wrong.help("name the `host` or `path` of the service that has neither"));
            }
            let covered = pairs(one.scope).find(|pair| own.is_empty() && is_covered(pair, false));
            if let Some((host, path)) = covered.filter(|(host, _)| *host != "default") {
                let what = format!("host \"{host}\" with path \"{path}\" is taken on every listener");
                let help = "by services or redirects that are bound to `listeners`, which come first";
                self.note(place(one.table), Wrong::new(what).help(help));
            }
        }
    }
}

/// What a scope claims. Hosts have no such name as `default`, which stands for what is left.
fn pairs(scope: &Scope) -> impl Iterator<Item = (&str, String)> {
    let named = scope
        .hosts
        .iter()
        .flat_map(|host| scope.paths.iter().map(move |path| (host.as_str(), path.to_string())));
    named.chain(scope.is_default.then(|| ("default", String::new())))
}

/// Whether two could both be meant, with the same right: one that is bound to listeners comes before one that
/// is not.
fn meet(one: &Scope, other: &Scope) -> bool {
    let (one, other) = (&one.listeners, &other.listeners);
    one.is_empty() && other.is_empty() || one.iter().any(|name| other.contains(name))
}

/// Where it is said what a service is for.
fn place(table: &Found) -> &Span {
    let keys = ["path", "paths", "host", "hosts"];
    keys.iter().find_map(|key| table.value_at(key)).unwrap_or(&table.at)
}
