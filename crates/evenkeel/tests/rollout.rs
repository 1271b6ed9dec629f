//! Rollouts and pauses, with real processes and under load: nothing is lost, there are never fewer
//! replicas than promised, and what does no good is undone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use rig::kept::Kept;
use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, client, eventually, kill, replica_processes};
use serde_json::Value;

/// Three replicas of the demo with these further keys; contract on.
fn config(keys: &str, rest: &str) -> String {
    format!(
        "contract = true\n[[service]]\nname = \"web\"\nstart_timeout = \"10s\"\n{keys}\n\
         [service.deploy]\nbake = \"200ms\"\n{rest}\n"
    )
}

fn command(words: &[&str]) -> String {
    format!("command = {words:?}")
}

fn replica() -> String {
    command(&[PROGRAM, "replica", "--listen", "127.0.0.1:{port}"])
}

/// Runs a command of the program: exit code, and what it said.
fn run(balancer: &Balancer, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = balancer.command(arguments);
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn releases(balancer: &Balancer) -> Vec<String> {
    balancer.replicas().iter().map(|replica| replica["release"].as_str().unwrap().to_string()).collect()
}

/// Does something while it is watched how many replicas take traffic; the lowest number.
fn fewest_ready<T>(balancer: &Balancer, deed: impl FnOnce() -> T) -> (u64, T) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut fewest = u64::MAX;
            while !is_over.load(Ordering::Relaxed) {
                fewest = fewest.min(balancer.service()["ready"].as_u64().unwrap());
            }
            fewest
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed));
        // Also when it failed: the watcher is waited for.
        is_over.store(true, Ordering::Relaxed);
        let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (watcher.join().unwrap(), outcome)
    })
}

#[test]
fn what_no_deployment_brings_about_is_named_with_what_does() {
    let config = "[[service]]\nname = \"web\"\nreplicas = 1\n";
    let balancer = Rig::new().config(config).up();
    let deploy = || balancer.command(&["deploy", "--service=web"]);
    assert_eq!(deploy().status.code(), Some(0));
    let changes = [
        ("[limits]\nconnections = 50\n".to_owned() + config, "`limits.connections`"),
        ("[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned() + config, "`listener.1.address`"),
        (
            config.to_owned() + "[[service]]\nname = \"shop\"\npath = \"/shop\"\n",
            "service 'shop', which is new",
        ),
        (config.replace("replicas = 1", "replicas = 2"), "`evenkeel scale 2 --service web`"),
    ];
    for (changed, named) in changes {
        balancer.rewrite_config(&changed);
        let deployed = deploy();
        let said = String::from_utf8_lossy(&deployed.stderr).into_owned();
        assert!(deployed.status.code() == Some(1) && said.contains(named), "{named}: {deployed:?}");
        assert_eq!(said.contains("takes a restart"), !named.contains("scale"), "{said}");
    }
    balancer.rewrite_config(config);
    assert_eq!(deploy().status.code(), Some(0));
}

#[test]
fn a_rollout_under_load_loses_nothing_and_there_are_never_fewer_ready() {
    let balancer = Rig::new().config(&config(&replica(), "")).up();
    let before = releases(&balancer);
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(0) && said.contains("nothing has changed"), "{said}");
    assert_eq!(balancer.names(), ["server_1", "server_2", "server_3"]);

    let load = Load::start(balancer.address, 300);
    let next = format!("{}\nenv = {{ COLOUR = \"green\" }}", replica());
    balancer.rewrite_config(&config(&next, ""));
    let (fewest, (code, said)) = fewest_ready(&balancer, || run(&balancer, &["deploy"]));
    load.stop().assert_nothing_lost();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("done, 3 replicas were replaced") && said.contains("has its seat"), "{said}");
    assert_eq!(fewest, 3, "{said}");
    let after = releases(&balancer);
    assert!(after.iter().all(|release| *release == after[0] && !before.contains(release)), "{after:?}");
    eventually("the old ones are gone", || replica_processes(balancer.pid()).len() == 3);
    let seats: Vec<Value> = balancer.replicas().iter().map(|replica| replica["seat"].clone()).collect();
    assert_eq!(seats, [1, 2, 3]);
}

#[test]
fn what_does_not_come_up_is_undone_and_its_last_words_are_told() {
    let balancer = Rig::new().config(&config(&replica(), "")).up();
    let (names, before) = (balancer.names(), releases(&balancer));
    let load = Load::start(balancer.address, 300);
    let broken = command(&["sh", "-c", "echo no database >&2; exit 3"]);
    balancer.rewrite_config(&config(&broken, ""));
    let (fewest, (code, said)) = fewest_ready(&balancer, || run(&balancer, &["deploy"]));
    load.stop().assert_nothing_lost();
    assert_eq!((code, fewest), (Some(1), 3), "{said}");
    assert!(said.contains("rolled back") && said.contains("exited with code 3"), "{said}");
    assert!(said.contains("  | no database"), "{said}");
    assert_eq!((balancer.names(), releases(&balancer)), (names, before), "nobody was touched");
    assert_eq!(balancer.service()["rollout"]["state"], "rolled back");
    // What is asked for anew may be well.
    let next = format!("{}\nenv = {{ COLOUR = \"green\" }}", replica());
    balancer.rewrite_config(&config(&next, ""));
    assert_eq!(run(&balancer, &["deploy"]).0, Some(0));
}

#[test]
fn what_dies_soon_after_it_took_traffic_is_undone_and_nobody_notices() {
    let balancer = Rig::new().config(&config(&replica(), "")).up();
    let before = releases(&balancer);
    let load = Load::start(balancer.address, 300);
    // Either it dies half-open, three times, or in its seat, once.
    let short_lived =
        command(&["timeout", "-s", "KILL", "0.3", PROGRAM, "replica", "--listen", "127.0.0.1:{port}"]);
    balancer.rewrite_config(&config(&short_lived, ""));
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(1) && said.contains("rolled back"), "{said}");
    eventually("all are ready", || balancer.service()["ready"] == 3);
    load.stop().assert_nothing_lost();
    assert_eq!(releases(&balancer), before);
}

#[test]
fn what_only_a_restart_can_change_is_refused_by_name_and_changes_nothing() {
    let balancer = Rig::new().config(&config(&replica(), "")).up();
    let names = balancer.names();
    for (text, expected) in [
        (config(&replica(), "[service.heartbeat]\nmisses = 7"), "`heartbeat` of service 'web' changed"),
        (config("key = \"path\"", ""), "`key` of service 'web' changed"),
        ("[[service]]\nname = \"shop\"\n".into(), "the configuration has no service 'web' any more"),
        ("[[service]]\nname = \"web\"\nreplcas = 3\n".into(), "did you mean `replicas`?"),
        (config("command = [\"/no/such/server\"]", ""), "there is no program '/no/such/server' to run"),
    ] {
        balancer.rewrite_config(&text);
        for arguments in [&["deploy"][..], &["deploy", "--force"]] {
            let (code, said) = run(&balancer, arguments);
            assert!(code == Some(1) && said.contains(expected), "{text}: {said}");
        }
    }
    assert_eq!(balancer.names(), names);
}

#[test]
fn the_demo_is_replaced_by_the_same_when_it_is_forced() {
    let balancer = Rig::new().up();
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(0) && said.contains("nothing has changed") && said.contains("--force"), "{said}");
    let load = Load::start(balancer.address, 300);
    let (code, said) = run(&balancer, &["deploy", "--force", "--json"]);
    load.stop().assert_nothing_lost();
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["state"], &told["done"]), (Some(0), &"done".into(), &3.into()), "{said}");
    assert!(
        balancer.names().iter().all(|name| !["server_1", "server_2", "server_3"].contains(&name.as_str()))
    );
}

#[test]
fn a_fleet_may_grow_and_shrink_while_it_is_rolled_out() {
    let balancer = Rig::new().config(&config(&replica(), "")).up();
    let load = Load::start(balancer.address, 300);
    let next = format!("{}\nenv = {{ COLOUR = \"green\" }}", replica());
    balancer.rewrite_config(&config(&next, ""));
    std::thread::scope(|scope| {
        let deploy = scope.spawn(|| run(&balancer, &["deploy"]));
        eventually("it has begun", || balancer.service()["rollout"]["is_under_way"] == true);
        let (code, said) = run(&balancer, &["deploy"]);
        assert!(code == Some(1) && said.contains("a rollout is under way"), "{said}");
        assert_eq!(balancer.add(r#"{"n":2,"hostnames":["S5"]}"#).status, 200);
        assert_eq!(balancer.rm(r#"{"n":1,"hostnames":["server_3"]}"#).status, 200);
        let (code, said) = deploy.join().unwrap();
        assert_eq!(code, Some(0), "{said}");
    });
    load.stop().assert_nothing_lost();
    let after = releases(&balancer);
    assert!(after.len() == 4 && after.iter().all(|release| *release == after[0]), "{after:?}");
    assert!(balancer.names().contains(&"S5".to_string()));
}

#[test]
fn who_dies_after_a_rollback_and_a_restart_runs_what_was_deployed_until_the_next_deploy() {
    let kept = Kept::new();
    let config = |keys: &str| {
        kept.config(&format!("start_timeout = \"10s\"\n{keys}\n[service.deploy]\nbake = \"200ms\""))
    };
    let good = format!("{}\nenv = {{ TOKEN = \"hush-hush\" }}", replica());
    let broken = command(&["sh", "-c", "echo no database >&2; exit 3"]);
    let balancer = Rig::new().config(&config(&good)).up();
    let before = releases(&balancer);
    balancer.rewrite_config(&config(&broken));
    let (code, said) = run(&balancer, &["deploy"]);
    assert!(code == Some(1) && said.contains("rolled back"), "{said}");
    balancer.signal("-9");
    let _ = balancer.ended();

    let again = Rig::new().config(&config(&broken)).variable("EVENKEEL_LOG", "debug").up();
    let told = &again.said_at_start;
    assert!(told.contains("the configuration and what runs differ: command, env.TOKEN."), "{told}");
    assert!(told.contains("`evenkeel deploy` rolls out") && !told.contains("hush-hush"), "{told}");
    let differs = "the configuration says something else than what runs: command, env.TOKEN; `evenkeel deploy` rolls it out";
    let (code, said) = run(&again, &["status"]);
    assert!(code == Some(0) && said.contains(differs), "{said}");
    let (lives, load) = (kept.replicas(), Load::start(again.address, 200));
    for (life, pid) in &lives {
        kill("-9", *pid);
        let is_replaced = || again.service()["ready"] == 3 && !kept.replicas().contains_key(life);
        eventually("its seat is taken by another one", is_replaced);
    }
    load.stop().assert_nothing_lost();
    assert_eq!(releases(&again), before);
    let shown = client::send(again.admin, "GET", "/v1/services", "").body;
    assert!(!shown.contains("hush-hush"), "{shown}");
    let stored = kept.folder.path().join("web.wish");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&stored).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(&stored).unwrap().contains("hush-hush"));

    let next = format!("{}\nenv = {{ COLOUR = \"green\" }}", replica());
    again.rewrite_config(&config(&next));
    let (code, said) = run(&again, &["deploy"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, said) = run(&again, &["status"]);
    assert!(!said.contains("something else"), "{said}");
    let after = releases(&again);
    assert!(after.iter().all(|release| *release == after[0] && !before.contains(release)), "{after:?}");
    assert!(!std::fs::read_to_string(&stored).unwrap().contains("hush-hush"), "it is of no use any more");
    again.signal("-9");
    let _ = again.ended();
    let last = Rig::new().config(&config(&next)).up();
    assert!(!last.said_at_start.contains("differ"), "{}", last.said_at_start);
    assert_eq!(releases(&last), after);
}

#[test]
fn what_was_deployed_and_cannot_be_run_now_is_told_and_another_release_can_be_deployed() {
    let kept = Kept::new();
    let config = |keys: &str| {
        let top = kept.top();
        format!(
            "contract = true\n{top}[[service]]\nname = \"web\"\n{keys}\n[service.deploy]\nbake = \"0s\"\n"
        )
    };
    let program = kept.folder.path().join("server");
    std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
    let first = command(&[program.to_str().unwrap(), "replica", "--listen", "127.0.0.1:{port}"]);
    let balancer = Rig::new().config(&config(&first)).up();
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    std::fs::remove_file(&program).unwrap();
    let again = Rig::new().config(&config(&replica())).early().up();
    let is_meant = |line: &str| line.contains("what was deployed cannot be run: there is no program");
    assert!(again.said_at_start.lines().any(is_meant) || again.says(is_meant).is_some());
    eventually("they fail", || again.service()["ready"] == 0 && again.replicas().len() == 3);
    let (code, said) = run(&again, &["deploy"]);
    assert_eq!(code, Some(0), "{said}");
    eventually("they serve", || again.service()["ready"] == 3);
}

#[test]
fn where_nothing_is_kept_a_rollback_says_that_a_restart_does_not_know_of_it() {
    let balancer = Rig::new().config(&config(&replica(), "")).up();
    balancer.rewrite_config(&config(&command(&["sh", "-c", "exit 3"]), ""));
    assert_eq!(run(&balancer, &["deploy"]).0, Some(1));
    let told = balancer.says(|line| line.contains("nothing is kept here of what should run"));
    assert!(told.is_some_and(|line| line.contains("change it back")));
}

/// How many requests have waited so far.
fn waits(balancer: &Balancer) -> u64 {
    let page = client::send(balancer.admin, "GET", "/metrics", "").body;
    let line = page.lines().find_map(|line| line.strip_prefix("evenkeel_waits_total{service=\"web\"} "));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

#[test]
fn requests_wait_while_there_is_a_pause_and_none_is_lost() {
    let balancer = Rig::new().up();
    let load = Load::start(balancer.address, 200);
    let (code, said) = run(&balancer, &["pause", "--for", "20s"]);
    assert!(code == Some(0) && said.contains("requests wait until"), "{said}");
    assert!(balancer.service()["paused_until"].is_string());
    assert!(run(&balancer, &["status"]).1.contains("paused until"));
    let before = waits(&balancer);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| balancer.get("/home"));
        eventually("requests wait", || waits(&balancer) > before + 20);
        assert!(!asked.is_finished(), "it waits with them");
        assert_eq!(run(&balancer, &["resume"]).0, Some(0));
        assert_eq!(asked.join().unwrap().status, 200);
    });
    assert!(balancer.service()["paused_until"].is_null());
    load.stop().assert_nothing_lost();
}

#[test]
fn a_pause_that_is_forgotten_ends_by_itself() {
    let balancer = Rig::new().up();
    assert_eq!(run(&balancer, &["pause", "--for=300ms"]).0, Some(0));
    assert_eq!(balancer.get("/home").status, 200);
    assert!(balancer.service()["paused_until"].is_null());
    for length in ["0s", "11m", "soon"] {
        let (code, said) = run(&balancer, &["pause", "--for", length]);
        assert!(code == Some(1) && said.contains("\"for\""), "{said}");
    }
    assert_eq!(run(&balancer, &["resume"]).0, Some(0), "there is nothing to resume, and no harm in it");
}
