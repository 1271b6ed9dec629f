//! What keeps requests from the replicas of a service: by the network that they come from, by their rate, by the
//! size of their bodies, by whether they say who sends them. A service has one such protection for all paths, and may have others for some; what one
//! of these does not say is as for all. Here they are put together; they are asked in `travel/guards.rs`.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::policies::basic_auth::files::PasswordFiles;
use crate::policies::basic_auth::{BasicAuth, SignIn};
use crate::policies::forward_auth::ForwardAuth;
use crate::policies::networks::Networks;
use crate::policies::rate::{RateLimit, RateLimiter};
use crate::policies::vouched::{USER_NAME, Vouched};
use crate::travel::path_rule::{PathRule, Reading};
use crate::travel::scope::PathPattern;

/// What is asked of requests; what is not set is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Who may come.
    pub networks: Option<Networks>,
    /// Whether those alone who have shown a certificate.
    pub needs_certificate: bool,
    /// How often.
    pub rate_limit: Option<RateLimit>,
    /// How large a body may be, in bytes.
    pub max_body: Option<u64>,
    /// Whose names and passwords are asked for.
    pub basic_auth: Option<BasicAuth>,
    /// Which other service is asked.
    pub forward_auth: Option<ForwardAuth>,
    /// Whether nobody is asked who they are, though elsewhere in the service they are.
    pub is_public: bool,
}

/// What is asked of requests with some paths. What it does not set is as for all of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Which paths.
    pub path: PathPattern,
    /// What is asked.
    pub protection: Protection,
}

/// All that is asked of the requests of a service.
pub(crate) struct Protections<'a> {
    pub(crate) general: &'a Protection,
    pub(crate) locations: &'a [Location],
}

/// The protection of a service in force, for all workers.
#[derive(Debug)]
pub(crate) struct Guards {
    general: Guard,
    /// Those that count before others come first.
    located: Vec<Located>,
    /// What replicas hear from us alone if any of them is asked who it is, whatever the path: nothing so far.
    pub(crate) reserved: Option<Box<Vouched>>,
}

#[derive(Debug)]
struct Located {
    path: PathRule,
    guard: Guard,
}

/// What a request is asked.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) networks: Option<Networks>,
    pub(crate) needs_certificate: bool,
    pub(crate) rate: Option<Arc<RateLimiter>>,
    pub(crate) max_body: Option<u64>,
    pub(crate) sign_in: Option<Arc<SignIn>>,
    pub(crate) forward_auth: Option<ForwardAuth>,
}

impl Guard {
    /// Whether it must be found out who sends a request, which may take time.
    pub(crate) fn asks_who(&self) -> bool {
        self.sign_in.is_some() || self.forward_auth.is_some()
    }

    /// What is left to ask of a request that has passed another one.
    pub(crate) fn beyond(&self, passed: &Self) -> Self {
        let is_passed =
            |limiter: &Arc<RateLimiter>| passed.rate.as_ref().is_some_and(|it| Arc::ptr_eq(it, limiter));
        let has_said =
            |sign_in: &Arc<SignIn>| passed.sign_in.as_ref().is_some_and(|it| Arc::ptr_eq(it, sign_in));
        Self {
            networks: self.networks.as_ref().filter(|it| passed.networks.as_ref() != Some(it)).cloned(),
            needs_certificate: self.needs_certificate && !passed.needs_certificate,
            rate: self.rate.as_ref().filter(|it| !is_passed(it)).cloned(),
            max_body: self.max_body.filter(|most| passed.max_body.is_none_or(|passed| passed > *most)),
            sign_in: self.sign_in.as_ref().filter(|it| !has_said(it)).cloned(),
            forward_auth: self
                .forward_auth
                .as_ref()
                .filter(|it| passed.forward_auth.as_ref() != Some(it))
                .cloned(),
        }
    }
}

impl Guards {
    /// Limits that were in force with the same settings for the same paths keep what they have counted.
    pub(crate) fn new(all: &Protections<'_>, files: &Arc<PasswordFiles>, former: Option<&Self>) -> Self {
        let limiter = |limit: &RateLimit, path: Option<&PathPattern>| {
            let same = former.and_then(|former| former.of_pattern(path)?.rate.as_ref());
            let same = same.filter(|same| same.limit == *limit);
            same.map_or_else(|| Arc::new(RateLimiter::new(limit.clone())), Arc::clone)
        };
        let guard = |protection: &Protection, path| Guard {
            networks: protection.networks.clone(),
            needs_certificate: protection.needs_certificate,
            rate: protection.rate_limit.as_ref().map(|limit| limiter(limit, path)),
            max_body: protection.max_body,
            sign_in: protection.basic_auth.as_ref().map(|it| Arc::new(SignIn::new(it, files))),
            forward_auth: protection.forward_auth.clone(),
        };
        let general = guard(all.general, None);
        let located = all.locations.iter().map(|Location { path, protection }| {
            let own = guard(protection, Some(path));
            let sign_in = own.sign_in.or_else(|| general.sign_in.clone());
            let forward_auth = own.forward_auth.or_else(|| general.forward_auth.clone());
            let guard = Guard {
                networks: own.networks.or_else(|| general.networks.clone()),
                needs_certificate: own.needs_certificate || general.needs_certificate,
                rate: own.rate.or_else(|| general.rate.clone()),
                max_body: own.max_body.or(general.max_body),
                sign_in: sign_in.filter(|_| !protection.is_public),
                forward_auth: forward_auth.filter(|_| !protection.is_public),
            };
            Located { path: PathRule::new(path), guard }
        });
        let mut located: Vec<_> = located.collect();
        located.sort_by_key(|one| Reverse(one.path.rank()));
        let guards = || located.iter().map(|one| &one.guard).chain([&general]);
        let mut reserved = Vouched::default();
        for name in guards().filter_map(|guard| guard.forward_auth.as_ref()).flat_map(|auth| &auth.copy) {
            reserved.reserve(name);
        }
        if guards().any(|guard| guard.sign_in.is_some()) {
            reserved.reserve(USER_NAME);
        }
        let reserved = guards().any(Guard::asks_who).then(|| Box::new(reserved));
        Self { general, located, reserved }
    }

    fn of_pattern(&self, path: Option<&PathPattern>) -> Option<&Guard> {
        let Some(path) = path else { return Some(&self.general) };
        self.located.iter().find(|one| one.path.pattern == *path).map(|one| &one.guard)
    }

    /// Whether anything else is asked of some paths than of others.
    pub(crate) fn has_locations(&self) -> bool {
        !self.located.is_empty()
    }

    /// The place of the location that a path is in, if it is in one.
    pub(crate) fn location(&self, path: &[u8], reading: Reading) -> Option<usize> {
        // `OPTIONS *` is about the server as a whole.
        let path = if path == b"*" { b"/" } else { path };
        self.located.iter().position(|one| one.path.is_for(path, reading))
    }

    /// What is asked there.
    pub(crate) fn at(&self, location: Option<usize>) -> &Guard {
        location.and_then(|place| self.located.get(place)).map_or(&self.general, |one| &one.guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::rate::{RateKey, RatePeriod};

    fn limit(requests: u32) -> RateLimit {
        RateLimit { requests, per: RatePeriod::Second, burst: 1, by: RateKey::Client }
    }

    fn location(path: PathPattern, max_body: Option<u64>, rate: Option<u32>) -> Location {
        let protection = Protection { max_body, rate_limit: rate.map(limit), ..Protection::default() };
        Location { path, protection }
    }

    #[test]
    fn a_location_says_what_it_says_and_leaves_the_rest() {
        let general = Protection { max_body: Some(10), rate_limit: Some(limit(5)), ..Protection::default() };
        let locations = [
            location(PathPattern::Prefix("/up".into()), Some(100), None),
            location(PathPattern::Prefix("/up/large/".into()), Some(1000), Some(1)),
            location(PathPattern::Exact("/up/large/one".into()), None, Some(2)),
        ];
        let new = |locations: &[Location], former: Option<&Guards>| {
            let all = Protections { general: &general, locations };
            Guards::new(&all, &Arc::default(), former)
        };
        let guards = new(&locations, None);
        for (path, max_body, requests) in [
            ("/", 10, 5),
            ("/upper", 10, 5),
            ("/up", 100, 5),
            ("/up/x", 100, 5),
            ("/up/large", 1000, 1),
            ("/up/large/x", 1000, 1),
            ("/up/large/one", 10, 2),
            ("/up/large/one/x", 1000, 1),
            ("*", 10, 5),
        ] {
            let guard = guards.at(guards.location(path.as_bytes(), Reading::Narrow));
            let rate = guard.rate.as_ref().unwrap();
            assert_eq!((guard.max_body, rate.limit.requests), (Some(max_body), requests), "{path}");
        }
        let shared = |path: &[u8]| guards.at(guards.location(path, Reading::Narrow)).rate.clone().unwrap();
        assert!(Arc::ptr_eq(&shared(b"/"), &shared(b"/up")), "who says nothing shares the limit of all");
        let next = new(&locations[1..2], Some(&guards));
        let kept = |guards: &Guards, path: &[u8]| {
            guards.at(guards.location(path, Reading::Narrow)).rate.clone().unwrap()
        };
        assert!(Arc::ptr_eq(&kept(&next, b"/"), &shared(b"/")), "what was counted stays");
        assert!(Arc::ptr_eq(&kept(&next, b"/up/large"), &shared(b"/up/large")));
    }
}
