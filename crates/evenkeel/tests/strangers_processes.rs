//! What other accounts of the machine can do to replicas that are processes: take their ports, join
//! them, be there when one dies; and what a replica can do to its balancer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rig::kept::Kept;
use rig::load::Load;
use rig::{Balancer, PROGRAM, Rig, children, eventually, kill};
use serde_json::Value;

/// Requests a second.
const RATE: u32 = 200;

/// An account that owns nothing.
const NOBODY: u32 = 65534;

/// A web server that is nobody's replica; it answers as one does, without a name.
struct Squatter {
    server: Child,
    uid: u32,
}

impl Squatter {
    /// As another account, if we may choose; it is there when somebody answers.
    fn at(address: SocketAddr) -> Self {
        let command = |uid: Option<u32>| {
            let mut command = Command::new(PROGRAM);
            command.args(["replica", "--listen", &address.to_string()]).env_remove("SERVER_ID");
            uid.map(|uid| command.uid(uid).gid(uid));
            command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn()
        };
        let own = rustix::process::geteuid().as_raw();
        // Without the right to become another one, or to reach the program as that one, it is a
        // stranger by its process group alone.
        let (server, uid) = match command(Some(NOBODY)).map(|child| (child, NOBODY)) {
            Ok(other) => other,
            Err(_) => (command(None).unwrap(), own),
        };
        eventually("the squatter answers", || std::net::TcpStream::connect(address).is_ok());
        Self { server, uid }
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A replica that waits before it listens, for as long as there is a file.
fn hesitant(hold: &Path) -> String {
    let hold = hold.display();
    let script = format!(
        "while [ -e {hold} ]; do sleep 0.02; done; exec {PROGRAM} replica --listen 127.0.0.1:{{port}}"
    );
    format!("command = [\"sh\", \"-c\", {script:?}]\n")
}

/// Where a child of the balancer was told to listen.
fn told_port(command: &str) -> SocketAddr {
    let rest = command.rsplit("--listen ").next().unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn is_whole(balancer: &Balancer, count: usize) -> bool {
    let replicas = balancer.replicas();
    replicas.len() == count && replicas.iter().all(|replica| replica["state"] == "ready")
}

/// Whom the balancer does not take for a replica, as it says.
fn assert_says_who(balancer: &Balancer, address: SocketAddr, uid: u32, pid: u32) {
    let words =
        format!("port {} is held by uid {uid} (pid {pid}), not by the replica: not routed", address.port());
    eventually(&words, || String::from_utf8(balancer.command(&["events"]).stdout).unwrap().contains(&words));
}

#[test]
fn who_takes_a_port_while_its_replica_boots_gets_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let hold = folder.path().join("hold");
    let config = format!("[[service]]\nname = \"web\"\nreplicas = 1\n{}", hesitant(&hold));
    let balancer = Rig::new().config(&config).up();
    std::fs::write(&hold, "").unwrap();
    let first = balancer.pid_of_any();
    kill("-9", first);
    let mut address = None;
    eventually("the next one boots", || {
        let booting = children(balancer.pid(), "while [ -e");
        address = booting.first().map(|(_, command)| told_port(command));
        address.is_some()
    });
    let address = address.unwrap();
    let squatter = Squatter::at(address);
    let load = Load::start(balancer.address, RATE);
    assert_says_who(&balancer, address, squatter.uid, squatter.server.id());
    std::fs::remove_file(&hold).unwrap();
    eventually("a replica is there, on another port", || {
        is_whole(&balancer, 1) && balancer.replicas()[0]["address"] != address.to_string()
    });
    let tally = load.stop();
    tally.assert_nothing_lost();
    assert!(!tally.by_replica.contains_key(""), "the squatter was asked: {:?}", tally.by_replica);
}

#[test]
fn nobody_takes_the_port_of_a_replica_that_dies_while_requests_are_routed_there() {
    let balancer = Rig::new().replicas(2).up();
    let load = Load::start(balancer.address, RATE);
    for round in 0..3 {
        let victim = balancer.replicas()[round % 2].clone();
        let address: SocketAddr = victim["address"].as_str().unwrap().parse().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&is_over);
        // It tries without a pause, so that it is there in the moment in which the port is free.
        let taker = std::thread::spawn(move || {
            while !has_ended.load(Ordering::Relaxed) {
                if let Ok(taken) = TcpListener::bind(address) {
                    return Some(taken);
                }
            }
            None
        });
        kill("-9", balancer.pid_of(&victim));
        eventually("the replacement takes traffic", || {
            is_whole(&balancer, 2) && balancer.replicas().iter().all(|one| one["name"] != victim["name"])
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(taker.join().unwrap().is_none(), "{address} was taken when its replica died");
    }
    load.stop().assert_nothing_lost();
}

#[test]
fn who_joins_the_port_of_a_replica_that_shares_it_is_found_out() {
    // A balancer shares its port among its workers, so it can stand in for such a replica.
    let script = format!(
        "exec {PROGRAM} up --listen=127.0.0.1:{{port}} --admin=127.0.0.1:0 --replicas=1 > /dev/null 2>&1"
    );
    let config =
        format!("[[service]]\nname = \"web\"\nreplicas = 1\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    let balancer = Rig::new().config(&config).up();
    let before = balancer.replicas()[0].clone();
    let address: SocketAddr = before["address"].as_str().unwrap().parse().unwrap();
    let joined = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    joined.set_reuse_port(true).unwrap();
    // Another account could not do even this.
    joined.bind(&address.into()).unwrap();
    joined.listen(16).unwrap();
    assert_says_who(&balancer, address, rustix::process::geteuid().as_raw(), std::process::id());
    eventually("another one serves, on another port", || {
        is_whole(&balancer, 1) && balancer.replicas()[0]["address"] != before["address"]
    });
    assert_eq!(balancer.get("/home").status, 200);
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
}

#[test]
fn a_process_that_is_taken_over_is_looked_at_like_one_that_was_started() {
    let kept = Kept::new();
    let script = format!("{PROGRAM} replica --listen 127.0.0.1:{{port}}; exec sleep 600");
    let config = kept.config(&format!("replicas = 1\ncommand = [\"sh\", \"-c\", {script:?}]"));
    let balancer = Rig::new().config(&config).up();
    let address: SocketAddr = balancer.replicas()[0]["address"].as_str().unwrap().parse().unwrap();
    balancer.signal("-9");
    let _ = balancer.ended();
    let server = kept
        .carriers()
        .into_iter()
        .find(|one| one.command.starts_with(PROGRAM) && one.command.contains(" replica "))
        .unwrap();
    rig::kept::end(server.pid);
    let squatter = Squatter::at(address);
    let again = Rig::new().config(&config).up();
    assert_says_who(&again, address, squatter.uid, squatter.server.id());
    eventually("another one serves", || is_whole(&again, 1));
    assert_eq!(again.replicas()[0]["incarnation"], 2);
    assert!(again.get("/home").body.contains("Hello from Server: server_"));
}

#[test]
fn a_listener_that_a_child_of_the_replica_has_is_the_replicas() {
    let script = format!("{PROGRAM} replica --listen 127.0.0.1:{{port}} & wait");
    let config =
        format!("[[service]]\nname = \"web\"\nreplicas = 2\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    let balancer = Rig::new().config(&config).up();
    assert!(is_whole(&balancer, 2));
    assert_eq!(balancer.get("/home").status, 200);
    // An orderly end takes the whole group along.
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
}

/// A folder that every account may write to.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Whether another account may run the program where it lies; it may be in somebody's home.
fn others_can_run_us() -> bool {
    let run = Command::new(PROGRAM).arg("--version").uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// What the descriptors of a process lead to, but for the first three.
fn further_descriptors(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let number = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().unwrap();
    let further = entries.filter(|entry| number(entry) > 2);
    further.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

#[test]
fn a_replica_has_an_account_of_its_own_and_nothing_of_the_balancers() {
    if !rustix::process::geteuid().is_root() || !others_can_run_us() {
        println!("skipped: only root starts processes as other accounts, from where those may go");
        return;
    }
    let (folder, kept) = (open_folder(), Kept::new());
    let secret = kept.folder.path().join("own");
    std::fs::write(&secret, "the admin token").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    for on_exit in ["keep", "stop"] {
        // The same command for both: what was deployed last is what runs.
        let seen = folder.path().join("seen");
        let script = format!(
            "{{ id -u; id -G; env; grep NoNewPrivs /proc/self/status; cat {secret} || echo denied; }} > {seen} 2>&1; \
             exec {PROGRAM} replica --listen 127.0.0.1:{{port}}",
            secret = secret.display(),
            seen = seen.display()
        );
        let config = format!(
            "{}[[service]]\nname = \"web\"\non_exit = \"{on_exit}\"\nreplicas = 1\nuser = \"{NOBODY}\"\ngroup = \"{NOBODY}\"\n\
             inherit = [\"STRANGERS_PASSED\"]\ncommand = [\"sh\", \"-c\", {script:?}]\n",
            kept.top()
        );
        let rig = Rig::new().variable("STRANGERS_PASSED", "yes").variable("STRANGERS_SECRET", "hidden");
        let balancer = rig.config(&config).up();
        assert_eq!(balancer.get("/home").status, 200);
        let file = seen;
        let seen = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let lines: Vec<&str> = seen.lines().collect();
        assert!(lines[..2].iter().all(|id| *id == NOBODY.to_string()), "{seen}");
        for expected in ["STRANGERS_PASSED=yes", "NoNewPrivs:\t1", "denied", "EVENKEEL_SERVICE=web"] {
            assert!(lines.contains(&expected), "{expected}: {seen}");
        }
        for hidden in ["hidden", "the admin token", "HOME=/root", "XDG_RUNTIME_DIR"] {
            assert!(!seen.contains(hidden), "{hidden}: {seen}");
        }
        balancer.signal("-TERM");
        assert_eq!(balancer.ended().0, Some(0));
        for keeper in kept.keepers().into_values() {
            rig::kept::end(keeper);
        }
    }
}

#[test]
fn no_descriptor_of_the_balancer_reaches_a_replica() {
    let kept = Kept::new();
    for config in [kept.config("replicas = 1"), "[[service]]\nname = \"web\"\nreplicas = 1\n".to_owned()] {
        let balancer = Rig::new().config(&config).up();
        let listens = |command: &str| command.contains(" replica ");
        let kept_one = kept
            .carriers()
            .into_iter()
            .find(|one| listens(&one.command) && !one.command.contains(" tether "));
        let pid = kept_one.map_or_else(|| balancer.pid_of_any(), |one| one.pid);
        // What whoever has started this test has left open is in every process of it.
        let inherited = further_descriptors("/proc/self/fd");
        let own = ["anon_inode:", "socket:[", "pipe:["];
        let files: Vec<String> = further_descriptors(&format!("/proc/{pid}/fd"))
            .into_iter()
            .filter(|one| !inherited.contains(one) && !own.iter().any(|kind| one.starts_with(kind)))
            .collect();
        assert!(files.is_empty(), "{files:?}");
        // Sockets and pipes that both have would have to be the balancer's.
        let of_balancer = further_descriptors(&format!("/proc/{}/fd", balancer.pid()));
        let shared: Vec<String> = further_descriptors(&format!("/proc/{pid}/fd"))
            .into_iter()
            .filter(|one| {
                of_balancer.contains(one) && !inherited.contains(one) && !one.starts_with("anon_inode:")
            })
            .collect();
        assert!(shared.is_empty(), "{shared:?}");
        balancer.signal("-TERM");
        assert_eq!(balancer.ended().0, Some(0));
        for keeper in kept.keepers().into_values() {
            rig::kept::end(keeper);
        }
    }
}

#[test]
fn an_account_that_cannot_be_had_is_refused_with_what_to_do() {
    let config = |user: &str| format!("[[service]]\nname = \"web\"\nuser = \"{user}\"\n");
    let said = Rig::new().config(&config("no-such-account")).try_up().map(|_| ()).unwrap_err();
    let is_root = rustix::process::geteuid().is_root();
    let expected =
        if is_root { "useradd --system no-such-account" } else { "needs a balancer that runs as root" };
    assert!(said.contains("service 'web': user = \"no-such-account\"") && said.contains(expected), "{said}");
    if is_root && others_can_run_us() {
        let folder = open_folder();
        std::fs::write(folder.path().join("evenkeel.toml"), config("daemon")).unwrap();
        let output = as_nobody(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("needs a balancer that runs as root"), "{said}");
    }
}

/// A balancer of an account that owns nothing, with the configuration in a folder, in which it has a run
/// folder too.
fn as_nobody(folder: &Path) -> Command {
    let run = folder.join("run");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::chown(&run, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["up", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--config"]);
    command.arg(folder.join("evenkeel.toml")).uid(NOBODY).gid(NOBODY).current_dir(folder);
    command.env("XDG_RUNTIME_DIR", &run).env("HOME", folder).env_remove("XDG_STATE_HOME");
    command
}

#[test]
fn the_lock_of_an_owner_counts_only_if_we_or_root_hold_it() {
    if !rustix::process::geteuid().is_root() || !others_can_run_us() {
        println!("skipped: only root starts processes as other accounts, from where those may go");
        return;
    }
    let owner = format!("strangers-{}", std::process::id());
    let config = format!("owner = \"{owner}\"\n[[service]]\nname = \"web\"\nreplicas = 1\n");
    let folder = open_folder();
    std::fs::write(folder.path().join("evenkeel.toml"), &config).unwrap();
    let mut other = as_nobody(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.into_iter().any(|line| line.contains("listening on")), "the other account's runs");
    // Another account does not keep root out, and a second one of root's is kept out all the same.
    let ours = Rig::new().config(&config).up();
    let second = Rig::new().config(&config).try_up().map(|_| ()).unwrap_err();
    assert!(second.contains(&format!("is running already (process {})", ours.pid())), "{second}");
    other.kill().unwrap();
    other.wait().unwrap();
    drop(ours);
    // Root keeps others out.
    let ours = Rig::new().config(&config).up();
    let refused = as_nobody(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&format!("is running already (process {})", ours.pid())), "{said}");
    rig::forget_owner(&owner);
}

#[test]
fn without_a_folder_of_its_own_a_balancer_says_what_is_missing_and_takes_none_of_others() {
    if !rustix::process::geteuid().is_root() || !others_can_run_us() {
        println!("skipped: only root starts processes as other accounts, from where those may go");
        return;
    }
    let folder = open_folder();
    let config = folder.path().join("evenkeel.toml");
    std::fs::write(&config, "[[service]]\nname = \"web\"\non_exit = \"keep\"\n").unwrap();
    let refused = as_nobody(folder.path()).env_remove("HOME").env_remove("XDG_RUNTIME_DIR").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("XDG_RUNTIME_DIR") && said.contains("HOME"), "{said}");
    let refused = as_nobody(folder.path()).env_remove("HOME").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("XDG_STATE_HOME") && said.contains("state_dir"), "{said}");
    // A folder that everybody may write to is nobody's, and a link leads to somebody else's.
    let (state, link) = (folder.path().join("state"), folder.path().join("link"));
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&state, &link).unwrap();
    for (place, word) in [(&state, "chmod go-w"), (&link, "is a link")] {
        let config = format!("state_dir = {place:?}\n[[service]]\nname = \"web\"\non_exit = \"keep\"\n");
        let said = Rig::new().config(&config).try_up().map(|_| ()).unwrap_err();
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
}

/// How long it takes until a dead replica of the second service is replaced; the middle of three times.
fn healing(balancer: &Balancer) -> Duration {
    let quiet = |balancer: &Balancer| {
        let services: Value =
            serde_json::from_str(&rig::client::send(balancer.admin, "GET", "/v1/services", "").body).unwrap();
        services[1]["replicas"].as_array().unwrap().clone()
    };
    let mut times = [Duration::ZERO; 3];
    for time in &mut times {
        let victim = quiet(balancer)[0].clone();
        kill("-9", balancer.pid_of(&victim));
        *time = eventually("it is replaced", || {
            let replicas = quiet(balancer);
            let is_new = replicas.iter().all(|one| one["name"] != victim["name"] && one["state"] == "ready");
            replicas.len() == 2 && is_new
        });
    }
    times.sort();
    times[1]
}

#[test]
fn a_replica_that_writes_without_end_is_cut_short_and_delays_nobody() {
    let config = |talk: &str| {
        let script = format!("{talk} exec {PROGRAM} replica --listen 127.0.0.1:{{port}}");
        format!(
            "[[service]]\nname = \"loud\"\nreplicas = 1\ncommand = [\"sh\", \"-c\", {script:?}]\n\
             [[service]]\nname = \"quiet\"\npath = \"/quiet\"\nreplicas = 2\n"
        )
    };
    let alone = healing(&Rig::new().config(&config("")).up());
    let balancer = Rig::new().config(&config("yes I talk and talk &")).up();
    let beside = healing(&balancer);
    println!("healing took {alone:?} alone and {beside:?} beside one that writes without end");
    assert!(beside < alone * 5 + Duration::from_millis(500), "{alone:?} alone, {beside:?} beside it");
    assert!(balancer.says(|line| line.contains("lines left out")).is_some());
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
}
