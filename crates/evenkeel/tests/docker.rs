//! The same promises with real containers. Without an engine these tests say that they were
//! skipped, unless EVENKEEL_REQUIRE_DOCKER is set; then they fail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rig::docker::{Yard, docker};
use rig::load::Load;
use rig::{Balancer, Rig, eventually, eventually_within, names_in};

/// A folder for the desired state, and a configuration of this yard that names it.
fn kept(yard: &Yard) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = yard.config(&format!("state_dir = {:?}", folder.path()), "");
    (folder, config)
}

fn seats(balancer: &Balancer) -> Vec<(String, String, String)> {
    let replicas = balancer.replicas();
    let seat = |replica: &serde_json::Value| {
        (replica["seat"].to_string(), replica["name"].to_string(), replica["incarnation"].to_string())
    };
    replicas.iter().map(seat).collect()
}

fn is_replaced(balancer: &Balancer, name: &str, count: usize) -> bool {
    let replicas = balancer.replicas();
    let is_ready = replicas.iter().all(|replica| replica["state"] == "ready");
    is_ready && replicas.len() == count && replicas.iter().all(|replica| replica["name"] != name)
}

#[test]
fn containers_carry_labels_and_are_added_and_removed_like_processes() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    assert_eq!(balancer.names(), ["server_1", "server_2", "server_3"]);
    let label = |name: &str, key: &str| {
        yard.inspect(name, &format!("{{{{index .Config.Labels \"evenkeel.{key}\"}}}}"))
    };
    assert_eq!(label("server_2", "owner"), yard.owner);
    assert_eq!((label("server_2", "service"), label("server_2", "seat")), ("web".into(), "2".into()));
    assert_eq!(
        yard.inspect("server_1", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.CapDrop}}"),
        "no [ALL]"
    );
    assert!(balancer.get("/home").body.contains("Hello from Server: server_"));
    let names = names_in(&balancer.add(r#"{"n":2,"hostnames":["S5"]}"#));
    assert_eq!((names.len(), names[3].as_str()), (5, "S5"));
    assert_eq!(yard.containers(false), names.into_iter().collect());
    let names: BTreeSet<String> =
        names_in(&balancer.rm(r#"{"n":3,"hostnames":["S5"]}"#)).into_iter().collect();
    eventually("the removed containers are gone", || yard.containers(true) == names);
}

#[test]
fn whoever_removes_kills_or_pauses_a_container_loses_nothing() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    let load = Load::start(balancer.address, 500);
    let deeds: [(&str, &[&str]); 4] =
        [("rm", &["rm", "-f"]), ("kill", &["kill"]), ("pause", &["pause"]), ("stop", &["stop"])];
    for (deed, arguments) in deeds {
        let victim = balancer.names()[1].clone();
        let begun = Instant::now();
        docker(&[arguments, &[&victim]].concat());
        let done_after = begun.elapsed();
        eventually("a replacement with another name takes traffic", || is_replaced(&balancer, &victim, 3));
        println!("docker {deed} (took {done_after:?}): serving again after {:?}", begun.elapsed());
        assert_eq!(balancer.replicas()[1]["seat"], 2, "in the same seat");
        eventually("nothing is left of the old one", || !yard.containers(true).contains(&victim));
    }
    let tally = load.stop();
    println!("slowest answer {:?}, p99 {:?}", tally.percentile(1.0), tally.percentile(0.99));
    tally.assert_nothing_lost();
}

#[test]
fn a_paused_container_is_replaced_within_two_seconds() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    docker(&["pause", "server_1"]);
    // The contract's own number; a machine that is too slow for it by far is too slow for users.
    let limit = Duration::from_secs(2) * 2;
    let took = eventually_within(limit, "it is replaced", || is_replaced(&balancer, "server_1", 3));
    println!("paused, replaced after {took:?}");
}

#[test]
fn a_killed_balancer_is_followed_by_one_that_adopts_everything() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    balancer.add(r#"{"n":2,"hostnames":["S5","S4"]}"#);
    balancer.rm(r#"{"n":1,"hostnames":["server_2"]}"#);
    docker(&["rm", "-f", "server_3"]);
    eventually("it is replaced", || is_replaced(&balancer, "server_3", 4));
    eventually("the removed one is gone", || yard.containers(true).len() == 4);
    let (before, containers) = (seats(&balancer), yard.containers(true));
    balancer.signal("-9");
    let _ = balancer.ended();
    assert_eq!(yard.containers(false), containers, "they run on");
    let again = Rig::new().config(&config).up();
    assert_eq!(seats(&again), before);
    assert_eq!(yard.containers(true), containers);
    assert_eq!(again.get("/home").status, 200);
}

#[test]
fn what_changed_while_no_balancer_ran_is_put_right() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 containers keep running"), "{said}");
    docker(&["kill", "server_1"]);
    docker(&["rm", "-f", "server_2"]);
    let again = Rig::new().config(&config).up();
    assert_eq!(again.replicas().len(), 3);
    eventually("three containers run, and no dead one is left", || {
        yard.containers(true).len() == 3 && yard.containers(false).len() == 3
    });
    assert_eq!(again.names(), ["server_1", "server_2", "server_3"]);
}

#[test]
fn one_that_is_found_frozen_is_replaced_without_a_wait() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    docker(&["pause", "server_2"]);
    let begun = Instant::now();
    let again = Rig::new().config(&config).up();
    println!("up again after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "it did not wait for the start timeout");
    eventually("it is replaced", || is_replaced(&again, "server_2", 3));
}

#[test]
fn removals_are_seen_through_when_the_balancer_ends() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    balancer.rm("{\"n\":2}");
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("1 containers keep running") || said.contains("1 container keeps running"),
        "{said}"
    );
    assert_eq!(yard.containers(true).len(), 1);
}

#[test]
fn the_state_directory_may_be_lost() {
    let Some(yard) = Yard::open() else { return };
    let (folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    balancer.add(r#"{"n":1,"hostnames":["S5"]}"#);
    let before = seats(&balancer);
    balancer.signal("-9");
    let _ = balancer.ended();
    std::fs::remove_file(folder.path().join("web.wish")).unwrap();
    let again = Rig::new().config(&config).up();
    assert_eq!(seats(&again), before, "what runs is what was desired");
}

#[test]
fn containers_can_end_with_the_balancer() {
    let Some(yard) = Yard::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = yard.config(&format!("state_dir = {:?}", folder.path()), "on_exit = \"stop\"");
    let balancer = Rig::new().config(&config).up();
    assert_eq!(yard.containers(false).len(), 3);
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(yard.containers(true).is_empty());
    let networks = docker(&["network", "ls", "--format", "{{.Name}}"]);
    assert!(networks.lines().all(|name| name != yard.network), "its network goes too");
}

#[test]
fn what_cannot_work_is_said_and_leaves_nothing() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let missing = config.replace(&yard.image, "no-such-image");
    let refused = Rig::new().config(&missing).try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("image 'no-such-image' is not on this host"), "{refused}");
    let broken = format!("{config}command = [\"no-such-command\"]\n");
    let refused = Rig::new().config(&broken).try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("undone"), "{refused}");
    assert!(yard.containers(true).is_empty());
    docker(&["create", "--name", "server_2", &yard.image]);
    let refused = Rig::new().config(&config).try_up().map(|_| ());
    let is_foreign_left =
        docker(&["ps", "-a", "--format", "{{.Names}}"]).lines().any(|name| name == "server_2");
    docker(&["rm", "-f", "server_2"]);
    let refused = refused.unwrap_err();
    assert!(refused.contains("the name 'server_2' is taken by a container that is not ours"), "{refused}");
    assert!(is_foreign_left && yard.containers(true).is_empty());
}

#[test]
fn growing_and_shrinking_containers_under_load_loses_nothing() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    let load = Load::start(balancer.address, 500);
    assert_eq!(names_in(&balancer.add(r#"{"n":7}"#)).len(), 10);
    assert_eq!(names_in(&balancer.rm(r#"{"n":8}"#)).len(), 2);
    load.stop().assert_nothing_lost();
    eventually("two containers are left", || yard.containers(true).len() == 2);
}

#[test]
fn parallel_calls_end_with_as_many_containers_as_names() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    let address = balancer.address;
    std::thread::scope(|scope| {
        for number in 0..16 {
            scope.spawn(move || {
                let (method, path) = if number % 2 == 0 { ("POST", "/add") } else { ("DELETE", "/rm") };
                let answer = rig::client::send(address, method, path, "{\"n\":1}");
                assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
            });
        }
    });
    let names: BTreeSet<String> = balancer.names().into_iter().collect();
    eventually("as many containers as names", || yard.containers(true) == names);
}

#[test]
fn published_ports_serve_where_container_addresses_cannot_be_reached() {
    let Some(yard) = Yard::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = yard.config(&format!("state_dir = {:?}", folder.path()), "publish = true\nreplicas = 1");
    let balancer = Rig::new().config(&config).up();
    assert!(balancer.replicas()[0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(balancer.get("/home").status, 200);
}

#[test]
fn a_service_that_is_gone_leaves_no_container_behind_and_nobody_elses_is_touched() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let foreign = format!("{}-foreign", yard.owner);
    docker(&["run", "-d", "--name", &foreign, "--label", "evenkeel.service=shop", &yard.image]);
    let (image, network) = (&yard.image, &yard.network);
    let shop = format!(
        "[[service]]\nname = \"shop\"\npath = \"/shop\"\ndriver = \"docker\"\nimage = \"{image}\"\nnetwork = \"{network}\"\n"
    );
    let balancer = Rig::new().config(&(config.clone() + &shop)).up();
    assert_eq!(yard.containers(false).len(), 6);
    balancer.signal("-9");
    let _ = balancer.ended();
    let again = Rig::new().config(&config).up();
    let names: BTreeSet<String> = again.names().into_iter().collect();
    eventually("its containers go", || yard.containers(true) == names);
    let is_foreign_left = docker(&["ps", "--format", "{{.Names}}"]).lines().any(|name| name == foreign);
    docker(&["rm", "-f", &foreign]);
    assert!(is_foreign_left);
}
