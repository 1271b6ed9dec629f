//! From a request to the service that it is for, or to where it is sent elsewhere. The routes are one value,
//! published and swapped whole, as a routing table is; which of them counts for a request is in `rules`.

pub(crate) mod explained;
pub(crate) mod rules;

use std::sync::Arc;

use h1::RequestHead;
use tokio::sync::watch;

use crate::policies::Policies;
use crate::policies::basic_auth::files::PasswordFiles;
use crate::policies::protection::{Guards, Protections};
use crate::policies::redirect::{Redirect, Redirection};
use crate::settings::ServiceSettings;
use crate::travel::limits::{AllRequests, Limits};
use crate::travel::path_rule::Reading;
use crate::travel::scope::Scope;
use rules::{Arrival, Rules, Way};

/// All services and redirects, and how they are found. Never changed.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    redirections: Vec<Arc<Redirection>>,
    rules: Rules,
}

/// The way to one service.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) settings: Arc<ServiceSettings>,
    /// Shared by all workers.
    pub(crate) limits: Arc<Limits>,
    /// So is this.
    pub(crate) guards: Arc<Guards>,
    /// The places of those that take a part of its requests.
    pub(crate) canaries: Vec<usize>,
    /// Of those that get copies of them.
    pub(crate) mirrors: Vec<usize>,
}

/// Where requests may go: what routes are made of.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// The services. Each has another name.
    pub services: Vec<ServiceSettings>,
    /// Who is sent elsewhere.
    pub redirects: Vec<Redirect>,
}

impl From<Vec<ServiceSettings>> for Destinations {
    fn from(services: Vec<ServiceSettings>) -> Self {
        Self { services, redirects: Vec::new() }
    }
}

/// The first routes, and the two ends through which they are replaced and seen.
pub fn routes(first: impl Into<Destinations>) -> (RoutesPublisher, RoutesReader) {
    let common = Common::default();
    let all = Arc::clone(&common.requests);
    let (sender, receiver) = watch::channel(Arc::new(Routes::new(first.into(), None, &common)));
    (RoutesPublisher { sender, common }, RoutesReader { receiver, all })
}

/// What the services of a balancer have in common.
#[derive(Debug, Default)]
pub(crate) struct Common {
    requests: Arc<AllRequests>,
    passwords: Arc<PasswordFiles>,
}

/// The only one who replaces the routes.
#[derive(Debug)]
pub struct RoutesPublisher {
    sender: watch::Sender<Arc<Routes>>,
    common: Common,
}

/// Sees the routes as they are.
#[derive(Clone, Debug)]
pub struct RoutesReader {
    receiver: watch::Receiver<Arc<Routes>>,
    all: Arc<AllRequests>,
}

impl RoutesPublisher {
    /// Replaces the routes by those to these destinations, for requests that come from now on; those that are
    /// on their way stay on it. A service is known by its name: one that stays keeps its connections, its
    /// replay budget, its counters, and those who are under way or wait, also if its settings have changed.
    /// Returns before the workers have taken notice, which they do at once.
    pub fn publish(&mut self, destinations: impl Into<Destinations>) {
        let routes = Routes::new(destinations.into(), Some(&self.sender.borrow()), &self.common);
        self.sender.send_replace(Arc::new(routes));
    }
}

impl RoutesReader {
    /// The routes of this moment.
    pub(crate) fn load(&mut self) -> Arc<Routes> {
        Arc::clone(&self.receiver.borrow_and_update())
    }

    /// The same, for somebody who does not follow them.
    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.receiver.borrow())
    }

    /// The next routes after those that were loaded last; none if nobody can replace them any more.
    pub(crate) async fn next(&mut self) -> Option<Arc<Routes>> {
        self.receiver.changed().await.ok()?;
        Some(self.load())
    }

    /// So many requests may be under way in all from now on.
    pub(crate) fn limit_requests(&self, most: usize) {
        self.all.set_most(most);
        self.receiver.borrow().divide(&self.all);
    }

    /// The limits of the services of this moment.
    pub(crate) fn limits(&self, service: &str) -> Option<Arc<Limits>> {
        let routes = self.receiver.borrow();
        let route = routes.iter().find(|route| route.settings.name == service)?;
        Some(Arc::clone(&route.limits))
    }

    /// The names of the services of this moment.
    pub(crate) fn names(&self) -> Vec<String> {
        self.receiver.borrow().iter().map(|route| route.settings.name.clone()).collect()
    }
}

impl Routes {
    pub(crate) fn new(to: Destinations, former: Option<&Self>, common: &Common) -> Self {
        let same = |settings: &ServiceSettings| {
            former.and_then(|former| former.iter().find(|route| route.settings.name == settings.name))
        };
        let limits = |settings: &ServiceSettings| {
            let Some(same) = same(settings) else {
                return Arc::new(Limits::new(&settings.limits, &common.requests));
            };
            same.limits.set(&settings.limits);
            Arc::clone(&same.limits)
        };
        let guards = |settings: &ServiceSettings| {
            let Policies { protection, locations, .. } = &settings.policies;
            let all = Protections { general: protection, locations };
            Arc::new(Guards::new(&all, &common.passwords, same(settings).map(|same| &*same.guards)))
        };
        let route = |settings: ServiceSettings| Route {
            limits: apart(limits(&settings), &settings),
            guards: guards(&settings),
            settings: settings.into(),
            canaries: Vec::new(),
            mirrors: Vec::new(),
        };
        let mut routes =
            Self { routes: to.services.into_iter().map(route).collect(), ..Self::redirecting(&to.redirects) };
        for (place, route) in routes.routes.iter().enumerate() {
            routes.rules.add(&route.settings.scope, Way::Service(place));
        }
        routes.join_companions();
        routes.divide(&common.requests);
        routes
    }

    /// The redirects alone. How much of a path they replace depends on the path that they were found by.
    fn redirecting(redirects: &[Redirect]) -> Self {
        let (mut redirections, mut rules) = (Vec::new(), Rules::default());
        for redirect in redirects {
            let of_path = |path| Scope { paths: vec![path], is_default: false, ..redirect.scope.clone() };
            let scopes = redirect.scope.paths.iter().cloned().map(of_path);
            let others = Scope { paths: Vec::new(), ..redirect.scope.clone() };
            for (scope, redirection) in scopes.chain([others]).zip(redirect.redirections()) {
                rules.add(&scope, Way::Redirect(redirections.len()));
                redirections.push(Arc::new(redirection));
            }
        }
        Self { routes: Vec::new(), redirections, rules }
    }

    /// Canaries and mirrors are known to those whose requests they get.
    fn join_companions(&mut self) {
        for place in 0..self.routes.len() {
            let Policies { canary, mirror, .. } = &self.routes[place].settings.policies;
            let find = |name: &str| self.routes.iter().position(|route| route.settings.name == name);
            let tried = canary.as_ref().and_then(|canary| find(&canary.of));
            let copied = mirror.as_ref().and_then(|mirror| find(&mirror.of));
            if let Some(of) = tried {
                self.routes[of].canaries.push(place);
            }
            if let Some(of) = copied {
                self.routes[of].mirrors.push(place);
            }
        }
    }

    /// The way to the service in this place.
    pub(crate) fn at(&self, place: usize) -> Option<&Route> {
        self.routes.get(place)
    }

    fn divide(&self, all: &AllRequests) {
        all.divide(self.routes.iter().map(|route| &*route.limits));
    }

    /// All services, in the order in which they were given.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The way of a request, if this is its path.
    pub(crate) fn find(&self, arrival: Arrival<'_>, path: &[u8], reading: Reading) -> Option<Way> {
        self.rules.find(arrival, path, reading)
    }

    /// Whether anybody is for this host, whatever the path and the listener.
    pub(crate) fn know_host(&self, head: &RequestHead) -> bool {
        self.rules.know_host(head.host().unwrap_or_default())
    }

    /// What is set for the service that was found, if one was.
    pub(crate) fn settings(&self, way: Option<Way>) -> Option<&ServiceSettings> {
        match way {
            Some(Way::Service(place)) => Some(&self.routes[place].settings),
            Some(Way::Redirect(_)) | None => None,
        }
    }

    /// The place of the location that a path has in the service that was found, if it is in one.
    pub(crate) fn location(&self, way: Option<Way>, path: &[u8], reading: Reading) -> Option<usize> {
        match way {
            Some(Way::Service(place)) => self.routes[place].guards.location(path, reading),
            Some(Way::Redirect(_)) | None => None,
        }
    }

    /// The redirect that was found.
    pub(crate) fn redirection(&self, place: usize) -> Option<&Arc<Redirection>> {
        self.redirections.get(place)
    }
}

/// Copies for a mirror have no places that requests of clients wait for.
fn apart(limits: Arc<Limits>, settings: &ServiceSettings) -> Arc<Limits> {
    limits.keep_apart(settings.policies.mirror.is_some());
    limits
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fleet::{RoutingTable, routing};
    use placement::{Placement, Rendezvous};
    use tokio::sync::mpsc;

    use crate::respond::response::ResponseStyle;
    use crate::settings::{Protocol, RequestLimits, ServiceTimeouts};
    use crate::travel::key::KeyRule;
    use crate::travel::path_form::PathForm;

    pub(crate) fn service(name: &str, host: &str, path: &str) -> ServiceSettings {
        let table = RoutingTable::new(1, Placement::Rendezvous(Rendezvous::default()), &[], 0.0);
        ServiceSettings {
            name: name.into(),
            scope: Scope { hosts: vec![host.into()], ..Scope::at(path) },
            path_form: PathForm::default(),
            key: KeyRule::Random,
            key_hash: table.key_hash(),
            sticky: None,
            style: ResponseStyle::Problem,
            protocol: Protocol::Http1,
            timeouts: ServiceTimeouts::default(),
            limits: RequestLimits::default(),
            retries: 1,
            table: routing(table).1,
            suspicions: mpsc::channel(1).0,
            policies: Policies::default(),
            files: None,
            error_pages: None,
        }
    }

    fn found(routes: &Routes, host: &str, path: &str) -> Option<String> {
        let mut head = RequestHead::default();
        head.start(b"GET", path.as_bytes(), Some(host.as_bytes())).unwrap();
        let way = routes.find(Arrival::of(&head, ""), head.path(), Reading::Narrow);
        Some(routes.settings(way)?.name.clone())
    }

    #[test]
    fn the_host_that_is_spelled_out_comes_first_then_the_longest_path() {
        let services = [
            ("all", "*", "/"),
            ("api", "*", "/api/"),
            ("shop", "shop.example", "/"),
            ("any", "*.example", "/"),
            ("older", "twice.example", "/"),
            ("newer", "twice.example", "/"),
        ];
        let services = services.map(|(name, host, path)| service(name, host, path)).to_vec();
        let routes = Routes::new(services.into(), None, &Common::default());
        for (host, path, name) in [
            ("h", "/", "all"),
            ("h", "/apis", "all"),
            ("h", "/api", "api"),
            ("h:80", "/api/x?y", "api"),
            ("SHOP.example.:8080", "/api", "shop"),
            ("a.b.example", "/api", "any"),
            (".example", "/", "all"),
            ("twice.example", "/", "newer"),
            ("[::1]:80", "/", "all"),
        ] {
            assert_eq!(found(&routes, host, path).as_deref(), Some(name), "{host} {path}");
        }
        let routes = Routes::new(vec![service("api", "*", "/api")].into(), None, &Common::default());
        assert_eq!(found(&routes, "h", "/"), None);
    }

    #[test]
    fn a_service_that_stays_keeps_its_limits_and_those_who_wait() {
        let (mut publisher, mut reader) = routes(vec![service("web", "*", "/"), service("shop", "*", "/s")]);
        let limits = |routes: &Routes, name: &str| {
            let route = routes.iter().find(|route| route.settings.name == name);
            route.map(|route| Arc::clone(&route.limits))
        };
        let first = reader.load();
        publisher.publish(vec![service("web", "a.example", "/"), service("mail", "*", "/")]);
        let second = reader.load();
        let kept = [&first, &second].map(|routes| limits(routes, "web").unwrap());
        assert!(Arc::ptr_eq(&kept[0], &kept[1]));
        assert!(limits(&second, "shop").is_none());
        publisher.publish(vec![service("shop", "*", "/s")]);
        let anew = limits(&reader.load(), "shop").unwrap();
        assert!(!Arc::ptr_eq(&anew, &limits(&first, "shop").unwrap()));
        assert_eq!(reader.names(), ["shop"]);
    }
}
