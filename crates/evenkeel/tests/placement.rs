//! Placement through the running balancer: what `place` and `explain` say is what happens, keys stay
//! where they are, and a hot key spills in order.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rig::backend::{Backend, answer};
use rig::{Balancer, PROGRAM, Rig, eventually};
use serde_json::Value;

fn by_header(replicas: u32, more: &str) -> String {
    format!(
        "contract = true\nlimits.requests_per_connection = 1_000_000\n[[service]]\nname = \"web\"\nkey = \"header:x-key\"\nreplicas = {replicas}\n{more}\n"
    )
}

/// So many requests a connection may carry.
const REQUESTS_MAX: usize = 1000;

/// Asks for `/home` with each key, one after the other on few connections; who answered.
fn owners(address: SocketAddr, keys: &[String]) -> Vec<String> {
    keys.chunks(REQUESTS_MAX).flat_map(|keys| owners_on_one_connection(address, keys)).collect()
}

fn owners_on_one_connection(address: SocketAddr, keys: &[String]) -> Vec<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |key: &String| {
        stream
            .write_all(format!("GET /home HTTP/1.1\r\nHost: h\r\nX-Key: {key}\r\n\r\n").as_bytes())
            .unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the connection ended");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["message"].as_str().unwrap().strip_prefix("Hello from Server: ").unwrap().to_string()
    };
    keys.iter().map(&mut ask).collect()
}

/// What `place` says about each key: every seat, the best first.
fn placed(arguments: &[&str], keys: &[String]) -> Vec<Vec<u64>> {
    let mut place = Command::new(PROGRAM)
        .arg("place")
        .args(arguments)
        .args(["--keys-file", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = place.stdin.take().unwrap();
    let text = keys.join("\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = place.wait_with_output().unwrap();
    writer.join().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let order = |line: &str| -> Vec<u64> {
        let told: Value = serde_json::from_str(line).unwrap();
        told["order"].as_array().unwrap().iter().map(number).collect()
    };
    lines.lines().map(order).collect()
}

/// A seat, which is a number where seats are hashed and a text where names are.
fn number(seat: &Value) -> u64 {
    seat.as_u64().unwrap_or_else(|| seat.as_str().unwrap().parse().unwrap())
}

fn explained(balancer: &Balancer, key: &str) -> (String, Vec<u64>) {
    let body = format!("{{\"path\":\"/home\",\"headers\":[[\"x-key\",\"{key}\"]]}}");
    let answer = rig::client::send(balancer.admin, "POST", "/v1/services/web/explain", &body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let order = told["order"].as_array().unwrap().iter().map(|choice| choice["seat"].as_u64().unwrap());
    (told["replica"].as_str().unwrap().to_string(), order.collect())
}

#[test]
fn place_and_explain_say_what_ten_thousand_requests_then_do() {
    let seats = "1,2,3,4,5,6,7,8,9,10";
    let cases: [(&str, &[&str]); 4] = [
        ("", &["--algorithm", "rendezvous", "--replicas", seats]),
        (
            "algorithm = \"classic\"\nhash = \"splitmix\"",
            &["--algorithm", "classic", "--hash", "splitmix", "--replicas", seats],
        ),
        ("algorithm = \"ring\"", &["--algorithm", "ring", "--replicas", seats]),
        (
            "algorithm = \"maglev\"\ntable_size = 4099",
            &["--algorithm", "maglev", "--table-size", "4099", "--replicas", seats],
        ),
    ];
    for (config, arguments) in cases {
        let balancer = Rig::new().config(&by_header(10, config)).up();
        let keys: Vec<String> = (0..2_500).map(|number| format!("user-{number}")).collect();
        let owners = owners(balancer.address, &keys);
        let placed = placed(arguments, &keys);
        assert_eq!(placed.len(), keys.len(), "{config}");
        for (number, key) in keys.iter().enumerate() {
            let order = &placed[number];
            assert_eq!(owners[number], format!("server_{}", order[0]), "{config}: {key}");
            let told = explained(&balancer, key);
            assert_eq!(told, (owners[number].clone(), order.clone()), "{config}: {key}");
        }
    }
}

#[test]
fn simulate_says_what_a_removal_then_moves() {
    let balancer = Rig::new().config(&by_header(10, "")).up();
    let keys: Vec<String> = (0..10_000).map(|number| format!("user-{number}")).collect();
    let before = owners(balancer.address, &keys);
    assert_eq!(balancer.rm("{\"n\":1,\"hostnames\":[\"server_4\"]}").status, 200);
    let after = owners(balancer.address, &keys);
    let mut moved: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (from, to) in before.into_iter().zip(after).filter(|(from, to)| from != to) {
        *moved.entry((from, to)).or_default() += 1;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, keys.join("\n")).unwrap();
    let simulate =
        ["simulate", "--replicas", "1,2,3,4,5,6,7,8,9,10", "--remove", "4", "--json", "--keys-file"];
    let output = Command::new(PROGRAM).args(simulate).arg(&path).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let flow = |flow: &Value| {
        let name = |end: &str| format!("server_{}", flow[end]);
        ((name("from"), name("to")), flow["keys"].as_u64().unwrap())
    };
    let flows: BTreeMap<(String, String), u64> = told["flows"].as_array().unwrap().iter().map(flow).collect();
    assert_eq!(flows, moved);
    assert_eq!(told["moved"], told["unavoidable"]);
}

#[test]
fn under_a_zipf_load_nobody_goes_over_the_bound_and_the_hot_key_spills_in_order() {
    const CLIENTS: usize = 32;
    const REQUESTS: usize = 60;
    let inside: Vec<Arc<AtomicUsize>> = (0..4).map(|_| Arc::default()).collect();
    let highest = Arc::new(AtomicUsize::new(0));
    let backends: Vec<Backend> = inside
        .iter()
        .map(|inside| {
            let (inside, highest) = (Arc::clone(inside), Arc::clone(&highest));
            Backend::start(move |_, stream| {
                highest.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Work that takes a while, so that requests meet each other.
                std::thread::sleep(std::time::Duration::from_millis(3));
                inside.fetch_sub(1, Ordering::SeqCst);
                answer(stream, "200 OK", "done")
            })
        })
        .collect();
    let addresses: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\nkey = \"header:x-key\"\naddresses = [{}]\n",
        addresses.join(", ")
    );
    let balancer = Rig::new().config(&config).up();
    eventually("all are in the table", || balancer.service()["ready"] == 4);
    let (_, order) = explained(&balancer, "key-1");
    let address = balancer.address;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                for number in 0..REQUESTS {
                    // The harmonic law: rank k with a chance in proportion to 1/k, of 1000 keys.
                    let uniform = ((client * REQUESTS + number) * 7919 % 10_007) as f64 / 10_007.0;
                    let rank = 1000f64.powf(uniform) as usize;
                    let text = format!(
                        "GET / HTTP/1.1\r\nHost: h\r\nX-Key: key-{rank}\r\nConnection: close\r\n\r\n"
                    );
                    assert_eq!(rig::client::raw(address, text.as_bytes()).unwrap().body, "done");
                }
            });
        }
    });
    let bound = (1.25 * CLIENTS as f64 / 4.0).ceil() as usize;
    let highest = highest.load(Ordering::SeqCst);
    assert!(highest <= bound, "{highest} at once, the bound for {CLIENTS} clients is {bound}");
    let hot =
        |backend: &Backend| backend.received().iter().filter(|got| got.header("x-key") == ["key-1"]).count();
    let hot: Vec<usize> = order.iter().map(|seat| hot(&backends[*seat as usize - 1])).collect();
    println!("highest {highest} of {bound}; the hot key by place in its order: {hot:?}");
    assert!(
        hot[0] > hot[1] && hot[0] > hot[2] && hot[0] > hot[3],
        "its first choice serves most of it: {hot:?}"
    );
}

#[test]
fn while_one_of_ten_is_dead_only_its_keys_are_elsewhere_and_then_they_come_back() {
    // Nobody boots while this file is there.
    let folder = tempfile::tempdir().unwrap();
    let hold = folder.path().join("hold");
    let wait = format!("while test -e {}; do sleep 0.02; done", hold.display());
    let boot =
        format!("command = [\"sh\", \"-c\", \"{wait}; exec {PROGRAM} replica --listen 127.0.0.1:$PORT\"]");
    let balancer = Rig::new().config(&by_header(10, &boot)).up();
    let keys: Vec<String> = (0..500).map(|number| format!("user-{number}")).collect();
    let seats = |names: Vec<String>| -> Vec<String> {
        let replicas = balancer.replicas();
        let seat_of: BTreeMap<String, String> = replicas
            .iter()
            .map(|replica| (replica["name"].as_str().unwrap().to_string(), replica["seat"].to_string()))
            .collect();
        names.iter().map(|name| seat_of[name].clone()).collect()
    };
    let before = seats(owners(balancer.address, &keys));
    let second: Vec<String> = keys.iter().map(|key| explained(&balancer, key).1[1].to_string()).collect();
    let victim = balancer.replicas()[3].clone();
    std::fs::write(&hold, "").unwrap();
    rig::kill("-9", balancer.pid_of(&victim));
    eventually("it is missed", || balancer.replicas()[3]["state"] != "ready");
    let meanwhile = seats(owners(balancer.address, &keys));
    std::fs::remove_file(&hold).unwrap();
    for (number, key) in keys.iter().enumerate() {
        let expected = if before[number] == "4" { &second[number] } else { &before[number] };
        assert_eq!(&meanwhile[number], expected, "{key}");
    }
    eventually("its successor takes traffic", || balancer.replicas()[3]["state"] == "ready");
    assert_eq!(seats(owners(balancer.address, &keys)), before);
}

#[test]
fn a_hot_key_stays_under_the_bound_and_spills_in_order() {
    const REQUESTS: usize = 40;
    let release = Arc::new(AtomicBool::new(false));
    let inside: Vec<Arc<AtomicUsize>> = (0..4).map(|_| Arc::default()).collect();
    let backends: Vec<Backend> = inside
        .iter()
        .map(|inside| {
            let (inside, release) = (Arc::clone(inside), Arc::clone(&release));
            Backend::start(move |_, stream| {
                inside.fetch_add(1, Ordering::SeqCst);
                eventually("everybody is in", || release.load(Ordering::SeqCst));
                answer(stream, "200 OK", "done")
            })
        })
        .collect();
    let addresses: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
    let config = format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\nkey = \"header:x-key\"\naddresses = [{}]\n",
        addresses.join(", ")
    );
    let balancer = Rig::new().config(&config).up();
    eventually("all are in the table", || balancer.service()["ready"] == 4);
    let (_, order) = explained(&balancer, "hot");
    let address = balancer.address;
    let counts = || -> Vec<usize> { inside.iter().map(|inside| inside.load(Ordering::SeqCst)).collect() };
    let threads: Vec<_> = (0..REQUESTS)
        .map(|number| {
            // One after the other, so that what each one meets is known.
            let thread = std::thread::spawn(move || {
                rig::client::raw(
                    address,
                    b"GET / HTTP/1.1\r\nHost: h\r\nX-Key: hot\r\nConnection: close\r\n\r\n",
                )
                .unwrap()
            });
            eventually("it is in", || counts().iter().sum::<usize>() == number + 1);
            let bound = (1.25 * (number + 1) as f64 / 4.0).ceil().max(4.0) as usize;
            assert!(counts().iter().all(|count| *count <= bound), "{:?} of {bound}", counts());
            thread
        })
        .collect();
    let by_order: Vec<usize> = order.iter().map(|seat| counts()[*seat as usize - 1]).collect();
    assert!(by_order.is_sorted_by(|a, b| a >= b), "the first choice has most, the last least: {by_order:?}");
    assert_eq!(by_order[0], 13, "ceil(1.25 · 40 / 4)");
    release.store(true, Ordering::SeqCst);
    for thread in threads {
        assert_eq!(thread.join().unwrap().body, "done");
    }
}

#[test]
fn a_session_is_in_one_place_however_many_requests_it_makes_at_once() {
    const AT_ONCE: usize = 12;
    for (load_factor, places) in [("", 1), ("load_factor = 1.25", 2)] {
        let inside = Arc::new(AtomicUsize::new(0));
        let backends = [0, 1].map(|_| {
            let inside = Arc::clone(&inside);
            Backend::start(move |request, stream| {
                inside.fetch_add(1, Ordering::Relaxed);
                eventually("all of them are inside", || inside.load(Ordering::Relaxed) >= AT_ONCE);
                answer(stream, "200 OK", &request.line)
            })
        });
        let addresses: Vec<_> = backends.iter().map(|backend| format!("\"{}\"", backend.address)).collect();
        let config = format!(
            "[[service]]\nname = \"web\"\ndriver = \"static\"\nkey = \"cookie:sid\"\naddresses = [{}]\n{load_factor}\n",
            addresses.join(", ")
        );
        let balancer = Rig::new().config(&config).up();
        eventually("both are in the table", || balancer.service()["ready"] == 2);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let ask = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: sid=7\r\nConnection: close\r\n\r\n";
                    assert_eq!(rig::client::raw(balancer.address, ask).unwrap().status, 200);
                });
            }
        });
        let used = backends.iter().filter(|backend| !backend.received().is_empty()).count();
        assert_eq!(used, places, "{load_factor}");
    }
}
