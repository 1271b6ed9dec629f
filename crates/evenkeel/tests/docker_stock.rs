//! An image as they are everywhere: it begins as root, steps down, and keeps its data in a volume. Packed of what this
//! machine has, because none can be fetched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::process::Command;

use rig::client::send;
use rig::docker::Yard;
use rig::{Balancer, Rig, eventually};

const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/images/pack.sh");

/// A stock image of nginx and a volume, which go with the test.
struct Stock {
    yard: Yard,
    image: String,
    volume: String,
}

impl Stock {
    /// Nothing where there is no engine, or nothing to pack.
    fn open() -> Option<Self> {
        let has_nginx = Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v nginx"]).output();
        if !has_nginx.is_ok_and(|output| output.status.success()) {
            println!("skipped: there is no nginx on this machine to pack as an image");
            return None;
        }
        let yard = Yard::apart()?;
        let (image, volume) = (format!("{}-nginx", yard.owner), format!("{}-data", yard.owner));
        let packed = Command::new(PACK).args(["nginx", &image]).output().unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        Some(Self { yard, image, volume })
    }

    fn config(&self, state: &std::path::Path, service: &str) -> String {
        let config = self.yard.config(&format!("state_dir = {state:?}"), service);
        config.replace(&format!("image = \"{}\"", self.yard.image), &format!("image = \"{}\"", self.image))
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        for container in self.yard.containers(true) {
            let _ = Command::new("docker").args(["rm", "-f", &self.yard.container(&container)]).output();
        }
        let _ = Command::new("docker").args(["volume", "rm", &self.volume]).output();
        let _ = Command::new("docker").args(["image", "rm", &self.image]).output();
    }
}

fn names(balancer: &Balancer) -> Vec<String> {
    balancer.replicas().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn is_whole_without(balancer: &Balancer, gone: &str) -> bool {
    let replicas = balancer.replicas();
    replicas.len() == 2 && replicas.iter().all(|one| one["state"] == "ready" && one["name"] != gone)
}

#[test]
fn a_stock_image_that_steps_down_runs_and_its_data_survive_whoever_removes_it() {
    let Some(stock) = Stock::open() else { return };
    let state = tempfile::tempdir().unwrap();
    let service = format!(
        "replicas = 2\nport = 80\ncapabilities = [\"CHOWN\", \"SETGID\", \"SETUID\"]\nvolumes = [\"{}:/data\"]\n\
         tmpfs = [\"/tmp:size=16m\", \"/run\"]\nread_only = true\non_exit = \"stop\"\n[service.heartbeat]\npath = \"/index.html\"",
        stock.volume
    );
    let balancer = Rig::new().config(&stock.config(state.path(), &service)).up();
    let put = send(balancer.address, "PUT", "/data/kept", "what was written");
    assert_eq!(put.status, 201, "{}", put.body);
    let victim = names(&balancer).remove(0);
    let users = stock.yard.docker(&["top", &stock.yard.container(&victim), "-o", "pid,user,args"]);
    let of_root = users.lines().filter(|line| line.contains(" root ")).count();
    let workers = users.lines().filter(|line| line.contains("worker process")).count();
    assert_eq!(
        (of_root, workers),
        (1, 2),
        "one begins as root, and those that work have stepped down: {users}"
    );
    for victim in names(&balancer) {
        stock.yard.strike(&["rm", "-f"], &victim);
        eventually("it is replaced", || is_whole_without(&balancer, &victim));
    }
    for _ in 0..4 {
        let kept = balancer.get("/data/kept");
        assert_eq!((kept.status, kept.body.as_str()), (200, "what was written"));
    }
    let more = send(balancer.address, "PUT", "/data/kept", "and written again");
    assert_eq!(more.status, 204, "{}", more.body);
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert!(stock.yard.containers(true).is_empty());
    let volumes = stock.yard.docker(&["volume", "ls", "--format", "{{.Name}}"]);
    assert!(volumes.lines().any(|name| name == stock.volume), "it is the operator's: {volumes}");
}

#[test]
fn without_the_rights_that_it_needs_it_says_what_it_misses() {
    let Some(stock) = Stock::open() else { return };
    let state = tempfile::tempdir().unwrap();
    let service =
        "replicas = 1\nport = 80\nstart_timeout = \"5s\"\n[service.heartbeat]\npath = \"/index.html\"";
    let refused = Rig::new().config(&stock.config(state.path(), service)).waiting().try_up();
    let said = refused.map(|_| ()).unwrap_err();
    assert!(said.contains("Operation not permitted"), "{said}");
}
