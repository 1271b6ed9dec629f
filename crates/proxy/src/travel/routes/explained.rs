//! Why a request takes one way and no other, rule by rule. Nothing is routed by this: it asks the rules that
//! requests go by.

use std::net::IpAddr;

use h1::RequestHead;

use super::RoutesReader;
use super::rules::{Arrival, RouteVerdict, Way};
use crate::policies::PolicyTold;
use crate::policies::mark::Mark;
use crate::settings::ServiceSettings;
use crate::travel::diversion;

/// A rule, and what it says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNote {
    /// The host that it is for, as in the configuration.
    pub host: String,
    /// The path, as in the configuration.
    pub path: String,
    /// The listeners that it is for; empty for all.
    pub listeners: Vec<String>,
    /// The name of its service; none if it sends requests elsewhere.
    pub service: Option<String>,
    /// Where it sends them.
    pub to: Option<String>,
    /// What it says.
    pub verdict: RouteVerdict,
}

impl RoutesReader {
    /// All rules, in the order in which they count for this request: who is meant, or why not. `listener` is the
    /// name of the one that it comes in by, if it is known.
    pub fn explain(&self, head: &RequestHead, listener: &str) -> Vec<RouteNote> {
        let routes = self.routes();
        let notes = routes.rules.explain(Arrival::of(head, listener), head.path());
        let redirection = |way| match way {
            Way::Service(_) => None,
            Way::Redirect(place) => routes.redirection(place).map(|redirection| redirection.to().to_owned()),
        };
        let note = notes.into_iter().map(|noted| RouteNote {
            host: noted.host,
            path: noted.path.to_string(),
            listeners: noted.listeners,
            service: routes.settings(Some(noted.way)).map(|settings| settings.name.clone()),
            to: redirection(noted.way),
            verdict: noted.verdict,
        });
        note.collect()
    }

    /// The canaries and mirrors of a service, and which canary this request would go to, from this client.
    pub fn companions(&self, service: &str, head: &RequestHead, client: IpAddr) -> Vec<PolicyTold> {
        let routes = self.routes();
        let Some(route) = routes.iter().find(|route| route.settings.name == service) else {
            return Vec::new();
        };
        let at = |place: &usize| routes.at(*place).map(|route| &*route.settings);
        let all = || route.canaries.iter().filter_map(at);
        let diversion = diversion::choose(&route.settings, all(), head, client);
        let told = all().enumerate().filter_map(|(place, settings)| {
            let gets_it = diversion.filter(|diversion| diversion.place == place);
            told(settings, gets_it.map(|diversion| diversion.mark))
        });
        told.chain(route.mirrors.iter().filter_map(at).filter_map(told_of_mirror)).collect()
    }
}

fn told_of_mirror(mirror: &ServiceSettings) -> Option<PolicyTold> {
    let gets = mirror.policies.mirror.as_ref()?;
    Some(PolicyTold { policy: Mark::Mirrored.policy(), does: format!("'{}' gets {gets}", mirror.name) })
}

fn told(canary: &ServiceSettings, gets_it: Option<Mark>) -> Option<PolicyTold> {
    let takes = canary.policies.canary.as_ref()?;
    let this = match gets_it {
        Some(Mark::CanaryAsked) => "this one, because it asks for that",
        Some(Mark::CanarySession) => "this one, because its session began there",
        Some(_) => "this one, by its share",
        None => "not this one",
    };
    Some(PolicyTold {
        policy: Mark::CanaryShare.policy(),
        does: format!("'{}' gets {takes}: {this}", canary.name),
    })
}
