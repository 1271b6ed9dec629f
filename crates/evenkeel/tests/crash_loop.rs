//! A seat whose lives keep failing, with real processes: the rest serves on, the reason is told wherever
//! one looks, and what heals it heals it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rig::backend::{Backend, answer};
use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, client, eventually, kill};

fn run(balancer: &Balancer, arguments: &[&str]) -> String {
    let output = balancer.command(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_seat_that_keeps_failing_is_shown_with_its_reason_and_the_rest_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("broken");
    let script = format!(
        "if [ -e {flag:?} ]; then echo no database; echo giving up >&2; exit 7; fi; \
         exec {PROGRAM} replica --listen 127.0.0.1:{{port}}"
    );
    let config = format!(
        "contract = true\n[[service]]\nname = \"web\"\ncommand = {:?}\n",
        ["sh", "-c", script.as_str()]
    );
    let balancer = Rig::new().config(&config).up();
    let load = Load::start(balancer.address, 200);
    std::fs::write(&flag, "").unwrap();
    kill("-KILL", balancer.pid_of(&balancer.replicas()[1]));
    eventually("it is a crash loop", || balancer.replicas()[1]["state"] == "crash-looping");
    let crash_loop = balancer.replicas()[1]["crash_loop"].clone();
    assert!(crash_loop["failures"].as_u64() >= Some(3), "{crash_loop}");
    assert!(crash_loop["reason"].as_str().unwrap().contains("exited with code 7"), "{crash_loop}");
    assert_eq!(crash_loop["last_output"].as_array().unwrap().len(), 2, "{crash_loop}");
    let shown = run(&balancer, &["ps", "--verbose"]);
    assert!(shown.contains("failures in a row") && shown.contains("  | no database"), "{shown}");
    assert!(run(&balancer, &["status"]).contains("not whole, 1 crash-looping"));
    let name = balancer.replicas()[1]["name"].as_str().unwrap().to_owned();
    let logs = run(&balancer, &["logs", &name]);
    assert!(logs.contains("exited with code 7") && logs.contains("  | giving up"), "{logs}");
    eventually("it is among the events", || run(&balancer, &["events"]).contains("crash-looping"));
    let metrics = client::send(balancer.admin, "GET", "/metrics", "").body;
    assert!(metrics.contains("evenkeel_replicas_crash_looping{service=\"web\"} 1"), "{metrics}");

    let added = balancer.add(r#"{"n":1,"hostnames":["S5"]}"#);
    assert_eq!(added.status, 500, "{added:?}");
    for part in ["S5", "exited with code 7", "no database", "giving up"] {
        assert!(added.body.contains(part), "{added:?}");
    }
    assert!(!balancer.names().contains(&"S5".to_string()), "it was undone");
    assert_eq!(balancer.service()["ready"], 2);
    load.stop().assert_nothing_lost();

    std::fs::remove_file(&flag).unwrap();
    eventually("it has healed", || balancer.service()["ready"] == 3);
    assert!(run(&balancer, &["status"]).contains(" whole"));
}

/// A balancer with one replica that is a process of no use: whoever takes its port is it.
fn proxy_of_the_test(service: &str) -> Balancer {
    let config = format!(
        "[[service]]\nname = \"web\"\nreplicas = 1\ncommand = [\"sleep\", \"1000\"]\nlistened_by = \"anybody\"\n{service}"
    );
    let balancer = Rig::new().config(&config).early().up();
    eventually("it has an address", || {
        balancer.replicas().first().is_some_and(|one| one["address"].is_string())
    });
    balancer
}

fn reason(balancer: &Balancer) -> String {
    balancer.replicas()[0]["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn whatever_is_no_good_answer_to_a_heartbeat_is_shown_as_the_reason() {
    let balancer = proxy_of_the_test("start_timeout = \"10m\"\n[service.heartbeat]\npath = \"/health\"\n");
    let address: SocketAddr = balancer.replicas()[0]["address"].as_str().unwrap().parse().unwrap();
    let shown = |words: &str| format!("GET /health at {address}: {words}");
    eventually("nobody listens", || reason(&balancer) == shown("connection refused"));
    let mood = Arc::new(Mutex::new("404 Not Found"));
    let now = Arc::clone(&mood);
    let listener = TcpListener::bind(address).unwrap();
    let _backend = Backend::start_on(listener, move |_, stream| match *now.lock().unwrap() {
        "nothing" => false,
        "silence" => true,
        status => answer(stream, status, ""),
    });
    for (said, words) in [
        ("404 Not Found", "404 Not Found"),
        ("401 Unauthorized", "401 Unauthorized"),
        (
            "301 Moved Permanently\r\nLocation: https://login.test/",
            "301 Moved Permanently to https://login.test/",
        ),
        ("silence", "no answer within 250ms (heartbeat.timeout)"),
        ("nothing", "no answer that is understood: "),
    ] {
        *mood.lock().unwrap() = said;
        eventually(said, || reason(&balancer).starts_with(&shown(words)));
        let shown_by = |command: &[&str]| String::from_utf8(balancer.command(command).stdout).unwrap();
        assert!(
            shown_by(&["status"]).contains(words) && shown_by(&["ps", "--verbose"]).contains(words),
            "{words}"
        );
        let logged = balancer.says(|line| line.contains("INFO") && line.contains(words));
        assert!(logged.is_some_and(|line| line.contains(&shown(words))), "{words}");
    }
    *mood.lock().unwrap() = "204 No Content";
    eventually("it serves", || balancer.service()["ready"] == 1);
    assert_eq!(reason(&balancer), "");
    *mood.lock().unwrap() = "503 Service Unavailable";
    eventually("why it is ill is shown, too", || {
        reason(&balancer).contains(&shown("503 Service Unavailable"))
    });
}

#[test]
fn who_never_answers_well_is_given_up_with_the_last_answer_and_where_it_listens_is_told() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let command = format!("command = [\"{PROGRAM}\", \"replica\", \"--listen\", \"{elsewhere}\"]");
    let config = format!("[[service]]\nname = \"web\"\nreplicas = 1\nstart_timeout = \"4s\"\n{command}\n");
    let balancer = Rig::new().config(&config).early().up();
    let why = format!("connection refused; it listens on {elsewhere} instead");
    eventually("it is shown while it boots", || {
        balancer
            .replicas()
            .first()
            .is_some_and(|one| one["reason"].as_str().is_some_and(|text| text.contains(&why)))
    });
    let given_up =
        |text: &str| text.contains("no good heartbeat within the start timeout") && text.contains(&why);
    eventually("it is among the events", || run_any(&balancer, &["events"]).lines().any(given_up));
    assert!(balancer.says(given_up).is_some());
    let name = balancer.replicas()[0]["name"].as_str().unwrap().to_owned();
    let logs = run_any(&balancer, &["logs", &name]);
    assert!(given_up(&logs), "{logs}");
}

fn run_any(balancer: &Balancer, arguments: &[&str]) -> String {
    String::from_utf8(balancer.command(arguments).stdout).unwrap()
}

/// A service that cannot start before a file is there.
fn shop(flag: &std::path::Path) -> String {
    let script = format!(
        "[ -e {flag:?} ] || {{ echo no database >&2; exit 7; }}; exec {PROGRAM} replica --listen 127.0.0.1:{{port}}"
    );
    format!(
        "[[service]]\nname = \"shop\"\nhost = \"shop.test\"\nreplicas = 2\ncommand = {:?}\n\
         [service.limits]\nqueue_timeout = \"200ms\"\n",
        ["sh", "-c", script.as_str()]
    )
}

#[test]
fn what_can_be_started_is_served_and_the_rest_is_shown_and_tried_on() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("database");
    let config = "contract = true\n[[service]]\nname = \"web\"\n".to_owned() + &shop(&flag);
    let balancer = Rig::new().config(&config).early().up();
    assert_eq!(balancer.get("/home").status, 200, "who comes while it boots waits for it");
    let ask_shop = || {
        client::raw(balancer.address, b"GET /home HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
            .unwrap()
            .status
    };
    assert_eq!(ask_shop(), 503);
    eventually("it is a crash loop", || {
        String::from_utf8(balancer.command(&["ps"]).stdout).unwrap().contains("crash-looping")
    });
    assert_eq!(client::send(balancer.admin, "GET", "/readyz", "").status, 503);
    let status = balancer.command(&["status"]);
    let shown = String::from_utf8(status.stdout).unwrap();
    assert!(shown.contains("3/3") && shown.contains("0/2"), "{shown}");
    assert!(shown.contains("exited with code 7; its last words: \"no database\""), "{shown}");
    let said = String::from_utf8(status.stderr).unwrap();
    assert!(status.status.code() == Some(1) && said.contains("no replica takes traffic of shop"), "{said}");
    let waited = balancer.command(&["status", "--wait", "--timeout=10ms"]);
    let said = String::from_utf8(waited.stderr).unwrap();
    assert!(waited.status.code() == Some(1) && said.contains("error: "), "{said}");
    assert!(balancer.says(|line| line.contains("but not whole")).is_some());
    assert_eq!(balancer.get("/home").status, 200);

    std::fs::write(&flag, "").unwrap();
    let waited = run(&balancer, &["status", "--wait"]);
    assert!(waited.contains("2/2") && waited.contains("3/3"), "{waited}");
    assert_eq!(ask_shop(), 200);
    assert_eq!(client::send(balancer.admin, "GET", "/readyz", "").status, 200);
}

#[test]
fn who_wants_all_or_nothing_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[[service]]\nname = \"web\"\n".to_owned() + &shop(&folder.path().join("database"));
    let said = Rig::new().config(&config).waiting().try_up().map(|_| ()).unwrap_err();
    assert!(said.contains("service 'shop': 0 of 2 ready") && said.contains("no database"), "{said}");
    assert!(!said.contains("listening on"), "{said}");
}

#[test]
fn without_an_engine_the_services_that_need_none_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "contract = true\nstate_dir = {:?}\n[[service]]\nname = \"web\"\n\
         [[service]]\nname = \"shop\"\npath = \"/shop\"\ndriver = \"docker\"\nimage = \"x\"\n",
        folder.path().join("state")
    );
    let balancer = Rig::new().config(&config).engine("unix:///no/such/docker.sock").up();
    assert!(balancer.said_at_start.contains("3 of 3 ready"), "{}", balancer.said_at_start);
    assert_eq!(balancer.get("/home").status, 200);
    let why = "not started: cannot reach Docker at /no/such/docker.sock";
    for command in ["status", "ps"] {
        let shown = String::from_utf8(balancer.command(&[command]).stdout).unwrap();
        assert!(shown.contains(why), "{command}: {shown}");
    }
    assert_eq!(client::send(balancer.admin, "GET", "/readyz", "").status, 503);
    assert!(run(&balancer, &["events"]).contains("cannot start"));
    let added = balancer.command(&["add", "--service=shop"]);
    let said = String::from_utf8(added.stderr).unwrap();
    assert!(added.status.code() == Some(1) && said.contains("has not been started: cannot reach"), "{said}");
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
}
