//! The end for good: whatever a balancer owns goes, kept or not, whether it runs, has ended, or was killed; and
//! what should run stays stored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod rig;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rig::docker::Yard;
use rig::kept::Kept;
use rig::{PROGRAM, Rig, eventually, replica_processes};

/// A folder for what a test is configured with and a balancer runs by.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn runtime(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, config: &str) -> PathBuf {
        let path = self.folder.path().join("evenkeel.toml");
        std::fs::write(&path, config).unwrap();
        path
    }

    /// Exit code, and what was said.
    fn down(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(PROGRAM);
        command.arg("down").args(arguments).env("XDG_RUNTIME_DIR", self.runtime());
        let Output { status, stdout, stderr } = command.output().unwrap();
        (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
    }

    fn down_with(&self, config: &str) -> (Option<i32>, String) {
        let file = self.file(config);
        self.down(&["--config", file.to_str().unwrap()])
    }
}

#[test]
fn what_is_kept_ends_with_its_balancer_and_the_next_start_goes_by_what_was_stored() {
    let (kept, place) = (Kept::new(), Place::new());
    let config = kept.config("replicas = 2");
    let balancer = Rig::new().config(&config).runtime(place.runtime()).up();
    assert!(balancer.command(&["scale", "3"]).status.success());
    let (code, said) = place.down_with(&config);
    assert_eq!(code, Some(0), "{said}");
    let pid = balancer.pid();
    for part in [&format!("(process {pid})"), "service web: 3 processes ended", "what should run is kept in"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(balancer.ended().0, Some(0), "in good order");
    assert_eq!(kept.carriers(), []);
    let (code, said) = place.down_with(&config);
    assert_eq!((code, said), (Some(0), format!("nothing of the owner \"{}\" runs\n", kept.owner)));
    let again = Rig::new().config(&config).runtime(place.runtime()).up();
    assert_eq!(again.service()["ready"], 3);
}

#[test]
fn what_a_killed_balancer_has_left_is_found_and_ended() {
    let (kept, place) = (Kept::new(), Place::new());
    let config = kept.config("");
    let balancer = Rig::new().config(&config).runtime(place.runtime()).up();
    balancer.signal("-9");
    let _ = balancer.ended();
    assert_eq!(kept.replicas().len(), 3);
    let (code, said) = place.down_with(&config);
    assert!(code == Some(0) && said.contains("service web: 3 processes ended"), "{said}");
    assert_eq!(kept.carriers(), []);
}

#[test]
fn a_balancer_that_keeps_nothing_is_known_by_where_it_listens() {
    let place = Place::new();
    let balancer = Rig::new().runtime(place.runtime()).up();
    let listen = format!("--listen={}", balancer.address);
    let pid = balancer.pid();
    let (code, said) = place.down(&[&listen]);
    assert!(code == Some(0) && said.contains("begins anew"), "{said}");
    assert_eq!(balancer.ended().0, Some(0));
    assert_eq!(replica_processes(pid), []);
    let (code, said) = place.down(&[&listen]);
    assert!(code == Some(0) && said.contains("nothing of the owner"), "{said}");
}

#[test]
fn what_cannot_be_known_or_read_is_told_with_what_to_do() {
    let place = Place::new();
    let (code, said) = place.down_with("[[service]]\nname = \"web\"\nreplcas = 3\n");
    assert!(code == Some(78) && said.contains("did you mean `replicas`?"), "{said}");
    let (code, said) = place.down(&["--listen=127.0.0.1:0"]);
    assert!(code == Some(1) && said.contains("say it with --listen"), "{said}");
    let (code, help) = place.down(&["--help"]);
    assert!(code == Some(0) && help.contains("systemctl disable --now evenkeel"), "{help}");
}

#[test]
fn nothing_is_made_for_who_has_nothing() {
    let place = Place::new();
    let state = place.folder.path().join("state");
    let config = format!(
        "owner = \"evenkeel-none-{}\"\nstate_dir = {state:?}\n[[service]]\nname = \"web\"\n",
        std::process::id()
    );
    let (code, said) = place.down_with(&config);
    assert!(code == Some(0) && said.contains("nothing of the owner"), "{said}");
    assert!(!state.exists());
}

#[test]
fn containers_and_their_network_go_and_those_of_others_stay() {
    let Some(yard) = Yard::apart() else { return };
    let place = Place::new();
    let state = tempfile::tempdir().unwrap();
    let config = yard.config(&format!("state_dir = {:?}", state.path()), "replicas = 2");
    let balancer = Rig::new().config(&config).runtime(place.runtime()).up();
    balancer.signal("-TERM");
    assert_eq!(balancer.ended().0, Some(0));
    assert_eq!(yard.containers(false).len(), 2, "they are kept");
    let label = format!("evenkeel.owner={}", yard.owner);
    let stranger = yard.docker(&["create", "--label", &label, "--label", "evenkeel.service=x", &yard.image]);
    let (code, said) = place.down_with(&config);
    let left = yard.containers(true);
    yard.docker(&["rm", "-f", stranger.trim()]);
    assert!(code == Some(0) && said.contains("2 containers ended"), "{said}");
    assert!(said.contains(&format!("network {}: removed", yard.network)), "{said}");
    assert_eq!(left.len(), 1, "who only says that it is ours is not touched");
    let networks = yard.docker(&["network", "ls", "--format", "{{.Name}}"]);
    assert!(!networks.lines().any(|name| name == yard.network), "{networks}");
    let (code, said) = place.down_with(&config);
    assert!(code == Some(0) && said.contains("nothing of the owner"), "{said}");
    let again = Rig::new().config(&config).runtime(place.runtime()).up();
    eventually("the same fleet is there again", || again.service()["ready"] == 2);
    assert_eq!(place.down_with(&config).0, Some(0));
    assert_eq!(again.ended().0, Some(0));
    assert!(yard.containers(true).is_empty());
}
