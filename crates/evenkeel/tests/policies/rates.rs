//! How often requests may come: what passes, what the others are told, and who is counted with whom.

use std::time::Instant;

use crate::rig::Rig;
use crate::rig::client::Talk;
use crate::speak;
use crate::{both, named, service, values};

/// A limit that fills so slowly that no test sees a second filling.
fn slow(by: &str, burst: u32) -> String {
    format!("[service.rate_limit]\nrequests = 1\nper = \"day\"\nburst = {burst}\nby = \"{by}\"\n")
}

#[test]
fn beyond_the_burst_requests_get_429_and_hear_when_to_come_again() {
    let backend = named("web");
    let balancer = Rig::new().config(&service("web", &slow("client", 3), &backend)).up();
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.extend(both(balancer.address, "/", &[]).map(|(_, answer)| answer));
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429], "both versions have one bucket");
    for answer in &answers[3..] {
        let seconds: u32 = values(answer, "retry-after")[0].parse().unwrap();
        assert!((86_300..=86_400).contains(&seconds), "{seconds}");
        assert_eq!(values(answer, "ratelimit-policy"), ["\"web\";q=1;w=86400"]);
        assert_eq!(values(answer, "ratelimit"), [format!("\"web\";r=0;t={seconds}")]);
        assert!(answer.body.contains("requests come faster than they may"), "{answer:?}");
    }
    assert_eq!(backend.received().len(), 3);
    let name = "evenkeel_policies_total{service=\"web\",policy=\"rate_limit\",outcome=\"refused\"}";
    assert_eq!(balancer.figure(name), 5);
    let output = balancer.command(&["explain"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("rate_limit: 1 in a day, 3 at once, for each client"), "{said}");
}

#[test]
fn a_refusal_leaves_the_connection_and_waiting_helps() {
    let backend = named("web");
    let lines = "[service.rate_limit]\nrequests = 20\nburst = 1\n";
    let balancer = Rig::new().config(&service("web", lines, &backend)).up();
    let mut talk = Talk::to(balancer.address);
    let begun = Instant::now();
    let mut passed = 0;
    // However busy the machine is: no more than the rate and the burst. A connection has a thousand requests.
    while passed < 3 {
        talk.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = talk.answer();
        match answer.status {
            200 => passed += 1,
            429 => assert_eq!(values(&answer, "retry-after"), ["1"]),
            other => panic!("{other}"),
        }
        if answer.header("connection") == Some("close") {
            talk = Talk::to(balancer.address);
        }
    }
    assert!(begun.elapsed().as_millis() >= 100, "three in {:?}", begun.elapsed());
}

#[test]
fn clients_are_told_apart_by_whom_trusted_proxies_name() {
    let backend = named("web");
    let config =
        format!("trusted_proxies = [\"127.0.0.1\"]\n{}", service("web", &slow("client", 2), &backend));
    let balancer = Rig::new().config(&config).up();
    for (claimed, statuses) in [
        ("192.0.2.1", [200, 200]),
        ("192.0.2.2", [200, 200]),
        ("::ffff:192.0.2.1", [429, 429]),
        ("6.6.6.6, 192.0.2.1", [429, 429]),
        ("192.0.2.1:1", [429, 429]),
        ("2001:db8::1", [200, 200]),
        ("2001:db8::2", [429, 429]),
        ("2001:db8:0:1::1", [200, 200]),
        ("", [200, 200]),
        ("unknown", [429, 429]),
    ] {
        let got =
            both(balancer.address, "/", &[("X-Forwarded-For", claimed)]).map(|(_, answer)| answer.status);
        assert_eq!(got, statuses, "{claimed:?}");
    }
}

#[test]
fn a_stranger_gets_no_second_bucket_for_what_it_claims() {
    let backend = named("web");
    let balancer = Rig::new().config(&service("web", &slow("client", 2), &backend)).up();
    let mut passed = 0;
    for number in 0..10 {
        for (_, answer) in both(balancer.address, "/", &[("X-Forwarded-For", &format!("192.0.2.{number}"))]) {
            passed += u32::from(answer.status == 200);
        }
    }
    assert_eq!(passed, 2);
}

#[test]
fn keys_of_any_length_are_counted_and_who_sends_none_is_its_client() {
    let backend = named("web");
    let lines = slow("header:X-Api-Key", 2);
    let balancer = Rig::new().config(&service("web", &lines, &backend)).up();
    let (long, other) = ("k".repeat(8 << 10), format!("{}j", "k".repeat((8 << 10) - 1)));
    for (key, statuses) in [
        (Some("alice"), [200, 200]),
        (Some("bob"), [200, 200]),
        (Some("alice"), [429, 429]),
        (Some(long.as_str()), [200, 200]),
        (Some(other.as_str()), [200, 200]),
        (Some(long.as_str()), [429, 429]),
        (None, [200, 200]),
        (Some(""), [429, 429]),
        (Some("127.0.0.1"), [200, 200]),
    ] {
        let headers: Vec<_> = key.iter().map(|key| ("X-Api-Key", *key)).collect();
        let got = both(balancer.address, "/", &headers).map(|(_, answer)| answer.status);
        assert_eq!(got, statuses, "{:?}", key.map(|key| &key[..key.len().min(20)]));
    }
}

#[test]
fn a_location_has_a_limit_of_its_own_or_that_of_all() {
    let backend = named("web");
    let own = slow("client", 1).replace("[service.", "[service.location.");
    let lines = format!(
        "{}[[service.location]]\npath = \"/login\"\n{own}[[service.location]]\npath = \"/upload\"\nmax_body = \"1B\"\n",
        slow("service", 2)
    );
    let balancer = Rig::new().config(&service("web", &lines, &backend)).up();
    for (path, statuses) in [
        ("/login", [200, 429]),
        ("//login/", [429, 429]),
        ("/l%6fgin", [429, 429]),
        ("/upload", [200, 200]),
        ("/", [429, 429]),
        ("/logins", [429, 429]),
    ] {
        let got = both(balancer.address, path, &[]).map(|(_, answer)| answer.status);
        assert_eq!(got, statuses, "{path}");
    }
}

#[test]
fn a_crowd_on_many_connections_gets_no_more_than_the_burst() {
    let backend = named("web");
    let balancer = Rig::new().config(&service("web", &slow("client", 20), &backend)).up();
    let address = balancer.address;
    let clients = (0..16).map(|number| {
        std::thread::spawn(move || {
            if number % 2 == 0 {
                let mut talk = Talk::to(address);
                return (0..25)
                    .filter(|_| {
                        talk.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                        talk.answer().status == 200
                    })
                    .count();
            }
            speak::run(async {
                let mut client = speak::Client::to(address).await;
                let mut passed = 0;
                for _ in 0..25 {
                    let request = http::Request::get("http://h/").body(()).unwrap();
                    passed += usize::from(client.ask(request).await.unwrap().status == 200);
                }
                passed
            })
        })
    });
    let clients: Vec<_> = clients.collect();
    let passed: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(passed, 20);
    assert_eq!(backend.received().len(), 20);
}
