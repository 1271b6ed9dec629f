//! What keeps requests from replicas: the keys of that, for all paths of a service and for some of them.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use proxy::{
    BasicAuth, ForwardAuth, Location, Networks, PathPattern, Policies, Protection, RateKey, RateLimit,
    RatePeriod,
};

use crate::form::{Choice, Flag, List, Maybe, Size, Text, Whole};
use crate::keys::{Key, Keys, Level, Table, Told};
use crate::{value, web};

const NETWORKS_MAX: usize = 1000;
const BODY_LIMITS: RangeInclusive<u64> = 0..=1 << 44;
/// What browsers show where nothing else is said.
const REALM_DEFAULT: &str = "restricted";
const RATE_LIMITS: RangeInclusive<u32> = 1..=1_000_000;

/// The keys of a protection as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProtectionKeys {
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
    pub(crate) needs_certificate: bool,
    pub(crate) max_body: Option<u64>,
    pub(crate) rate_limit: Option<RateKeys>,
    pub(crate) basic_auth: Option<PathBuf>,
    pub(crate) basic_auth_realm: Option<String>,
    pub(crate) forward_auth: Option<ForwardAuth>,
    /// Only some paths have it.
    pub(crate) is_public: bool,
}

/// Those of a rate limit.
#[derive(Clone, Debug)]
pub(crate) struct RateKeys {
    pub(crate) requests: Option<u32>,
    pub(crate) per: RatePeriod,
    pub(crate) burst: Option<u32>,
    pub(crate) by: RateKey,
}

/// Those of some paths of a service.
#[derive(Clone, Debug)]
pub(crate) struct LocationKeys {
    pub(crate) path: Option<PathPattern>,
    pub(crate) protection: ProtectionKeys,
}

impl ProtectionKeys {
    /// The keys that stand for a protection.
    fn of(protection: &Protection) -> Self {
        let Networks { allow, deny } = protection.networks.clone().unwrap_or_default();
        let rate_limit = protection.rate_limit.clone().map(|RateLimit { requests, per, burst, by }| {
            RateKeys { requests: Some(requests), per, burst: Some(burst), by }
        });
        Self {
            allow,
            deny,
            needs_certificate: protection.needs_certificate,
            max_body: protection.max_body,
            rate_limit,
            basic_auth: protection.basic_auth.as_ref().map(|it| it.file.clone()),
            basic_auth_realm: protection.basic_auth.as_ref().map(|it| it.realm.clone()),
            forward_auth: protection.forward_auth.clone(),
            is_public: protection.is_public,
        }
    }

    /// What they say together.
    pub(crate) fn protection(self) -> Protection {
        let networks = Networks { allow: self.allow, deny: self.deny };
        let rate_limit = self.rate_limit.map(|RateKeys { requests, per, burst, by }| {
            let requests = requests.unwrap_or(*RATE_LIMITS.end());
            RateLimit { requests, per, burst: burst.unwrap_or(requests), by }
        });
        Protection {
            networks: Some(networks).filter(|networks| !networks.are_open()),
            needs_certificate: self.needs_certificate,
            rate_limit,
            max_body: self.max_body,
            basic_auth: self.basic_auth.map(|file| BasicAuth {
                file,
                realm: self.basic_auth_realm.unwrap_or_else(|| REALM_DEFAULT.into()),
            }),
            forward_auth: self.forward_auth,
            is_public: self.is_public,
        }
    }

    fn walk_keys(&mut self, keys: &mut impl Keys, rate_limit: Table, forward_auth: Table) {
        let list = |example| List {
            each: Text::of("string", value::address_range),
            example,
            most: Some(NETWORKS_MAX),
        };
        keys.key(
            Key::new(
                "allow",
                list("allow = [\"10.0.0.0/8\"]"),
                "IP addresses, and ranges of them, of the only clients that may come; others get 403",
            )
            .default(Told::Instead("all")),
            &mut self.allow,
        );
        keys.key(
            Key::new(
                "deny",
                list("deny = [\"192.0.2.7\"]"),
                "clients that may not come, also if they are in `allow`; they get 403",
            )
            .default(Told::Instead("none")),
            &mut self.deny,
        );
        keys.key(
            Key::new(
                "require_certificate",
                Flag,
                "whether those alone may come who have shown a certificate that a `client_authority` vouches for; others \
                 get 403",
            ),
            &mut self.needs_certificate,
        );
        keys.key(
            Key::new(
                "max_body",
                Maybe(Size(BODY_LIMITS)),
                "the largest body of a request; a larger one gets 413, before a replica is asked where its length \
                 is said before",
            )
            .default(Told::Instead("no limit")),
            &mut self.max_body,
        );
        self.walk_sign_in(keys);
        keys.optional(rate_limit, &mut self.rate_limit);
        keys.optional(forward_auth, &mut self.forward_auth);
    }

    fn walk_sign_in(&mut self, keys: &mut impl Keys) {
        keys.key(
            Key::new(
                "basic_auth",
                Maybe(Text::path(value::file)),
                "a file of names and hashes of passwords, as `htpasswd -B` writes it, of those who may come; others get \
                 401, see [Passwords](#passwords)",
            )
            .default(Told::Instead("nobody is asked")),
            &mut self.basic_auth,
        );
        keys.key(
            Key::new(
                "basic_auth_realm",
                Maybe(Text::of("string", value::realm)),
                "what browsers are told that these are for",
            )
            .default(Told::Instead("the word `restricted`"))
            .limits(Told::Instead("1–64 printable ASCII characters without `\"` and `\\`")),
            &mut self.basic_auth_realm,
        );
    }

    /// The keys of a service.
    pub(crate) fn walk(&mut self, keys: &mut impl Keys) {
        let says = "how often requests may come; more get 429";
        let rate_limit = Table::new("rate_limit", "[service.rate_limit]", says).default("no limit");
        let says = "which other service is asked whether a request may pass";
        let forward_auth =
            Table::new("forward_auth", "[service.forward_auth]", says).default("nobody is asked");
        self.walk_keys(keys, rate_limit, forward_auth);
    }
}

impl Level for RateKeys {
    fn blank() -> Self {
        Self { requests: None, per: RatePeriod::Second, burst: None, by: RateKey::Client }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let says = "how many requests may come in the time `per`, evenly spread";
        let requests = Key::new("requests", Maybe(Whole(RATE_LIMITS)), says);
        keys.key(requests.default(Told::Instead("required")), &mut self.requests);
        let periods = [RatePeriod::Second, RatePeriod::Minute, RatePeriod::Hour, RatePeriod::Day];
        keys.key(
            Key::new(
                "per",
                Choice::between(periods.map(RatePeriod::name), periods),
                "the time that is meant",
            ),
            &mut self.per,
        );
        let says = "how many may come at once after a pause, these included that the rate allows";
        let burst = Key::new("burst", Maybe(Whole(RATE_LIMITS)), says);
        keys.key(burst.default(Told::Instead("`requests`")), &mut self.burst);
        keys.key(
            Key::new(
                "by",
                Text { kind: "string", parse: value::rate_key, show: value::shown_rate_key },
                "what is counted by itself: each client (an IPv4 address, or an IPv6 network /64), each value of a \
                 header, each [key](#keys) of the service, or the service as a whole. What has no such value, or an \
                 empty one, is counted by its client",
            )
            .limits(Told::Instead("`\"client\"`, `\"header:NAME\"`, `\"key\"`, `\"service\"`")),
            &mut self.by,
        );
    }
}

impl LocationKeys {
    /// The keys that stand for the locations of a service.
    pub(crate) fn of(policies: &Policies) -> Vec<Self> {
        let of = |Location { path, protection }: &Location| Self {
            path: Some(path.clone()),
            protection: ProtectionKeys::of(protection),
        };
        policies.locations.iter().map(of).collect()
    }

    /// The keys that stand for what is for all paths.
    pub(crate) fn of_all(policies: &Policies) -> ProtectionKeys {
        ProtectionKeys::of(&policies.protection)
    }
}

impl Level for LocationKeys {
    fn blank() -> Self {
        Self { path: None, protection: ProtectionKeys::default() }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        keys.key(
            Key::new(
                "path",
                Maybe(Text::of("string", web::path_pattern)),
                "which paths are meant, as `path` of the service; of several locations, the one counts that a service \
                 with this path would",
            )
            .default(Told::Instead("required"))
            .limits(Told::Instead("at most 1024 characters, begins with `/` or `=/`")),
            &mut self.path,
        );
        keys.key(
            Key::new(
                "public",
                Flag,
                "whether nobody is asked here who they are, though elsewhere in the service they are (`basic_auth`, `forward_auth`)",
            ),
            &mut self.protection.is_public,
        );
        let says = "the same, for these paths";
        let rate_limit = Table::new("rate_limit", "[service.location.rate_limit]", says);
        let forward_auth = Table::new("forward_auth", "[service.location.forward_auth]", says);
        let [rate_limit, forward_auth] =
            [rate_limit, forward_auth].map(|it| it.default("as for the service"));
        self.protection.walk_keys(keys, rate_limit, forward_auth);
    }
}
