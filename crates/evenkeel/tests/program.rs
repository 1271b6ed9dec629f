//! The program as its users meet it: help, validation, errors that say what to do, exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::process::{Command, Output};

use rig::{PROGRAM, Rig, eventually, kill, replica_processes};

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(PROGRAM).args(arguments).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn with_file(text: &str, command: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    std::fs::write(&path, text).unwrap();
    run(&[command, &["--config", path.to_str().unwrap()]].concat())
}

#[test]
fn help_teaches_and_wrong_usage_is_exit_code_2() {
    let (code, help) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let commands = [
        "up", "down", "replica", "validate", "status", "ps", "events", "explain", "add", "rm", "scale",
        "place", "simulate", "deploy", "pause", "resume",
    ];
    for word in commands.into_iter().chain(["Try it", "Exit codes"]) {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert_eq!(run(&["up", "--no-such-flag"]).0, Some(2));
    assert_eq!(run(&["scale", "many"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["add", "-n", "0"]).0, Some(2));
}

#[test]
fn validate_says_what_is_wrong_where_and_what_may_have_been_meant() {
    let text = "[[service]]\nname = \"web\"\nreplcas = 3\n";
    for command in [&["validate"][..], &["up"]] {
        let (code, said) = with_file(text, command);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("evenkeel.toml:3:1") && said.contains("did you mean `replicas`?"), "{said}");
    }
    let (code, said) = with_file("[[service]]\nname = \"web\"\n", &["validate"]);
    assert_eq!((code, said.contains("is fine")), (Some(0), true), "{said}");
    let (code, said) = run(&["validate", "--config", "/no/such/file.toml"]);
    assert!(code == Some(78) && said.contains("/no/such/file.toml cannot be read"), "{said}");
}

#[test]
fn limits_that_contradict_each_other_are_told_by_validate_and_at_the_start() {
    let text = "[[service]]\nname = \"web\"\n[service.drain]\ndeadline = \"5s\"\n";
    let told = "but a replica that goes is given 5s for the requests that it has (drain.deadline)";
    let (code, said) = with_file(text, &["validate"]);
    assert!(code == Some(0) && said.contains("WARN") && said.contains(told), "{said}");
    // It gets no further than to its admin API.
    let (code, said) = with_file(text, &["up", "--listen=127.0.0.1:0", "--admin=192.0.2.1:1"]);
    assert!(code == Some(1) && said.contains(told), "{said}");
}

#[test]
fn what_keeps_a_balancer_from_coming_up_is_said_with_exit_code_1() {
    let exits = "[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", \"echo no database >&2; exit 7\"]\n";
    let cases = [
        (exits, "exited with code 7; its last words: \"no database\""),
        (
            "[[service]]\nname = \"web\"\ncommand = [\"/no/such/server\"]\n",
            "there is no program '/no/such/server'",
        ),
        (
            "[[service]]\nname = \"web\"\nstart_timeout = \"300ms\"\ncommand = [\"sleep\", \"60\"]\n",
            "no good heartbeat within the start timeout",
        ),
        ("state_dir = \"/proc/none\"\n[[service]]\nname = \"web\"\n", "cannot use the state directory"),
    ];
    for (text, expected) in cases {
        let text = format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{text}");
        let (code, said) = with_file(&text, &["up", "--wait"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "expected {expected:?} in:\n{said}");
    }
}

#[test]
fn a_port_for_two_is_refused_before_anything_starts() {
    let (code, said) = run(&["up", "--listen=127.0.0.1:7999", "--admin=127.0.0.1:7999"]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("are the same") && !said.contains("starting"), "{said}");
}

#[test]
fn no_engine_is_a_clear_error() {
    let text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstate_dir = \"STATE\"\n[[service]]\nname = \"web\"\ndriver = \"docker\"\nimage = \"x\"\n";
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("STATE", folder.path().join("state").to_str().unwrap());
    let path = folder.path().join("evenkeel.toml");
    std::fs::write(&path, text).unwrap();
    let output = Command::new(PROGRAM)
        .args(["up", "--wait", "--config", path.to_str().unwrap()])
        .env("DOCKER_HOST", "unix:///no/such/docker.sock")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot reach Docker at /no/such/docker.sock"), "{said}");
}

#[test]
fn an_engine_that_cannot_be_reached_by_its_name_ends_the_start() {
    let text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[service]]\nname = \"web\"\n\
                [[service]]\nname = \"shop\"\npath = \"/shop\"\ndriver = \"docker\"\nimage = \"x\"\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    std::fs::write(&path, text).unwrap();
    for host in ["tcp://10.0.0.1:2375", "/var/run/docker.sock", "ssh://host"] {
        let output = Command::new(PROGRAM)
            .args(["up", "--config", path.to_str().unwrap()])
            .env("DOCKER_HOST", host)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(&format!("DOCKER_HOST is '{host}'")) && said.contains("unix://"), "{said}");
    }
}

#[test]
fn commands_speak_to_a_running_balancer() {
    let balancer = Rig::new().up();
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let status = text(&balancer.command(&["status"]));
    assert!(status.contains("web") && status.contains("3/3") && status.contains("whole"), "{status}");
    let added = balancer.command(&["add", "S5", "-n", "2"]);
    assert!(
        added.status.success() && text(&added).contains("5 replicas: server_1, server_2, server_3, S5"),
        "{added:?}"
    );
    let ps = text(&balancer.command(&["ps"]));
    assert_eq!(ps.lines().count(), 6, "a head and five replicas:\n{ps}");
    let json: serde_json::Value =
        serde_json::from_slice(&balancer.command(&["ps", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["replicas"][3]["name"], "S5");
    assert!(balancer.command(&["rm", "S5"]).status.success());
    assert!(text(&balancer.command(&["scale", "1"])).contains("1 replica: "));
    assert!(text(&balancer.command(&["scale", "2"])).contains("2 replicas"));
    assert!(text(&balancer.command(&["scale", "6"])).contains("6 replicas"));
    let events = text(&balancer.command(&["events"]));
    for event in ["S5", "starting", "ready", "out of the table", "draining"] {
        assert!(events.contains(event), "{event}:\n{events}");
    }
    let refused = balancer.command(&["rm", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("there is no replica named 'nobody'"),
        "{refused:?}"
    );
}

#[test]
fn without_a_balancer_commands_say_how_to_start_one() {
    let (code, said) = run(&["ps", "--admin", "127.0.0.1:1"]);
    assert!(code == Some(1) && said.contains("start one with `evenkeel up`"), "{said}");
}

#[test]
fn the_admin_api_answers_probes_metrics_and_bad_requests() {
    let balancer = Rig::new().up();
    let ask = |method, path, body| rig::client::send(balancer.admin, method, path, body);
    assert_eq!(ask("GET", "/livez", "").status, 200);
    assert_eq!(ask("GET", "/readyz", "").status, 200);
    balancer.get("/home");
    let metrics = ask("GET", "/metrics", "").body;
    assert!(metrics.contains("evenkeel_replicas_ready{service=\"web\"} 3"), "{metrics}");
    assert!(metrics.contains("evenkeel_responses_total{service=\"web\",class=\"2xx\"} 1"), "{metrics}");
    let cases = [
        ("GET", "/nowhere", "", 404),
        ("GET", "/v1/services/none", "", 404),
        ("POST", "/v1/services/web/replicas", "[1]", 400),
        ("POST", "/v1/services/web/replicas", "{}", 400),
        ("POST", "/v1/services/web/replicas", "{\"count\":1,\"image\":\"evil\"}", 400),
        ("POST", "/v1/services/web/replicas", "{\"count\":1000}", 409),
        ("DELETE", "/v1/services/web/replicas", "{\"names\":[\"nobody\"]}", 409),
        ("PUT", "/v1/services/web/scale", "{\"replicas\":-1}", 400),
    ];
    for (method, path, body, status) in cases {
        let answer = ask(method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(balancer.names().len(), 3);
}

#[test]
fn an_admin_socket_is_for_its_owner_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    for signal in ["-9", "-TERM"] {
        // The second balancer finds the socket that the first one left when it was killed.
        let mut balancer = Command::new(PROGRAM)
            .args(["up", "--listen=127.0.0.1:0", "--replicas=1", "--admin", &admin])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        eventually("the commands reach it", || run(&["status", "--admin", &admin]).1.contains("1/1"));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        kill(signal, balancer.id());
        balancer.wait().unwrap();
        assert_eq!(socket.exists(), signal == "-9", "it goes with who ends in good order");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_balancer() {
    let mut balancer = Command::new(PROGRAM)
        .args(["up", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop((balancer.stdout.take(), balancer.stderr.take()));
    eventually("it comes up", || replica_processes(balancer.id()).len() == 3);
    kill("-TERM", balancer.id());
    assert_eq!(balancer.wait().unwrap().code().map(|code| code <= 1), Some(true), "not by a panic");
}

#[test]
fn a_start_that_hangs_can_be_ended_by_a_second_signal() {
    let folder = tempfile::tempdir().unwrap();
    let deaf = folder.path().join("deaf");
    std::fs::create_dir(&deaf).unwrap();
    let script = format!("trap '' TERM; : > {}/$SERVER_ID; while :; do sleep 0.1; done", deaf.display());
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[service]]\nname = \"web\"\n\
         stop_timeout = \"60s\"\ncommand = {:?}\n",
        ["sh", "-c", script.as_str()]
    );
    let path = folder.path().join("evenkeel.toml");
    std::fs::write(&path, text).unwrap();
    let mut balancer = Command::new(PROGRAM)
        .args(["up", "--config", path.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("nobody hears that it shall end", || std::fs::read_dir(&deaf).unwrap().count() == 3);
    let begun = std::time::Instant::now();
    eventually("it ends", || {
        kill("-TERM", balancer.id());
        balancer.try_wait().unwrap().is_some()
    });
    assert!(begun.elapsed() < rig::PATIENCE);
    assert_eq!(balancer.wait().unwrap().code(), Some(1));
}

#[test]
fn a_second_signal_ends_at_once_and_hangup_does_not_end_at_all() {
    let balancer = Rig::new().up();
    let pid = balancer.pid();
    balancer.signal("-HUP");
    assert_eq!(balancer.get("/home").status, 200);
    // A frozen replica holds a request, so the end would take until the drain deadline.
    let frozen: Vec<u32> = replica_processes(pid).into_iter().map(|(pid, _)| pid).collect();
    for pid in &frozen {
        kill("-STOP", *pid);
    }
    let address = balancer.address;
    let held = std::thread::spawn(move || {
        rig::client::raw(address, b"POST /home HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    });
    let in_flight = || {
        rig::client::send(balancer.admin, "GET", "/metrics", "")
            .body
            .contains("evenkeel_attempts_total{service=\"web\"} 2")
    };
    eventually("the request is under way", in_flight);
    balancer.signal("-TERM");
    let readiness = || rig::client::send(balancer.admin, "GET", "/readyz", "").status;
    eventually("it is ready for nobody any more", || readiness() == 503);
    balancer.signal("-INT");
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ended at once"), "{said}");
    let _ = held.join();
    eventually("the replicas end with it", || replica_processes(pid).is_empty());
}

#[test]
fn a_signal_that_comes_twice_at_once_as_from_timeout_is_one() {
    let balancer = Rig::new().up();
    let twice = "kill -TERM $0; kill -TERM $0";
    assert!(Command::new("sh").args(["-c", twice, &balancer.pid().to_string()]).status().unwrap().success());
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("  ended"), "{said}");
}

#[test]
fn a_replica_has_the_limit_of_descriptors_that_there_was_before_it_was_raised_for_us() {
    let folder = tempfile::tempdir().unwrap();
    for on_exit in ["stop", "keep"] {
        let kept = rig::kept::Kept::new();
        let seen = folder.path().join(on_exit);
        let script = format!("ulimit -S -n > {seen:?}; exec {PROGRAM} replica");
        let service = format!(
            "name = \"web\"\nreplicas = 1\non_exit = {on_exit:?}\ncommand = [\"sh\", \"-c\", {script:?}]\n"
        );
        let (top, bash) = (kept.top(), "ulimit -S -n 345 && exec \"$0\" \"$@\"");
        let config = format!("{top}[[service]]\n{service}");
        let balancer = Rig::new().config(&config).behind(&["sh", "-c", bash]).up();
        assert_eq!(std::fs::read_to_string(seen).unwrap().trim(), "345");
        drop(balancer);
    }
}

#[test]
fn a_configuration_that_lies_here_and_is_not_used_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), "[[service]]\nname = \"web\"\n").unwrap();
    let mut command = Command::new(PROGRAM);
    // It gets no further than to its admin API.
    command.args(["up", "--listen=127.0.0.1:0", "--admin=192.0.2.1:1"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`evenkeel up --config evenkeel.toml` would do"), "{said}");
}

#[test]
fn orphans_are_buried_where_we_are_the_first_process() {
    let pid_of_first = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut trial = Command::new(pid_of_first[0]);
    if !trial.args(&pid_of_first[1..]).arg("true").output().is_ok_and(|output| output.status.success()) {
        return println!("SKIPPED: no process may have a namespace of its own here");
    }
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("orphans");
    // The one in the middle ends at once, and its child is nobody's.
    let script = format!("sh -c 'sh -c \"echo begun >> {}\" &'; exec {PROGRAM} replica", told.display());
    let service = format!("name = \"web\"\nreplicas = 3\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    let balancer = Rig::new().config(&format!("[[service]]\n{service}")).behind(&pid_of_first).up();
    let (first, _) = rig::children(balancer.pid(), " up ").pop().expect("it runs");
    rig::eventually("nobody lies about", || {
        let begun = std::fs::read_to_string(&told).unwrap_or_default().lines().count();
        begun == 3 && rig::ended_children(first) == 0
    });
    assert_eq!(balancer.get("/home").status, 200);
}

#[test]
fn a_loud_log_is_of_our_own_words() {
    let balancer = Rig::new().variable("EVENKEEL_LOG", "debug").up();
    balancer.get("/home");
    assert_eq!(balancer.command(&["status"]).status.code(), Some(0));
    let mut said = balancer.said_at_start.clone();
    balancer.signal("-TERM");
    said += &balancer.ended().1;
    assert!(said.contains("a process has begun") && said.contains("waiting for its heartbeat"), "{said}");
    // So speaks the library that the admin API and heartbeats are made with.
    assert!(!said.contains("parsed ") && !said.contains("flushed"), "{said}");
}

#[test]
fn ps_tells_what_each_runs_as_and_how_many_are_inside() {
    for on_exit in ["stop", "keep"] {
        let kept = rig::kept::Kept::new();
        let service = format!("[[service]]\nname = \"web\"\nreplicas = 3\non_exit = {on_exit:?}\n");
        let balancer = Rig::new().config(&format!("{}{service}", kept.top())).up();
        let pids = || kept.replicas().into_values().collect::<std::collections::BTreeSet<u32>>();
        let shown = |arguments: &[&str]| -> Vec<Vec<String>> {
            let output = balancer.command(&[&["ps", "--verbose"], arguments].concat());
            let text = String::from_utf8(output.stdout).unwrap();
            let cells = |line: &str| {
                line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
            };
            text.lines().skip(1).map(cells).collect()
        };
        let pid = |row: &Vec<String>| row[8].strip_prefix("pid ").and_then(|pid| pid.parse::<u32>().ok());
        rig::eventually("they are told", || {
            shown(&[]).iter().filter_map(pid).collect::<std::collections::BTreeSet<_>>() == pids()
        });
        // One that is frozen has one inside that does not leave.
        let frozen = pid(&shown(&[])[1]).unwrap();
        kill("-STOP", frozen);
        let address = balancer.address;
        let held: Vec<_> = (0..16)
            .map(|_| {
                std::thread::spawn(move || {
                    rig::client::raw(
                        address,
                        b"POST /home HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                    )
                })
            })
            .collect();
        rig::eventually("it is first among those with most inside", || {
            let first = shown(&["--sort", "inside"]).remove(0);
            pid(&first) == Some(frozen) && first[6].parse::<u32>().is_ok_and(|inside| inside >= 1)
        });
        kill("-CONT", frozen);
        held.into_iter().for_each(|one| drop(one.join()));
        let rows = shown(&["--sort", "name"]);
        assert!(rows.is_sorted_by_key(|row| row[3].clone()), "{rows:?}");
        assert!(rows.iter().all(|row| row[5].ends_with('s') && row[7].len() == 16), "{rows:?}");
    }
}

#[test]
fn events_can_be_followed_and_be_of_one_replica() {
    let balancer = Rig::new().up();
    let mut following = Command::new(PROGRAM)
        .args(["events", "--follow", "--replica", "S9", &format!("--admin={}", balancer.admin)])
        .arg("--token-file")
        .arg(balancer.token_file())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(following.stdout.take().unwrap()));
    assert_eq!(balancer.add(r#"{"n":2,"hostnames":["S9"]}"#).status, 200);
    let told: Vec<String> =
        lines.by_ref().map_while(Result::ok).take_while(|line| !line.contains("  ready")).collect();
    assert!(told.iter().any(|line| line.contains("  starting")), "{told:?}");
    assert_eq!(balancer.rm(r#"{"n":1,"hostnames":["S9"]}"#).status, 200);
    let next = lines.map_while(Result::ok).find(|line| line.contains("  draining"));
    assert!(next.is_some_and(|line| line.contains("  S9  ")), "what was told once is not told again");
    assert!(told.iter().all(|line| line.contains("  S9  ")), "{told:?}");
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_variable_of_ours_that_is_empty_is_none() {
    let rig = ["CONFIG", "TOKEN_FILE", "REPLICAS", "LOG_JSON", "LOG"]
        .iter()
        .fold(Rig::new(), |rig, name| rig.variable(&format!("EVENKEEL_{name}"), ""));
    let balancer = rig.up();
    assert_eq!(balancer.service()["ready"], 3);
    let mut command = Command::new(PROGRAM);
    command.args(["status", "--token-file"]).arg(balancer.token_file()).env("EVENKEEL_TOKEN", "");
    let output = command.arg(format!("--admin={}", balancer.admin)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
