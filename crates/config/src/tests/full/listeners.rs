//! Where the full file listens, and whom it sends elsewhere.

use super::*;

/// The listener of [`FULL`].
pub(super) fn full_listener() -> ListenerSettings {
    let tls = TlsSettings {
        certificates: vec![CertificateFiles { certificate: "shop.pem".into(), key: "/etc/shop.key".into() }],
        client_authority: Some("clients.pem".into()),
        is_client_certificate_required: false,
        oldest_version: TlsVersion::Tls13,
        is_http2: true,
    };
    let proxy_protocol_from = vec!["10.0.0.0/8".parse().unwrap()];
    let address = "0.0.0.0:443".parse().unwrap();
    let response_headers = FieldEdits {
        set: vec![field("strict-transport-security", "max-age=31536000")],
        remove: vec!["server".into()],
        ..edits()
    };
    ListenerSettings {
        address,
        name: "https".into(),
        proxy_protocol: true,
        proxy_protocol_from,
        is_http2: false,
        tls: Some(tls),
        unmatched: Unmatched::Close,
        error_pages: Some(ErrorPages {
            files: [(Statuses::Class(4), "listener.txt".into())].into(),
            replace_errors: false,
        }),
        response_headers: Some(response_headers),
        ..ListenerSettings::blank()
    }
}

/// The one that sends everybody elsewhere.
pub(super) fn full_redirecting_listener() -> ListenerSettings {
    ListenerSettings {
        address: "0.0.0.0:81".parse().unwrap(),
        is_redirecting: true,
        redirect: HttpsRedirect { status: 301, port: 8443 },
        ..ListenerSettings::blank()
    }
}

/// And by a rule.
pub(super) fn full_redirect() -> Redirect {
    Redirect {
        scope: Scope {
            hosts: vec!["www.example.org".into(), "*.old.example.org".into()],
            paths: vec![PathPattern::Prefix("/a".into()), PathPattern::Exact("/b".into())],
            ..Scope::default()
        },
        to: "https://example.org/new?x".into(),
        status: 302,
        keeps_rest: false,
    }
}
