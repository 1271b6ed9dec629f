//! Processes that outlive their balancer, and the next one that takes them over: after an orderly
//! end, a kill and a change of the configuration, with what happened in between.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rig::kept::{Kept, end};
use rig::{Balancer, PROGRAM, Rig, eventually, kill, replica_processes};
use serde_json::Value;

fn is_whole(balancer: &Balancer, count: usize) -> bool {
    let service = balancer.service();
    let replicas = service["replicas"].as_array().unwrap();
    let is_ready = replicas.iter().all(|replica| replica["state"] == "ready");
    is_ready && replicas.len() == count && service["others"].as_array().unwrap().is_empty()
}

/// Names, seats, lives and addresses.
fn who(balancer: &Balancer) -> Vec<[String; 4]> {
    let replicas = balancer.replicas();
    let text = |replica: &Value, key: &str| replica[key].to_string();
    let one = |replica: &Value| ["name", "seat", "incarnation", "address"].map(|key| text(replica, key));
    replicas.iter().map(one).collect()
}

fn kill_balancer(balancer: Balancer) {
    balancer.signal("-9");
    let _ = balancer.ended();
}

/// Each life has its keeper and its replica, and nobody else.
fn assert_in_pairs(kept: &Kept, count: usize) {
    eventually("each life has two processes", || {
        let lives = kept.lives();
        lives.len() == count && lives.values().all(|processes| *processes == 2)
    });
}

#[test]
fn processes_outlive_an_orderly_end_and_a_kill_and_are_taken_over_as_they_are() {
    for listen in ["", "socket = true"] {
        let kept = Kept::new();
        let config = kept.config(listen);
        let balancer = Rig::new().config(&config).up();
        balancer.add(r#"{"n":2,"hostnames":["S5","S4"]}"#);
        balancer.rm(r#"{"n":1,"hostnames":["server_2"]}"#);
        eventually("the removed one is gone", || is_whole(&balancer, 4));
        let (before, replicas) = (who(&balancer), kept.replicas());
        assert_in_pairs(&kept, 4);
        balancer.signal("-TERM");
        let (code, said) = balancer.ended();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("4 processes keep running; the next start takes them up"), "{said}");
        assert_eq!(kept.replicas(), replicas, "they run on");
        let again = Rig::new().config(&config).up();
        assert_eq!((who(&again), kept.replicas()), (before.clone(), replicas.clone()));
        assert_eq!(again.get("/home").status, 200);
        kill_balancer(again);
        assert_eq!(kept.replicas(), replicas, "they run on");
        let again = Rig::new().config(&config).up();
        assert_eq!((who(&again), kept.replicas()), (before, replicas));
        assert!(again.get("/home").body.contains("Hello from Server: "));
        assert_in_pairs(&kept, 4);
    }
}

#[test]
fn an_upgrade_that_only_changes_counts_touches_nobody() {
    let kept = Kept::new();
    let balancer = Rig::new().config(&kept.config("replicas = 2")).up();
    let (before, replicas) = (who(&balancer), kept.replicas());
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    let again = Rig::new().config(&kept.config("replicas = 4\nmax_replicas = 7")).up();
    assert_eq!((who(&again), kept.replicas()), (before, replicas.clone()));
    assert!(again.command(&["scale", "3"]).status.success());
    let scaled = kept.replicas();
    assert!(scaled.len() == 3 && replicas.iter().all(|one| scaled.get(one.0) == Some(one.1)), "{scaled:?}");
}

#[test]
fn a_process_that_is_adopted_is_missed_when_it_ends_and_says_how() {
    let kept = Kept::new();
    let config = kept.config("");
    kill_balancer(Rig::new().config(&config).up());
    let balancer = Rig::new().config(&config).up();
    eventually("all are back", || is_whole(&balancer, 3));
    kill("-9", kept.replicas()["web/2.1"]);
    eventually("the next life takes traffic", || {
        is_whole(&balancer, 3) && balancer.replicas()[1]["incarnation"] == 2
    });
    let events = String::from_utf8(balancer.command(&["events"]).stdout).unwrap();
    assert!(events.contains("killed by signal 9"), "{events}");
    assert_in_pairs(&kept, 3);
    // It stops when it is told to, though no balancer that is still there has started it.
    assert!(balancer.command(&["scale", "1"]).status.success());
    assert_in_pairs(&kept, 1);
    eventually("they are gone", || is_whole(&balancer, 1));
    let stem = kept.lives().into_keys().next().unwrap().replace("web/", "");
    let files = std::fs::read_dir(kept.records()).unwrap().flatten();
    let mut files: Vec<String> = files.map(|one| one.file_name().into_string().unwrap()).collect();
    files.retain(|name| !name.ends_with(".previous.log"));
    files.sort();
    assert_eq!(files, [format!("{stem}.json"), format!("{stem}.log")]);
}

#[test]
fn who_died_while_no_balancer_ran_is_replaced_under_the_same_name() {
    let kept = Kept::new();
    let config = kept.config("");
    let balancer = Rig::new().config(&config).up();
    let names = balancer.names();
    kill_balancer(balancer);
    end(kept.replicas()["web/1.1"]);
    end(kept.keepers()["web/3.1"]);
    let again = Rig::new().config(&config).up();
    eventually("the fleet is whole", || is_whole(&again, 3));
    assert_eq!(again.names(), names);
    let lives: BTreeMap<String, usize> =
        [("web/1.2", 2), ("web/2.1", 2), ("web/3.2", 2)].map(|(life, count)| (life.to_owned(), count)).into();
    assert_eq!(kept.lives(), lives);
}

/// Gives a keeper an order whose command makes a file, and what it is told after its answer; whether
/// the file was made, and what else is in the folder then.
fn give_order(told: &str) -> (String, bool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Command::new(PROGRAM)
        .arg("keep")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let life = serde_json::json!({
        "format": 1, "seat": 1, "incarnation": 1, "name": "web_1", "address": "127.0.0.1:20001",
        "token": "nobody/web/1.1/x", "spec": "",
    });
    let order = serde_json::json!({ "life": life, "files": { "stem": path("1.1") }, "command": ["touch", path("ran")] });
    let (mut input, mut answer) = (keeper.stdin.take().unwrap(), String::new());
    writeln!(input, "{order}").unwrap();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    assert!(folder.path().join("1.1.json").exists(), "the record is there before it is said");
    assert!(!folder.path().join("ran").exists(), "and before anything runs");
    input.write_all(told.as_bytes()).unwrap();
    drop(input);
    keeper.wait().unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap().flatten();
    let mut names: Vec<String> = names.map(|one| one.file_name().into_string().unwrap()).collect();
    names.sort();
    (answer, folder.path().join("ran").exists(), names)
}

#[test]
fn a_keeper_whose_balancer_is_gone_before_it_heard_of_the_record_starts_nothing() {
    let left = (String::from("recorded\n"), false, Vec::new());
    for told in ["", "g", "\n"] {
        assert_eq!(give_order(told), left, "{told:?}");
    }
    let files = ["1.1.exit", "1.1.json", "1.1.log", "ran"].map(str::to_owned).into();
    assert_eq!(give_order("go\n"), ("recorded\n".to_owned(), true, files));
    // Killed before it could even give the order.
    let mut keeper = Command::new(PROGRAM);
    keeper.arg("keep").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(keeper.status().unwrap().code(), Some(1));
}

/// Somebody else's process.
struct Foreign(Child);

impl Foreign {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_number_that_has_passed_to_somebody_else_is_not_ours() {
    let kept = Kept::new();
    let config = kept.config("");
    kill_balancer(Rig::new().config(&config).up());
    let mut foreign = Foreign::start();
    let before = kept.keepers();
    // One record names somebody else's process, another a process of ours that began at another time.
    for (life, pid, started_at) in [("1.1", Some(foreign.0.id()), None), ("2.1", None, Some(1))] {
        let path = kept.records().join(format!("{life}.json"));
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if let Some(pid) = pid {
            record["keeper"]["pid"] = pid.into();
        }
        if let Some(started_at) = started_at {
            record["keeper"]["started_at"] = started_at.into();
        }
        std::fs::write(&path, record.to_string()).unwrap();
    }
    let again = Rig::new().config(&config).up();
    eventually("the fleet is whole", || is_whole(&again, 3));
    assert!(foreign.is_alive(), "it was never ours");
    let after = kept.keepers();
    assert_eq!(after.get("web/3.1"), before.get("web/3.1"), "who was as recorded goes on");
    // Those that no record speaks of any more are known by their token, and ended.
    assert_in_pairs(&kept, 3);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["web/1.2", "web/2.2", "web/3.1"]);
}

#[test]
fn what_no_record_speaks_of_is_ended_and_what_is_no_record_is_removed() {
    let kept = Kept::new();
    let config = kept.config("");
    kill_balancer(Rig::new().config(&config).up());
    std::fs::remove_file(kept.records().join("1.1.json")).unwrap();
    std::fs::write(kept.records().join("2.1.json"), "{").unwrap();
    std::fs::write(kept.records().join("9.9.sock"), "").unwrap();
    let again = Rig::new().config(&config).up();
    eventually("the fleet is whole", || is_whole(&again, 3));
    assert_eq!(again.names(), ["server_1", "server_2", "server_3"]);
    assert_in_pairs(&kept, 3);
    assert!(!kept.records().join("9.9.sock").exists());
}

#[test]
fn a_lost_state_directory_leaves_no_process_behind() {
    let (mut kept, other) = (Kept::new(), tempfile::tempdir().unwrap());
    kill_balancer(Rig::new().config(&kept.config("")).up());
    let before = kept.replicas();
    kept.folder = other;
    let again = Rig::new().config(&kept.config("replicas = 2")).up();
    eventually("the fleet is whole", || is_whole(&again, 2));
    assert_in_pairs(&kept, 2);
    let after = kept.replicas();
    assert!(before.values().all(|pid| !after.values().any(|other| other == pid)), "{before:?} {after:?}");
}

#[test]
fn a_service_that_is_gone_or_runs_in_another_way_leaves_no_process_behind() {
    let kept = Kept::new();
    let (shop, top) = ("[[service]]\nname = \"shop\"\npath = \"/shop\"\non_exit = \"keep\"\n", kept.top());
    kill_balancer(Rig::new().config(&(kept.config("") + shop)).up());
    assert_in_pairs(&kept, 6);
    let balancer = Rig::new().config(&kept.config("")).up();
    assert_in_pairs(&kept, 3);
    assert!(kept.lives().keys().all(|life| life.starts_with("web/")), "{:?}", kept.lives());
    eventually("its folder goes too", || !kept.folder.path().join("processes/shop").exists());
    kill_balancer(balancer);
    // Those that were kept are taken over even if new ones are not to be, and end with this one.
    let before = kept.replicas();
    let stopping = format!("{top}contract = true\n[[service]]\nname = \"web\"\n");
    let balancer = Rig::new().config(&stopping).up();
    assert_eq!(kept.replicas(), before);
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert!(kept.carriers().is_empty(), "{:?}", kept.carriers());
}

#[test]
fn a_keeper_that_is_killed_takes_its_replica_along_and_what_that_had_started() {
    let kept = Kept::new();
    let script = format!("sleep 601 & exec {PROGRAM} replica --listen 127.0.0.1:$PORT");
    let balancer = Rig::new().config(&kept.config(&format!("command = [\"sh\", \"-c\", {script:?}]"))).up();
    eventually("each has its helper", || kept.lives().values().all(|processes| *processes == 3));
    end(kept.keepers()["web/1.1"]);
    eventually("the next life takes traffic", || {
        is_whole(&balancer, 3) && balancer.replicas()[0]["incarnation"] == 2
    });
    eventually("nothing is left of the first", || !kept.lives().contains_key("web/1.1"));
    // A helper goes with its replica, too.
    kill("-9", kept.replicas()["web/2.1"]);
    eventually("nothing is left of it", || !kept.lives().contains_key("web/2.1"));
}

/// The lives of one that is not kept, and what they leave when they are killed: a shell's child, and who
/// has a session of its own.
fn spreading(kept: &Kept) -> String {
    let script = format!("setsid sleep 603 & {PROGRAM} replica --listen 127.0.0.1:$PORT; true");
    let service = format!("name = \"web\"\nreplicas = 2\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    format!("contract = true\nowner = {:?}\n[[service]]\n{service}", kept.owner)
}

#[test]
fn what_does_not_end_with_a_balancer_that_is_killed_the_next_one_ends() {
    let kept = Kept::new();
    let config = spreading(&kept);
    let first = Rig::new().config(&config).up();
    eventually("each has its shell, its helper and its server", || {
        ["web/1.1", "web/2.1"].iter().all(|life| kept.lives().get(*life) == Some(&3))
    });
    let mut forged = Command::new("setsid")
        .args(["sleep", "606"])
        .env("EVENKEEL_LIFE", format!("{}/web/1.1/abcdefghijklmnop-0123", kept.owner))
        .spawn()
        .unwrap();
    eventually("there is one that says to be ours", || {
        kept.carriers().iter().any(|one| one.pid == forged.id() && one.command == "sleep 606")
    });
    assert_eq!(kept.lives()["web/1.1"], 4);
    let before: Vec<u32> = kept.carriers().iter().map(|carrier| carrier.pid).collect();
    kill_balancer(first);
    eventually("the shells are gone, and nobody ends the others", || kept.carriers().len() == 5);
    let again = Rig::new().config(&config).up();
    eventually("the fleet is whole", || is_whole(&again, 2));
    let left: Vec<u32> = kept.carriers().iter().map(|carrier| carrier.pid).collect();
    let left: Vec<u32> = left.into_iter().filter(|pid| before.contains(pid)).collect();
    assert_eq!(left, [forged.id()], "only what is not ours");
    forged.kill().unwrap();
    forged.wait().unwrap();
}

#[test]
fn what_goes_to_the_background_ends_with_its_replica() {
    let kept = Kept::new();
    let balancer = Rig::new().config(&spreading(&kept)).up();
    kill("-9", kept.replicas()["web/1.1"]);
    eventually("the next life takes traffic", || {
        is_whole(&balancer, 2) && balancer.replicas()[0]["incarnation"] == 2
    });
    eventually("nothing is left of the first", || !kept.lives().contains_key("web/1.1"));
    assert!(balancer.says(|line| line.contains("has left 1 process behind")).is_some());
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert!(kept.carriers().is_empty(), "{:?}", kept.carriers());
}

#[test]
fn a_hangup_that_is_meant_for_the_balancer_ends_no_keeper_and_no_replica() {
    let kept = Kept::new();
    let balancer = Rig::new().config(&kept.config("")).up();
    let (before, keepers) = (who(&balancer), kept.keepers());
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    for pid in keepers.values().chain(kept.replicas().values()) {
        assert_ne!(name(pid), "evenkeel\n", "who signals all that are called so means no other");
    }
    assert_eq!(name(&balancer.pid()), "evenkeel\n");
    for pid in keepers.values().chain(kept.replicas().values()) {
        kill("-HUP", *pid);
    }
    balancer.signal("-HUP");
    assert!(balancer.says(|line| line.contains("SIGHUP")).is_some());
    assert_eq!((who(&balancer), kept.keepers()), (before, keepers));
    // The recipe of the documentation, with a look in the place of the signal.
    let page = include_str!("../../../docs/operation.md");
    let recipe = page.lines().find_map(|line| line.trim().strip_prefix("pkill -HUP ")).unwrap();
    let output = Command::new("sh").args(["-c", &format!("exec pgrep {recipe}")]).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let found: Vec<u32> = found.lines().map(|pid| pid.parse().unwrap()).collect();
    assert!(found.contains(&balancer.pid()), "{found:?}");
    assert!(!kept.carriers().iter().any(|carrier| found.contains(&carrier.pid)), "{found:?}");
}

#[test]
fn what_a_kept_process_writes_is_in_a_file_and_explains_its_end() {
    let kept = Kept::new();
    let script = format!("echo I am $SERVER_ID; exec {PROGRAM} replica --listen 127.0.0.1:$PORT");
    let service = format!("command = [\"sh\", \"-c\", {script:?}]");
    let balancer = Rig::new().config(&kept.config(&service)).up();
    let log = |name: &str| std::fs::read_to_string(kept.records().join(name)).unwrap_or_default();
    eventually("it is written", || log("1.1.log").contains("I am server_1"));
    kill("-9", kept.replicas()["web/1.1"]);
    eventually("the next life takes traffic", || balancer.replicas()[0]["incarnation"] == 2);
    assert!(log("1.previous.log").contains("I am server_1"), "what the last life wrote can still be read");
    drop(balancer);
    let ends = "echo no database >&2; exit 7";
    let refused = Rig::new().config(&Kept::new().config(&format!("command = [\"sh\", \"-c\", {ends:?}]")));
    let said = refused.waiting().try_up().map(|_| ()).unwrap_err();
    assert!(said.contains("exited with code 7; its last words: \"no database\""), "{said}");
}

#[test]
fn where_nothing_can_be_written_down_a_process_runs_all_the_same_and_ends_with_the_balancer() {
    type Prevention<'a> = (&'a dyn Fn(&Kept), &'a str);
    // Nobody, not even root, can write into a folder where a file is, or a file where a folder is.
    let no_folder = |kept: &Kept| {
        std::fs::remove_dir_all(kept.records()).unwrap();
        std::fs::write(kept.records(), "").unwrap();
    };
    let no_record = |kept: &Kept| std::fs::create_dir(kept.records().join("2.2.new")).unwrap();
    let ways: [Prevention<'_>; 2] =
        [(&no_folder, "exited with code 137"), (&no_record, "killed by signal 9")];
    for (prevent, how_it_ended) in ways {
        let kept = Kept::new();
        let balancer = Rig::new().config(&kept.config("")).up();
        prevent(&kept);
        kill("-9", kept.replicas()["web/2.1"]);
        let is_replaced = || is_whole(&balancer, 3) && balancer.replicas()[1]["incarnation"] == 2;
        eventually("the next life takes traffic", is_replaced);
        assert!(balancer.says(|line| line.contains("cannot be kept when the balancer ends")).is_some());
        let events = String::from_utf8(balancer.command(&["events"]).stdout).unwrap();
        assert!(events.contains(how_it_ended), "{events}");
        assert_eq!((kept.keepers().len(), replica_processes(balancer.pid()).len()), (2, 1));
        // It is known as the others are, and ends when it is told to.
        let name = balancer.replicas()[1]["name"].clone();
        balancer.rm(&format!("{{\"n\":1,\"hostnames\":[{name}]}}"));
        eventually("it ends", || replica_processes(balancer.pid()).is_empty() && is_whole(&balancer, 2));
    }
}

#[test]
fn one_that_is_stopped_by_a_signal_is_seen_to_be_frozen_and_replaced() {
    let kept = Kept::new();
    let config = kept.config("");
    kill_balancer(Rig::new().config(&config).up());
    let balancer = Rig::new().config(&config).up();
    eventually("all are back", || is_whole(&balancer, 3));
    kill("-STOP", kept.replicas()["web/2.1"]);
    eventually("it is replaced, and nothing is left of it", || {
        is_whole(&balancer, 3) && balancer.replicas()[1]["incarnation"] == 2
    });
    let events = String::from_utf8(balancer.command(&["events"]).stdout).unwrap();
    assert!(events.contains("frozen"), "{events}");
    assert_in_pairs(&kept, 3);
}

#[test]
fn a_second_balancer_of_one_owner_is_refused_before_it_touches_anything() {
    let kept = Kept::new();
    let balancer = Rig::new().config(&kept.config("")).up();
    let before = (who(&balancer), kept.replicas());
    let elsewhere = tempfile::tempdir().unwrap();
    let owner = format!("owner = \"{}\"\n", kept.owner);
    let watched = "[[service]]\nname = \"shop\"\ndriver = \"static\"\naddresses = [\"127.0.0.1:9\"]\n";
    let own = format!("state_dir = {:?}\n[[service]]\nname = \"web\"\n", elsewhere.path().join("state"));
    for rest in [watched, own.as_str()] {
        let second = Command::new(PROGRAM)
            .args(["up", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--config"])
            .arg(written(elsewhere.path(), &(owner.clone() + rest)))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{said}");
        let pid = format!("(process {})", balancer.pid());
        for word in [&kept.owner, "is running already", &pid, "owner = "] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    assert!(!elsewhere.path().join("state").exists(), "nothing was made");
    let config = written(elsewhere.path(), &(owner + &own));
    refuse_in_another_network(&balancer, &config);
    assert_eq!((who(&balancer), kept.replicas()), before);
    // The kernel lets go of the owner with its holder, however that ends.
    kill_balancer(balancer);
    assert_eq!(Rig::new().config(&kept.config("")).up().names().len(), 3);
}

/// Another network namespace has other abstract sockets, but the same `/tmp`.
fn refuse_in_another_network(balancer: &Balancer, config: &std::path::Path) {
    let may_unshare =
        |how: &&str| Command::new("unshare").args([how, "true"]).output().is_ok_and(|o| o.status.success());
    let Some(how) = ["-n", "-Urn"].iter().find(|how| may_unshare(how)) else {
        println!("skipped: no other network namespace can be made");
        return;
    };
    let second = Command::new("unshare").args([how, PROGRAM, "up", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("is running already (process {})", balancer.pid())), "{said}");
}

fn written(folder: &std::path::Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("evenkeel.toml");
    std::fs::write(&path, text).unwrap();
    path
}
