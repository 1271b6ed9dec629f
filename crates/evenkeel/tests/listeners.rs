//! Where clients come in, through the real program: TLS, the PROXY protocol, limits, and the log of
//! what they asked for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

mod listeners {
    mod certificates;
    mod handshakes;
    mod refusals;
}

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rig::backend::{Backend, answer};
use rig::client::raw;
use rig::tls::{Authority, Issued};
use rig::{Balancer, PROGRAM, Rig, eventually};
use serde_json::Value;

/// A balancer in front of one backend, with these lines in front of its service.
fn in_front_of(backend: &Backend, lines: &str) -> Balancer {
    let config = format!(
        "{lines}\n[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n\
         [service.heartbeat]\nevery = \"100ms\"\ntimeout = \"100ms\"\n",
        backend.address
    );
    Rig::new().config(&config).up()
}

/// A TLS listener with the certificates of these names in a folder.
fn tls_listener(folder: &Path, names: &[&str]) -> String {
    let path = |name: &str, ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    let certificates = names.iter().map(|name| {
        format!("{{ certificate = \"{}\", key = \"{}\" }}", path(name, "pem"), path(name, "key"))
    });
    let certificates = certificates.collect::<Vec<_>>().join(", ");
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificates = [{certificates}]\n")
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let issued = ["first.test", "second.test"].map(|name| {
        let issued = authority.issue(name);
        issued.put(folder.path(), name);
        issued
    });
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &tls_listener(folder.path(), &["first.test", "second.test"]));
    let address = balancer.next_listener();
    for (name, expected) in ["first.test", "second.test"].iter().zip(&issued) {
        let (answer, shown) = authority.client(None).get(address, name).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        assert_eq!(shown, expected.der(), "{name}");
    }
    let got = &backend.received()[0];
    assert_eq!(got.header("x-forwarded-proto"), ["https"]);
    assert_eq!(got.header("x-forwarded-host"), ["first.test"]);
    assert_eq!(balancer.get("/").status, 200, "the plain listener is there too");
    assert_eq!(backend.received()[2].header("x-forwarded-proto"), ["http"]);
}

#[test]
fn a_renewed_certificate_is_used_and_no_request_fails_meanwhile() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &tls_listener(folder.path(), &["shop.test"]));
    let address = balancer.next_listener();
    let client = authority.client(None);
    let is_over = AtomicBool::new(false);
    let renewed = authority.issue("shop.test");
    std::thread::scope(|scope| {
        let steady = scope.spawn(|| {
            let mut stream = client.connect(address, "shop.test").unwrap();
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) || count < 100 {
                stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\nok") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    answer.push(byte[0]);
                }
                assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
                count += 1;
                // A connection carries a thousand.
                if count % 500 == 0 {
                    stream = client.connect(address, "shop.test").unwrap();
                }
            }
        });
        let fresh = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(client.get(address, "shop.test").unwrap().0.status, 200);
            }
        });
        renewed.put(folder.path(), "shop.test");
        eventually("the new certificate is shown", || {
            client.get(address, "shop.test").unwrap().1 == renewed.der()
        });
        is_over.store(true, Ordering::Relaxed);
        steady.join().unwrap();
        fresh.join().unwrap();
    });
}

#[test]
fn a_request_that_comes_together_with_the_end_of_the_handshake_is_answered() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &tls_listener(folder.path(), &["shop.test"]));
    let mut stream = authority.client(None).connect(balancer.next_listener(), "shop.test").unwrap();
    // It leaves when it may, in one piece with what comes before it.
    stream.conn.writer().write_all(REQUEST).unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[test]
fn hangup_reads_certificates_again_and_says_what_is_wrong_with_them() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &tls_listener(folder.path(), &["shop.test"]));
    let address = balancer.next_listener();
    let client = authority.client(None);
    let renewed = authority.issue("shop.test");
    renewed.put(folder.path(), "shop.test");
    balancer.signal("-HUP");
    assert!(balancer.says(|line| line.contains("SIGHUP: certificates were read again")).is_some());
    assert_eq!(client.get(address, "shop.test").unwrap().1, renewed.der());
    fs::write(folder.path().join("shop.test.pem"), "no certificate").unwrap();
    balancer.signal("-HUP");
    let complaint = balancer.says(|line| line.contains("the old ones still are")).unwrap();
    assert!(complaint.contains("shop.test.pem"), "{complaint}");
    assert_eq!(client.get(address, "shop.test").unwrap().1, renewed.der());
}

#[test]
fn with_an_authority_only_clients_with_its_certificates_are_served() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let file = folder.path().join("clients.pem");
    fs::write(&file, &authority.certificate).unwrap();
    let backend = Backend::saying("ok");
    let listener = tls_listener(folder.path(), &["shop.test"]);
    let mutual = format!("{listener}client_authority = \"{}\"\n", file.display());
    let balancer = in_front_of(&backend, &format!("{mutual}{mutual}client_certificate = \"optional\""));
    let (required, optional) = (balancer.next_listener(), balancer.next_listener());
    let (stranger, foreign) = (authority.client(None), Authority::new().issue("client"));
    let (own, foreign) =
        (authority.client(Some(&authority.issue("client"))), authority.client(Some(&foreign)));
    assert!(stranger.get(required, "shop.test").is_err() && foreign.get(required, "shop.test").is_err());
    assert!(foreign.get(optional, "shop.test").is_err() && backend.received().is_empty());
    for (client, address) in [(&own, required), (&own, optional), (&stranger, optional)] {
        assert_eq!(client.get(address, "shop.test").unwrap().0.status, 200);
    }
}

#[test]
fn unusable_certificates_are_a_bad_configuration_with_file_and_reason() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let Issued { certificate, .. } = authority.issue("shop.test");
    let key = authority.issue("other.test").key;
    Issued { certificate, key }.put(folder.path(), "shop.test");
    // Relative paths begin where the file is, wherever the program was started.
    let text = format!(
        "admin = \"127.0.0.1:0\"\n{}[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
         certificates = [{{ certificate = \"none.pem\", key = \"none.key\" }}]\n[[service]]\nname = \"web\"\n",
        tls_listener(folder.path(), &["shop.test"])
    );
    let file = folder.path().join("evenkeel.toml");
    fs::write(&file, text).unwrap();
    for command in ["validate", "up"] {
        let output = Command::new(PROGRAM).arg(command).arg("--config").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        let missing = folder.path().join("none.pem").display().to_string();
        assert!(said.contains("shop.test.key does not fit the certificate in "), "{said}");
        assert!(said.contains(&format!("cannot read {missing}: No such file")), "{said}");
    }
}

/// Version 2 of the PROXY protocol: TCP over IPv4, from 203.0.113.7, port 4711.
const PROXY_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x7f\0\0\x01\x12\x67\0\x50";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn behind_the_proxy_protocol_the_client_is_who_its_header_names() {
    let backend = Backend::saying("ok");
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";
    let balancer = in_front_of(&backend, listener);
    let said = &balancer.said_at_start;
    assert!(said.contains("(with the PROXY protocol)"), "{said}");
    let address = balancer.next_listener();
    let first = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n";
    for header in [&first[..], PROXY_2] {
        assert_eq!(raw(address, &[header, REQUEST].concat()).unwrap().status, 200);
        let got = backend.received().pop().unwrap();
        assert_eq!(got.header("x-forwarded-for"), ["203.0.113.7"]);
    }
    assert!(raw(address, REQUEST).is_err(), "without the header the connection is closed");
    assert_eq!(backend.received().len(), 2);
    assert_eq!(raw(balancer.address, REQUEST).unwrap().status, 200, "the first listener asks for none");
}

#[test]
fn only_trusted_proxies_are_believed() {
    let backend = Backend::saying("ok");
    let request =
        b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
    let cases = [
        ("trusted_proxies = [\"10.0.0.0/8\", \"127.0.0.1\"]", "203.0.113.9, 127.0.0.1", "https"),
        ("trusted_proxies = [\"10.0.0.0/8\"]", "127.0.0.1", "http"),
    ];
    for (lines, chain, scheme) in cases {
        let balancer = in_front_of(&backend, lines);
        assert_eq!(raw(balancer.address, request).unwrap().status, 200);
        let got = backend.received().pop().unwrap();
        assert_eq!(got.header("x-forwarded-for"), [chain]);
        assert_eq!(got.header("x-forwarded-proto"), [scheme]);
    }
}

#[test]
fn requests_have_ids_unless_nobody_wants_them() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, "");
    let answer = balancer.get("/");
    assert_eq!(backend.received()[0].header("x-request-id"), [answer.header("x-request-id").unwrap()]);
    let balancer = in_front_of(&backend, "request_id = false");
    assert_eq!(balancer.get("/").header("x-request-id"), None);
    assert!(backend.received()[1].header("x-request-id").is_empty());
}

#[test]
fn what_is_larger_than_its_limit_is_refused() {
    let backend = Backend::saying("ok");
    let limits = "[limits]\nrequest_line = \"1KiB\"\nhead = \"4KiB\"\nheaders = 5\nunderscores = \"reject\"";
    let balancer = in_front_of(&backend, limits);
    let status = |target: &str, fields: &str| {
        let text = format!("GET /{target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
        raw(balancer.address, text.as_bytes()).unwrap().status
    };
    assert_eq!(status(&"x".repeat(1000), ""), 200);
    assert_eq!(status(&"x".repeat(1024), ""), 414);
    assert_eq!(status("", &format!("X: {}\r\n", "y".repeat(4096))), 431);
    assert_eq!(status("", &"X: y\r\n".repeat(3)), 200);
    assert_eq!(status("", &"X: y\r\n".repeat(4)), 431);
    assert_eq!(status("", "X_Y: z\r\n"), 400);
    assert_eq!(backend.received().len(), 2);
}

#[test]
fn a_replica_has_the_time_of_its_service() {
    let backend = Backend::start(|request, stream| {
        if request.line.contains("slow") {
            std::thread::park_timeout(std::time::Duration::from_secs(60));
        }
        answer(stream, "200 OK", "ok")
    });
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n\
         [service.timeouts]\nresponse = \"300ms\"\n[[service]]\nname = \"other\"\npath = \"/other\"\n\
         driver = \"static\"\naddresses = [\"{}\"]\n[service.timeouts]\nrequest = \"300ms\"\n",
        backend.address, backend.address
    );
    let balancer = Rig::new().config(&config).up();
    assert_eq!(balancer.get("/").status, 200);
    assert_eq!(balancer.get("/slow").status, 504);
    assert_eq!(balancer.get("/other/slow").status, 504);
}

#[test]
fn more_connections_than_descriptors_carry_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evenkeel.toml");
    let text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[limits]\nconnections = 1000\n\
                [[service]]\nname = \"web\"\ncommand = [\"/no/such/server\"]\n";
    fs::write(&file, text).unwrap();
    let start = "ulimit -n 256; exec \"$0\" up --wait --config \"$1\"";
    let output = Command::new("sh").args(["-c", start, PROGRAM]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let warning = "limits.connections is 1000, but 256 open descriptors carry only 96 connections";
    assert!(said.contains(warning), "{said}");
}

/// The lines of a file that are there as a whole; the last one may be on its way.
fn lines_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

#[test]
fn the_access_log_has_a_line_for_each_request_and_goes_on_after_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let [file, rotated] = ["access.log", "access.log.1"].map(|name| folder.path().join(name));
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &format!("[access_log]\nto = \"{}\"", file.display()));
    for number in 0..3 {
        balancer.get(&format!("/before?{number}"));
    }
    eventually("the lines are there", || lines_of(&file).len() == 3);
    // Workers hand over their lines when they like; those of one are in their order.
    let found = lines_of(&file).into_iter().find(|line| line.contains("/before?0")).unwrap();
    let line: Value = serde_json::from_str(&found).unwrap();
    let expected = [("method", "GET"), ("target", "/before?0"), ("client", "127.0.0.1"), ("service", "web")];
    for (key, value) in expected {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!((&line["status"], &line["bytes_sent"]), (&Value::from(200), &Value::from(2)));
    fs::rename(&file, &rotated).unwrap();
    balancer.signal("-HUP");
    assert!(balancer.says(|line| line.contains("the access log is opened anew")).is_some());
    eventually("the new file is there", || file.exists());
    balancer.get("/after");
    eventually("the new file is used", || lines_of(&file).len() == 1);
    assert_eq!(lines_of(&rotated).len(), 3);
    let metrics = rig::client::send(balancer.admin, "GET", "/metrics", "").body;
    assert!(metrics.contains("\nevenkeel_access_log_dropped_lines_total 0\n"), "{metrics}");
    balancer.get("/last");
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert!(lines_of(&file)[1].contains("/last"), "what was recorded is written before the end");
}

#[test]
fn the_access_log_may_have_the_common_format() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let backend = Backend::saying("ok");
    let lines = format!("[access_log]\nformat = \"common\"\nto = \"{}\"", file.display());
    let balancer = in_front_of(&backend, &lines);
    raw(balancer.address, b"GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\nConnection: close\r\n\r\n")
        .unwrap();
    eventually("the line is there", || lines_of(&file).len() == 1);
    let line = lines_of(&file).remove(0);
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.ends_with("] \"GET /a HTTP/1.1\" 200 2 \"-\" \"me\""),
        "{line}"
    );
}

#[test]
fn an_access_log_that_cannot_be_opened_keeps_the_balancer_from_coming_up() {
    let text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[access_log]\nto = \"none/access.log\"\n[[service]]\nname = \"web\"\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evenkeel.toml");
    fs::write(&file, text).unwrap();
    let output = Command::new(PROGRAM).args(["up", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let log = folder.path().join("none/access.log").display().to_string();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot write the access log to {log}: No such file")), "{said}");
}
