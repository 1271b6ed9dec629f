//! `evenkeel explain`: which replica a request would get, who would be next, and why any are passed
//! over. The question is answered inside the running balancer, from the very table that it routes by.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

use admin::Explainer;
use api::{ExplainShape, ExplanationShape, LimitShape, PolicyShape, RouteShape};
use config::{DriverChoice, ListenerSettings};
use control::Registry;
use fleet::RoutingTable;
use h1::{BadHead, HeadEnd, HeadLimits, RequestHead};
use placement::Key;
use proxy::{Limit, Mark, PolicyTold, RouteVerdict, RoutesReader, ServiceCounters, Session, Sticky};

use crate::services::Begun;

/// How many requests are under way and wait, as soon as there are any.
pub(crate) type Counting = Arc<OnceLock<ServiceCounters>>;

/// How many rules are told at most: those that are not for the host of the request are the last.
const ROUTES_TOLD_MAX: usize = 100;

/// What an explanation is drawn from.
pub(crate) struct Explained {
    pub(crate) registry: Registry<Begun>,
    pub(crate) routes: RoutesReader,
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) counting: Counting,
}

/// Key rules and tables of all services. Heads are read with these limits.
pub(crate) fn explainer(sources: Explained, limits: HeadLimits) -> Explainer {
    let Explained { registry, routes, listeners, counting } = sources;
    Box::new(move |name, question| {
        let found = registry.find(name).ok_or_else(|| format!("there is no service '{name}'"))?;
        let service = &found.attached.settings;
        let mut head = head_of(question, &limits)?;
        service.path_form.apply(&mut head).map_err(|odd| format!("this request would get 400: {odd}"))?;
        let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let table = found.control.table.load();
        let key = service.key.key(&head, client, table.key_hash());
        let sticky = found.attached.sticky.as_ref();
        let session = sticky.and_then(|sticky| sticky.session(&head));
        let drawn = || Key::from_number(fastrand::u64(..));
        let preference = match session {
            Some(session) => session.preference(key, table.key_hash()),
            None => key.unwrap_or_else(drawn).into(),
        };
        let is_random = key.is_none() && session.is_none();
        let by_key = || config::key_rule_in_words(&service.key);
        let key_rule = session.map_or_else(by_key, |_| Mark::SessionKept.policy().to_owned());
        let explained = admin::explanation(key_rule, is_random, &table.explain(preference));
        let listener = question.listener.as_deref().unwrap_or_default();
        let of_listener = listeners.iter().filter(|one| one.name == listener).flat_map(policies_of);
        let of_session = sticky.map(|sticky| of_session(sticky, session, &table));
        let folder = match &service.driver {
            DriverChoice::Files { folder } => Some(folder.to_string()),
            DriverChoice::Process { .. } | DriverChoice::Docker { .. } | DriverChoice::Static { .. } => None,
        };
        let companions = routes.companions(name, &head, client);
        let policies = of_listener.chain(service.policies.told()).chain(of_session).chain(companions);
        let policies = policies.map(policy).collect();
        let routes = ways(&routes, &head, listener);
        let explained = ExplanationShape { routes, policies, folder, ..explained };
        let Some(counters) = counting.get() else { return Ok(explained) };
        let limits = Limit::ALL.into_iter().filter_map(|limit| limit_of(counters, name, limit)).collect();
        Ok(ExplanationShape { limits, waiting: counters.waiting(name), ..explained })
    })
}

/// Whom such a request is for, and whom it is not for, the rules that count most first.
fn ways(routes: &RoutesReader, head: &RequestHead, listener: &str) -> Vec<RouteShape> {
    let notes = routes.explain(head, listener).into_iter().take(ROUTES_TOLD_MAX);
    let shape = notes.map(|note| RouteShape {
        host: note.host,
        path: note.path,
        listeners: note.listeners,
        service: note.service,
        to: note.to,
        verdict: match note.verdict {
            RouteVerdict::Chosen => RouteShape::CHOSEN.to_owned(),
            RouteVerdict::Later => "another one comes before it".to_owned(),
            RouteVerdict::OtherHost => "another host".to_owned(),
            RouteVerdict::OtherPath => "another path".to_owned(),
            RouteVerdict::OtherListener => "another listener".to_owned(),
        },
    });
    shape.collect()
}

/// What all requests of a listener go through.
fn policies_of(listener: &ListenerSettings) -> Vec<PolicyTold> {
    let redirect = listener.is_redirecting.then(|| PolicyTold {
        policy: Mark::Redirected.policy(),
        does: format!("the listener sends it to HTTPS, port {}", listener.redirect.port),
    });
    let edits = listener.response_headers.as_ref().map(|edits| PolicyTold {
        policy: Mark::ResponseEdited.policy(),
        does: format!("{edits}, of the listener"),
    });
    let pages = listener.error_pages.as_ref().map(|pages| PolicyTold {
        policy: Mark::ErrorPage.policy(),
        does: format!("{pages}, of the listener"),
    });
    redirect.into_iter().chain(edits).chain(pages).collect()
}

fn policy(told: PolicyTold) -> PolicyShape {
    PolicyShape { policy: told.policy.to_owned(), does: told.does }
}

/// What a request's cookie says of its session.
fn of_session(sticky: &Sticky, session: Option<Session>, table: &RoutingTable) -> PolicyTold {
    let name = sticky.name();
    let does = match session {
        None => format!("without a cookie '{name}' of ours it begins a session, and is given one"),
        Some(Session { seat, .. }) if table.has_seat(seat) => {
            format!("its cookie '{name}' names seat {}", seat.number())
        }
        Some(Session { seat, .. }) => {
            format!(
                "its cookie '{name}' names seat {}, which is gone: it is given another one",
                seat.number()
            )
        }
    };
    PolicyTold { policy: Mark::SessionKept.policy(), does }
}

/// A limit of the service, if it is set.
fn limit_of(counters: &ServiceCounters, service: &str, limit: Limit) -> Option<LimitShape> {
    let usage = counters.usage(service, limit)?;
    Some(LimitShape { name: limit.name().to_owned(), in_use: usage.taken, most: usage.most })
}

/// The head that such a request would have, read as the data plane reads it.
fn head_of(question: &ExplainShape, limits: &HeadLimits) -> Result<RequestHead, String> {
    let path = question.path.as_deref().unwrap_or("/");
    if !path.starts_with('/') {
        return Err(format!("a path begins with a slash: {path:?}"));
    }
    let mut text = format!("GET {path} HTTP/1.0\r\n");
    for (name, value) in &question.headers {
        text = text + name + ": " + value + "\r\n";
    }
    text += "\r\n";
    let mut head = RequestHead::default();
    let end = HeadEnd::default().find(text.as_bytes(), limits);
    // Whoever smuggles an empty line into a value has written more than a head.
    let is_whole = |end: Option<usize>| end == Some(text.len());
    let parsed = end.and_then(|end| {
        if is_whole(end) { head.parse(text.as_bytes(), limits) } else { Err(BadHead::ControlCharacter) }
    });
    parsed.map_err(|fault| format!("this is no request: {fault}"))?;
    Ok(head)
}
