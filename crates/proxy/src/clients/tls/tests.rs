//! Handshakes over real sockets.

mod rig;
mod streams;

use std::fs;
use std::time::Instant;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;
use rig::{Authority, Issued, PATIENCE, Yard, der, meet, owned};

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new();
    let issued = [
        authority.issue(&["first.test", "127.0.0.1"]),
        authority.issue(&["second.test", "also.second.test"]),
        authority.issue(&["*.wild.test"]),
        authority.issue(&["exact.wild.test"]),
    ];
    let server = Yard::new(&issued.each_ref()).server();
    let cases = [
        ("first.test", 0),
        ("second.test", 1),
        ("also.second.test", 1),
        ("SECOND.test", 1),
        ("any.wild.test", 2),
        ("exact.wild.test", 3),
        // No name is sent for an address.
        ("127.0.0.1", 0),
    ];
    for (name, expected) in cases {
        for version in [&TLS12, &TLS13] {
            let client = authority.client().speaking(version);
            let met = client.connect(&server, name).await.unwrap();
            assert_eq!(met.certificate, der(&issued[expected].certificate), "{name}");
            assert_eq!(met.version, version.version);
        }
    }
    for name in ["unknown.test", "wild.test", "a.b.wild.test"] {
        let refusal = authority.client().connect(&server, name).await.err().unwrap().to_string();
        assert!(refusal.contains("first.test"), "{name} is not answered by the first: {refusal}");
    }
}

#[tokio::test]
async fn of_two_certificates_for_a_name_the_client_gets_the_one_that_it_can_read() {
    let authority = Authority::new();
    let curve = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let params = CertificateParams::new(owned(&["both.test"])).unwrap();
    let certificate = params.signed_by(&curve, &authority.issuer).unwrap().pem();
    let unreadable = Issued { certificate, key: curve.serialize_pem() };
    let readable = authority.issue(&["both.test"]);
    let server = Yard::new(&[&unreadable, &readable]).server();

    let mut provider = aws_lc_rs::default_provider();
    let algorithms = &mut provider.signature_verification_algorithms;
    algorithms.mapping = &P256_ONLY;
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(authority.client().roots)
        .with_no_client_auth();
    let met = meet(&TlsConnector::from(Arc::new(config)), &server, "both.test").await.unwrap();
    assert_eq!(met.certificate, der(&readable.certificate));
    let met = authority.client().connect(&server, "both.test").await.unwrap();
    assert_eq!(met.certificate, der(&unreadable.certificate), "the first that fits");
}

type Mapping =
    [(rustls::SignatureScheme, &'static [&'static dyn rustls::pki_types::SignatureVerificationAlgorithm]); 1];
static P256_ONLY: Mapping = [(
    rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
    &[webpki::aws_lc_rs::ECDSA_P256_SHA256, webpki::aws_lc_rs::ECDSA_P256_SHA384],
)];

#[tokio::test]
async fn older_versions_than_the_oldest_are_refused() {
    let authority = Authority::new();
    let mut yard = Yard::new(&[&authority.issue(&["a.test"])]);
    let tls12 = authority.client().speaking(&TLS12);
    assert!(tls12.connect(&yard.server(), "a.test").await.is_ok());
    assert!(is_refused_as_too_old(&yard.server()).await);
    yard.settings.oldest_version = TlsVersion::Tls13;
    assert!(tls12.connect(&yard.server(), "a.test").await.is_err());
    assert!(is_refused_as_too_old(&yard.server()).await);
    let met = authority.client().connect(&yard.server(), "a.test").await.unwrap();
    assert_eq!(met.version, ProtocolVersion::TLSv1_3);
}

/// Says hello as TLS 1.1 does. No library at hand can, hence the bytes.
async fn is_refused_as_too_old(server: &TlsServer) -> bool {
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.write_all(&hello).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let is_refused = server.accept(stream).await.is_err();
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    // An alert (21), fatal (2): either "protocol version" (70) or "handshake failure" (40).
    is_refused && alert[0] == 21 && matches!(alert[5..], [2, 70 | 40])
}

#[tokio::test]
async fn http_2_is_preferred_where_it_is_offered() {
    let authority = Authority::new();
    let mut yard = Yard::new(&[&authority.issue(&["a.test"])]);
    let cases: [(bool, &[&str], Option<&str>); 8] = [
        (true, &["http/1.1", "h2"], Some("h2")),
        (true, &["http/1.1"], Some("http/1.1")),
        (true, &[], None),
        (false, &["h2", "http/1.1"], Some("http/1.1")),
        (false, &[], None),
        (true, &["http/1.0"], Some("http/1.0")),
        (true, &["foo"], None),
        // It is not spoken then, which whoever insists on it sees.
        (false, &["h2"], None),
    ];
    for (is_http2, offered, expected) in cases {
        yard.settings.is_http2 = is_http2;
        let client = authority.client().offering(offered);
        let met = client.connect(&yard.server(), "a.test").await.unwrap();
        assert_eq!(met.protocol.as_deref(), expected, "{offered:?}");
    }
}

#[tokio::test]
async fn clients_show_certificates_where_they_must() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut yard = Yard::new(&[&authority.issue(&["a.test"])]);
    yard.settings.client_authority = Some(yard.write("clients.crt", &authority.certificate));
    for version in [&TLS12, &TLS13] {
        let client = || authority.client().speaking(version);
        for (is_required, is_bare_client_fine) in [(true, false), (false, true)] {
            yard.settings.is_client_certificate_required = is_required;
            let server = yard.server();
            let bare = client().connect(&server, "a.test").await;
            assert_eq!(bare.is_ok(), is_bare_client_fine);
            let known = client().showing(authority.issue(&["client"])).connect(&server, "a.test").await;
            assert!(known.is_ok(), "{:?}", known.err());
            let unknown = client().showing(stranger.issue(&["client"])).connect(&server, "a.test").await;
            assert!(unknown.is_err(), "a stranger's certificate was taken");
            let expired = client().showing(authority.issue_expired(&["client"]));
            assert!(expired.connect(&server, "a.test").await.is_err());
        }
    }
}

#[tokio::test]
async fn sessions_are_resumed_until_the_certificates_are_replaced() {
    let authority = Authority::new();
    let yard = Yard::new(&[&authority.issue(&["a.test"])]);
    let server = yard.server();
    for version in [&TLS12, &TLS13] {
        let connector = authority.client().speaking(version).connector();
        let kinds = async |server: &TlsServer| meet(&connector, server, "a.test").await.unwrap().kind;
        assert_eq!(kinds(&server).await, HandshakeKind::Full);
        assert_eq!(kinds(&server).await, HandshakeKind::Resumed);
        assert_eq!(kinds(&server.clone()).await, HandshakeKind::Resumed, "another worker");
        server.reload().unwrap();
        assert_eq!(kinds(&server).await, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn no_handshake_fails_while_certificates_are_replaced() {
    let authority = Authority::new();
    let yard = Yard::new(&[&authority.issue(&["a.test"])]);
    let server = yard.server();
    server.watch_every(Duration::from_millis(2)).unwrap();
    let issued: Vec<Issued> = (0..30).map(|_| authority.issue(&["a.test"])).collect();
    let last = der(&issued[29].certificate);
    // The two files of a pair do not come at once: in between they do not fit each other.
    let replacing = thread::spawn(move || {
        for issued in issued {
            yard.put("0.crt", &issued.certificate);
            thread::sleep(Duration::from_millis(5));
            yard.put("0.key", &issued.key);
            thread::sleep(Duration::from_millis(5));
        }
        yard
    });
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.last() != Some(&last) {
        assert!(Instant::now() < deadline, "the last certificate was never used");
        seen.push(authority.client().connect(&server, "a.test").await.unwrap().certificate);
        seen.dedup();
    }
    assert!(seen.len() > 2, "nothing was replaced while handshakes were made");
    replacing.join().unwrap();
}

#[tokio::test]
async fn a_file_that_is_half_written_leaves_the_old_certificate_in_use() {
    let authority = Authority::new();
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let yard = Yard::new(&[&old]);
    let server = yard.server();
    let look = || server.shared.look();
    assert_eq!(look(), Look::Unchanged);
    let half = &new.certificate[..new.certificate.len() / 2];
    for (file, text) in [
        ("0.crt", half),
        ("0.crt", &new.certificate),
        ("0.key", ""),
        ("0.key", &new.key[..new.key.len() / 2]),
    ] {
        yard.write(file, text);
        assert_eq!(look(), Look::Refused, "{file}");
        assert_eq!(look(), Look::StillRefused, "one complaint is enough");
        let met = authority.client().connect(&server, "a.test").await.unwrap();
        assert_eq!(met.certificate, der(&old.certificate));
    }
    fs::remove_file(yard.folder.path().join("0.key")).unwrap();
    assert_eq!(look(), Look::Refused);
    yard.write("0.key", &new.key);
    assert_eq!(look(), Look::Replaced);
    assert_eq!(look(), Look::Unchanged);
    let met = authority.client().connect(&server, "a.test").await.unwrap();
    assert_eq!(met.certificate, der(&new.certificate));
}

#[test]
fn a_complaint_says_which_file_and_what_is_wrong() {
    let authority = Authority::new();
    let (issued, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let secret = issued.key.lines().nth(1).unwrap();
    let one_line = issued.key.replace('\n', " ");
    let cases: [(&str, &str, &str); 9] = [
        ("0.crt", "", "0.crt: there is no certificate in it"),
        ("0.crt", &issued.key, "0.crt: there is no certificate in it"),
        ("0.key", &issued.certificate, "0.key: there is no private key in it"),
        ("0.key", &other.key, "the key in 0.key does not fit the certificate in 0.crt"),
        ("0.key", &one_line, "0.key: it ends too early, its END line is missing"),
        ("0.key", "-----BEGIN PRIVATE KEY MIGHAgEA\n", "0.key: its BEGIN line is damaged"),
        ("0.key", &issued.key[..120], "0.key: it ends too early, its END line is missing"),
        (
            "0.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "0.key: the key in it is encrypted, and nobody is there to type a password",
        ),
        (
            "0.key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "cannot use the key in 0.key (RSA of 2048 bits or more, ECDSA with P-256, P-384 or P-521, and Ed25519 are \
             known here): unexpected error: failed to parse private key as RSA, ECDSA, or EdDSA",
        ),
    ];
    for (file, text, expected) in cases {
        let yard = Yard::new(&[&issued]);
        yard.write(file, text);
        let complaint = yard.complaint();
        assert_eq!(complaint, expected);
        assert!(!complaint.contains(secret));
    }
}

#[test]
fn what_is_no_pem_is_named_and_a_mark_before_it_does_no_harm() {
    let issued = Authority::new().issue(&["a.test"]);
    let yard = Yard::new(&[&issued]);
    yard.write("0.crt", &format!("\u{feff}{}", issued.certificate));
    yard.write("0.key", &format!("\u{feff}{}", issued.key));
    assert!(TlsServer::load(&yard.settings).is_ok());
    std::fs::write(yard.folder.path().join("0.crt"), der(&issued.certificate)).unwrap();
    let complaint = yard.complaint();
    assert!(complaint.contains("DER") && complaint.contains("openssl x509 -inform DER"), "{complaint}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let authority = Authority::new();
    let issued = authority.issue(&["a.test"]);
    let mut yard = Yard::new(&[&issued]);
    yard.settings.is_client_certificate_required = true;
    assert_eq!(
        yard.complaint(),
        "client certificates are required, but no authority says which ones are good"
    );
    yard.settings.client_authority = Some(yard.folder.path().join("missing.crt"));
    assert_eq!(yard.complaint(), "cannot read missing.crt: No such file or directory (os error 2)");
    assert_eq!(Yard::new(&[]).complaint(), "TLS needs a certificate and its key");
}

#[test]
fn an_expired_certificate_is_used_and_complained_about() {
    let authority = Authority::new();
    let (expired, valid) = (authority.issue_expired(&["a.test"]), authority.issue(&["a.test"]));
    assert!(TlsServer::load(&Yard::new(&[&expired]).settings).is_ok());
    let mut early = CertificateParams::new(owned(&["a.test"])).unwrap();
    early.not_before = date_time_ymd(4000, 1, 1);
    let early = authority.sign(&early);
    for (issued, expected) in
        [(expired, Some("it has expired")), (valid, None), (early, Some("it is not valid yet"))]
    {
        let certificate = der(&issued.certificate);
        let certificate = webpki::EndEntityCert::try_from(&certificate).unwrap();
        assert_eq!(certificates::trouble_with_dates(&certificate), expected);
    }
}
