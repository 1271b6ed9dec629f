//! What the requests of the first service go through.

use proxy::{
    BasicAuth, CertificatePart, Coding, CompressionSettings, ErrorPages, ForwardAuth, Location, Networks,
    PathRewrite, Protection, RateKey, RateLimit, RatePeriod, Statuses,
};

use super::*;

/// What they go through.
pub(super) fn full_policies() -> Policies {
    Policies {
        protection: protection(),
        locations: locations(),
        certificate: vec![CertificatePart::Subject, CertificatePart::Pem],
        rewrite: Some(PathRewrite { strip: Some("/shop".into()), add: Some("/v2".into()) }),
        hides_via: true,
        request_headers: Some(FieldEdits { set: vec![field("host", "app.internal")], ..edits() }),
        response_headers: Some(FieldEdits { add: vec![field("link", "</x>; rel=preload")], ..edits() }),
        canary: None,
        mirror: None,
        error_pages: Some(ErrorPages {
            files: [(Statuses::One(404), "404.html".into()), (Statuses::Class(5), "/srv/5xx.html".into())]
                .into(),
            replace_errors: true,
        }),
        compression: Some(CompressionSettings {
            codings: vec![Coding::Gzip],
            types: vec!["text/*".into(), "+json".into()],
            min_bytes: 2048,
        }),
    }
}

/// What keeps requests from it.
fn protection() -> Protection {
    let by = RateKey::Header(http::HeaderName::from_static("x-api-key"));
    Protection {
        networks: Some(Networks {
            allow: ["10.0.0.0/8", "192.0.2.0/24"].map(|network| network.parse().unwrap()).into(),
            deny: vec!["10.6.6.6/32".parse().unwrap()],
        }),
        rate_limit: Some(RateLimit { requests: 100, per: RatePeriod::Minute, burst: 20, by }),
        needs_certificate: false,
        max_body: Some(10 << 20),
        basic_auth: Some(BasicAuth { file: "staff.htpasswd".into(), realm: "The shop's staff".into() }),
        forward_auth: Some(ForwardAuth {
            service: "old".into(),
            path: "/verify?a".into(),
            copy: vec!["x-user".into(), "authorization".into()],
            timeout: Duration::from_secs(1),
        }),
        is_public: false,
    }
}

/// For some of its paths.
fn locations() -> Vec<Location> {
    let upload = Protection { max_body: Some(1 << 30), is_public: true, ..Protection::default() };
    let login = Protection {
        networks: Some(Networks {
            allow: vec!["0.0.0.0/0".parse().unwrap()],
            deny: vec!["::1/128".parse().unwrap()],
        }),
        needs_certificate: true,
        rate_limit: Some(RateLimit { requests: 5, per: RatePeriod::Hour, burst: 5, by: RateKey::Key }),
        basic_auth: Some(BasicAuth { file: "/etc/login.htpasswd".into(), realm: "restricted".into() }),
        ..Protection::default()
    };
    vec![
        Location { path: PathPattern::Prefix("/shop/upload".into()), protection: upload },
        Location { path: PathPattern::Exact("/shop/login".into()), protection: login },
    ]
}
