//! The lab with real balancers: what it finds, what it leaves, and what it says when there is nothing to
//! measure.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rig::{PROGRAM, Rig, children, eventually, kill};
use serde_json::Value;

fn lab(words: &[&str]) -> Output {
    Command::new(PROGRAM).arg("lab").args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn data(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("data.json")).unwrap()).unwrap()
}

#[test]
fn a1_finds_the_shares_that_the_placements_promise_and_writes_them_down() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let output = lab(&["a1", "--requests=2000", "--concurrency=20", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let data = data(&out);
    let counts = |index: usize| -> Vec<u64> {
        let by_replica = data["sections"][0]["data"][index]["counts"]["by_replica"].as_array().unwrap();
        by_replica.iter().map(|pair| pair[1].as_u64().unwrap()).collect()
    };
    let (classic, rendezvous) = (counts(0), counts(1));
    assert_eq!((classic.iter().sum::<u64>(), rendezvous.iter().sum::<u64>()), (2000, 2000));
    assert!(classic[0] > 1500 && classic[1] < 200, "84 % and 5 %: {classic:?}");
    assert!(rendezvous.iter().all(|count| (500..840).contains(count)), "a third each: {rendezvous:?}");
    for file in ["report.html", "a1.csv", "a1-classic.svg", "a1-classic.png", "a1-rendezvous.png"] {
        assert!(out.join(file).metadata().unwrap().len() > 100, "{file}");
    }
}

#[test]
fn a3_finds_our_surface_right_and_sees_a_replica_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let output = lab(&["a3", "--out", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let data = data(folder.path());
    let section = &data["sections"][0];
    assert!(section["text"][0].as_str().unwrap().starts_with("25 of 25 calls"), "{}", section["text"]);
    assert_eq!(section["data"]["kill"]["lost"], 0);
    assert_eq!(section["data"]["replacements"].as_array().unwrap().len(), 1);
}

#[test]
fn a_running_balancer_is_measured_and_what_it_cannot_show_is_said() {
    let balancer = Rig::new().up();
    let target = format!("--target=http://{}", balancer.address);
    let folder = tempfile::tempdir().unwrap();
    let output = lab(&[
        "all",
        &target,
        "--requests=500",
        "--concurrency=5",
        "--replicas=2..3",
        "--out",
        folder.path().to_str().unwrap(),
    ]);
    let data = data(folder.path());
    let sections = data["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 4, "{}", said(&output));
    let words: String = sections.iter().map(|section| section["text"].to_string()).collect();
    assert!(words.contains("kill was left out") && words.contains("The other ways of placing"), "{words}");
    let misses = sections.iter().flat_map(|section| section["misses"].as_array().unwrap());
    let lost: Vec<&Value> =
        misses.filter(|miss| miss.as_str().unwrap().contains("requests failed")).collect();
    assert_eq!(lost, Vec::<&Value>::new());
    assert_eq!(balancer.names().len(), 3, "it is left with as many replicas as it had");
}

#[test]
fn who_interrupts_finds_nothing_left() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "a4", "--requests=10000000", "--out"]).arg(&out);
    let mut lab = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("answered")), "it is under way");
    let balancers = children(lab.id(), " up ");
    assert_eq!(balancers.len(), 1, "{balancers:?}");
    kill("-INT", lab.id());
    let output = lab.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("interrupted; done so far: nothing"), "{}", said(&output));
    assert!(!Path::new(&format!("/proc/{}", balancers[0].0)).exists(), "its balancer has ended");
    assert!(!out.exists(), "nothing was written");
}

#[test]
fn a_balancer_ends_with_a_lab_that_is_killed() {
    let mut command = Command::new(PROGRAM);
    command.args(["lab", "a1", "--requests=10000000"]);
    let mut lab = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("answered")), "it is under way");
    let balancers = children(lab.id(), " up ");
    lab.kill().unwrap();
    lab.wait().unwrap();
    let is_gone = |pid: u32| !Path::new(&format!("/proc/{pid}")).exists();
    eventually("nobody is left", || balancers.iter().all(|(pid, _)| is_gone(*pid)));
}

#[test]
fn what_cannot_be_measured_is_said_clearly() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = lab(&["a1", &format!("--target=http://{unused}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("{unused} cannot be asked")), "{}", said(&output));

    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in stranger.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope");
            // The request is read, so that the end is no reset.
            let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
        }
    });
    let output = lab(&["a1", &format!("--target=http://{address}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("does not speak the contract: GET /rep answered 404"),
        "{}",
        said(&output)
    );
}
