//! Heartbeats that are asked in another way than the usual one, and answers that are good where they are said to be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use rig::backend::Backend;
use rig::{Rig, eventually};

/// Says where to log in to whoever asks as it wants to be asked, and 400 to all others.
fn picky() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let has = |line: &str| head.iter().any(|one| one.eq_ignore_ascii_case(line));
            let is_right =
                has("HEAD /up?deep HTTP/1.1") && has("host: shop.example") && has("x-forwarded-proto: https");
            let status = if is_right { "302 Found\r\nLocation: /login" } else { "400 Bad Request" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    address
}

fn config(backend: SocketAddr, heartbeat: &str) -> String {
    format!(
        "[[service]]\nname = \"web\"\ndriver = \"static\"\naddresses = [\"{backend}\"]\n[service.heartbeat]\nevery = \"20ms\"\n\
         timeout = \"20ms\"\n{heartbeat}\n"
    )
}

const ASKED: &str = "path = \"/up?deep\"\nmethod = \"HEAD\"\nhost = \"shop.example\"\nheaders = { X-Forwarded-Proto = \"https\" }";

#[test]
fn a_heartbeat_is_asked_as_the_file_says_and_requests_go_where_they_always_did() {
    let (backend, picky) = (Backend::saying("hello"), picky());
    let heartbeat = format!("{ASKED}\nport = {}\nstatuses = [200, \"300-399\"]", picky.port());
    let balancer = Rig::new().config(&config(backend.address, &heartbeat)).up();
    eventually("it is ready", || balancer.replicas()[0]["state"] == "ready");
    let answer = balancer.get("/");
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
}

#[test]
fn what_is_no_good_answer_is_told_with_the_question_and_its_place() {
    let (backend, picky) = (Backend::saying("hello"), picky());
    let port = format!("port = {}", picky.port());
    for (heartbeat, reason) in [
        (format!("{ASKED}\n{port}"), format!("HEAD /up?deep at {picky}: 302 Found to /login")),
        (port, format!("GET /heartbeat at {picky}: 400 Bad Request")),
    ] {
        let balancer = Rig::new().config(&config(backend.address, &heartbeat)).early().up();
        eventually("the reason is told", || {
            let told = balancer.command(&["ps"]);
            String::from_utf8_lossy(&told.stdout).contains(&reason)
        });
    }
}
