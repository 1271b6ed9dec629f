//! What operators have requests go through beside being routed: a guard may answer instead of a replica
//! (a redirect, a refusal), an edit changes a head on its way in or out. Each is read from the configuration
//! into a small value, which knows nothing of connections, and is asked in `travel/guards.rs`, where all of them
//! stand in their order, or where heads are written. What is not configured costs the look at an `Option`.

pub(crate) mod mark;
pub(crate) mod refusal;

pub(crate) mod redirect;
pub(crate) mod networks;
pub(crate) mod rate;
pub(crate) mod basic_auth;
pub(crate) mod forward_auth;
pub(crate) mod vouched;
pub(crate) mod certificate;
pub(crate) mod protection;
pub(crate) mod headers;
pub(crate) mod rewrite;
pub(crate) mod compression;
pub(crate) mod error_pages;
pub(crate) mod canary;
pub(crate) mod mirror;

use basic_auth::BasicAuth;
use canary::Canary;
use certificate::CertificatePart;
use compression::CompressionSettings;
use error_pages::ErrorPages;
use forward_auth::ForwardAuth;
use headers::FieldEdits;
use mark::Mark;
use mirror::Mirror;
use networks::Networks;
use protection::{Location, Protection};
use rate::RateLimit;
use rewrite::PathRewrite;

use crate::travel::scope::PathPattern;

/// What the requests of one service go through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// What keeps requests from its replicas,
    pub protection: Protection,
    /// and for some paths what else does.
    pub locations: Vec<Location>,
    /// What its replicas hear of the certificates of clients; nothing at all without a part.
    pub certificate: Vec<CertificatePart>,
    /// What becomes of the paths that its replicas get.
    pub rewrite: Option<PathRewrite>,
    /// Whether its replicas do not hear by `Via` that there is a proxy.
    pub hides_via: bool,
    /// What becomes of the fields that its replicas get.
    pub request_headers: Option<FieldEdits>,
    /// What becomes of the fields of its responses, also of those that are ours.
    pub response_headers: Option<FieldEdits>,
    /// Which of its responses are compressed.
    pub compression: Option<CompressionSettings>,
    /// Which pages stand for errors.
    pub error_pages: Option<ErrorPages>,
    /// Of which service it takes a part of the requests, beside or instead of having some of its own.
    pub canary: Option<Canary>,
    /// Of which service it gets copies of requests.
    pub mirror: Option<Mirror>,
}

impl Policies {
    /// What is set, in words: the name of each policy, and what it does.
    pub fn told(&self) -> Vec<PolicyTold> {
        let told = |mark: Mark, edits: &Option<FieldEdits>| {
            edits.as_ref().map(|edits| PolicyTold { policy: mark.policy(), does: edits.to_string() })
        };
        let mut all = self.protection.told(None);
        all.extend(self.locations.iter().flat_map(|one| one.protection.told(Some(&one.path))));
        if !self.certificate.is_empty() {
            let parts: Vec<&str> = self.certificate.iter().map(|part| part.name()).collect();
            let does = format!("tells replicas {} of it", parts.join(", "));
            all.push(PolicyTold { policy: Mark::CertificateMissing.policy(), does });
        }
        let rewrite = self.rewrite.as_ref();
        all.extend(rewrite.map(|it| PolicyTold { policy: Mark::Rewritten.policy(), does: it.to_string() }));
        all.extend(told(Mark::RequestEdited, &self.request_headers));
        all.extend(told(Mark::ResponseEdited, &self.response_headers));
        all.extend(
            self.compression
                .as_ref()
                .map(|settings| PolicyTold { policy: Mark::Compressed.policy(), does: settings.to_string() }),
        );
        let mirror = self.mirror.as_ref();
        all.extend(
            mirror.map(|it| PolicyTold { policy: Mark::Mirrored.policy(), does: format!("it gets {it}") }),
        );
        let pages = self.error_pages.as_ref();
        all.extend(pages.map(|it| PolicyTold { policy: Mark::ErrorPage.policy(), does: it.to_string() }));
        let canary = self.canary.as_ref();
        all.extend(canary.map(|it| PolicyTold { policy: Mark::CanaryShare.policy(), does: it.to_string() }));
        all
    }
}

impl Protection {
    /// What is set, for these paths or for all.
    fn told(&self, path: Option<&PathPattern>) -> Vec<PolicyTold> {
        let place = path.map(|path| format!("{path}: ")).unwrap_or_default();
        let networks = self.networks.as_ref().map(Networks::to_string);
        let rate = self.rate_limit.as_ref().map(RateLimit::to_string);
        let body = self.max_body.map(|bytes| format!("at most {bytes} bytes"));
        let certificate = self.needs_certificate.then(|| "refuses clients without one".into());
        let sign_in = self.basic_auth.as_ref().map(BasicAuth::to_string);
        let sign_in = if self.is_public { Some("nobody is asked".into()) } else { sign_in };
        let all = [
            (Mark::NetworkRefused, networks),
            (Mark::CertificateMissing, certificate),
            (Mark::RateLimited, rate),
            (Mark::BodyRefused, body),
            (Mark::SignInRefused, sign_in),
            (Mark::ForwardRefused, self.forward_auth.as_ref().map(ForwardAuth::to_string)),
        ];
        let told = |(mark, does): (Mark, Option<String>)| {
            Some(PolicyTold { policy: mark.policy(), does: format!("{place}{}", does?) })
        };
        all.into_iter().filter_map(told).collect()
    }
}

/// A policy in words, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTold {
    /// Its name.
    pub policy: &'static str,
    /// What it does to requests. No value of a field is in it, for it may be a secret.
    pub does: String,
}
