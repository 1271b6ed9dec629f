//! From a request to the service that it is for: by host, then by the longest path prefix. The routes are
//! one value, published and swapped whole, as a routing table is.

use std::cmp::Reverse;
use std::sync::Arc;

use h1::RequestHead;
use tokio::sync::watch;

use crate::settings::ServiceSettings;
use crate::travel::waiting_room::WaitingRoom;

/// All services, in the order in which they are asked whether a request is theirs. Never changed.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<Route>,
}

/// The way to one service.
#[derive(Debug)]
pub(crate) struct Route {
    host: Host,
    /// The path prefix, without the slash that it may end with.
    prefix: Box<str>,
    pub(crate) settings: Arc<ServiceSettings>,
    /// Shared by all workers.
    pub(crate) room: Arc<WaitingRoom>,
}

/// Which hosts a service is for.
#[derive(Debug)]
enum Host {
    Any,
    /// Those with something before this.
    EndsWith(Box<str>),
    Is(Box<str>),
}

/// The first routes, and the two ends through which they are replaced and seen.
pub fn routes(first: Vec<ServiceSettings>) -> (RoutesPublisher, RoutesReader) {
    let (sender, receiver) = watch::channel(Arc::new(Routes::new(first, None)));
    (RoutesPublisher { sender }, RoutesReader { receiver })
}

/// The only one who replaces the routes.
#[derive(Debug)]
pub struct RoutesPublisher {
    sender: watch::Sender<Arc<Routes>>,
}

/// Sees the routes as they are.
#[derive(Clone, Debug)]
pub struct RoutesReader {
    receiver: watch::Receiver<Arc<Routes>>,
}

impl RoutesPublisher {
    /// Replaces the routes by those to these services, for requests that come from now on; those that are
    /// on their way stay on it. A service is known by its name: one that stays keeps its connections, its
    /// replay budget, its counters, and those who wait for its replicas, also if its settings have changed.
    /// Returns before the workers have taken notice, which they do at once.
    pub fn publish(&mut self, services: Vec<ServiceSettings>) {
        let routes = Routes::new(services, Some(&self.sender.borrow()));
        self.sender.send_replace(Arc::new(routes));
    }
}

impl RoutesReader {
    /// The routes of this moment.
    pub(crate) fn load(&mut self) -> Arc<Routes> {
        Arc::clone(&self.receiver.borrow_and_update())
    }

    /// The next routes after those that were loaded last; none if nobody can replace them any more.
    pub(crate) async fn next(&mut self) -> Option<Arc<Routes>> {
        self.receiver.changed().await.ok()?;
        Some(self.load())
    }

    /// The names of the services of this moment.
    pub(crate) fn names(&self) -> Vec<String> {
        self.receiver.borrow().iter().map(|route| route.settings.name.clone()).collect()
    }
}

impl Routes {
    fn new(services: Vec<ServiceSettings>, former: Option<&Self>) -> Self {
        let room = |name: &str| {
            let same = former.and_then(|former| former.iter().find(|route| route.settings.name == name));
            same.map_or_else(Arc::default, |route| Arc::clone(&route.room))
        };
        let route = |settings: ServiceSettings| Route {
            host: Host::of(&settings.host),
            prefix: settings.path.trim_end_matches('/').into(),
            room: room(&settings.name),
            settings: Arc::new(settings),
        };
        // Among equals the last one counts.
        let mut routes: Vec<Route> = services.into_iter().rev().map(route).collect();
        // The more of the host is spelled out the better, then the longer the path.
        routes.sort_by_key(|route| Reverse((route.host.rank(), route.settings.path.len())));
        Self { routes }
    }

    /// In the order in which they are asked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The place of the one that a request goes by.
    pub(crate) fn find(&self, head: &RequestHead) -> Option<usize> {
        let host = head.host().map(name_of).unwrap_or_default();
        // `OPTIONS *` is about the server as a whole.
        let path = if head.path() == b"*" { b"/" } else { head.path() };
        self.routes.iter().position(|route| route.host.matches(host) && route.is_prefix_of(path))
    }
}

impl Route {
    /// A prefix ends at a slash: /api is for /api and /api/x, not for /apis.
    fn is_prefix_of(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.prefix.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

impl Host {
    fn of(pattern: &str) -> Self {
        match pattern.strip_prefix('*') {
            Some("") => Self::Any,
            Some(end) => Self::EndsWith(end.into()),
            None => Self::Is(pattern.into()),
        }
    }

    fn matches(&self, host: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::EndsWith(end) => {
                let start = host.len().saturating_sub(end.len());
                start > 0 && host[start..].eq_ignore_ascii_case(end.as_bytes())
            }
            Self::Is(name) => host.eq_ignore_ascii_case(name.as_bytes()),
        }
    }

    fn rank(&self) -> (bool, usize) {
        match self {
            Self::Any => (false, 0),
            Self::EndsWith(end) => (false, end.len()),
            Self::Is(name) => (true, name.len()),
        }
    }
}

/// A host without its port, and without the dot that an absolute name may end with.
fn name_of(host: &[u8]) -> &[u8] {
    let end_of_address = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let colon = host[end_of_address..].iter().position(|byte| *byte == b':');
    let name = colon.map_or(host, |colon| &host[..end_of_address + colon]);
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{RoutingTable, routing};
    use placement::{Placement, Rendezvous};
    use tokio::sync::mpsc;

    use crate::respond::response::ResponseStyle;
    use crate::settings::{Protocol, ServiceTimeouts};
    use crate::travel::key::KeyRule;

    fn service(name: &str, host: &str, path: &str) -> ServiceSettings {
        let table = RoutingTable::new(1, Placement::Rendezvous(Rendezvous::default()), &[], 0.0);
        ServiceSettings {
            name: name.into(),
            host: host.into(),
            path: path.into(),
            key: KeyRule::Random,
            key_hash: table.key_hash(),
            style: ResponseStyle::Problem,
            protocol: Protocol::Http1,
            timeouts: ServiceTimeouts::default(),
            table: routing(table).1,
            suspicions: mpsc::channel(1).0,
        }
    }

    fn found(routes: &Routes, host: &str, path: &str) -> Option<String> {
        let mut head = RequestHead::default();
        head.start(b"GET", path.as_bytes(), Some(host.as_bytes())).unwrap();
        let place = routes.find(&head)?;
        Some(routes.iter().nth(place).unwrap().settings.name.clone())
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
        let services = services.map(|(name, host, path)| service(name, host, path)).into();
        let routes = Routes::new(services, None);
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
        let routes = Routes::new(vec![service("api", "*", "/api")], None);
        assert_eq!(found(&routes, "h", "/"), None);
    }

    #[test]
    fn those_who_wait_stay_in_the_room_of_a_service_that_stays() {
        let (mut publisher, mut reader) = routes(vec![service("web", "*", "/"), service("shop", "*", "/s")]);
        let room = |routes: &Routes, name: &str| {
            let route = routes.iter().find(|route| route.settings.name == name);
            route.map(|route| Arc::clone(&route.room))
        };
        let first = reader.load();
        publisher.publish(vec![service("web", "a.example", "/"), service("mail", "*", "/")]);
        let second = reader.load();
        let kept = [&first, &second].map(|routes| room(routes, "web").unwrap());
        assert!(Arc::ptr_eq(&kept[0], &kept[1]));
        assert!(room(&second, "shop").is_none());
        publisher.publish(vec![service("shop", "*", "/s")]);
        let anew = room(&reader.load(), "shop").unwrap();
        assert!(!Arc::ptr_eq(&anew, &room(&first, "shop").unwrap()));
        assert_eq!(reader.names(), ["shop"]);
    }
}
