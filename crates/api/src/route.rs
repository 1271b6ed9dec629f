//! The routes of the admin API: one list, from which the server's dispatch, the clients' paths, the help for
//! lost callers and the table in the documentation come.

use crate::endpoint::{Body, Endpoint, Method, Role};

/// What stands for a service's name in a path.
const SERVICE: &str = "{service}";
/// The same for a replica's, at the end of one.
const REPLICA: &str = "/{replica}";
/// What stands before the name of a service in a path.
const BEFORE_SERVICE: &str = "/v1/services/";

/// A route of the admin API.
///
/// ```
/// use api::{Call, Route, Unknown};
///
/// assert_eq!(Route::Scale.path("web"), "/v1/services/web/scale");
/// let call = Call { route: Route::Scale, service: "web", replica: "" };
/// assert_eq!(Route::find("PUT", "/v1/services/web/scale"), Ok(call));
/// assert_eq!(Route::find("PUT", "/v1/services/web"), Err(Unknown::Method));
/// assert_eq!(Route::methods_at("/v1/services/web"), ["GET", "HEAD"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each one's endpoint says what it does")]
pub enum Route {
    Livez,
    Readyz,
    Metrics,
    Services,
    Events,
    Service,
    Replicas,
    Output,
    AddReplicas,
    RemoveReplicas,
    Scale,
    Explain,
    Deploy,
    Pause,
    Resume,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'p> {
    /// The route.
    pub route: Route,
    /// The service that its path names; empty where a path names none.
    pub service: &'p str,
    /// The replica that its path names; empty where a path names none.
    pub replica: &'p str,
}

/// A request that is for none of the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown<'p> {
    /// There is an endpoint of this path, and it is asked otherwise; see [`Route::methods_at`].
    Method,
    /// Its path is one of a service with this name, if there is one.
    OfService(&'p str),
    /// It is nobody's.
    Path,
}

impl Route {
    /// All routes, in the order in which they are told.
    pub const ALL: [Self; 15] = [
        Self::Livez,
        Self::Readyz,
        Self::Metrics,
        Self::Services,
        Self::Events,
        Self::Service,
        Self::Replicas,
        Self::Output,
        Self::AddReplicas,
        Self::RemoveReplicas,
        Self::Scale,
        Self::Explain,
        Self::Deploy,
        Self::Pause,
        Self::Resume,
    ];

    /// What there is to say of it.
    pub fn endpoint(self) -> Endpoint {
        use Method::{Delete, Get, Post, Put};
        use Role::{Admin, Scale, View};
        let of = Endpoint::new;
        match self {
            Self::Livez => of(Get, "/livez", View).gives(Body::Text, "200 while the process works"),
            Self::Readyz => of(Get, "/readyz", View).gives(
                Body::Text,
                "200 if every service that should have replicas has a ready one, else 503; 503 also after TERM",
            ),
            Self::Metrics => of(Get, "/metrics", View).gives(Body::Metrics, METRICS),
            Self::Services => of(Get, "/v1/services", View)
                .gives(Body::Services, "all services with their replicas and spares"),
            Self::Events => {
                of(Get, "/v1/events", View).gives(Body::Events, "the last 1 000 events, the oldest first")
            }
            Self::Service => of(Get, "/v1/services/{service}", View)
                .gives(Body::Service, "one service with its replicas and spares"),
            Self::Replicas => {
                of(Get, "/v1/services/{service}/replicas", View).gives(Body::Replicas, "its replicas alone")
            }
            Self::Output => {
                of(Get, "/v1/services/{service}/output/{replica}", Admin).gives(Body::Output, OUTPUT)
            }
            Self::AddReplicas => of(Post, "/v1/services/{service}/replicas", Scale)
                .takes(Body::Edit, r#"{"count":2,"names":["S5"]}"#)
                .gives(Body::Service, "adds; answers when they take traffic"),
            Self::RemoveReplicas => of(Delete, "/v1/services/{service}/replicas", Scale)
                .takes(Body::Edit, r#"{"names":["S5"]}"#)
                .gives(Body::Service, "removes; answers when they get no new requests"),
            Self::Scale => of(Put, "/v1/services/{service}/scale", Scale)
                .takes(Body::Scale, r#"{"replicas":4}"#)
                .gives(Body::Service, "adds or removes until there are this many"),
            Self::Explain => of(Post, "/v1/services/{service}/explain", View)
                .takes(Body::Explain, r#"{"path":"/x?y","headers":[["x-user","7"]],"client":"10.0.0.1"}"#)
                .gives(Body::Explanation, "the way that such a request would take now"),
            Self::Deploy => of(Post, "/v1/services/{service}/deploy", Admin)
                .takes(Body::Deploy, r#"{"force":false}"#)
                .gives(Body::Deployed, DEPLOY),
            Self::Pause => {
                of(Post, "/v1/services/{service}/pause", Admin).takes(Body::Pause, r#"{"for":"20s"}"#).gives(
                    Body::Service,
                    "holds requests back, for 30 s unless it says for how long, and 10 min at most",
                )
            }
            Self::Resume => of(Post, "/v1/services/{service}/resume", Admin)
                .gives(Body::Service, "lets requests through that are held back"),
        }
    }

    /// Its path; where that names a service, this one.
    pub fn path(self, service: &str) -> String {
        self.endpoint().path.replace(SERVICE, service)
    }

    /// The same where it names a replica, too.
    pub fn path_of_replica(self, service: &str, replica: &str) -> String {
        self.path(service).replace(REPLICA, &format!("/{replica}"))
    }

    /// The route that a request is for, by its method and its path without the query.
    pub fn find<'p>(method: &str, path: &'p str) -> Result<Call<'p>, Unknown<'p>> {
        let call = |route: Self| {
            let endpoint = route.endpoint();
            let is_it = endpoint.method.as_str() == method;
            let (service, replica) = names_in(endpoint.path, path).filter(|_| is_it)?;
            Some(Call { route, service, replica })
        };
        Self::ALL.into_iter().find_map(call).ok_or_else(|| match path.strip_prefix(BEFORE_SERVICE) {
            _ if !Self::methods_at(path).is_empty() => Unknown::Method,
            Some(rest) => Unknown::OfService(rest.split_once('/').map_or(rest, |(service, _)| service)),
            None => Unknown::Path,
        })
    }

    /// How the endpoints of a path are asked; nothing if there are none.
    pub fn methods_at(path: &str) -> Vec<&'static str> {
        let endpoints = Self::ALL.into_iter().map(Self::endpoint);
        let there = endpoints.filter(|endpoint| names_in(endpoint.path, path).is_some());
        let methods = there.flat_map(|endpoint| match endpoint.method {
            // Who may have the whole may have its head.
            Method::Get => vec!["GET", "HEAD"],
            other => vec![other.as_str()],
        });
        methods.collect()
    }

    /// What a service can be asked, in one line: methods, and the ends of paths that know them.
    pub fn summary_of_service() -> String {
        let mut ends: Vec<(&str, Vec<&str>)> = Vec::new();
        for endpoint in Self::ALL.map(Self::endpoint) {
            let Some((_, end)) = endpoint.path.split_once(SERVICE) else { continue };
            let end = end.trim_start_matches('/');
            match ends.iter_mut().find(|(known, _)| *known == end) {
                Some((_, methods)) => methods.push(endpoint.method.as_str()),
                None => ends.push((end, vec![endpoint.method.as_str()])),
            }
        }
        // Those that are asked alike share their methods.
        let groups = ends.chunk_by(|one, next| one.1 == next.1).map(|group| {
            let ends = group.iter().map(|(end, _)| *end).filter(|end| !end.is_empty());
            group[0].1.iter().copied().chain(ends).collect::<Vec<_>>().join(" ")
        });
        groups.collect::<Vec<_>>().join(", ")
    }
}

const METRICS: &str = "OpenMetrics: replicas and spares desired and ready, replicas that crash-loop, responses by class, attempts, replays, losses (a replica died while it had a request), waits, unserved, requests that met a limit (by limit), ejections by kind, connections by worker, connections to replicas, dropped lines of the access log, defences by kind (what clients tried and was cut short), refused requests and failed handshakes by reason";

const DEPLOY: &str = "begins to roll out what the configuration file says now: 202, or 200 with the reason if there is nothing to deploy";

const OUTPUT: &str = "what it writes: an object a line, its last lines first; with `?follow=true` also what comes until it ends, and then how it ended. An empty line now and then says that it is not over";

/// The service and the replica that a path names, if it is like this one; empty where such a path names none.
fn names_in<'p>(like: &str, path: &'p str) -> Option<(&'p str, &'p str)> {
    let Some((before, after)) = like.split_once(SERVICE) else { return (like == path).then_some(("", "")) };
    let rest = path.strip_prefix(before)?;
    let (service, replica) = match after.strip_suffix(REPLICA) {
        Some(between) => {
            let (rest, replica) = rest.rsplit_once('/')?;
            (rest.strip_suffix(between)?, replica)
        }
        None => (rest.strip_suffix(after)?, ""),
    };
    (!service.contains('/')).then_some((service, replica))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeployShape, EditShape, ExplainShape, PauseShape, ScaleShape};

    #[test]
    fn no_route_is_forgotten_in_the_list() {
        let (_, rest) = include_str!("route.rs").split_once("pub enum Route {\n").unwrap();
        let (variants, _) = rest.split_once("}").unwrap();
        let declared: Vec<&str> =
            variants.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        assert_eq!(Route::ALL.map(|route| format!("{route:?}")).to_vec(), declared);
    }

    #[test]
    fn every_route_is_found_by_its_own_method_and_path() {
        for route in Route::ALL {
            let path = route.path_of_replica("web", "S5");
            let service = if path.contains("web") { "web" } else { "" };
            let replica = if path.contains("S5") { "S5" } else { "" };
            let found = Route::find(route.endpoint().method.as_str(), &path);
            assert_eq!(found, Ok(Call { route, service, replica }));
        }
    }

    #[test]
    fn what_is_no_route_is_told_from_what_is_none_of_a_service() {
        for (method, path, expected) in [
            ("GET", "/", Unknown::Path),
            ("POST", "/livez", Unknown::Method),
            ("GET", "/livez/", Unknown::Path),
            ("GET", "*", Unknown::Path),
            ("GET", "/v1/services/web/pods", Unknown::OfService("web")),
            ("GET", "/v1/services/web/replicas/", Unknown::OfService("web")),
            ("PATCH", "/v1/services/web", Unknown::Method),
            ("PUT", "/v1/services/web/replicas", Unknown::Method),
            ("GET", "/v1/services//a", Unknown::OfService("")),
            ("GET", "/v1/services/web/output", Unknown::OfService("web")),
            ("GET", "/v1/services/web/output/S5/x", Unknown::OfService("web")),
            ("POST", "/v1/services/web/output/S5", Unknown::Method),
        ] {
            assert_eq!(Route::find(method, path), Err(expected), "{method} {path}");
        }
        let nameless = Call { route: Route::Service, service: "", replica: "" };
        assert_eq!(Route::find("GET", "/v1/services/"), Ok(nameless));
    }

    #[test]
    fn a_service_can_be_asked_this() {
        let expected = "GET, GET POST DELETE replicas, GET output/{replica}, PUT scale, POST explain deploy pause resume";
        assert_eq!(Route::summary_of_service(), expected);
    }

    #[test]
    fn every_example_is_of_the_shape_that_the_route_takes() {
        for endpoint in Route::ALL.map(Route::endpoint) {
            let example = endpoint.example;
            let error = match endpoint.takes {
                Body::Edit => serde_json::from_str::<EditShape>(example).err(),
                Body::Scale => serde_json::from_str::<ScaleShape>(example).err(),
                Body::Explain => serde_json::from_str::<ExplainShape>(example).err(),
                Body::Deploy => serde_json::from_str::<DeployShape>(example).err(),
                Body::Pause => serde_json::from_str::<PauseShape>(example).err(),
                other => {
                    assert_eq!((other, example), (Body::Nothing, ""), "{}", endpoint.path);
                    None
                }
            };
            assert!(error.is_none(), "{}: {error:?}", endpoint.path);
        }
    }
}
