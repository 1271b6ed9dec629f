//! What is refused or cut short over HTTP/2 can be seen: a line in the access log, a counter, a warning.

use serde_json::Value;

use super::frames::Outcome::{GoneAway, Reset, Status};
use super::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, ask, frame};
use crate::rig::backend::Backend;
use crate::rig::{Balancer, Rig, client, eventually};

const REFUSED_STREAM: u32 = 7;

fn whole(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

fn lines(file: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn counted(balancer: &Balancer, name: &str) -> u64 {
    let metrics = client::send(balancer.admin, "GET", "/metrics", "").body;
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit_once(' ')).map_or(0, |(_, count)| count.parse().unwrap())
}

#[test]
fn what_is_refused_has_a_line_in_the_access_log_and_a_counter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let backend = Backend::start(|_, _| {
        std::thread::sleep(std::time::Duration::from_secs(1));
        false
    });
    let config = format!(
        "[limits]\nstreams = 1\n[access_log]\nto = {file:?}\n[[service]]\nname = \"web\"\ndriver = \"static\"\n\
         addresses = [\"{}\"]\n",
        backend.address
    );
    let balancer = Rig::new().config(&config).up();
    let wrong: [(&str, &str, &[u8], u16); 3] = [
        ("/field", "x-a", b"a\x01b", 400),
        ("/name", "X-A", b"b", 400),
        ("/large", "x-a", &[b'a'; 9000], 431),
    ];
    for (path, name, value, status) in wrong {
        let mut frames = Frames::to(balancer.address);
        let block = ask("GET", path, &vec![(name, value); if status == 431 { 5 } else { 1 }]);
        let (first, rest) = block.split_at(block.len().min(16_000));
        frames.say(&frame(HEADERS, END_STREAM, 1, first));
        frames.say(&frame(9, 0, 1, &rest[..rest.len() / 2]));
        frames.say(&frame(9, END_HEADERS, 1, &rest[rest.len() / 2..]));
        assert_eq!(frames.outcome(1), Status(status), "{path}");
    }
    let mut frames = Frames::to(balancer.address);
    frames.say(&[whole(1, &ask("GET", "/first", &[])), whole(3, &ask("GET", "/refused", &[]))].concat());
    assert_eq!(frames.outcome(3), Reset(REFUSED_STREAM));
    let mut frames = Frames::to(balancer.address);
    frames.say(&[whole(1, &ask("GET", "/innocent", &[])), frame(6, 0, 0, &[0; 8])].concat());
    assert!(frames.next_of(6).is_some(), "it is under way");
    frames.say(&whole(3, &[0x80]));
    assert!(matches!(frames.outcome(3), GoneAway(_)));
    let told = |path: &str, status: u16| {
        let is_it = |line: &Value| line["target"] == path && line["status"] == status;
        lines(&file).iter().any(|line| is_it(line) && line["version"] == "HTTP/2.0")
    };
    for (path, _, _, status) in wrong {
        eventually(&format!("{path} is in the log"), || told(path, status));
    }
    eventually("what was refused is in the log", || told("/refused", 503));
    eventually("what was under way where another broke the connection is told as that", || {
        lines(&file).iter().any(|line| {
            line["target"] == "/innocent"
                && line["ending"] == "hung up"
                && line["failure"] == "its connection was ended (http2_broken)"
        })
    });
    let refused =
        |reason: &str| counted(&balancer, &format!("evenkeel_refused_requests_total{{reason=\"{reason}\"}}"));
    assert_eq!(["malformed", "head_too_large", "stream"].map(refused), [2, 1, 1]);
    assert!(counted(&balancer, "evenkeel_defences_total{kind=\"http2_broken\"}") == 1);
    assert!(balancer.says(|line| line.contains("broke the rules of the protocol")).is_some());
}
