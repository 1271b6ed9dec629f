//! Requests that are sent elsewhere: the keys of `[[redirect]]`.

use proxy::Redirect;

use super::scope::ScopeKeys;
use crate::fields::Status;
use crate::form::{Flag, Maybe, Text};
use crate::keys::{Key, Keys, Level, Told};
use crate::web;

/// Those that send elsewhere. 303 makes a GET of everything, 307 and 308 keep the method.
const STATUSES: &[u16] = &[301, 302, 303, 307, 308];
const STATUS_DEFAULT: u16 = 308;

/// A redirect as its keys have it.
#[derive(Clone, Debug)]
pub(crate) struct RedirectKeys {
    pub(crate) scope: ScopeKeys,
    pub(crate) to: Option<String>,
    pub(crate) status: u16,
    pub(crate) keeps_rest: bool,
}

impl RedirectKeys {
    /// The keys that stand for a redirect.
    pub(crate) fn of(redirect: &Redirect) -> Self {
        Self {
            scope: ScopeKeys::of(&redirect.scope),
            to: Some(redirect.to.clone()),
            status: redirect.status,
            keeps_rest: redirect.keeps_rest,
        }
    }
}

impl Level for RedirectKeys {
    fn blank() -> Self {
        Self { scope: ScopeKeys::default(), to: None, status: STATUS_DEFAULT, keeps_rest: true }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        self.scope.walk(keys);
        keys.key(
            Key::new(
                "to",
                Maybe(Text::of("string", web::redirect_target)),
                "where to: a path (`\"/new\"`), or `https://` (or `http://`), a host, and maybe a path",
            )
            .default(Told::Instead("required"))
            .limits(Told::Instead("at most 1024 characters")),
            &mut self.to,
        );
        keys.key(
            Key::new(
                "status",
                Status(STATUSES),
                "308 and 301 are for good, 307 and 302 for now; 308 and 307 keep the method, 303 makes a GET of it",
            ),
            &mut self.status,
        );
        keys.key(
            Key::new(
                "keep_rest",
                Flag,
                "whether what stands behind `path`, and the query, comes behind `to`: with `path = \"/old\"` and \
                 `to = \"/new\"`, `/old/x?y` goes to `/new/x?y`; otherwise it goes to `/new`",
            ),
            &mut self.keeps_rest,
        );
    }
}
