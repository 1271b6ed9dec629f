//! Services that get a part of another one's requests: how many, who, and that nobody gets round a door by it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::rig::{Balancer, Rig, backend::Backend, client::Talk, eventually};
use crate::{ask_with, both, named, service, values};

const VISITORS: u32 = 1000;

fn web(lines: &str, backend: &Backend) -> String {
    format!("trusted_proxies = [\"127.0.0.1\"]\n{}", service("web", lines, backend))
}

fn next(lines: &str, backend: &Backend) -> String {
    service("next", &format!("[service.canary]\nof = \"web\"\n{lines}"), backend)
}

/// Waits until the canary takes requests, for who asks for it waits; and only the rest is for those who do not.
fn canary_is_up(address: SocketAddr) {
    let answer = ask_with(address, "/x", &[("X-Canary", "1")]);
    assert!(answer.body.starts_with("next"), "{answer:?}");
}

/// Who among all visitors gets to the canary, by their addresses.
fn diverted(address: SocketAddr) -> BTreeSet<u32> {
    let mut talk = Talk::to(address);
    let gets_there = |visitor: &u32| {
        let client = format!("10.1.{}.{}", visitor / 256, visitor % 256);
        talk.say(format!("GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {client}\r\n\r\n"));
        talk.answer().body == "next /x"
    };
    (0..VISITORS).filter(gets_there).collect()
}

fn counted(balancer: &Balancer, outcome: &str) -> u64 {
    balancer.figure(&format!(
        "evenkeel_policies_total{{service=\"next\",policy=\"canary\",outcome=\"{outcome}\"}}"
    ))
}

#[test]
fn a_share_of_visitors_gets_to_a_canary_and_stays_there_when_it_grows() {
    let [old, new] = [named("web"), named("next")];
    let up = |share: &str| {
        let canary = next(&format!("share = {share}\nheader = \"X-Canary\"\n"), &new);
        let balancer = Rig::new().config(&format!("{}{canary}", web("", &old))).up();
        canary_is_up(balancer.address);
        balancer
    };
    let balancer = up("10");
    let first = diverted(balancer.address);
    // The standard deviation is 9.5.
    assert!((55..145).contains(&first.len()), "{}", first.len());
    assert_eq!(diverted(balancer.address), first, "each stays where it was");
    let diverted_in_all = 2 * first.len() as u64;
    assert_eq!(counted(&balancer, "share"), diverted_in_all);
    let responses = |name: &str| {
        balancer.figure(&format!("evenkeel_responses_total{{service=\"{name}\",class=\"2xx\"}}"))
    };
    assert_eq!(responses("next"), diverted_in_all + 1);
    assert_eq!(responses("web"), 2 * u64::from(VISITORS) - diverted_in_all);
    drop(balancer);
    let larger = diverted(up("25.5").address);
    assert!(larger.is_superset(&first) && (190..320).contains(&larger.len()), "{}", larger.len());
    assert_eq!(diverted(up("0").address).len(), 0);
    assert_eq!(diverted(up("100").address).len(), VISITORS as usize);
}

#[test]
fn who_asks_for_a_canary_gets_there() {
    let [old, new] = [named("web"), named("next")];
    let lines = "header = \"X-Canary: beta\"\ncookie = \"canary\"\n";
    let balancer = Rig::new().config(&format!("{}{}", web("", &old), next(lines, &new))).up();
    let mut asked = 0;
    for (headers, expected) in [
        (&[][..], "web /"),
        (&[("X-Canary", "alpha")], "web /"),
        (&[("X-Canary", "beta")], "next /"),
        (&[("Cookie", "a=b; canary=")], "next /"),
        (&[("Cookie", "canaryx=1; x=canary=1; CANARY=1")], "web /"),
    ] {
        for (version, answer) in both(balancer.address, "/", headers) {
            assert_eq!(answer.body, expected, "{headers:?} over HTTP/{version}");
            asked += u64::from(expected == "next /");
        }
    }
    assert_eq!(counted(&balancer, "asked"), asked);
    let explained = |words: &[&str]| {
        let output = balancer.command(&[&["explain", "--service", "web"], words].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let row = "canary: 'next' gets 0 % of the requests of 'web', and those with the header x-canary: beta, and those \
               with the cookie canary: ";
    let said = explained(&[]);
    assert!(said.contains(&format!("{row}not this one")), "{said}");
    let said = explained(&["--header", "X-Canary=beta"]);
    assert!(said.contains(&format!("{row}this one, because it asks for that")), "{said}");
}

#[test]
fn nobody_gets_round_a_door_by_a_canary() {
    let [old, new] = [named("web"), named("next")];
    let lines = "host = \"h\"\nmax_body = \"1KiB\"\ndeny = [\"192.0.2.0/24\"]\n[service.response_headers.set]\nX-Door = \"web\"\n";
    let config = format!("{}{}", web(lines, &old), next("header = \"X-Canary\"\n", &new));
    let balancer = Rig::new().config(&config).up();
    let canary = ("X-Canary", "1");
    for (version, answer) in both(balancer.address, "/", &[canary]) {
        assert_eq!((answer.body.as_str(), values(&answer, "x-door")), ("next /", vec!["web"]), "{version}");
    }
    for (version, answer) in both(balancer.address, "/", &[canary, ("X-Forwarded-For", "192.0.2.1")]) {
        assert_eq!(answer.status, 403, "{version}");
    }
    let answer = ask_with(balancer.address, "/", &[canary, ("Content-Length", "1025")]);
    assert_eq!(answer.status, 413);
    let elsewhere = "GET / HTTP/1.1\r\nHost: next\r\nX-Canary: 1\r\nConnection: close\r\n\r\n";
    let answer = crate::raw(balancer.address, elsewhere.as_bytes()).unwrap();
    assert_eq!(answer.status, 404, "it has no hosts of its own");
}

#[test]
fn a_canary_that_is_down_costs_only_those_who_asked_for_it() {
    let old = named("web");
    let next = "[[service]]\nname = \"next\"\nreplicas = 1\n[service.canary]\nof = \"web\"\nshare = 50\nheader = \"X-Canary\"\n";
    let balancer = Rig::new().config(&format!("{}{next}", web("", &old))).up();
    let stays = || {
        let clients = (1..=40).map(|number| format!("10.2.0.{number}"));
        let answers = clients.map(|client| ask_with(balancer.address, "/x", &[("X-Forwarded-For", &client)]));
        answers.filter(|answer| answer.body == "web /x").count()
    };
    let asked = || ask_with(balancer.address, "/home", &[("X-Canary", "1")]);
    assert!(asked().body.contains("Server"), "it takes requests");
    assert!((8..33).contains(&stays()), "{}", stays());
    assert!(balancer.command(&["scale", "0", "--service", "next"]).status.success());
    eventually("nobody is sent to where nobody is", || stays() == 40);
    assert_eq!(asked().status, 503);
}

/// By the cookie of the service that they got to first.
#[test]
fn sessions_stay_with_whom_they_began() {
    let [old, new] = [named("web"), named("next")];
    let config =
        format!("{}{}", web("sticky = \"seat\"\n", &old), next("share = 50\nheader = \"X-Canary\"\n", &new));
    let balancer = Rig::new().config(&config).up();
    canary_is_up(balancer.address);
    let visit = |client: &str, cookie: Option<&str>| {
        let mut headers = vec![("X-Forwarded-For", client)];
        headers.extend(cookie.map(|cookie| ("Cookie", cookie)));
        let answer = ask_with(balancer.address, "/", &headers);
        let cookie = values(&answer, "set-cookie").first().and_then(|cookie| cookie.split(';').next());
        let cookie = cookie.map(str::to_owned);
        (answer.body, cookie)
    };
    let clients: Vec<String> = (1..=40).map(|number| format!("10.2.0.{number}")).collect();
    let mut seen = BTreeSet::new();
    for (client, other) in clients.iter().zip(clients.iter().rev()) {
        let (body, cookie) = visit(client, None);
        let cookie = cookie.expect("it begins a session");
        // Wherever it comes from next.
        assert_eq!(visit(other, Some(&cookie)).0, body);
        seen.insert(body);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(counted(&balancer, "session") > 0);
}
