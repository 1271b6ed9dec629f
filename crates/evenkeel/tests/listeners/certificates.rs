//! What replicas hear of the certificates of clients, who has to show one, and that nobody can claim to have.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::HandshakeKind;

use crate::rig::backend::{Backend, Received};
use crate::rig::client::{Answer, parse, raw};
use crate::rig::tls::{Authority, Client};
use crate::rig::{Balancer, Rig, eventually};
use crate::tls_listener;

/// What a stranger would like to be.
const CLAIMS: &str = "X-Client-Cert-Verify: SUCCESS\r\nX-Client-Cert-Subject: CN=admin\r\nX_Client_Cert_Subject: CN=admin\r\n\
    X-Client-Cert: x\r\nClient-Cert: :eA==:\r\nX-Client-Cert-Names: DNS:admin\r\nX-SSL-Client-Verify: SUCCESS\r\n";

fn ask(address: SocketAddr, client: &Client, path: &str) -> (Answer, HandshakeKind) {
    let mut stream = client.connect(address, "shop.test").unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n{CLAIMS}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (parse(&text).unwrap(), stream.conn.handshake_kind().unwrap())
}

struct Yard {
    balancer: Balancer,
    backend: Backend,
    folder: tempfile::TempDir,
    /// Whom clients trust, and who vouches for clients.
    authority: Authority,
    clients: Authority,
}

/// A listener that takes certificates, and one without TLS; all of a certificate is told.
fn yard(lines: &str) -> Yard {
    let (folder, authority, clients) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    fs::write(folder.path().join("clients.pem"), &clients.certificate).unwrap();
    let backend = Backend::saying("ok");
    let tls = tls_listener(folder.path(), &["shop.test"]);
    let config = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n[access_log]\nto = {:?}\n{tls}client_authority = {:?}\n\
         client_certificate = \"optional\"\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n{lines}",
        folder.path().join("access.log"),
        folder.path().join("clients.pem"),
        backend.address
    );
    Yard { balancer: Rig::new().config(&config).up(), backend, folder, authority, clients }
}

fn last(backend: &Backend) -> Received {
    backend.received().pop().unwrap()
}

const ALL: &str = "tell_certificate = [\"subject\", \"issuer\", \"serial\", \"names\", \"fingerprint\", \"pem\", \"rfc9440\"]\n";

#[test]
fn replicas_hear_of_a_certificate_what_is_in_it_and_of_none_what_is_claimed() {
    let Yard { balancer, backend, folder, authority, clients } = yard(ALL);
    let address = balancer.next_listener();
    let alice = clients.issue("alice.test");
    let client = authority.client(Some(&alice)).resuming();
    for (round, kind) in [(1, HandshakeKind::Full), (2, HandshakeKind::Resumed)] {
        let (answer, had) = ask(address, &client, "/");
        assert_eq!(answer.status, 200);
        assert!(had == kind || round == 1, "{had:?}: the session goes on, and so does what is known of it");
        let request = last(&backend);
        for (name, value) in [
            ("x-client-cert-verify", "SUCCESS"),
            ("x-client-cert-subject", "CN=rcgen self signed cert"),
            ("x-client-cert-issuer", "CN=rcgen self signed cert"),
            ("x-client-cert-names", "DNS:alice.test"),
        ] {
            assert_eq!(request.header(name), [value], "{name}");
        }
        assert!(request.header("x_client_cert_subject").is_empty());
        assert_eq!(request.header("x-client-cert-fingerprint")[0].len(), 64);
        assert!(request.header("x-client-cert-serial")[0].bytes().all(|byte| byte.is_ascii_hexdigit()));
        let binary = request.header("client-cert")[0].trim_matches(':').to_owned();
        assert_eq!(STANDARD.decode(binary).unwrap(), alice.der().as_ref());
        let pem = request.header("x-client-cert")[0].to_owned();
        assert!(pem.starts_with("-----BEGIN%20CERTIFICATE-----%0AMII"), "{pem}");
    }
    let (answer, _) = ask(address, &authority.client(None), "/");
    assert_eq!(answer.status, 200, "it is optional");
    let plain = raw(
        balancer.address,
        format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{CLAIMS}\r\n").as_bytes(),
    );
    assert_eq!(plain.unwrap().status, 200);
    for request in &backend.received()[2..] {
        assert_eq!(request.header("x-client-cert-verify"), ["NONE"]);
        for name in ["subject", "issuer", "serial", "names", "fingerprint"] {
            assert!(request.header(&format!("x-client-cert-{name}")).is_empty(), "{name}");
        }
        assert!(request.header("x-client-cert").is_empty() && request.header("client-cert").is_empty());
    }
    let lines = || fs::read_to_string(folder.path().join("access.log")).unwrap_or_default();
    eventually("all is written", || lines().lines().count() == 4);
    let shown =
        lines().lines().filter(|line| line.contains("\"certificate\":\"CN=rcgen self signed cert\"")).count();
    assert_eq!((shown, lines().matches("\"certificate\":null").count()), (2, 2), "{}", lines());
}

#[test]
fn who_has_to_show_a_certificate_is_refused_without_one() {
    let lines = "[[service.location]]\npath = \"/admin\"\nrequire_certificate = true\n";
    let Yard { balancer, backend, authority, clients, .. } = yard(lines);
    let address = balancer.next_listener();
    let alice = authority.client(Some(&clients.issue("alice.test")));
    let nobody = authority.client(None);
    for (client, path, status) in [
        (&alice, "/", 200),
        (&alice, "/admin", 200),
        (&nobody, "/", 200),
        (&nobody, "/admin", 403),
        (&nobody, "/x/../admin/y", 403),
    ] {
        let (answer, _) = ask(address, client, path);
        assert_eq!(answer.status, status, "{path}");
    }
    let request = format!("GET /admin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{CLAIMS}\r\n");
    let answer = raw(balancer.address, request.as_bytes()).unwrap();
    assert!(answer.status == 403 && answer.body.contains("a certificate of the client"), "{answer:?}");
    let name = "evenkeel_policies_total{service=\"web\",policy=\"client_certificate\",outcome=\"refused\"}";
    assert_eq!(balancer.figure(name), 3);
    assert!(ask_wrong(address, &authority), "one that nobody here vouches for is refused at once");
    assert_eq!(backend.received().len(), 3);
}

/// Whether a certificate of somebody else's is refused.
fn ask_wrong(address: SocketAddr, authority: &Authority) -> bool {
    let wrong = authority.client(Some(&Authority::new().issue("alice.test")));
    wrong.get(address, "shop.test").is_err()
}
