//! `[[redirect]]`: what it cannot do without, and redirects that lead to themselves.

use proxy::{PathPattern, Redirect};

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::{REDIRECTS_MAX, RedirectKeys};
use crate::web::{host_of_target, path_of_target};

impl Checker<'_, '_> {
    pub(super) fn redirects(&mut self, keys: Vec<RedirectKeys>, found: &Found) -> Vec<Redirect> {
        let tables = found.tables("redirect");
        if let Some(table) = tables.get(REDIRECTS_MAX) {
            let what = format!("there are {} redirects, but at most {REDIRECTS_MAX} may be", tables.len());
            self.note(&table.at, Wrong::new(what));
        }
        let mut redirects = Vec::new();
        for (RedirectKeys { scope, to, status, keeps_rest }, table) in
            keys.into_iter().zip(tables).take(REDIRECTS_MAX)
        {
            let scope = self.scope(scope, table);
            if !table.has("to") {
                let help = "add to = \"https://example.org\", or to = \"/new\"";
                self.note(&table.at, Wrong::new("a redirect needs `to`").help(help));
            }
            redirects.push(Redirect { scope, to: to.unwrap_or_default(), status, keeps_rest });
        }
        for (redirect, table) in redirects.iter().zip(tables) {
            self.redirect(redirect, &redirects, table);
        }
        redirects
    }

    fn redirect(&mut self, redirect: &Redirect, all: &[Redirect], table: &Found) {
        let Some(at) = table.value_at("to").filter(|_| table.is_sound("to")) else { return };
        if redirect.keeps_rest && redirect.to.contains(['?', '#']) {
            let wrong = Wrong::new("`to` has a query or a fragment, and nothing can come behind it");
            self.note(at, wrong.help("remove it, or add keep_rest = false"));
        }
        if leads_to_itself(redirect, all) {
            let wrong = Wrong::new("this redirect leads to itself: what it sends elsewhere it is for again");
            self.note(
                at,
                wrong.help("name its `host`, `path` or `listeners` so that `to` is not one of them"),
            );
        }
    }
}

/// Whether what it sends elsewhere comes to it again. Who is bound to listeners may send to others.
fn leads_to_itself(redirect: &Redirect, all: &[Redirect]) -> bool {
    let (scope, path) = (&redirect.scope, path_of_target(&redirect.to));
    if !scope.listeners.is_empty() {
        return false;
    }
    let is_own_host = host_of_target(&redirect.to).is_none_or(|host| {
        let has_a_rule = |one: &Redirect| one.scope.hosts.contains(&host);
        scope.hosts.iter().any(|own| match own.strip_prefix('*') {
            Some("") => !all.iter().any(has_a_rule),
            Some(ending) => host.ends_with(ending) && !all.iter().any(has_a_rule),
            None => *own == host,
        })
    });
    let is_own_path = scope.paths.iter().any(|own| match own {
        PathPattern::Exact(own) => path == own,
        PathPattern::Prefix(own) => {
            let rest = path.strip_prefix(own.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    });
    is_own_host && is_own_path
}
