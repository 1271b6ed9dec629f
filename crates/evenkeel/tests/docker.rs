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
        yard.strike(arguments, &victim);
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
    yard.strike(&["pause"], "server_1");
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
    yard.strike(&["rm", "-f"], "server_3");
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
    yard.strike(&["kill"], "server_1");
    yard.strike(&["rm", "-f"], "server_2");
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
    yard.strike(&["pause"], "server_2");
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
    let refused = Rig::new().config(&missing).waiting().try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("image 'no-such-image' is not on this host"), "{refused}");
    let broken = format!("{config}command = [\"no-such-command\"]\n");
    let refused = Rig::new().config(&broken).waiting().try_up().map(|_| ()).unwrap_err();
    assert!(refused.contains("0 of 3 ready") && refused.contains("crash-looping"), "{refused}");
    assert!(yard.containers(true).is_empty());
}

#[test]
fn a_service_whose_image_is_missing_is_served_when_it_is_there_and_the_other_all_the_while() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let (image, late) = (&yard.image, format!("{}-late", yard.owner));
    let config = config.replace(image, &late) + "[[service]]\nname = \"shop\"\npath = \"/shop\"\n";
    let balancer = Rig::new().config(&config).early().up();
    assert_eq!(balancer.get("/shop").status, 404, "its replicas know no such path, and say so");
    let status = || String::from_utf8(balancer.command(&["status"]).stdout).unwrap();
    eventually("the reason is shown", || status().contains(&format!("image '{late}' is not on this host")));
    docker(&["tag", image, &late]);
    eventually("it is served", || balancer.get("/home").status == 200);
    eventually("both are whole", || status().lines().filter(|line| line.contains("3/3")).count() == 2);
    balancer.signal("-KILL");
    let _ = balancer.ended();
    docker(&["rmi", &late]);
}

#[test]
fn a_container_that_listens_elsewhere_is_given_up_with_the_port_that_it_should_have() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let (maker, image) = (format!("{}-maker", yard.owner), format!("{}-exposing", yard.owner));
    docker(&["create", "--name", &maker, &yard.image]);
    docker(&["commit", "--change", "EXPOSE 5000", &maker, &image]);
    docker(&["rm", &maker]);
    let config = config.replace(&yard.image, &image);
    let config = format!("{config}replicas = 1\nport = 8080\nstart_timeout = \"4s\"\non_exit = \"stop\"\n");
    let balancer = Rig::new().config(&config).early().up();
    // Where the processes of the engine are visible it is known, and else guessed from the image.
    let why = "5000, and port is 8080";
    let events = || String::from_utf8(balancer.command(&["events"]).stdout).unwrap();
    eventually("it is given up", || {
        events().lines().any(|line| line.contains("replaced") && line.contains(why))
    });
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    docker(&["rmi", &image]);
}

#[test]
fn a_container_that_listens_for_itself_alone_is_shown_as_that() {
    let Some(yard) = Yard::apart() else { return };
    yard.renew_image(&["replica", "--listen", "127.0.0.1:5000"]);
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&format!("{config}replicas = 1\non_exit = \"stop\"\n")).early().up();
    eventually("it runs", || yard.containers(false).len() == 1);
    let name = yard.containers(false).pop_first().unwrap();
    if !std::path::Path::new(&format!("/proc/{}", yard.inspect(&name, "{{.State.Pid}}"))).exists() {
        return println!("skipped: the engine's processes are not visible from here");
    }
    let why = "connection refused; it listens on 127.0.0.1:5000, which only its own container reaches";
    let reason = || balancer.replicas()[0]["reason"].as_str().unwrap_or_default().to_owned();
    eventually("the reason is shown", || reason().contains(why));
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
}

#[test]
fn containers_of_a_service_that_runs_as_processes_now_are_ended() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let balancer = Rig::new().config(&config).up();
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert_eq!(yard.containers(false).len(), 3);
    let driver = config.find("driver = \"docker\"").unwrap();
    let again = Rig::new().config(&config[..driver]).up();
    assert_eq!(again.get("/home").status, 200);
    eventually("they are ended", || yard.containers(true).is_empty());
}

#[test]
fn a_name_that_somebody_else_has_is_left_to_him() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard);
    let taken = yard.container("server_2");
    docker(&["create", "--name", &taken, &yard.image]);
    let balancer = Rig::new().config(&config).try_up();
    let is_left = docker(&["ps", "-a", "--format", "{{.Names}}"]).lines().any(|name| name == taken);
    docker(&["rm", "-f", &taken]);
    let balancer = balancer.unwrap();
    eventually("all three serve", || balancer.service()["ready"] == 3);
    assert!(is_left && !balancer.names().contains(&"server_2".to_owned()), "{:?}", balancer.names());
    let events = String::from_utf8(balancer.command(&["events"]).stdout).unwrap();
    assert!(
        events.contains(&format!("the name '{taken}' is taken by a container that is not ours")),
        "{events}"
    );
}

#[test]
fn two_balancers_on_one_network_have_replicas_of_the_same_names_and_each_its_own_containers() {
    let (Some(yard), Some(next)) = (Yard::open(), Yard::open()) else { return };
    let ((_folder, config), (_next_folder, next_config)) = (kept(&yard), kept(&next));
    let next_config = next_config
        .replace(&format!("network = {:?}", next.network), &format!("network = {:?}", yard.network));
    let first = Rig::new().config(&config).up();
    let second = Rig::new().config(&next_config).up();
    for (balancer, yard) in [(&first, &yard), (&second, &next)] {
        assert_eq!(balancer.names(), ["server_1", "server_2", "server_3"]);
        let shown = String::from_utf8(balancer.command(&["ps", "--verbose"]).stdout).unwrap();
        assert!(shown.contains(&format!("container {}", yard.container("server_1"))), "{shown}");
        assert_eq!(names_in(&balancer.add(r#"{"n":1,"hostnames":["S5"]}"#)).len(), 4);
        assert!(balancer.get("/home").body.contains("Hello from Server: "));
    }
    // The first to come is that machine on the network; the other's are reached as they are called.
    let aliases =
        |yard: &Yard| yard.inspect("server_1", "{{range .NetworkSettings.Networks}}{{.Aliases}}{{end}}");
    assert!(
        aliases(&yard).contains("server_1") && !aliases(&next).contains("server_1"),
        "{}",
        aliases(&next)
    );
    let before = seats(&first);
    next.strike(&["rm", "-f"], "server_1");
    eventually("it is replaced", || is_replaced(&second, "server_1", 4));
    second.rm(r#"{"n":1,"hostnames":["S5"]}"#);
    eventually("it goes", || !next.containers(true).contains("S5"));
    assert_eq!(seats(&first), before, "the other's are nobody's but his");
    assert_eq!(yard.containers(false).len(), 4);
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
