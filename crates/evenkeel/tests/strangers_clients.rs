//! What strangers can do with connections alone, against the real program: fill the house and say nothing,
//! claim to be somebody else, and talk so that the next one is misunderstood.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};

use rig::backend::{Backend, answer};
use rig::client::{Talk, raw, send};
use rig::tls::{Authority, Stream};
use rig::{Balancer, Rig, eventually};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
/// How many connections the house has, and how many good requests come to it when they are taken.
const HOUSE: usize = 40;
const GOOD: usize = 116;

/// Nobody goes by itself: what makes room is the need for it.
const PATIENT: &str = "workers = 2\n[limits]\nconnections = 40\n[timeouts]\nhead = \"1h\"\nidle = \"1h\"\n";

/// The same in one worker. With several, who came at nearly the same time is as old.
fn in_order() -> String {
    PATIENT.replace("workers = 2", "workers = 1")
}

fn in_front_of(backend: &Backend, lines: &str) -> Balancer {
    Rig::new().config(&format!("{lines}\n{}", service(backend))).up()
}

fn service(backend: &Backend) -> String {
    format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n", backend.address)
}

/// The same house with TLS, and a client for it.
fn with_tls(backend: &Backend, lines: &str) -> (Balancer, SocketAddr, rig::tls::Client, tempfile::TempDir) {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.issue("shop.test").put(folder.path(), "shop.test");
    let path = folder.path().display();
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificates = \
         [{{ certificate = \"{path}/shop.test.pem\", key = \"{path}/shop.test.key\" }}]\n"
    );
    let balancer = in_front_of(backend, &format!("{lines}{listener}"));
    let address = balancer.next_listener();
    (balancer, address, authority.client(None), folder)
}

/// Good clients, each with a connection of its own; all of them are served.
fn serves_everybody(address: SocketAddr) {
    for number in 0..GOOD {
        let answer = raw(address, LAST).unwrap_or_else(|error| panic!("request {number}: {error}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "request {number}");
    }
}

/// How often a kind of defence was needed, by the metrics page.
fn defences(balancer: &Balancer, kind: &str) -> u64 {
    let page = send(balancer.admin, "GET", "/metrics", "").body;
    let name = format!("evenkeel_defences_total{{kind=\"{kind}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// How many connections there are, by the metrics page.
fn connections(balancer: &Balancer) -> usize {
    let page = send(balancer.admin, "GET", "/metrics", "").body;
    let lines = page.lines().filter(|line| line.starts_with("evenkeel_connections{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// Whether the other side has hung up.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match peeked {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn connect(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    stream.write_all(first).unwrap();
    stream
}

#[test]
fn idle_connections_keep_nobody_out_and_the_oldest_go_first() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, &in_order());
    let mut idle: Vec<Talk> = (0..HOUSE).map(|_| Talk::to(balancer.address)).collect();
    for talk in &mut idle {
        talk.say(GET);
        assert_eq!(talk.answer().body, "ok");
    }
    serves_everybody(balancer.address);
    let said = balancer.says(|line| line.contains("limits.connections")).unwrap();
    assert!(said.contains("WARN") && said.contains("idle longest"), "{said}");
    let closed: Vec<bool> = idle.iter().map(|talk| is_closed(talk.stream.get_ref())).collect();
    // One goes for each of the good ones who come before another good one has left.
    let count = closed.iter().filter(|is_closed| **is_closed).count();
    assert!(count >= 1 && closed[..count].iter().all(|is_closed| *is_closed), "{closed:?}");
    assert_eq!(defences(&balancer, "closed_for_room"), count as u64);
    let last = idle.last_mut().unwrap();
    last.say(GET);
    assert_eq!(last.answer().body, "ok", "the youngest was left alone");
}

#[test]
fn heads_that_never_end_keep_nobody_out() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, PATIENT);
    // In the first line, in a field, and behind a request that was answered.
    let firsts: [&[u8]; 4] =
        [b"G", b"GET / HTTP/1.1\r\nHost: h\r\nX: ", &[GET, b"GET / HT"].concat(), b"\r\n"];
    let slow: Vec<_> =
        (0..HOUSE).map(|number| connect(balancer.address, firsts[number % firsts.len()])).collect();
    eventually("the house is full", || connections(&balancer) == HOUSE);
    serves_everybody(balancer.address);
    assert!(slow.iter().any(is_closed));
}

#[test]
fn handshakes_that_never_come_keep_nobody_out() {
    let backend = Backend::saying("ok");
    let (balancer, address, client, _folder) = with_tls(&backend, PATIENT);
    // Nothing at all, and the beginning of a greeting.
    let silent: Vec<_> =
        (0..HOUSE).map(|number| connect(address, &b"\x16\x03\x01\x02\0\x01"[..number % 7])).collect();
    eventually("the house is full", || connections(&balancer) == HOUSE);
    for number in 0..GOOD {
        let (answer, _) = client.get(address, "shop.test").unwrap();
        assert_eq!(answer.status, 200, "request {number}");
    }
    serves_everybody(balancer.address);
    assert!(silent.iter().any(is_closed));
}

#[test]
fn idle_http2_connections_keep_nobody_out_and_are_told_that_they_end() {
    let backend = Backend::saying("ok");
    let (balancer, address, client, _folder) = with_tls(&backend, &in_order());
    let client = client.offering(&["h2"]);
    let mut idle: Vec<Stream> = (0..HOUSE)
        .map(|_| {
            let mut stream = client.connect(address, "shop.test").unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
            // Its settings have come, so that it is served.
            stream.read_exact(&mut [0; 9]).unwrap();
            stream
        })
        .collect();
    eventually("the house is full", || connections(&balancer) == HOUSE);
    serves_everybody(balancer.address);
    let mut bytes = Vec::new();
    // The end comes without TLS's own farewell.
    let _ = idle[0].read_to_end(&mut bytes);
    assert!(bytes.len() > 17, "{bytes:?}");
    let goaway = &bytes[bytes.len() - 17..];
    assert_eq!(goaway[..4], [0, 0, 8, 7], "the last frame is a GOAWAY: {bytes:?}");
    assert_eq!(goaway[13..], [0; 4], "without an error");
}

#[test]
fn a_full_house_lets_idle_ones_go_soon() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, PATIENT);
    let mut talks: Vec<Talk> = (0..HOUSE).map(|_| Talk::to(balancer.address)).collect();
    for talk in &mut talks {
        talk.say(GET);
        assert_eq!(talk.answer().body, "ok");
    }
    // An hour is a second when all are taken, and much longer again when one has gone.
    eventually("one is closed", || talks.iter().any(|talk| is_closed(talk.stream.get_ref())));
    assert_eq!(defences(&balancer, "closed_for_room"), 0, "nobody wanted its room");
}

#[test]
fn requests_under_way_are_never_cut_for_others() {
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let backend = Backend::at_heads(move |head, reader| {
        if head.line.contains("/slow") {
            may_go.lock().unwrap().recv_timeout(rig::PATIENCE).unwrap();
        }
        answer(reader.get_mut(), "200 OK", "ok")
    });
    let balancer = in_front_of(&backend, PATIENT);
    let mut busy: Vec<Talk> = (0..HOUSE - 1).map(|_| Talk::to(balancer.address)).collect();
    for (number, talk) in busy.iter_mut().enumerate() {
        // Some have their whole request here, and some not its body.
        let rest = if number % 2 == 0 { "\r\n" } else { "Content-Length: 2\r\n\r\nx" };
        talk.say(format!("PUT /slow HTTP/1.1\r\nHost: h\r\n{rest}"));
    }
    eventually("the house is nearly full", || connections(&balancer) == HOUSE - 1);
    let _idle = connect(balancer.address, b"");
    serves_everybody(balancer.address);
    (0..HOUSE).for_each(|_| go.send(()).unwrap());
    for (number, talk) in busy.iter_mut().enumerate() {
        if number % 2 == 1 {
            talk.say("y");
        }
        assert_eq!(talk.answer().body, "ok", "request {number}");
    }
}

/// The PROXY protocol, spoken by somebody who names this client.
fn on_behalf_of(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let own = if client.contains(':') { "::1" } else { "127.0.0.1" };
    format!("PROXY {family} {client} {own} 4711 80\r\n").into_bytes()
}

#[test]
fn one_client_has_no_more_than_its_part() {
    let backend = Backend::saying("ok");
    let lines = "[limits]\nconnections_per_client = 3\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
                 proxy_protocol = true\n";
    let balancer = in_front_of(&backend, lines);
    let address = balancer.next_listener();
    let come = |client: &str| connect(address, &[&on_behalf_of(client)[..], GET].concat());
    let is_served = |stream: &mut TcpStream| matches!(stream.read(&mut [0; 512]), Ok(1..));
    for (most, clients) in [(3, vec!["203.0.113.7"; 5]), (3, ["2001:db8::1", "2001:db8::2:1"].repeat(3))] {
        let mut streams: Vec<TcpStream> = clients.iter().map(|client| come(client)).collect();
        let served = streams.iter_mut().map(is_served).filter(|is_served| *is_served).count();
        assert_eq!(served, most, "{clients:?}");
        for other in ["203.0.113.8", "2001:db8:0:1::1"] {
            assert!(is_served(&mut come(other)), "{other}");
        }
        drop(streams);
        eventually("they have left", || connections(&balancer) == 0);
        assert!(is_served(&mut come(clients[0])), "and may come again");
    }
    assert_eq!(defences(&balancer, "refused_per_client"), 2 + 3);
    let said = balancer.says(|line| line.contains("limits.connections_per_client")).unwrap();
    assert!(said.contains("203.0.113.7"), "{said}");
    // Of this host many may come, with and without such a header.
    let mut own: Vec<TcpStream> = (0..9).map(|_| connect(balancer.address, GET)).collect();
    own.extend((0..9).map(|_| come("127.0.0.1")));
    assert!(own.iter_mut().all(is_served));
}

#[test]
fn proxy_headers_of_strangers_are_not_believed() {
    let backend = Backend::saying("ok");
    let listener = |from: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\nproxy_protocol_from = [\"{from}\"]\n"
        )
    };
    let balancer = in_front_of(&backend, &(listener("10.0.0.0/8") + &listener("127.0.0.1")));
    let (others, ours) = (balancer.next_listener(), balancer.next_listener());
    let request = [&on_behalf_of("203.0.113.7")[..], LAST].concat();
    assert!(raw(others, &request).is_err(), "127.0.0.1 is not its load balancer");
    assert!(raw(others, LAST).is_err());
    eventually("both are counted", || defences(&balancer, "refused_proxy_protocol") == 2);
    let said = balancer.says(|line| line.contains("proxy_protocol_from")).unwrap();
    assert!(said.contains("WARN") && said.contains("127.0.0.1"), "{said}");
    assert!(backend.received().is_empty());
    assert_eq!(raw(ours, &request).unwrap().status, 200);
    assert_eq!(backend.received()[0].header("x-forwarded-for"), ["203.0.113.7"]);
}

#[test]
fn what_follows_a_refused_connect_is_no_request() {
    let backend = Backend::saying("ok");
    let balancer = in_front_of(&backend, "");
    let hidden = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";
    for line in ["CONNECT h:443", "CONNECT /", "TRACE /", "TRACE http://h/"] {
        let request =
            format!("{line} HTTP/1.1\r\nHost: {}\r\n", if line.contains(":443") { "h:443" } else { "h" });
        // At once, as a client of a proxy sends it that does not wait, and after the answer.
        let mut talk = Talk::to(balancer.address);
        talk.say([request.as_bytes(), b"\r\n", hidden].concat());
        let answer = talk.answer();
        assert_eq!((answer.status, answer.header("connection")), (405, Some("close")), "{line}");
        assert_eq!(talk.rest().unwrap_or_default(), b"", "{line}");
        let mut talk = Talk::to(balancer.address);
        talk.say(request + "Content-Length: 3\r\n\r\nabc");
        assert_eq!(talk.answer().status, 405, "{line}");
        let _ = talk.stream.get_mut().write_all(hidden);
        assert_eq!(talk.rest().unwrap_or_default(), b"", "{line}");
    }
    assert!(backend.received().is_empty(), "nothing of it has reached a replica");
}

#[test]
fn what_can_be_no_head_is_refused_before_it_ends() {
    let backend = Backend::saying("ok");
    // Who waits for the rest of it waits for an hour.
    let balancer = in_front_of(&backend, PATIENT);
    let begun: [(&[u8], u16); 12] = [
        (b"GET /x\r\n", 400),
        (b"GET /x\n", 400),
        (b"\r\nGET\r\n", 400),
        (b"GET /x HTTP/3.0\r\n", 505),
        (b"GET /x HTTP/1.1 \r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02", 400),
        (b"{\"jsonrpc\"", 400),
        (b"GET / HTTP/1.1\r\nHost : h\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n ", 400),
        (b"GET / HTTP/1.1\r\nno field\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n", 400),
    ];
    for (bytes, status) in begun {
        let mut talk = Talk::to(balancer.address);
        // In one piece, and in drops.
        talk.say(bytes);
        assert_eq!(talk.answer().status, status, "{}", bytes.escape_ascii());
        let mut talk = Talk::to(balancer.address);
        talk.say(&bytes[..bytes.len() - 1]);
        // It may be refused already.
        let _ = talk.stream.get_mut().write_all(&bytes[bytes.len() - 1..]);
        assert_eq!(talk.answer().status, status, "{}", bytes.escape_ascii());
        assert_eq!(talk.rest().unwrap_or_default(), b"");
    }
    assert!(backend.received().is_empty());
}
