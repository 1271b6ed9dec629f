//! What strangers write: replicas, clients and configuration files have a say in what people and their
//! terminals read, and none of it is an order, another line, or a secret that was not theirs to see.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Output};

use rig::{Balancer, PROGRAM, Rig, eventually, kill};
use serde_json::Value;

/// What a hostile replica writes: escapes, a title for the window, a carriage return with a line of its own,
/// C1 as a byte and as UTF-8, a turn of direction, a line separator, DEL.
const HOSTILE: &str = r"printf 'a\033[2J\033]0;owned\007 b\r2026-01-01T00:00:00Z ERROR forged\nc\2331;31m d\302\2331m e\342\200\256 f\342\200\250g\177h\n'";

/// The bytes of a text, if there is no order to a terminal and no turn of direction in them.
fn assert_harmless(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{what} is no UTF-8"));
    let is_order = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let orders: String = text.chars().filter(|c| is_order(*c)).collect();
    assert!(orders.is_empty(), "{what} has {orders:?}: {text:?}");
    let forged = text.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z ERROR forged"));
    assert!(!forged, "{what} has a line that was forged: {text:?}");
}

fn all(output: &Output) -> Vec<u8> {
    [output.stdout.as_slice(), &output.stderr].concat()
}

fn config(script: &str) -> String {
    format!("contract = true\n[[service]]\nname = \"web\"\ncommand = {:?}\n", ["sh", "-c", script])
}

fn serving() -> String {
    format!("exec {PROGRAM} replica --listen 127.0.0.1:{{port}}")
}

#[test]
fn a_replicas_words_are_words_in_every_command_and_every_answer() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("broken");
    let script = format!("if [ -e {flag:?} ]; then {HOSTILE}; exit 7; fi; {}", serving());
    let balancer = Rig::new().config(&config(&script)).up();
    std::fs::write(&flag, "").unwrap();
    kill("-KILL", balancer.pid_of(&balancer.replicas()[1]));
    eventually("it is a crash loop", || balancer.replicas()[1]["state"] == "crash-looping");

    let shown = balancer.command(&["ps", "--verbose"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("forged") && text.contains("31m"), "the words are still told: {text}");
    assert_harmless("ps --verbose", &all(&shown));
    for arguments in [&["ps"][..], &["status"], &["events"], &["events", "--json"], &["add", "S8"]] {
        assert_harmless(&format!("{arguments:?}"), &all(&balancer.command(arguments)));
    }
    let json = balancer.command(&["ps", "--json"]);
    assert_harmless("ps --json", &all(&json));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let lines = &json[0]["replicas"][1]["crash_loop"]["last_output"];
    assert!(lines[0].as_str().unwrap().starts_with("a\u{1b}[2J"), "programs get what was written: {lines}");

    let added = balancer.add(r#"{"n":1,"hostnames":["S5"]}"#);
    assert!(added.status == 500 && added.body.contains("forged"), "{added:?}");
    assert_harmless("/add", added.body.as_bytes());
    let service = rig::client::send(balancer.admin, "GET", "/v1/services", "");
    assert_harmless("the admin API", service.body.as_bytes());
}

#[test]
fn a_rollout_that_fails_shows_the_words_and_obeys_none() {
    let balancer = Rig::new().config(&config(&serving())).up();
    balancer.rewrite_config(&config(&format!("{HOSTILE}; exit 7")));
    let deployed = balancer.command(&["deploy"]);
    let said = String::from_utf8_lossy(&deployed.stderr).into_owned();
    assert!(
        deployed.status.code() == Some(1) && said.contains("rolled back") && said.contains("forged"),
        "{said}"
    );
    assert_harmless("deploy", &all(&deployed));
}

#[test]
fn the_log_has_one_harmless_line_for_each_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evenkeel.toml");
    std::fs::write(&path, config(&format!("{HOSTILE}; exit 7"))).unwrap();
    for format in [None, Some("--log-json")] {
        let output = Command::new(PROGRAM)
            .args(["up", "--wait", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--config"])
            .arg(&path)
            .args(format)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("EVENKEEL_TOKEN_FILE", folder.path().join("token"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_harmless("the log and the error", &all(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let logged: Vec<&str> = said.lines().filter(|line| line.contains(" | c")).collect();
        assert!(!logged.is_empty(), "the replica's words are logged: {said}");
        for line in logged.iter().filter(|line| format.is_some() && line.starts_with('{')) {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(event["fields"]["message"].as_str().unwrap().contains('\u{202e}'), "{line}");
        }
    }
}

/// Sends a request with these bytes in its path, or in its fields; whatever comes back.
fn ask_with(balancer: &Balancer, path: &[u8], field: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(balancer.address).unwrap();
    stream.set_read_timeout(Some(rig::PATIENCE)).unwrap();
    let start: [&[u8]; 3] =
        [b"GET /other", path, b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nUser-Agent: a"];
    let rest: [&[u8]; 4] = [field, b"\r\nX-Request-Id: a", field, b"\r\n\r\n"];
    stream.write_all(&[start.concat(), rest.concat()].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    answer
}

#[test]
fn a_clients_path_and_headers_are_harmless_in_the_access_log_and_in_answers() {
    for format in ["json", "common"] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let text = format!(
            "request_id = true\n[access_log]\nformat = \"{format}\"\nto = {log:?}\n\n{}",
            "[[service]]\nname = \"web\"\nreplicas = 1\n"
        );
        let balancer = Rig::new().config(&format!("contract = true\n{text}")).up();
        let hostile: [&[u8]; 7] =
            [b"\xc2\x9b31m", b"\x9b31m", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\x1b[2J", b"\x7f", b"\x08"];
        for bytes in hostile {
            assert_harmless("an answer", &ask_with(&balancer, bytes, b"").replace_line_ends());
            assert_harmless("an answer", &ask_with(&balancer, b"", bytes).replace_line_ends());
        }
        assert_eq!(balancer.get("/home").status, 200);
        let written = || std::fs::read(&log).unwrap_or_default();
        eventually("the last one is written", || String::from_utf8_lossy(&written()).contains("/home"));
        assert_harmless(format, &written());
        if format == "json" {
            for line in String::from_utf8(written()).unwrap().lines() {
                serde_json::from_str::<Value>(line).unwrap();
            }
        }
    }
}

trait LineEnds {
    fn replace_line_ends(&self) -> Vec<u8>;
}

impl LineEnds for Vec<u8> {
    /// The ends of lines of a head are no orders of anybody.
    fn replace_line_ends(&self) -> Vec<u8> {
        String::from_utf8_lossy(self).replace("\r\n", "\n").into_bytes()
    }
}

#[test]
fn no_line_of_the_configuration_leaves_the_machine_and_no_password_is_shown_anywhere() {
    let sound = format!("{}env = {{ PASSWORD = \"hunter2\" }}\n", config(&serving()));
    let balancer = Rig::new().config(&sound).up();
    for (broken, place, what) in [
        (sound.replace("\" }", "\", LEVEL = 3 }"), "evenkeel.toml:5:", "`LEVEL` must be a string"),
        (sound.replace("hunter2\"", "hunter2"), "evenkeel.toml:5:", ""),
        (sound.replace("env", "environment"), "evenkeel.toml:5:1", "unknown key `environment`"),
        (format!("{sound}key = \"s3cret-hunter2\"\n"), "evenkeel.toml:6:7", "`key` cannot be"),
    ] {
        balancer.rewrite_config(&broken);
        let answer = rig::client::send(balancer.admin, "POST", "/v1/services/web/deploy", "{\"force\":true}");
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.body.contains(place) && answer.body.contains(what), "{answer:?}");
        assert!(!answer.body.contains("hunter2") && !answer.body.contains("env ="), "{answer:?}");
        let said = String::from_utf8_lossy(&all(&balancer.command(&["deploy"]))).into_owned();
        assert!(said.contains("evenkeel validate --config") && !said.contains("hunter2"), "{said}");
        let path = said.split("--config ").nth(1).unwrap().split('`').next().unwrap();
        let shown = Command::new(PROGRAM).args(["validate", "--config", path]).output().unwrap();
        let shown = String::from_utf8_lossy(&all(&shown)).into_owned();
        assert!(
            shown.contains(" | ") && !shown.contains("\"hunter2"),
            "the line is shown here, covered: {shown}"
        );
    }
}
