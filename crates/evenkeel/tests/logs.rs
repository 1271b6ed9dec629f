//! `evenkeel logs`: what replicas write, while they write it, and what ends that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rig::kept::Kept;
use rig::{Balancer, PATIENCE, PROGRAM, Rig, client, eventually, kill};

/// A service with one replica, which writes what is added to a file.
struct Writer {
    // First, so that nobody begins anew what the last one ends.
    balancer: Balancer,
    file: PathBuf,
    kept: Kept,
}

impl Writer {
    fn up(on_exit: &str) -> Self {
        let kept = Kept::new();
        let file = kept.folder.path().join("words");
        std::fs::write(&file, "first\n").unwrap();
        let script =
            format!("tail -n +1 -s 0.05 -f {file:?} & exec {PROGRAM} replica --listen 127.0.0.1:{{port}}");
        let command = ["sh", "-c", script.as_str()];
        let service = format!(
            "{}[[service]]\nname = \"web\"\nreplicas = 1\non_exit = {on_exit:?}\ncommand = {command:?}\n",
            kept.top()
        );
        let balancer = Rig::new().config(&service).up();
        Self { kept, file, balancer }
    }

    fn write(&self, words: &str) {
        std::fs::OpenOptions::new()
            .append(true)
            .open(&self.file)
            .unwrap()
            .write_all(words.as_bytes())
            .unwrap();
    }

    /// Writes a word until it comes through: what is too much for a second is left out, and that is told.
    fn is_told(&self, told: &mut impl Iterator<Item = String>, word: &str) {
        self.write(&format!("{word}\n"));
        for line in told {
            if line == word {
                return;
            }
            if line.contains("left out") {
                self.write(&format!("{word}\n"));
            }
        }
        panic!("it ended before {word:?} came");
    }

    fn name(&self) -> String {
        self.balancer.replicas()[0]["name"].as_str().unwrap().to_owned()
    }

    fn kill_replica(&self) {
        kill("-KILL", *self.kept.replicas().values().next().expect("it runs"));
    }
}

fn spawn(balancer: &Balancer, arguments: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.arg("logs").args(arguments).arg(format!("--admin={}", balancer.admin));
    command.arg("--token-file").arg(balancer.token_file());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What it prints. What does not come within the patience of a test is its end.
fn lines(following: &mut Child) -> impl Iterator<Item = String> + use<> {
    let printed = BufReader::new(following.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || printed.map(|line| tell.send(line)).take_while(Result::is_ok).count());
    std::iter::from_fn(move || told.recv_timeout(PATIENCE).ok())
}

/// Its exit code and what it complained about.
fn end(mut following: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    following.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (following.wait().unwrap().code(), said)
}

fn said(balancer: &Balancer, arguments: &[&str]) -> (Option<i32>, String) {
    let output = balancer.command(&[&["logs"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_living_replica_is_followed_until_it_ends_and_how_is_said() {
    for on_exit in ["stop", "keep"] {
        let writer = Writer::up(on_exit);
        let name = writer.name();
        eventually("its last lines are shown", || {
            said(&writer.balancer, &[&name]) == (Some(0), format!("{name} is ready\n  | first\n"))
        });
        let mut following = spawn(&writer.balancer, &[&name, "--follow"]);
        let mut told = lines(&mut following);
        assert_eq!(told.next().as_deref(), Some("first"), "{on_exit}");
        writer.write("second\n\x1b[31mred\n");
        assert_eq!(told.next().as_deref(), Some("second"), "{on_exit}");
        assert_eq!(told.next().as_deref(), Some("\\u{1b}[31mred"), "no order to a terminal");
        writer.kill_replica();
        assert_eq!(told.next(), None);
        let (code, complaint) = end(following);
        assert_eq!(code, Some(0), "{complaint}");
        assert!(complaint.starts_with(&format!("{name} killed by signal 9")), "{complaint}");
        assert!(complaint.contains("; seat 1 is "), "{complaint}");
        // Who was it cannot be followed any more; who has its seat can.
        let (code, refusal) = said(&writer.balancer, &[&name, "--follow"]);
        assert!(code == Some(1) && refusal.contains("in its seat is 'web_"), "{refusal}");
        let (code, shown) = said(&writer.balancer, &[&name]);
        assert!(code == Some(0) && shown.contains("signal 9") && shown.contains("  | second"), "{shown}");
        let json = said(&writer.balancer, &[&name, "--json"]).1;
        let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        assert_eq!((&last["replica"], &last["kind"]), (&name.into(), &"ended".into()), "{json}");
    }
}

#[test]
fn one_that_is_removed_is_followed_to_its_end() {
    let writer = Writer::up("stop");
    let name = writer.name();
    let mut following = spawn(&writer.balancer, &[&name, "--follow", "--json"]);
    let mut told = lines(&mut following);
    assert!(told.next().unwrap().ends_with(r#""kind":"line","text":"first"}"#));
    assert!(writer.balancer.command(&["rm", &name]).status.success());
    let last: serde_json::Value = serde_json::from_str(&told.last().unwrap()).unwrap();
    assert_eq!(last["kind"], "ended", "{last}");
    assert_eq!(end(following).0, Some(0));
}

#[test]
fn a_kept_one_is_followed_from_file_to_file() {
    let writer = Writer::up("keep");
    let mut following = spawn(&writer.balancer, &[&writer.name(), "--follow"]);
    let mut told = lines(&mut following);
    assert_eq!(told.next().as_deref(), Some("first"));
    // What a keeper keeps of it is put aside after 1 MiB, and put aside again.
    let (line, old) = ("x".repeat(4000), writer.kept.records().join("1.1.log.old"));
    let inode =
        || std::fs::metadata(&old).ok().map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata));
    let mut seen = std::collections::BTreeSet::new();
    for number in 0.. {
        writer.write(&format!("{line}\n").repeat(50));
        writer.is_told(&mut told, &format!("mark {number}"));
        seen.extend(inode());
        if seen.len() == 2 {
            break;
        }
    }
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn the_last_that_a_kept_one_wrote_too_fast_is_told_though_nothing_follows() {
    let writer = Writer::up("keep");
    let mut following = spawn(&writer.balancer, &[&writer.name(), "--follow"]);
    let mut told = lines(&mut following);
    assert_eq!(told.next().as_deref(), Some("first"));
    writer.write(&format!("{}last\n", format!("{}\n", "x".repeat(4000)).repeat(325)));
    assert!(told.any(|line| line == "last"));
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn who_is_not_there_is_answered_with_who_is() {
    let balancer = Rig::new().up();
    for arguments in [&["nobody"][..], &["nobody", "--follow"]] {
        let (code, text) = said(&balancer, arguments);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("there is no replica 'nobody'"), "{text}");
        assert!(text.contains("there are: server_1, server_2, server_3"), "{text}");
    }
    let ask = |path: &str| client::send(balancer.admin, "GET", path, "");
    for (path, status, part) in [
        ("/v1/services/web/output/nobody", 404, "there are: server_1, server_2, server_3"),
        ("/v1/services/web/output/", 404, "there is no replica ''"),
        ("/v1/services/none/output/server_1", 404, "there is no service 'none'"),
        ("/v1/services/web/output/server_1?follow=yes", 400, "follow=true or follow=false"),
        ("/v1/services/web/output/server_1", 200, ""),
    ] {
        let answer = ask(path);
        assert!(answer.status == status && answer.body.contains(part), "{path}: {answer:?}");
    }
    assert_eq!(
        client::send(balancer.admin, "HEAD", "/v1/services/web/output/server_1?follow=true", "").body,
        ""
    );
}

#[test]
fn what_others_run_is_known_only_to_them() {
    let backend = rig::backend::Backend::start(|_, stream| rig::backend::answer(stream, "200 OK", ""));
    let config =
        format!("[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{}\"]\n", backend.address);
    let balancer = Rig::new().config(&config).up();
    let name = balancer.replicas()[0]["name"].as_str().unwrap().to_owned();
    let (code, text) = said(&balancer, &[&name, "--follow"]);
    assert!(code == Some(1) && text.contains("is known only to whoever runs it"), "{text}");
}

/// Asks for an output and reads nothing of it.
fn ask_and_wait(balancer: &Balancer, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(balancer.admin.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (host, token) = (balancer.admin.address, balancer.admin.token);
    let path = format!("/v1/services/web/output/{name}?follow=true");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn status(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn so_many_follow_and_no_more_and_who_leaves_makes_room() {
    let writer = Writer::up("stop");
    let name = writer.name();
    let readers: Vec<TcpStream> = (0..16)
        .map(|_| {
            let stream = ask_and_wait(&writer.balancer, &name);
            assert!(status(&stream).contains("200"));
            stream
        })
        .collect();
    let (code, refusal) = said(&writer.balancer, &[&name, "--follow"]);
    assert!(code == Some(1) && refusal.contains("16 read the output of replicas already"), "{refusal}");
    assert!(writer.balancer.command(&["status"]).status.success(), "the rest is answered");
    drop(readers);
    eventually("there is room again", || said(&writer.balancer, &[&name]).0 == Some(0));
}

#[test]
fn who_does_not_read_holds_up_nobody() {
    let writer = Writer::up("stop");
    let name = writer.name();
    let late = ask_and_wait(&writer.balancer, &name);
    assert!(status(&late).contains("200"));
    let mut quick = spawn(&writer.balancer, &[&name, "--follow"]);
    let mut told = lines(&mut quick);
    let line = "x".repeat(3900);
    for number in 0..20 {
        writer.write(&format!("{line}\n").repeat(50));
        writer.is_told(&mut told, &format!("mark {number}"));
    }
    assert_eq!(writer.balancer.command(&["status"]).status.code(), Some(0));
    drop(late);
    quick.kill().unwrap();
    quick.wait().unwrap();
}

#[test]
fn the_end_of_the_balancer_ends_it() {
    let writer = Writer::up("keep");
    let mut following = spawn(&writer.balancer, &[&writer.name(), "--follow"]);
    let mut told = lines(&mut following);
    assert_eq!(told.next().as_deref(), Some("first"));
    writer.balancer.signal("-TERM");
    assert_eq!(told.next(), None);
    let (code, complaint) = end(following);
    assert!(code == Some(1) && complaint.contains("the balancer has ended"), "{complaint}");
    let Writer { balancer, kept: _kept, .. } = writer;
    assert_eq!(balancer.ended().0, Some(0), "it does not wait for who follows");
}

#[test]
fn a_listener_that_goes_ends_it() {
    let writer = Writer::up("stop");
    for command in ["logs", "events"] {
        let name = writer.name();
        let arguments = match command {
            "logs" => vec!["logs", &name, "--follow"],
            _ => vec!["events", "--follow"],
        };
        let mut following = Command::new(PROGRAM);
        following.args(arguments).arg(format!("--admin={}", writer.balancer.admin)).arg("--token-file");
        let mut following =
            following.arg(writer.balancer.token_file()).stdout(Stdio::piped()).spawn().unwrap();
        assert!(lines(&mut following).next().is_some());
        // The next that it says is heard by nobody.
        eventually("it ends", || {
            writer.write("more\n");
            let _ = writer.balancer.command(&["pause", "--for=1ms"]);
            following.try_wait().unwrap().is_some()
        });
        assert_eq!(following.wait().unwrap().code(), Some(0), "{command}");
    }
}

#[test]
fn who_may_only_look_reads_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let view: &Path = &folder.path().join("view.token");
    let balancer =
        Rig::new().config(&format!("admin_view_token = {view:?}\n[[service]]\nname = \"web\"\n")).up();
    let mut command = Command::new(PROGRAM);
    command.args(["logs", "web_1", &format!("--admin={}", balancer.admin), "--token-file"]).arg(view);
    let output = command.output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && complaint.contains("role view, not for admin"), "{complaint}");
}
