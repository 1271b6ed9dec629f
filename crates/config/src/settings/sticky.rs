//! How sessions are kept: the name of the cookie, and what browsers are told of it.

use std::time::Duration;

use proxy::{KeyRule, SameSite, StickyCookie};

use crate::form::{Choice, Maybe, Text, Time};
use crate::keys::{Key, Keys, Told};
use crate::value;

const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// A year; browsers keep no cookie for much longer.
const LIFETIME_MAX: Duration = Duration::from_hours(8766);

/// How the sessions of a service are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StickySettings {
    /// The name of the cookie, a token; without one, no sessions are kept.
    pub cookie: Option<String>,
    /// How long a browser keeps it after a visit; without it, until it is closed.
    pub lifetime: Option<Duration>,
    /// With which requests of other sites it is sent.
    pub same_site: SameSite,
}

impl StickySettings {
    /// The cookie, if sessions are kept.
    pub fn kept_by(&self) -> Option<StickyCookie> {
        let name = self.cookie.clone()?;
        Some(StickyCookie { name, lifetime: self.lifetime, same_site: self.same_site })
    }

    /// Whether a request has its place for the sake of somebody's session.
    pub(crate) fn means_session(&self, key: &KeyRule) -> bool {
        self.cookie.is_some() || matches!(key, KeyRule::Cookie(_) | KeyRule::ClientIp)
    }
}

/// Names the keys.
pub(super) fn sticky(keys: &mut impl Keys, it: &mut StickySettings) {
    keys.key(
        Key::new(
            "sticky",
            Maybe(Text::of("string", value::cookie_name)),
            "the name of a cookie by which each visitor stays at the seat that was given to the first request, see \
             [Sessions](#sessions)",
        )
        .limits(Told::Instead("at most 64 characters, a token")),
        &mut it.cookie,
    );
    keys.key(
        Key::new(
            "sticky_lifetime",
            Maybe(Time(LIFETIME_MIN..=LIFETIME_MAX)),
            "how long browsers keep that cookie after a visit",
        )
        .default(Told::Instead("until the browser is closed")),
        &mut it.lifetime,
    );
    keys.key(
        Key::new(
            "sticky_same_site",
            Choice::between(["lax", "strict", "none"], [SameSite::Lax, SameSite::Strict, SameSite::None]),
            "with which requests that other sites cause it is sent: those that lead a person here, none, or all (then \
             over TLS only)",
        ),
        &mut it.same_site,
    );
}
