//! Handshakes that fail, that come to an end all the same, and connections that end in an unusual order.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::rig::backend::Backend;
use crate::rig::client::raw;
use crate::rig::tls::Authority;
use crate::rig::{self, PROGRAM, eventually, version_1};
use crate::{in_front_of, tls_listener};

#[test]
fn a_handshake_that_fails_is_told_with_its_reason_and_counted() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let clients = Authority::new();
    let bundle = [clients.certificate.as_str(), version_1::AUTHORITY].concat();
    fs::write(folder.path().join("clients.pem"), bundle).unwrap();
    let backend = Backend::saying("ok");
    let tls = tls_listener(folder.path(), &["shop.test"]);
    let lines = format!("{tls}client_authority = \"{}\"\n", folder.path().join("clients.pem").display());
    let balancer = in_front_of(&backend, &lines);
    let address = balancer.next_listener();
    let failed =
        |reason: &str| balancer.figure(&format!("evenkeel_failed_handshakes_total{{reason=\"{reason}\"}}"));
    let good = clients.issue("one.test");
    let get = |client: &rig::tls::Client| client.get(address, "shop.test");
    assert_eq!(get(&authority.client(Some(&good))).unwrap().0.status, 200);

    assert!(get(&authority.client(None)).is_err());
    let said = balancer.says(|line| line.contains("client_certificate")).unwrap();
    assert!(said.contains("127.0.0.1") && said.contains("sent no certificate"), "{said}");
    eventually("it is counted", || failed("client_certificate") == 1);
    // The second one within a minute is counted only.
    assert!(get(&authority.client(Some(&version_1::issued()))).is_err());
    eventually("it is counted", || failed("client_certificate") == 2);

    assert!(get(&clients.client(Some(&good))).is_err(), "it does not trust our certificate");
    let said = balancer.says(|line| line.contains("\"alert\"") || line.contains("reason=alert")).unwrap();
    assert!(said.contains("received fatal alert"), "{said}");
    eventually("it is counted", || failed("alert") == 1);

    let answer = raw(address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (400, "TLS is spoken here: the address is https://\n"));
    assert!(balancer.says(|line| line.contains("not_tls")).is_some());
    eventually("it is counted", || failed("not_tls") == 1);

    drop(std::net::TcpStream::connect(address).unwrap());
    eventually("who looks whether the port is open is counted", || failed("left") >= 1);
}

#[test]
fn a_certificate_of_version_1_is_named_as_what_it_is() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    version_1::issued().put(folder.path(), "old.test");
    let file = folder.path().join("evenkeel.toml");
    fs::write(&file, tls_listener(folder.path(), &["old.test"]) + "[[service]]\nname = \"web\"\n").unwrap();
    let output = Command::new(PROGRAM).args(["validate", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for words in ["old.test.pem", "version 1", "-copy_extensions copy", "subjectAltName"] {
        assert!(said.contains(words), "{words}: {said}");
    }

    authority.issue("shop.test").put(folder.path(), "shop.test");
    fs::write(folder.path().join("clients.pem"), version_1::AUTHORITY).unwrap();
    let tls = tls_listener(folder.path(), &["shop.test"]);
    let lines = format!("{tls}client_authority = \"{}\"\n", folder.path().join("clients.pem").display());
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &lines);
    let client = authority.client(Some(&version_1::issued()));
    assert!(client.get(balancer.next_listener(), "shop.test").is_err());
    let said = balancer.says(|line| line.contains("client_certificate")).unwrap();
    assert!(said.contains("version 1") && said.contains("-copy_extensions copy"), "{said}");
}

#[test]
fn a_client_that_offers_other_protocols_is_served_all_the_same() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &tls_listener(folder.path(), &["shop.test"]));
    let address = balancer.next_listener();
    let long: Vec<String> = (0..50).map(|number| format!("some-protocol-that-is-unknown-{number}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    for (offered, agreed) in [
        (&["http/1.0"][..], Some("http/1.0")),
        (&["http/0.9", "http/1.0"], Some("http/1.0")),
        (&["http/1.0", "http/1.1"], Some("http/1.1")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&["foo"], None),
        (&long, None),
        (&[], None),
    ] {
        let mut stream = authority.client(None).offering(offered).connect(address, "shop.test").unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{offered:?}: {answer}");
        assert_eq!(stream.conn.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
    }
}

#[test]
fn who_says_goodbye_in_tls_before_the_answer_gets_it_all_the_same() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &tls_listener(folder.path(), &["shop.test"]));
    let address = balancer.next_listener();
    for (version, is_half_closed) in [("1.0", false), ("1.1", false), ("1.1", true)] {
        let mut stream = authority.client(None).connect(address, "shop.test").unwrap();
        stream.write_all(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        if is_half_closed {
            stream.sock.shutdown(Shutdown::Write).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{version}: {answer}");
    }
}

/// Who reads to the end takes a connection that only ends, without a farewell, for one that was cut off.
#[test]
fn whenever_an_encrypted_connection_ends_that_is_said() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let backend = Backend::saying("ok");
    let tls = tls_listener(folder.path(), &["shop.test"]);
    let lines = format!("{tls}[timeouts]\nidle = \"1s\"\nhead = \"1s\"\n");
    let balancer = in_front_of(&backend, &lines);
    let address = balancer.next_listener();
    let answered = || {
        let mut stream = authority.client(None).connect(address, "shop.test").unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).unwrap();
            answer.extend_from_slice(&piece[..count]);
        }
        stream
    };
    let ends_well = |mut stream: rig::tls::Stream, what: &str| {
        assert_eq!(stream.read(&mut [0; 1]).expect(what), 0, "{what}");
    };
    // Just now it is still looked for the next request, and later the connection is idle.
    for pause in [0, 20, 300] {
        let mut stream = answered();
        thread::sleep(Duration::from_millis(pause));
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        ends_well(stream, "the client has said goodbye");
        let mut stream = answered();
        thread::sleep(Duration::from_millis(pause));
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        ends_well(stream, "the client has closed its side");
    }
    ends_well(answered(), "nothing came for too long");
    ends_well(authority.client(None).connect(address, "shop.test").unwrap(), "nothing came at all");
    let stream = answered();
    balancer.signal("-TERM");
    ends_well(stream, "the balancer ends");
}
