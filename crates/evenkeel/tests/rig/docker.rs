//! Real containers for tests: an image made of the very program under test, and owners that no
//! other test has.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::PROGRAM;

/// A corner of the engine for one test: its own owner, network and image, removed when dropped.
pub struct Yard {
    pub owner: String,
    pub network: String,
    pub image: String,
    /// Whether the service has the contract's names, which are the same in every yard.
    is_contract: bool,
    /// Which engine, if it is not the usual one.
    host: Option<String>,
}

/// How often a yard is cleaned before it is given up.
const CLEANUPS_MAX: usize = 20;

static YARDS: AtomicU32 = AtomicU32::new(0);

impl Yard {
    /// A yard for the contract's service, or nothing where there is no engine. Where there must be one, this fails.
    pub fn open() -> Option<Self> {
        Self::has_engine().then(|| Self::new(None, true))
    }

    /// The same for a service without the contract.
    pub fn apart() -> Option<Self> {
        Self::has_engine().then(|| Self::new(None, false))
    }

    /// The same at an engine that is there.
    pub fn at(host: String) -> Self {
        Self::new(Some(host), false)
    }

    fn has_engine() -> bool {
        let has_engine =
            bounded_docker(None).args(["version"]).output().is_ok_and(|output| output.status.success());
        if !has_engine {
            let is_required = std::env::var_os("EVENKEEL_REQUIRE_DOCKER").is_some();
            assert!(!is_required, "EVENKEEL_REQUIRE_DOCKER is set and no Docker engine answers");
            println!("skipped: no Docker engine answers");
        }
        has_engine
    }

    fn new(host: Option<String>, is_contract: bool) -> Self {
        let number = YARDS.fetch_add(1, Ordering::Relaxed);
        let owner = format!("evenkeel-test-{}-{number}", std::process::id());
        let image = format!("{owner}:latest");
        let yard = Self { network: owner.clone(), owner, image, is_contract, host };
        yard.import();
        yard
    }

    /// A configuration for a balancer in this yard, with what a test adds to its service.
    pub fn config(&self, top: &str, service: &str) -> String {
        let Self { owner, network, image, is_contract, .. } = self;
        format!(
            "contract = {is_contract}\nowner = \"{owner}\"\n{top}\n[[service]]\nname = \"web\"\ndriver = \"docker\"\n\
             image = \"{image}\"\nnetwork = \"{network}\"\n{service}\n"
        )
    }

    /// What the container of a replica is called.
    pub fn container(&self, replica: &str) -> String {
        format!("{}_{replica}", self.owner)
    }

    /// The replicas of which there is a container; `all` shows those that do not run, too. One that does not say is
    /// shown by its own name.
    pub fn containers(&self, all: bool) -> BTreeSet<String> {
        let format = "{{with .Label \"evenkeel.name\"}}{{.}}{{else}}{{.Names}}{{end}}";
        self.list(all, format)
    }

    fn list(&self, all: bool, format: &str) -> BTreeSet<String> {
        let mut arguments = vec!["ps", "--format", format, "--filter"];
        let filter = format!("label=evenkeel.owner={}", self.owner);
        arguments.push(&filter);
        if all {
            arguments.push("--all");
        }
        self.docker(&arguments).lines().map(str::to_owned).collect()
    }

    /// One field of a replica's container, as a Go template names it.
    pub fn inspect(&self, replica: &str, template: &str) -> String {
        self.docker(&["inspect", "--format", template, &self.container(replica)]).trim().to_string()
    }

    /// Does something to a replica's container: the words of a command, without its name.
    pub fn strike(&self, words: &[&str], replica: &str) {
        self.docker(&[words, &[&self.container(replica)]].concat());
    }

    /// Runs the engine's command line and returns what it printed; a failure is the test's.
    pub fn docker(&self, arguments: &[&str]) -> String {
        run(self.bounded_docker(), arguments)
    }

    fn bounded_docker(&self) -> Command {
        bounded_docker(self.host.as_deref())
    }

    /// An image that holds the program under test and the libraries that it is linked with, so that
    /// nothing need be pulled or built for another target.
    fn import(&self) {
        self.renew_image(&["replica", "--listen", "0.0.0.0:5000"]);
    }

    /// Gives the yard's image name to a new image, which runs the program with these words.
    pub fn renew_image(&self, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        let command = format!("CMD [{}]", words.join(","));
        let mut import = self
            .bounded_docker()
            .args(["import", "-c", "ENTRYPOINT [\"/evenkeel\"]"])
            .args(["-c", &command, "-", &self.image])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut archive = import.stdin.take().unwrap();
        archive.write_all(&archived_program()).unwrap();
        drop(archive);
        assert!(import.wait().unwrap().success(), "the test image could not be imported");
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        super::forget_owner(&self.owner);
        super::forget_state(&self.owner);
        // The engine may still be busy with what a killed balancer asked for last, and a network
        // cannot go before its containers.
        for _ in 0..CLEANUPS_MAX {
            for container in self.list(true, "{{.ID}}") {
                let _ = self.bounded_docker().args(["rm", "-f", &container]).output();
            }
            let removed = self.bounded_docker().args(["network", "rm", &self.network]).output();
            let is_gone = removed.is_ok_and(|output| {
                output.status.success() || String::from_utf8_lossy(&output.stderr).contains("No such network")
            });
            if is_gone && self.list(true, "{{.ID}}").is_empty() {
                break;
            }
        }
        let _ = self.bounded_docker().args(["image", "rm", &self.image]).output();
    }
}

/// The engine's command line, ended by force when the engine does not answer.
fn bounded_docker(host: Option<&str>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "60", "docker"]);
    if let Some(host) = host {
        command.args(["--host", host]);
    }
    command
}

/// The command line of the usual engine.
pub fn docker(arguments: &[&str]) -> String {
    run(bounded_docker(None), arguments)
}

fn run(mut command: Command, arguments: &[&str]) -> String {
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn archived_program() -> Vec<u8> {
    let linked = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
    let libraries: Vec<PathBuf> =
        linked.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect();
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &str| {
        let to = folder.path().join(to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    copy(Path::new(PROGRAM), "evenkeel");
    for library in &libraries {
        copy(library, &library.to_string_lossy());
    }
    let tar = Command::new("tar").arg("-C").arg(folder.path()).args(["-c", "."]).output().unwrap();
    assert!(tar.status.success());
    tar.stdout
}
