//! What keeps requests from replicas: what such keys cannot do without, and what of them would have no effect.

use proxy::{KeyRule, Location, PathPattern, Policies, Protection, RateKey, Scope};

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::{LOCATIONS_MAX, LocationKeys, ProtectionKeys};

/// What the service is otherwise, as far as it matters.
pub(super) struct Protected<'a> {
    pub(super) key: &'a KeyRule,
    pub(super) scope: &'a Scope,
    pub(super) table: &'a Found,
}

/// A location in the file, and whom its service is for.
struct Place<'a> {
    scope: &'a Scope,
    table: &'a Found,
}

impl Checker<'_, '_> {
    /// What the keys of a service and of its locations say.
    pub(super) fn protections(
        &mut self,
        general: ProtectionKeys,
        locations: Vec<LocationKeys>,
        service: &Protected<'_>,
    ) -> Policies {
        let protection = self.protection(general, service, service.table);
        let tables = service.table.tables("location");
        if let Some(table) = tables.get(LOCATIONS_MAX) {
            let what = format!("there are {} locations, but at most {LOCATIONS_MAX} may be", tables.len());
            self.note(&table.at, Wrong::new(what));
        }
        let mut policies = Policies { protection, ..Policies::default() };
        for (keys, table) in locations.into_iter().zip(tables).take(LOCATIONS_MAX) {
            let protection = self.protection(keys.protection, service, table);
            if !table.has("path") {
                let help = "add path = \"/admin\", or which paths are meant";
                self.note(&table.at, Wrong::new("a location needs a `path`").help(help));
            }
            let Some(path) = keys.path else { continue };
            self.location(&path, &policies.locations, &Place { scope: service.scope, table });
            policies.locations.push(Location { path, protection });
        }
        policies
    }

    fn location(&mut self, path: &PathPattern, earlier: &[Location], place: &Place<'_>) {
        let Place { scope, table } = *place;
        let Some(at) = table.value_at("path") else { return };
        if earlier.iter().any(|one| one.path == *path) {
            self.note(at, Wrong::new(format!("there is another location for {:?}", path.to_string())));
        } else if !scope.is_default && scope.paths.iter().all(|own| are_apart(own, path)) {
            let what = format!("nothing comes here: the service is not for {:?}", path.to_string());
            let paths: Vec<String> = scope.paths.iter().map(|own| format!("{:?}", own.to_string())).collect();
            let help = format!("it is for {}; `path` is a whole path, as requests have it", paths.join(", "));
            self.note(at, Wrong::new(what).help(help));
        }
    }

    fn protection(&mut self, keys: ProtectionKeys, service: &Protected<'_>, table: &Found) -> Protection {
        if let (Some(limit), Some(table)) = (&keys.rate_limit, table.table("rate_limit")) {
            if !table.has("requests") {
                let wrong = Wrong::new("a rate limit needs `requests`");
                self.note(&table.at, wrong.help("add requests = 10, or how many may come"));
            }
            if let Some(at) = table.value_at("by")
                && limit.by == RateKey::Key
                && *service.key == KeyRule::Random
            {
                let wrong = Wrong::new("`by` is \"key\", but requests of the service have none");
                self.note(at, wrong.help("give the service a `key`, or count \"client\""));
            }
        }
        self.sign_in(&keys, table);
        keys.protection()
    }

    /// Notes what would have no effect, or the contrary of another key.
    fn sign_in(&mut self, keys: &ProtectionKeys, table: &Found) {
        if let (Some(at), false) = (table.key_at("basic_auth_realm"), table.has("basic_auth")) {
            let wrong = Wrong::new("`basic_auth_realm` needs `basic_auth` beside it");
            self.note(at, wrong.help("add basic_auth = \"FILE\", the passwords that it is for"));
        }
        for key in ["basic_auth", "forward_auth"].into_iter().filter(|key| table.has(key)) {
            if let (Some(at), true) = (table.key_at("public"), keys.is_public) {
                let wrong = Wrong::new(format!("`public` and `{key}` are the contrary of each other"));
                self.note(at, wrong.help("remove one of them"));
            }
        }
    }
}

/// Whether no path is meant by both.
fn are_apart(one: &PathPattern, other: &PathPattern) -> bool {
    let is_below = |path: &str, pattern: &PathPattern| match pattern {
        PathPattern::Exact(own) => path == own,
        PathPattern::Prefix(own) => {
            let rest = path.strip_prefix(own.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    };
    !is_below(one.path(), other) && !is_below(other.path(), one)
}
