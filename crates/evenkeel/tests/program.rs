//! The program as its users meet it: help, validation, errors that say what to do, exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::process::{Command, Output};

use rig::{PROGRAM, Rig, kill, replica_processes};

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
        "up", "replica", "validate", "status", "ps", "events", "explain", "add", "rm", "scale", "place",
        "simulate", "deploy", "pause", "resume",
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
            "not healthy within 300ms (start_timeout)",
        ),
        ("state_dir = \"/proc/none\"\n[[service]]\nname = \"web\"\n", "cannot use the state directory"),
    ];
    for (text, expected) in cases {
        let text = format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{text}");
        let (code, said) = with_file(&text, &["up"]);
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
        .args(["up", "--config", path.to_str().unwrap()])
        .env("DOCKER_HOST", "unix:///no/such/docker.sock")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot reach Docker at /no/such/docker.sock"), "{said}");
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
    for _ in 0..2 {
        // The second balancer finds the socket that the first one left when it was killed.
        let mut balancer = Command::new(PROGRAM)
            .args(["up", "--listen=127.0.0.1:0", "--replicas=1", "--admin", &admin])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        rig::eventually("the commands reach it", || run(&["status", "--admin", &admin]).1.contains("1/1"));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        balancer.kill().unwrap();
        balancer.wait().unwrap();
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
    rig::eventually("it comes up", || replica_processes(balancer.id()).len() == 3);
    kill("-TERM", balancer.id());
    assert_eq!(balancer.wait().unwrap().code().map(|code| code <= 1), Some(true), "not by a panic");
}

#[test]
fn a_start_that_hangs_can_be_ended_by_a_second_signal() {
    let text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[service]]\nname = \"web\"\nstop_timeout = \"60s\"\ncommand = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 0.1; done\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    std::fs::write(&path, text).unwrap();
    let mut balancer = Command::new(PROGRAM)
        .args(["up", "--config", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // From its first line on it takes signals.
    let mut output = std::io::BufReader::new(balancer.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut String::new()).unwrap();
    let begun = std::time::Instant::now();
    rig::eventually("it ends", || {
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
    rig::eventually("the request is under way", in_flight);
    balancer.signal("-TERM");
    balancer.signal("-INT");
    balancer.signal("-TERM");
    let (code, said) = balancer.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ended at once"), "{said}");
    let _ = held.join();
    rig::eventually("the replicas end with it", || replica_processes(pid).is_empty());
}
