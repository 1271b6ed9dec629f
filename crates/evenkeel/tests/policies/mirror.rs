//! Copies of requests for another service: that they are the same, that nobody waits for them, and that there are
//! not too many.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::rig::backend::{Backend, answer};
use crate::rig::client::{Talk, send};
use crate::rig::{Balancer, Rig, eventually};
use crate::{ask_with, both, named, service};

fn web(lines: &str, backend: &Backend) -> String {
    service("web", lines, backend)
}

fn copy(lines: &str, backend: &Backend) -> String {
    service("copy", &format!("[service.mirror]\nof = \"web\"\n{lines}"), backend)
}

fn counted(balancer: &Balancer, outcome: &str) -> u64 {
    balancer.figure(&format!(
        "evenkeel_policies_total{{service=\"web\",policy=\"mirror\",outcome=\"{outcome}\"}}"
    ))
}

#[test]
fn a_mirror_gets_what_the_replica_got_and_its_answer_is_for_nobody() {
    let [original, mirror] = [named("web"), named("copy")];
    let lines =
        "path = \"/shop\"\nstrip_prefix = \"/shop\"\n[service.request_headers.set]\nX-Api-Key = \"k\"\n";
    let balancer = Rig::new().config(&format!("{}{}", web(lines, &original), copy("", &mirror))).up();
    for (version, answer) in both(balancer.address, "/shop/a?b=c", &[("X-One", "1")]) {
        assert_eq!(answer.body, "web /a?b=c", "{version}");
    }
    let text = "x".repeat(10_000);
    assert_eq!(send(balancer.address, "POST", "/shop/form", &text).body, "web /form");
    assert_eq!(send(balancer.address, "PUT", "/shop/thing", "y").body, "web /thing");
    let mut talk = Talk::to(balancer.address);
    talk.say("POST /shop/chunks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(talk.answer().body, "web /chunks");
    eventually("all copies have come", || mirror.received().len() == 5);
    let [mut originals, mut copies] = [original.received(), mirror.received()];
    originals.sort_by_key(|request| request.header("x-request-id").concat());
    copies.sort_by_key(|request| request.header("x-request-id").concat());
    for (original, copy) in originals.iter().zip(&copies) {
        assert_eq!(original.header("x-request-id"), copy.header("x-request-id"));
        assert_eq!(original.line, copy.line);
        assert!(original.body == copy.body, "{}", original.line);
        for name in ["x-one", "x-api-key", "x-forwarded-for", "x-forwarded-prefix", "host"] {
            assert_eq!(original.header(name), copy.header(name), "{name}");
        }
    }
    assert_eq!((counted(&balancer, "copied"), counted(&balancer, "skipped")), (5, 0));
    let name = "evenkeel_responses_total{service=\"copy\",class=\"2xx\"}";
    eventually("their answers are counted", || balancer.figure(name) == 5);
    let output = balancer.command(&["explain", "--service", "web", "--path", "/shop"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("mirror: 'copy' gets copies of 100 % of the requests of 'web'"), "{said}");
}

/// It answers nothing until it is let go.
#[test]
fn nobody_waits_for_a_mirror_and_there_are_not_more_copies_than_places() {
    const COPIES_MAX: u64 = 64;
    let original = named("web");
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mirror = Backend::start(move |_, stream| {
        // Whoever gets to it when it is over gets to it at once.
        let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(60));
        answer(stream, "200 OK", "late")
    });
    let config = format!("workers = 1\n{}{}", web("", &original), copy("", &mirror));
    let balancer = Rig::new().config(&config).up();
    for _ in 0..COPIES_MAX + 36 {
        assert_eq!(ask_with(balancer.address, "/", &[]).body, "web /");
    }
    assert_eq!((counted(&balancer, "copied"), counted(&balancer, "skipped")), (COPIES_MAX, 36));
    drop(let_go);
    let name = "evenkeel_responses_total{service=\"copy\",class=\"2xx\"}";
    eventually("they are over", || balancer.figure(name) == COPIES_MAX);
    assert_eq!(ask_with(balancer.address, "/", &[]).body, "web /");
    assert_eq!(counted(&balancer, "copied"), COPIES_MAX + 1, "there are places again");
}

#[test]
fn a_share_is_drawn_by_lot_and_what_cannot_be_copied_is_left_out() {
    let [original, mirror] = [named("web"), named("copy")];
    let config =
        format!("[limits]\nreplay_body = \"1KiB\"\n{}{}", web("", &original), copy("share = 50\n", &mirror));
    let balancer = Rig::new().config(&config).up();
    for _ in 0..100 {
        assert_eq!(ask_with(balancer.address, "/", &[]).body, "web /");
    }
    // The standard deviation is 5.
    let copied = counted(&balancer, "copied");
    assert!((20..80).contains(&copied), "{copied}");
    for _ in 0..60 {
        assert_eq!(send(balancer.address, "POST", "/large", &"x".repeat(1025)).body, "web /large");
    }
    let skipped = counted(&balancer, "skipped");
    assert!((5..55).contains(&skipped) && counted(&balancer, "copied") == copied, "{skipped}");
    eventually("they have come", || mirror.received().len() as u64 == copied);
}

#[test]
fn a_mirror_that_is_down_is_nobodys_loss() {
    let original = named("web");
    let mirror = "[[service]]\nname = \"copy\"\ndriver = \"static\"\naddresses = [\"127.0.0.1:1\"]\n\
                  [service.limits]\nqueue_timeout = \"100ms\"\n[service.mirror]\nof = \"web\"\n";
    let balancer = Rig::new().config(&format!("{}{mirror}", web("", &original))).early().up();
    for (version, answer) in both(balancer.address, "/", &[]) {
        assert_eq!(answer.body, "web /", "{version}");
    }
    let name = "evenkeel_responses_total{service=\"copy\",class=\"5xx\"}";
    eventually("it is counted", || balancer.figure(name) == 2);
}

/// Of twenty places, ten are divided, and ten are for whoever comes first: no copy is among those.
#[test]
fn copies_that_hang_take_nobodys_place() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mirror = Backend::start(move |_, stream| {
        let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(60));
        answer(stream, "200 OK", "late")
    });
    let original = named("web");
    let config = format!("workers = 1\n[limits]\nrequests = 20\n{}{}", web("", &original), copy("", &mirror));
    let balancer = Rig::new().config(&config).up();
    for _ in 0..40 {
        assert_eq!(ask_with(balancer.address, "/", &[]).body, "web /");
    }
    assert_eq!(counted(&balancer, "copied"), 40);
    let output = balancer.command(&["explain", "--service", "copy", "--json"]);
    let explained: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let limit = explained["limits"]
        .as_array()
        .unwrap()
        .iter()
        .find(|limit| limit["name"] == "limits.requests")
        .unwrap();
    assert_eq!(limit["in_use"], 5, "{explained}");
    drop(let_go);
}
