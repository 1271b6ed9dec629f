//! The limits of requests under way: of a service, and of all services together. What a service may have of
//! all is divided so that one whose requests hang leaves room for the others. Decides who enters, and keeps
//! nobody waiting by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::respond::limit::Limit;
use crate::settings::RequestLimits;
use crate::travel::waiting_room::WaitingRoom;
use crate::wire::line::{Line, wait_in};
use crate::wire::places::{Places, UNLIMITED, Usage};

/// Of the places for all requests, this part is divided among the services: each has its own share, which no
/// other takes. The rest is for whoever comes first.
const DIVIDED_PART: usize = 2;

/// The places for the requests of all services.
#[derive(Debug)]
pub(crate) struct AllRequests {
    most: AtomicUsize,
    /// Those that belong to no service.
    common: Places,
}

impl Default for AllRequests {
    fn default() -> Self {
        Self { most: AtomicUsize::new(UNLIMITED), common: Places::new(UNLIMITED) }
    }
}

impl AllRequests {
    /// So many from now on; to be divided anew.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Divides them among these services.
    pub(crate) fn divide<'a>(&self, services: impl ExactSizeIterator<Item = &'a Limits>) {
        let most = self.most.load(Ordering::Relaxed);
        let count = services.len();
        let share = share(most, count);
        services.for_each(|limits| limits.own.set_most(share));
        let common = if most == UNLIMITED { UNLIMITED } else { most.saturating_sub(share * count) };
        self.common.set_most(common);
    }
}

/// What each of so many services has for itself.
fn share(most: usize, services: usize) -> usize {
    match services {
        _ if most == UNLIMITED => UNLIMITED,
        0 | 1 => most,
        _ => (most / DIVIDED_PART / services).max(1),
    }
}

/// The limits of one service, in all workers.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: Places,
    /// Its share of the places for all requests.
    own: Places,
    all: Arc<AllRequests>,
    /// Whether it has no more than its share: its requests are nobody's whom somebody waits for.
    is_apart: AtomicBool,
    /// Those who wait for a place inside a replica, because each has as many requests as it may.
    pub(crate) replicas: Line,
    /// Everybody who waits for anything.
    pub(crate) room: WaitingRoom,
}

/// A request's places; dropping it leaves them.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    limits: &'a Limits,
    has_service_place: bool,
    of_all: OfAll,
}

/// Which of the places for all requests it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfAll {
    None,
    Own,
    Common,
}

impl Limits {
    pub(crate) fn new(settings: &RequestLimits, all: &Arc<AllRequests>) -> Self {
        let limits = Self {
            requests: Places::new(UNLIMITED),
            own: Places::new(UNLIMITED),
            all: Arc::clone(all),
            is_apart: AtomicBool::new(false),
            replicas: Line::default(),
            room: WaitingRoom::default(),
        };
        limits.set(settings);
        limits
    }

    /// The service has other settings from now on.
    pub(crate) fn set(&self, settings: &RequestLimits) {
        self.requests.set_most(settings.requests.unwrap_or(UNLIMITED));
    }

    /// Whether it has no more than its share of the places for all requests.
    pub(crate) fn keep_apart(&self, is_apart: bool) {
        self.is_apart.store(is_apart, Ordering::Relaxed);
    }

    /// Takes a place that is for whoever comes first, in this way.
    fn take_common(&self, take: impl Fn(&Places) -> bool) -> bool {
        !self.is_apart.load(Ordering::Relaxed) && take(&self.all.common)
    }

    /// Lets a request in, if the limits allow it and nobody waits.
    pub(crate) fn enter(&self) -> Option<Admission<'_>> {
        let mut admission = self.enter_service()?;
        self.enter_all(&mut admission).then_some(admission)
    }

    /// Gives a request a place of the service, if one is free for which nobody waits.
    pub(crate) fn enter_service(&self) -> Option<Admission<'_>> {
        let has_service_place = self.requests.are_limited();
        if has_service_place && !self.requests.take() {
            return None;
        }
        Some(Admission { limits: self, has_service_place, of_all: OfAll::None })
    }

    /// Waits for a place of the service. Dropping the future leaves the line.
    pub(crate) async fn wait_for_service(&self) -> Admission<'_> {
        wait_in([&self.requests.line], || self.requests.take_in_turn().then_some(())).await;
        self.requests.call_next_if_free();
        Admission { limits: self, has_service_place: true, of_all: OfAll::None }
    }

    /// Gives whoever has a place of the service one of those for all requests, too, if one is free for
    /// which nobody waits; whether that was so.
    pub(crate) fn enter_all(&self, admission: &mut Admission<'_>) -> bool {
        admission.of_all = match () {
            () if !self.own.are_limited() => OfAll::None,
            () if self.own.take() => OfAll::Own,
            () if self.take_common(Places::take) => OfAll::Common,
            () => return false,
        };
        true
    }

    /// Waits for one of the places for all requests.
    pub(crate) async fn wait_for_all<'a>(&self, mut admission: Admission<'a>) -> Admission<'a> {
        let (own, common) = (&self.own, &self.all.common);
        admission.of_all = wait_in([&own.line, &common.line], || match () {
            () if own.take_in_turn() => Some(OfAll::Own),
            () if self.take_common(Places::take_in_turn) => Some(OfAll::Common),
            () => None,
        })
        .await;
        own.call_next_if_free();
        common.call_next_if_free();
        admission
    }

    /// How far a limit is used, if it is set: by how many, and how many are allowed.
    pub(crate) fn usage(&self, limit: Limit) -> Option<Usage> {
        let places = match limit {
            Limit::ServiceRequests => [Some(&self.requests), None],
            Limit::Requests => [Some(&self.own), Some(&self.all.common)],
            Limit::ReplicaRequests | Limit::ReplicaConnections => return None,
        };
        let usages = places.into_iter().flatten().map(Places::usage).filter(Usage::is_limited);
        usages.reduce(|one, other| Usage { taken: one.taken + other.taken, most: one.most + other.most })
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        match self.of_all {
            OfAll::None => {}
            OfAll::Own => self.limits.own.give_back(),
            OfAll::Common => self.limits.all.common.give_back(),
        }
        if self.has_service_place {
            self.limits.requests.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: &Arc<AllRequests>, requests: Option<usize>) -> Limits {
        Limits::new(&RequestLimits { requests, ..RequestLimits::default() }, all)
    }

    fn enter_all<'a>(limits: &'a Limits) -> Vec<Admission<'a>> {
        std::iter::from_fn(|| limits.enter()).take(1000).collect()
    }

    #[test]
    fn what_is_not_limited_is_not_counted() {
        let all = Arc::default();
        let limits = limits(&all, None);
        let inside = enter_all(&limits);
        assert_eq!(inside.len(), 1000);
        assert_eq!((limits.own.taken(), limits.requests.taken(), all.common.taken()), (0, 0, 0));
    }

    #[test]
    fn a_service_has_no_more_than_its_limit_and_leaves() {
        let limits = limits(&Arc::default(), Some(7));
        let inside = enter_all(&limits);
        assert_eq!(inside.len(), 7);
        drop(inside);
        assert_eq!(enter_all(&limits).len(), 7);
    }

    #[test]
    fn one_service_leaves_the_others_their_share() {
        let all = Arc::<AllRequests>::default();
        all.set_most(100);
        let services = [None, None, Some(3)].map(|requests| limits(&all, requests));
        all.divide(services.iter());
        let first = enter_all(&services[0]);
        assert_eq!(first.len(), 100 - 2 * 16, "its own, and all that is common");
        let second = enter_all(&services[1]);
        assert_eq!(second.len(), 16);
        assert_eq!(enter_all(&services[2]).len(), 3, "a share is no more than its own limit");
        drop(first);
        assert_eq!(enter_all(&services[2]).len(), 3);
        drop(second);
        assert_eq!(enter_all(&services[1]).len(), 100 - 2 * 16);
        assert!(services.iter().all(|limits| limits.own.taken() == 0) && all.common.taken() == 0);
    }

    #[test]
    fn who_is_kept_apart_has_its_share_alone() {
        let all = Arc::<AllRequests>::default();
        all.set_most(100);
        let services = [None, None].map(|requests| limits(&all, requests));
        services[1].keep_apart(true);
        all.divide(services.iter());
        let copies = enter_all(&services[1]);
        assert_eq!((copies.len(), all.common.taken()), (25, 0));
        assert_eq!(enter_all(&services[0]).len(), 75);
    }

    #[test]
    fn a_service_that_is_alone_has_everything() {
        let all = Arc::<AllRequests>::default();
        all.set_most(100);
        let only = limits(&all, None);
        all.divide(std::iter::once(&only));
        let inside = enter_all(&only);
        assert_eq!(inside.len(), 100);
        // Another one comes: what is taken stays taken, and the newcomer has its share.
        let other = limits(&all, None);
        all.divide([&only, &other].into_iter());
        assert_eq!(enter_all(&other).len(), 75);
        drop(inside);
        assert_eq!(enter_all(&only).len(), 75);
    }

    #[test]
    fn very_few_places_are_still_one_for_each() {
        for (most, services, each) in [(UNLIMITED, 3, UNLIMITED), (5, 0, 5), (5, 1, 5), (8, 2, 2), (2, 9, 1)]
        {
            assert_eq!(share(most, services), each, "{most} for {services}");
        }
    }
}
