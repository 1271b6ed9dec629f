//! All rules about whom a request is for, in the order in which they count: the more of its host a rule
//! spells out the earlier; among those, a path that alone is meant before the paths below another, and of
//! these the longest; among those, a rule for some listeners before one for all. Last is who takes what nobody
//! else does. Rules are found by their host, so that it does not matter how many hosts there are.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use h1::RequestHead;

use crate::travel::path_rule::{PathRule, Reading};
use crate::travel::scope::{PathPattern, Scope};

/// A longer host has no rule of its own: it is no name (RFC 1035, 3.1).
const HOST_BYTES_MAX: usize = 253;

/// Where a request goes, by its place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Service(usize),
    Redirect(usize),
}

/// What is certain of a request, however its path is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Without its port.
    host: &'a [u8],
    /// The name of the listener that it came in by; empty if that has none.
    listener: &'a str,
}

/// What says that a request takes a way.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    path: PathRule,
    /// For which listeners, by name; for all if it is empty.
    listeners: Arc<[String]>,
    way: Way,
}

/// What a rule says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteVerdict {
    /// It says where the request goes.
    Chosen,
    /// It would, if no other came before it.
    Later,
    /// It is for another host.
    OtherHost,
    /// It is for another path.
    OtherPath,
    /// It is for other listeners.
    OtherListener,
}

/// A rule, and what it says to a request.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) host: String,
    pub(crate) path: PathPattern,
    pub(crate) listeners: Vec<String>,
    pub(crate) way: Way,
    pub(crate) verdict: RouteVerdict,
}

/// All rules. Never changed.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// By the whole host.
    by_name: HashMap<Box<[u8]>, Vec<Rule>>,
    /// By what a host must end with, beginning with a dot.
    by_ending: HashMap<Box<[u8]>, Vec<Rule>>,
    /// How many dots the longest of these has.
    dots_max: usize,
    for_any: Vec<Rule>,
    /// For what no other rule is for.
    for_others: Vec<Rule>,
}

impl<'a> Arrival<'a> {
    pub(crate) fn of(head: &'a RequestHead, listener: &'a str) -> Self {
        Self { host: head.host().map(name_of).unwrap_or_default(), listener }
    }
}

impl Rule {
    fn new(path: &PathPattern, scope: &Scope, way: Way) -> Self {
        Self { path: PathRule::new(path), listeners: scope.listeners.as_slice().into(), way }
    }

    fn is_for_listener(&self, name: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|listener| listener == name)
    }

    /// What it says to a request to a host that it is for, if no other comes before it.
    fn verdict(&self, arrival: Arrival<'_>, path: &[u8]) -> RouteVerdict {
        if !self.path.is_for(path, Reading::Narrow) {
            RouteVerdict::OtherPath
        } else if !self.is_for_listener(arrival.listener) {
            RouteVerdict::OtherListener
        } else {
            RouteVerdict::Chosen
        }
    }

    /// The greater, the earlier it is asked.
    fn rank(&self) -> (bool, usize, bool) {
        let (is_exact, length) = self.path.rank();
        (is_exact, length, !self.listeners.is_empty())
    }
}

impl Rules {
    /// Adds what a scope says. Among equals the last one counts.
    pub(crate) fn add(&mut self, scope: &Scope, way: Way) {
        for host in &scope.hosts {
            let rules = match host.strip_prefix('*') {
                Some("") => &mut self.for_any,
                Some(ending) => {
                    self.dots_max = self.dots_max.max(ending.matches('.').count());
                    self.by_ending.entry(ending.as_bytes().into()).or_default()
                }
                None => self.by_name.entry(host.as_bytes().into()).or_default(),
            };
            for path in &scope.paths {
                insert(rules, Rule::new(path, scope, way));
            }
        }
        if scope.is_default {
            insert(&mut self.for_others, Rule::new(&PathPattern::Prefix("/".into()), scope, way));
        }
    }

    /// The way of a request, if this is its path.
    pub(crate) fn find(&self, arrival: Arrival<'_>, path: &[u8], reading: Reading) -> Option<Way> {
        // `OPTIONS *` is about the server as a whole.
        let path = if path == b"*" { b"/" } else { path };
        let is_meant =
            |rule: &&Rule| rule.path.is_for(path, reading) && rule.is_for_listener(arrival.listener);
        let rule = self.of_host(arrival.host, |rules| rules.iter().find(is_meant));
        Some(rule?.way)
    }

    /// Whether any rule is for this host, whatever the path and the listener.
    pub(crate) fn know_host(&self, host: &[u8]) -> bool {
        self.of_host(name_of(host), |rules| rules.first()).is_some()
    }

    /// What each rule says to a request with this path, those for its host first, in the order in which they
    /// are asked.
    pub(crate) fn explain(&self, arrival: Arrival<'_>, path: &[u8]) -> Vec<Noted> {
        let mut lists: Vec<(String, &[Rule])> = Vec::new();
        let named = self.by_name.iter().map(|(name, rules)| (text(name), &rules[..]));
        let ending = self.by_ending.iter().map(|(ending, rules)| (format!("*{}", text(ending)), &rules[..]));
        lists.extend(named.chain(ending));
        lists.extend([("*".to_owned(), &self.for_any[..]), ("default".to_owned(), &self.for_others[..])]);
        let of_host: RefCell<Vec<&[Rule]>> = RefCell::default();
        let _: Option<()> = self.of_host(arrival.host, |rules| {
            of_host.borrow_mut().push(rules);
            None
        });
        let of_host = of_host.into_inner();
        let place = |rules: &[Rule]| of_host.iter().position(|one| std::ptr::eq(*one, rules));
        lists.sort_by_key(|(host, rules)| (place(rules).unwrap_or(usize::MAX), host.clone()));
        let mut is_chosen = false;
        let mut noted = Vec::new();
        for (host, rules) in lists {
            let is_host = place(rules).is_some();
            noted.extend(rules.iter().map(|rule| {
                let verdict = match rule.verdict(arrival, path) {
                    _ if !is_host => RouteVerdict::OtherHost,
                    RouteVerdict::Chosen if std::mem::replace(&mut is_chosen, true) => RouteVerdict::Later,
                    verdict => verdict,
                };
                let (path, listeners) = (rule.path.pattern.clone(), rule.listeners.to_vec());
                Noted { host: host.clone(), path, listeners, way: rule.way, verdict }
            }));
        }
        noted
    }

    /// What is found first among those for a host, in their order.
    fn of_host<'a, T>(&'a self, host: &[u8], find: impl Fn(&'a [Rule]) -> Option<T>) -> Option<T> {
        if self.by_name.is_empty() && self.by_ending.is_empty() {
            return find(&self.for_any).or_else(|| find(&self.for_others));
        }
        let end = &host[host.len().saturating_sub(HOST_BYTES_MAX)..];
        let is_cut = end.len() < host.len();
        let lower;
        let end = if end.iter().any(u8::is_ascii_uppercase) {
            lower = end.to_ascii_lowercase();
            &lower[..]
        } else {
            end
        };
        let by_name = if is_cut { None } else { self.by_name.get(end) };
        let found = by_name.and_then(|rules| find(rules)).or_else(|| {
            // Something must stand before the ending.
            let endings = endings(end, self.dots_max).filter(|ending| is_cut || ending.len() < end.len());
            let mut rules = endings.filter_map(|ending| self.by_ending.get(ending));
            rules.find_map(|rules| find(rules))
        });
        found.or_else(|| find(&self.for_any)).or_else(|| find(&self.for_others))
    }
}

/// Puts a rule before those that it counts more than, and before its equals.
fn insert(rules: &mut Vec<Rule>, rule: Rule) {
    let place = rules.partition_point(|other| Reverse(other.rank()) < Reverse(rule.rank()));
    rules.insert(place, rule);
}

/// The endings of a host that begin with one of its last dots, the longest first.
fn endings(host: &[u8], dots_max: usize) -> impl Iterator<Item = &[u8]> {
    let dots = (0..host.len()).rev().filter(|place| host[*place] == b'.').take(dots_max);
    let first = dots.last().unwrap_or(host.len());
    (first..host.len()).filter(|place| host[*place] == b'.').map(|dot| &host[dot..])
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// A host without its port, and without the dot that an absolute name may end with.
pub(crate) fn name_of(host: &[u8]) -> &[u8] {
    let end_of_address = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host[end_of_address..].iter().position(|byte| *byte == b':');
    let name = colon.map_or(host, |colon| &host[..end_of_address + colon]);
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(hosts: &[&str], paths: &[PathPattern], listeners: &[&str]) -> Scope {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Scope { hosts: own(hosts), paths: paths.to_vec(), listeners: own(listeners), is_default: false }
    }

    /// Whether a rule is meant, and how much it counts, without any index.
    fn weight(scope: &Scope, host: &str, path: &str) -> Option<(usize, bool, usize, bool)> {
        let [pattern, meant] = [&scope.hosts[0], scope.paths[0].path()];
        let of_host = match pattern.strip_prefix('*') {
            Some("") => Some(1),
            Some(ending) => {
                host.strip_suffix(ending).filter(|start| !start.is_empty()).map(|_| 1 + ending.len())
            }
            None => (host == pattern).then_some(1000),
        };
        let is_exact = matches!(scope.paths[0], PathPattern::Exact(_));
        let rest = path.strip_prefix(meant.trim_end_matches('/'));
        let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_meant = if is_exact { path == meant } else { is_below };
        of_host.filter(|_| is_meant).map(|of_host| {
            (of_host, is_exact, meant.trim_end_matches('/').len(), !scope.listeners.is_empty())
        })
    }

    #[test]
    fn the_index_finds_what_a_look_at_every_rule_would_find() {
        let mut random = fastrand::Rng::with_seed(7);
        let hosts = ["*", "a", "b.a", "*.a", "*.b.a", "c.b.a", "*.c.b.a", "xa", "*.xa"];
        let paths = ["/", "/p", "/p/q", "/p/q/r"];
        for round in 0..300 {
            let scopes: Vec<Scope> = (0..random.usize(1..12))
                .map(|_| {
                    let path = random.choice(paths).unwrap().to_owned();
                    let path =
                        if random.bool() { PathPattern::Prefix(path) } else { PathPattern::Exact(path) };
                    let listeners: &[&str] = if random.bool() { &["front"] } else { &[] };
                    scope(&[random.choice(hosts).unwrap()], &[path], listeners)
                })
                .collect();
            let mut rules = Rules::default();
            scopes.iter().enumerate().for_each(|(place, scope)| rules.add(scope, Way::Service(place)));
            for host in ["a", "A", "b.a", "c.b.a", "d.c.b.a", "xa", ".a", "", "b.xa"] {
                for path in ["/", "/p", "/p/", "/pq", "/p/q", "/p/q/r/s"] {
                    let mut head = RequestHead::default();
                    head.start(b"GET", path.as_bytes(), Some(host.as_bytes())).unwrap();
                    let found = rules.find(Arrival::of(&head, "front"), path.as_bytes(), Reading::Narrow);
                    let host = host.to_ascii_lowercase();
                    let all = scopes.iter().enumerate();
                    let meant = all.filter_map(|(place, scope)| Some((weight(scope, &host, path)?, place)));
                    let expected = meant.max().map(|(_, place)| Way::Service(place));
                    assert_eq!(found, expected, "round {round}: {host} {path} of {scopes:?}");
                }
            }
        }
    }

    #[test]
    fn a_host_of_any_length_is_looked_for_in_bounded_time() {
        let mut rules = Rules::default();
        let any = [PathPattern::Prefix("/".into())];
        rules.add(&scope(&["*.a.example"], &any, &[]), Way::Service(0));
        rules.add(&scope(&["*"], &any, &[]), Way::Service(1));
        let dots = "a.".repeat(30_000);
        for (host, expected) in [
            (format!("{dots}a.example"), 0),
            (format!("{dots}b.example"), 1),
            (dots.clone(), 1),
            ("A.EXAMPLE".to_owned(), 1),
            (".a.example".to_owned(), 1),
            ("b.A.example.:80".to_owned(), 0),
        ] {
            let arrival = Arrival { host: name_of(host.as_bytes()), listener: "" };
            let found = rules.find(arrival, b"/", Reading::Narrow);
            assert_eq!(found, Some(Way::Service(expected)), "{}", &host[..host.len().min(40)]);
        }
    }
}
