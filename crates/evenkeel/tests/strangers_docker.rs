//! What strangers can do with real containers: with labels, which anybody can write, and with names, which on
//! a network of containers are those of machines. Without an engine these tests say that they were skipped,
//! unless EVENKEEL_REQUIRE_DOCKER is set; then they fail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rig::docker::{Yard, docker};
use rig::{Balancer, Rig, client, eventually};
use serde_json::{Value, json};

/// Containers of others and their volumes, removed when dropped.
#[derive(Default)]
struct Others {
    names: Vec<String>,
    volumes: Vec<String>,
}

impl Others {
    fn run(&mut self, name: &str, words: &[&str]) {
        let mut all = vec!["run", "-d", "--name", name];
        all.extend(words);
        self.names.push(name.to_owned());
        docker(&all);
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let remove = |words: &[&str]| std::process::Command::new("docker").args(words).output();
        for name in &self.names {
            let _ = remove(&["rm", "-fv", name]);
        }
        for volume in &self.volumes {
            let _ = remove(&["volume", "rm", volume]);
        }
    }
}

/// All labels of a container, as `docker run` takes them.
fn labels_of(name: &str) -> Vec<String> {
    let template = "{{range $key, $value := .Config.Labels}}--label={{$key}}={{$value}}\n{{end}}";
    docker(&["inspect", "-f", template, name])
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn succeeds(words: &[&str]) -> bool {
    std::process::Command::new("docker").args(words).output().is_ok_and(|output| output.status.success())
}

fn state(name: &str) -> String {
    docker(&["inspect", "-f", "{{.Id}} {{.State.Status}} {{.State.StartedAt}}", name])
}

fn kept(yard: &Yard, more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = yard.config(&format!("state_dir = {:?}\n{more}", folder.path()), "");
    (folder, config)
}

/// Takes away what a balancer keeps that was not told where.
fn forget_state(owner: &str) {
    let home = std::env::var("HOME").unwrap_or_default();
    for folder in ["/var/lib/evenkeel".to_owned(), format!("{home}/.local/state/evenkeel")] {
        let _ = std::fs::remove_dir_all(std::path::Path::new(&folder).join(owner));
    }
}

fn names(balancer: &Balancer) -> BTreeSet<String> {
    balancer.names().into_iter().collect()
}

#[test]
fn whoever_carries_our_labels_is_left_alone_and_served_around() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard, "");
    let mut others = Others::default();
    let volume = format!("{}-volume", yard.owner);
    others.volumes.push(volume.clone());
    let forge = |service: &str, seat: &str| {
        let owner = format!("--label=evenkeel.owner={}", yard.owner);
        let labels =
            [("service", service), ("seat", seat), ("incarnation", "1"), ("spec", "00"), ("release", "00")];
        let labels = labels.map(|(label, value)| format!("--label=evenkeel.{label}={value}"));
        std::iter::once(owner).chain(labels).collect::<Vec<_>>()
    };
    let network = format!("--network={}", yard.network);
    docker(&["network", "create", &yard.network]);
    // One under a name of the first fleet, one in a seat far out, and one of a service that is gone.
    let named = |name: &str| format!("{}_{name}", yard.owner);
    let [second, seventh, ninth] = [named("server_2"), named("stranger_7"), named("stranger_9")];
    for (name, service, seat) in [(&second, "web", "2"), (&seventh, "web", "7"), (&ninth, "gone", "1")] {
        let mount = format!("--volume={volume}:/kept");
        let labels = forge(service, seat);
        let mut words = vec![network.as_str(), mount.as_str()];
        words.extend(labels.iter().map(String::as_str));
        words.push(&yard.image);
        others.run(name, &words);
    }
    let before: Vec<String> = others.names.iter().map(|name| state(name)).collect();
    let balancer = Rig::new().config(&config).up();
    assert_eq!(balancer.names(), ["server_1", "server_3", "server_4"], "a name that is held is not used");
    let seats: Vec<Value> = balancer.replicas().iter().map(|replica| replica["seat"].clone()).collect();
    assert_eq!(seats, [1, 2, 3]);
    let answers: BTreeSet<String> = (0..60).map(|_| balancer.get("/home").body).collect();
    assert!(
        !answers.iter().any(|answer| answer.contains("server_2") || answer.contains("stranger")),
        "{answers:?}"
    );
    for name in [&seventh, &second] {
        docker(&["kill", name]);
        docker(&["start", name]);
        docker(&["pause", name]);
        docker(&["unpause", name]);
    }
    balancer.rm(r#"{"n":1}"#);
    balancer.signal("-9");
    let _ = balancer.ended();
    let again = Rig::new().config(&config).up();
    assert_eq!(again.replicas().len(), 2);
    again.signal("-TERM");
    let (code, said) = again.ended();
    assert_eq!(code, Some(0), "{said}");
    for (name, before) in others.names.iter().zip(before) {
        assert_eq!(state(name).split(' ').next(), before.split(' ').next(), "{name}");
        assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", name]).trim(), "true", "{name}");
    }
    docker(&["volume", "inspect", &volume]);
}

#[test]
fn they_are_named_with_what_to_do_and_so_are_ours_when_the_state_is_lost() {
    let Some(yard) = Yard::open() else { return };
    let (folder, config) = kept(&yard, "");
    let balancer = Rig::new().config(&config).up();
    let ours = names(&balancer);
    balancer.signal("-9");
    let _ = balancer.ended();
    let secret = folder.path().join("secret");
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&secret).unwrap();
    let again = Rig::new().config(&config).up();
    assert_eq!(again.replicas().len(), 3, "it serves with new ones");
    assert!(names(&again).is_disjoint(&ours), "under other names");
    for name in &ours {
        assert_eq!(yard.inspect(name, "{{.State.Running}}"), "true");
    }
    let said = &again.said_at_start;
    let told = said.lines().find(|line| line.contains("cannot be proved"));
    let told = told.unwrap_or_else(|| panic!("nothing is said of them: {said}"));
    let listed = ours.iter().map(|name| yard.container(name)).collect::<Vec<_>>().join(" ");
    assert!(told.contains(&format!("docker rm --force --volumes {listed}")), "{told}");
}

#[test]
fn a_copy_of_a_replicas_labels_is_nobody() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard, "");
    let mut others = Others::default();
    let balancer = Rig::new().config(&config).up();
    let own = yard.container("server_1");
    let mut labels = labels_of(&own);
    assert!(labels.iter().any(|label| label.starts_with("--label=evenkeel.seal=")), "{labels:?}");
    labels.push(format!("--network={}", yard.network));
    labels.push(yard.image.clone());
    let words: Vec<&str> = labels.iter().map(String::as_str).collect();
    let stranger = yard.container("stranger_1");
    others.run(&stranger, &words);
    docker(&["kill", &stranger]);
    docker(&["start", &stranger]);
    // The real one goes, and a copy takes its very name.
    let removed = balancer.rm(r#"{"n":1,"hostnames":["server_1"]}"#);
    assert_eq!(removed.status, 200, "{removed:?}");
    eventually("the real one is gone", || !succeeds(&["inspect", &own]));
    others.run(&own, &words);
    let before = [state(&stranger), state(&own)];
    balancer.signal("-9");
    let _ = balancer.ended();
    let again = Rig::new().config(&config).up();
    assert_eq!(again.names(), ["server_2", "server_3"]);
    let added = again.add(r#"{"n":1,"hostnames":["server_1"]}"#);
    assert_eq!(added.status, 400, "{added:?}");
    assert_eq!(again.add(r#"{"n":1}"#).status, 200);
    again.signal("-TERM");
    let _ = again.ended();
    assert_eq!([state(&stranger), state(&own)], before);
}

#[test]
fn a_demo_without_a_state_folder_knows_its_own_after_it_was_killed() {
    let Some(yard) = Yard::open() else { return };
    let config = yard.config("", "on_exit = \"stop\"\nreplicas = 2");
    let balancer = Rig::new().config(&config).up();
    let before = yard.containers(false);
    balancer.signal("-9");
    let _ = balancer.ended();
    let again = Rig::new().config(&config).up();
    assert_eq!(names(&again), before, "the same ones, taken up");
    again.signal("-TERM");
    assert_eq!(again.ended().0, Some(0));
    assert!(yard.containers(true).is_empty());
    forget_state(&yard.owner);
}

#[test]
fn a_caller_cannot_take_a_name_by_which_something_else_is_known() {
    let Some(yard) = Yard::open() else { return };
    let (_folder, config) = kept(&yard, "reserved_names = [\"later\"]");
    let mut others = Others::default();
    let balancer = Rig::new().config(&config).up();
    let database = format!("{}-shop_db_1", yard.owner);
    let network = format!("--network={}", yard.network);
    others.run(&database, &[&network, "--network-alias=db", "--hostname=store", &yard.image]);
    let stopped = format!("{}-stopped", yard.owner);
    others.run(&stopped, &[&network, "--network-alias=queue", &yard.image]);
    docker(&["stop", "--time=0", &stopped]);
    let before = yard.containers(true);
    let id = docker(&["inspect", "-f", "{{.Id}}", &database])[..12].to_owned();
    let taken = [
        "db",
        "DB",
        "store",
        "queue",
        &id,
        &database,
        "later",
        "Later",
        "localhost",
        "web",
        "SERVER_1",
        "api.example.org",
        "10.0.0.1",
    ];
    for name in taken {
        let body = json!({"n": 2, "hostnames": ["S5", name]}).to_string();
        let answer = balancer.add(&body);
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert!(answer.body.contains("<Error> ") && answer.body.contains("\"failure\""), "{answer:?}");
        let edit = json!({"count": 1, "names": [name]}).to_string();
        let answer = client::send(balancer.admin, "POST", "/v1/services/web/replicas", &edit);
        assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
    }
    assert_eq!(balancer.names().len(), 3);
    assert_eq!(yard.containers(true), before, "nothing was made, and nothing else was touched");
    // Others are free, and of two who want the same at once, one gets it.
    let address = balancer.address;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || {
            scope.spawn(move || {
                client::send(address, "POST", "/add", r#"{"n":1,"hostnames":["db_2"]}"#).status
            })
        };
        [ask(), ask()].map(|asked| asked.join().unwrap()).into()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(balancer.names().iter().filter(|name| *name == "db_2").count(), 1);
}

#[test]
fn values_of_the_environment_are_in_nothing_that_comes_out() {
    const MARKER: &str = "Xq7-marker-of-a-secret";
    let Some(yard) = Yard::open() else { return };
    let folder = tempfile::tempdir().unwrap();
    let env = |value: &str| format!("env = {{ TOKEN = \"{value}\" }}\nreplicas = 1");
    let config = yard.config(&format!("state_dir = {:?}", folder.path()), &env(MARKER));
    let balancer = Rig::new().config(&config).variable("EVENKEEL_LOG", "trace").up();
    let name = balancer.names()[0].clone();
    let labels = labels_of(&yard.container(&name));
    let guess = |value: &str| format!("{value}-2");
    balancer.rewrite_config(&yard.config(&format!("state_dir = {:?}", folder.path()), &env(&guess(MARKER))));
    let commands: [&[&str]; 5] =
        [&["status"], &["ps", "--verbose"], &["events"], &["explain", "/home"], &["deploy"]];
    let mut said: Vec<String> = labels;
    for command in commands {
        let output = balancer.command(command);
        said.push(String::from_utf8_lossy(&output.stdout).into_owned());
        said.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for path in ["/v1/services", "/v1/events", "/metrics", "/v1/services/web"] {
        said.push(client::send(balancer.admin, "GET", path, "").body);
    }
    said.push(balancer.get("/rep").body);
    said.push(balancer.said_at_start.clone());
    balancer.signal("-TERM");
    said.push(balancer.ended().1);
    for text in &said {
        assert!(!text.contains("marker-of-a-secret"), "{text}");
    }
    assert!(said.concat().len() > 10_000, "the log is loud: {}", said.concat().len());
    // What is to run again after a restart has to be stored with it, for nobody else to read.
    let kept = std::process::Command::new("grep")
        .args(["-rl", "marker-of-a-secret"])
        .arg(folder.path())
        .output()
        .unwrap();
    let files: Vec<PathBuf> = String::from_utf8(kept.stdout).unwrap().lines().map(PathBuf::from).collect();
    let [wish] = &files[..] else { panic!("one file: {files:?}") };
    assert!(wish.ends_with("web.wish"), "{wish:?}");
    assert_eq!(std::fs::metadata(wish).unwrap().permissions().mode() & 0o777, 0o600);
}
