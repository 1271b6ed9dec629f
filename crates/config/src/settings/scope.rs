//! Which requests a service or a redirect is for: the keys that say it, in their short and in their long
//! form.

use proxy::{PathPattern, Scope};

use crate::form::{Flag, List, Maybe, Text};
use crate::keys::{Key, Keys, Told};
use crate::web;

/// The most hosts, and the most paths, of one service or redirect.
const HOSTS_MAX: usize = 256;
const PATHS_MAX: usize = 64;

/// The keys as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeKeys {
    pub(crate) host: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) path: Option<PathPattern>,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) listeners: Vec<String>,
    pub(crate) is_default: bool,
    /// No client can ask for it. Only services have this.
    pub(crate) is_internal: bool,
}

impl ScopeKeys {
    /// The keys that stand for a scope.
    pub(crate) fn of(scope: &Scope) -> Self {
        let is_internal = *scope == Scope::nothing();
        let Scope { hosts, paths, listeners, is_default } = scope.clone();
        Self { hosts, paths, listeners, is_default, is_internal, ..Self::default() }
    }

    /// What they say together.
    pub(crate) fn scope(self) -> Scope {
        if self.is_internal {
            return Scope::nothing();
        }
        let hosts: Vec<String> = self.host.into_iter().chain(self.hosts).collect();
        let paths: Vec<PathPattern> = self.path.into_iter().chain(self.paths).collect();
        let all = Scope::default();
        // Who says nothing else, and is for what others leave, is for that alone.
        let (hosts, paths) = match (hosts.is_empty(), paths.is_empty()) {
            (true, true) if self.is_default => (hosts, paths),
            (is_any_host, is_any_path) => {
                (if is_any_host { all.hosts } else { hosts }, if is_any_path { all.paths } else { paths })
            }
        };
        Scope { hosts, paths, listeners: self.listeners, is_default: self.is_default }
    }

    /// The key of a service that is there for others.
    pub(crate) fn walk_internal(&mut self, keys: &mut impl Keys) {
        keys.key(
            Key::new(
                "internal",
                Flag,
                "whether no client's request comes here, so that only `forward_auth` of other services asks it",
            ),
            &mut self.is_internal,
        );
    }

    pub(crate) fn walk(&mut self, keys: &mut impl Keys) {
        keys.key(
            Key::new(
                "host",
                Maybe(Text::of("string", web::host)),
                "whose requests are meant: `\"*\"` for every host, `\"example.org\"` for one, `\"*.example.org\"` for \
                 those below it; without a port; lower and upper case are the same",
            )
            .default(Told::Instead("`\"*\"`")),
            &mut self.host,
        );
        let each = Text::of("string", web::host);
        let example = "hosts = [\"example.org\", \"www.example.org\"]";
        keys.key(
            Key::new(
                "hosts",
                List { each, example, most: Some(HOSTS_MAX) },
                "several of them, in the place of `host`",
            )
            .default(Told::Instead("none")),
            &mut self.hosts,
        );
        keys.key(
            Key::new(
                "path",
                Maybe(Text::of("string", web::path_pattern)),
                "which paths are meant: `\"/api\"` is that one and those below it (`/api/x`, not `/apis`), `\"=/api\"` that one \
                 alone; see [Routes](#routes)",
            )
            .default(Told::Instead("`\"/\"`"))
            .limits(Told::Instead("at most 1024 characters, begins with `/` or `=/`")),
            &mut self.path,
        );
        keys.key(
            Key::new("paths", web::Paths { most: PATHS_MAX }, "several of them, in the place of `path`")
                .default(Told::Instead("none")),
            &mut self.paths,
        );
        let each = Text::of("string", web::listener_name);
        keys.key(
            Key::new(
                "listeners",
                List { each, example: "listeners = [\"https\"]", most: None },
                "the names of the listeners that requests may come in by",
            )
            .default(Told::Instead("all")),
            &mut self.listeners,
        );
        keys.key(
            Key::new(
                "default",
                Flag,
                "whether those are meant, too, that nobody else is for; without `host` and `path`, only those",
            ),
            &mut self.is_default,
        );
    }
}
