//! Every row of the contract, through the real program and with real processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rig::client::{Answer, send};
use rig::{Balancer, Rig, eventually, names_in, replica_processes};

fn rep(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let (n, list) = (names.len(), quoted.join(","));
    format!("{{\"message\":{{\"N\":{n},\"replicas\":[{list}]}},\"status\":\"successful\"}}")
}

fn assert_json(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status, answer.body.as_str()), (status, body));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

fn assert_failure(answer: &Answer, status: u16, text: &str) {
    assert_json(answer, status, &format!("{{\"message\":\"<Error> {text}\",\"status\":\"failure\"}}"));
}

#[test]
fn what_the_readme_shows_to_try_is_what_one_sees() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("## Try it\n\n```\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let balancer = Rig::new().up();
    let mut lines = shown.lines().peekable();
    while let Some(command) = lines.next().map(|line| line.strip_prefix("$ ").unwrap()) {
        if command.starts_with("kill -9") {
            // The same deed, on one that is ours for certain.
            let before = balancer.names();
            rig::kill("-9", balancer.pid_of(&balancer.replicas()[0]));
            eventually("it is replaced", || {
                let names = balancer.names();
                names != before && names.len() == before.len() && balancer.service()["ready"] == 5
            });
            continue;
        }
        let (_, path) = command.split_once("http://127.0.0.1:5000").unwrap();
        let body = command.split('\'').nth(1).unwrap_or_default();
        let method = if command.contains("-X POST") { "POST" } else { "GET" };
        let answer = send(balancer.address, method, path, body);
        let expected = lines.next_if(|line| !line.starts_with("$ ")).unwrap();
        assert_eq!(without_chance(&answer.body), without_chance(expected), "{command}");
    }
}

/// A body without what is chance in it: who of the first three has answered, or has died and was replaced.
fn without_chance(body: &str) -> serde_json::Value {
    let mut body: serde_json::Value = serde_json::from_str(body).unwrap();
    let message = &mut body["message"];
    if message.as_str().is_some_and(|text| text.starts_with("Hello from Server: server_")) {
        *message = "Hello".into();
    }
    let names = message.get_mut("replicas").and_then(|names| names.as_array_mut());
    for name in names.into_iter().flatten().take(3) {
        assert!(name.as_str().unwrap().starts_with("server_"), "{name}");
        *name = "one of ours".into();
    }
    body
}

#[test]
fn the_first_fleet_is_named_by_number_and_shown_byte_for_byte() {
    let balancer = Rig::new().up();
    let expected = rep(&["server_1", "server_2", "server_3"]);
    assert_json(&balancer.get("/rep"), 200, &expected);
    assert_json(&balancer.get("/get"), 200, &expected);
}

#[test]
fn home_is_answered_by_a_replica_and_unknown_paths_by_us() {
    let balancer = Rig::new().replicas(1).up();
    let hello = "{\"message\":\"Hello from Server: server_1\",\"status\":\"successful\"}";
    assert_json(&balancer.get("/home"), 200, hello);
    assert_json(&balancer.get("/home?x=1&y=%20"), 200, hello);
    let heartbeat = balancer.get("/heartbeat");
    assert_eq!((heartbeat.status, heartbeat.body.as_str()), (200, ""));
    for (path, shown) in [("/other", "/other"), ("/a/b/c?q=1", "/a/b/c"), ("/", "/"), ("/rep/", "/rep/")] {
        let text = format!("'{shown}' endpoint does not exist in server replicas");
        assert_failure(&balancer.get(path), 400, &text);
    }
    // Only the contract's own methods are the contract's own.
    let text = "'/add' endpoint does not exist in server replicas";
    assert_failure(&balancer.get("/add"), 400, text);
}

#[test]
fn additions_keep_the_order_and_name_the_rest_at_random() {
    let balancer = Rig::new().up();
    let answer = balancer.add(r#"{"n":4,"hostnames":["S5","S4","S10","S11"]}"#);
    assert_json(&answer, 200, &rep(&["server_1", "server_2", "server_3", "S5", "S4", "S10", "S11"]));
    let names = names_in(&balancer.add(r#"{"n":2,"hostnames":["S6"]}"#));
    assert_eq!((names.len(), names[7].as_str()), (9, "S6"));
    assert!(names[8].starts_with("server_"), "{names:?}");
    assert_eq!(names_in(&balancer.add(r#"{"n":1,"hostnames":null}"#)).len(), 10);
    assert_eq!(names_in(&balancer.add(r#"{"n":1}"#)).len(), 11);
    assert_eq!(replica_processes(balancer.pid()).len(), 11);
}

#[test]
fn removals_take_the_named_ones_and_others_at_random() {
    let balancer = Rig::new().up();
    balancer.add(r#"{"n":3,"hostnames":["S5","S4","S6"]}"#);
    let names = names_in(&balancer.rm(r#"{"n":3,"hostnames":["S5","S4"]}"#));
    assert_eq!(names.len(), 3);
    assert!(!names.contains(&"S5".to_string()) && !names.contains(&"S4".to_string()), "{names:?}");
    eventually("the removed processes end", || replica_processes(balancer.pid()).len() == 3);
}

#[test]
fn forms_and_any_content_type_are_accepted() {
    let balancer = Rig::new().up();
    assert_eq!(names_in(&balancer.add("server_id=server_9"))[3], "server_9");
    assert_eq!(names_in(&balancer.rm("server_id=server_9")).len(), 3);
    let body = r#"{"n":1,"hostnames":["S7"]}"#;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
    {
        let request = format!(
            "POST /add HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = rig::client::raw(balancer.address, request.as_bytes()).unwrap();
        assert_eq!(names_in(&answer)[3], "S7", "{content_type}");
        balancer.rm(r#"{"n":1,"hostnames":["S7"]}"#);
    }
}

#[test]
fn an_empty_fleet_is_allowed_and_comes_back() {
    let balancer = Rig::new().up();
    assert_json(&balancer.rm(r#"{"n":3}"#), 200, &rep(&[]));
    let answer = balancer.get("/home");
    assert_failure(&answer, 503, "this service has no replicas");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_json(&balancer.add(r#"{"n":1,"hostnames":["S1"]}"#), 200, &rep(&["S1"]));
    assert_eq!(balancer.get("/home").status, 200);
}

#[test]
fn bad_calls_are_refused_and_change_nothing() {
    let balancer = Rig::new().up();
    let before = balancer.get("/rep").body;
    let more_added = "Length of hostname list is more than newly added instances";
    let more_removed = "Length of hostname list is more than removable instances";
    let exact = [
        ("POST", "/add", r#"{"n":1,"hostnames":["S1","S2"]}"#, more_added),
        ("DELETE", "/rm", r#"{"n":1,"hostnames":["server_1","server_2"]}"#, more_removed),
    ];
    for (method, path, body, text) in exact {
        assert_failure(&send(balancer.address, method, path, body), 400, text);
    }
    let refused = [
        r#"{"hostnames":["S1"]}"#,
        r#"{"n":0}"#,
        r#"{"n":-1}"#,
        r#"{"n":"3"}"#,
        r#"{"n":1.5}"#,
        r#"{"n":1,"extra":true}"#,
        r#"{"n":1,"hostnames":"S1"}"#,
        r#"{"n":1,"hostnames":[1]}"#,
        r#"{"n":1,"hostnames":["a b"]}"#,
        r#"{"n":1,"hostnames":["-x"]}"#,
        r#"{"n":1,"hostnames":["é"]}"#,
        r#"{"n":2,"hostnames":["S1","S1"]}"#,
        r#"{"n":1000}"#,
        r#"{"n":4294967296}"#,
        "not json",
        "[1]",
        "",
        "server_id=",
    ];
    for body in refused {
        for (method, path) in [("POST", "/add"), ("DELETE", "/rm")] {
            let answer = send(balancer.address, method, path, body);
            assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
            assert!(answer.body.starts_with("{\"message\":\"<Error> "), "{path} {body}: {answer:?}");
        }
    }
    assert_eq!(balancer.add(r#"{"n":1,"hostnames":["server_2"]}"#).status, 400);
    assert_eq!(balancer.rm(r#"{"n":1,"hostnames":["nobody"]}"#).status, 400);
    assert_eq!(balancer.rm(r#"{"n":4}"#).status, 400);
    assert_eq!(balancer.get("/rep").body, before);
    assert_eq!(replica_processes(balancer.pid()).len(), 3);
}

#[test]
fn a_huge_body_is_refused_and_changes_nothing() {
    let balancer = Rig::new().up();
    let answer = balancer.add(&format!("{{\"n\":1,\"hostnames\":[\"{}\"]}}", "x".repeat(10 << 20)));
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(balancer.names().len(), 3);
}

#[test]
fn max_replicas_and_the_slot_table_are_limits() {
    let small = Rig::new().config("contract = true\n[[service]]\nname = \"web\"\nmax_replicas = 4\n").up();
    let answer = small.add(r#"{"n":2}"#);
    assert_failure(&answer, 400, "that would be 5 replicas, max_replicas allows 4");
    let tight =
        "contract = true\n[[service]]\nname = \"web\"\nalgorithm = \"classic\"\nslots = 32\nvirtual = 9\n";
    let tight = Rig::new().config(tight).up();
    let answer = tight.add(r#"{"n":1}"#);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("hold at most 3 replicas"), "{answer:?}");
    assert_eq!((small.names().len(), tight.names().len()), (3, 3));
}

#[test]
fn server_id_is_the_name_or_the_number() {
    let config = "contract = true\n[[service]]\nname = \"web\"\nreplicas = 1\nserver_id = \"number\"\n";
    let balancer = Rig::new().config(config).up();
    assert!(balancer.get("/home").body.contains("Hello from Server: 1\""));
}

#[test]
fn an_addition_that_cannot_start_is_undone_with_its_reason() {
    let config = "contract = true\n[[service]]\nname = \"web\"\nreplicas = 0\ncommand = [\"sh\", \"-c\", \"echo no luck; exit 3\"]\n";
    let balancer = Rig::new().config(config).up();
    let answer = balancer.add(r#"{"n":2}"#);
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.body.contains("exited with code 3") && answer.body.contains("no luck"), "{answer:?}");
    assert_json(&balancer.get("/rep"), 200, &rep(&[]));
}

#[test]
fn a_replica_that_never_becomes_healthy_is_undone_in_time() {
    let config = "contract = true\n[[service]]\nname = \"web\"\nreplicas = 0\nstart_timeout = \"400ms\"\ncommand = [\"sleep\", \"60\"]\n";
    let balancer = Rig::new().config(config).up();
    let answer = balancer.add(r#"{"n":1,"hostnames":["S1"]}"#);
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.body.contains("not healthy within 400ms (start_timeout): S1"), "{answer:?}");
    assert_json(&balancer.get("/rep"), 200, &rep(&[]));
}

#[test]
fn a_dead_replica_is_replaced_under_a_new_name_in_the_same_place() {
    let balancer = Rig::new().up();
    let dead = balancer.replicas()[1].clone();
    rig::kill("-9", balancer.pid_of(&dead));
    eventually("the replacement takes traffic", || {
        let seat = balancer.replicas()[1].clone();
        seat["name"] != dead["name"] && seat["state"] == "ready"
    });
    let names = balancer.names();
    assert_eq!((names[0].as_str(), names[2].as_str()), ("server_1", "server_3"));
    assert_eq!(balancer.replicas()[1]["seat"], dead["seat"]);
}

/// A call that was answered, and the list of names that the answer shows.
type Answered = (bool, usize, Vec<String>);

#[test]
fn parallel_calls_equal_some_serial_order() {
    let balancer = Rig::new().up();
    // Who looks for an order may have to try them all, and of fifty calls there are too many.
    let possible: usize = (0..3).map(|_| sixteen_calls_at_once(&balancer)).sum();
    assert!(possible > 25, "most calls are possible: {possible}");
    let last = balancer.names();
    eventually("as many processes as names", || replica_processes(balancer.pid()).len() == last.len());
    assert_names_answer(&balancer, &last);
}

/// How many of them could be done; an order explains their answers.
fn sixteen_calls_at_once(balancer: &Balancer) -> usize {
    let first = balancer.names();
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (address, answers) = (balancer.address, &answers);
            scope.spawn(move || {
                let (is_addition, count) = (number % 2 == 0, 1 + number % 3);
                let (method, path) = if is_addition { ("POST", "/add") } else { ("DELETE", "/rm") };
                let answer = send(address, method, path, &format!("{{\"n\":{count}}}"));
                match answer.status {
                    200 => answers.lock().unwrap().push((is_addition, count, names_in(&answer))),
                    status => assert_eq!(status, 400, "{answer:?}"),
                }
            });
        }
    });
    let answers = answers.into_inner().unwrap();
    let last = balancer.names();
    let all = (1 << answers.len()) - 1;
    assert!(
        is_serial(&first, &answers, all, &mut Search { last: &last, seen: BTreeSet::new() }),
        "no serial order explains these answers: {answers:#?}"
    );
    answers.len()
}

/// What a search for an order ends with, and the sets that led nowhere.
struct Search<'a> {
    last: &'a [String],
    seen: BTreeSet<(u64, Vec<String>)>,
}

/// Whether the answers can be put in an order in which each follows from the one before. `left`
/// are those that are still to be placed.
fn is_serial(first: &[String], answers: &[Answered], left: u64, search: &mut Search<'_>) -> bool {
    if left == 0 {
        return first == search.last;
    }
    if !search.seen.insert((left, first.to_vec())) {
        return false;
    }
    (0..answers.len()).filter(|next| left & (1 << next) != 0).any(|next| {
        let (is_addition, count, names) = &answers[next];
        let follows = match is_addition {
            true => names.len() == first.len() + count && names.starts_with(first),
            false => names.len() + count == first.len() && is_subsequence(names, first),
        };
        follows && is_serial(names, answers, left & !(1 << next), search)
    })
}

fn is_subsequence(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|name| whole.any(|other| other == name))
}

/// Every replica is reached sooner or later, and nobody else.
fn assert_names_answer(balancer: &Balancer, names: &[String]) {
    let mut missing: Vec<&String> = names.iter().collect();
    eventually("every replica answers", || {
        let body = balancer.get("/home").body;
        let name = body.split("Server: ").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_string();
        assert!(names.contains(&name), "{name} answers and is not in {names:?}");
        missing.retain(|other| **other != name);
        missing.is_empty()
    });
}

#[test]
fn ten_thousand_requests_are_shared_as_the_placement_promises() {
    let classic = "contract = true\n[[service]]\nname = \"web\"\nalgorithm = \"classic\"\n";
    let cases = [(classic, [0.84375, 0.046_875, 0.109_375]), ("", [1.0 / 3.0; 3])];
    for (config, shares) in cases {
        let rig = if config.is_empty() { Rig::new() } else { Rig::new().config(config) };
        let balancer = rig.up();
        let counts = count_answers(&balancer, 10_000);
        for (number, share) in shares.into_iter().enumerate() {
            let share: f64 = share;
            let count = counts[&format!("server_{}", number + 1)] as f64;
            let (mean, sigma) = (10_000.0 * share, (10_000.0 * share * (1.0 - share)).sqrt());
            assert!(
                (count - mean).abs() <= 4.0 * sigma,
                "server {}: {count}, not {mean}±{sigma}: {counts:?}",
                number + 1
            );
        }
    }
}

fn count_answers(balancer: &Balancer, count: usize) -> BTreeMap<String, usize> {
    let load = rig::load::run_closed(balancer.address, count, 8);
    load.assert_nothing_lost();
    load.by_replica
}
