//! What every test against a real engine needs: a driver with things of its own, a way to wait for
//! events, and the removal of everything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use driver::{
    Contents, DockerDriver, DockerRecords, DockerSettings, Driver, EVENTS_CAPACITY, Fittings, Pull,
    ReplicaEnvironment, ServerId, StartOrder,
};
use files::Secret;
use fleet::{Address, Event, Exit, Found, FoundState, Life, Release, ReplicaName, StopHow};
use placement::Seat;
use tokio::sync::mpsc;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Says that it is up, ends when asked to, and is cheap meanwhile.
const WELL_BEHAVED: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";

/// A prepared driver with an owner, a network and an image of its own.
pub(crate) struct Rig {
    pub(crate) driver: DockerDriver,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) settings: DockerSettings,
    // Last, so that the driver is gone before what it looks after is.
    _guard: Guard,
}

impl Rig {
    /// Nothing if there is no engine and none is required.
    pub(crate) async fn up(purpose: &str, change: impl FnOnce(&mut DockerSettings)) -> Option<Self> {
        if !succeeds(&["version"]) {
            let is_required = std::env::var("EVENKEEL_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
            assert!(!is_required, "Docker is required and does not answer");
            println!("skipped: no Docker");
            return None;
        }
        let mut settings = settings(purpose);
        change(&mut settings);
        let clean = "docker rm -fv $(docker ps -aq --filter label=evenkeel.owner=$0); docker network rm $1; docker rmi $2; rm -r $3";
        let records = settings.records.folder.display().to_string();
        let guard = Guard(vec![
            ["sh", "-c", clean, &settings.owner, &settings.network, &settings.image, &records]
                .map(String::from)
                .to_vec(),
        ]);
        make_image(&settings.image);
        let (sender, events) = mpsc::channel(EVENTS_CAPACITY);
        let driver = DockerDriver::connect(settings.clone(), sender).await.unwrap();
        driver.prepare().await.unwrap();
        Some(Self { driver, events, settings, _guard: guard })
    }

    /// Another driver, not prepared, that differs in something.
    pub(crate) async fn sibling(
        &self,
        change: impl FnOnce(&mut DockerSettings),
    ) -> (DockerDriver, mpsc::Receiver<Event>) {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let (sender, events) = mpsc::channel(EVENTS_CAPACITY);
        (DockerDriver::connect(settings, sender).await.unwrap(), events)
    }

    pub(crate) fn order(&self, seat: u32) -> StartOrder {
        let life = Life { seat: Seat::new(seat).unwrap(), incarnation: 1 };
        let name = ReplicaName::parse(&format!("web_{seat}")).unwrap();
        StartOrder { life, name, release: Release::default() }
    }

    /// What the container of an order is called.
    pub(crate) fn container(&self, order: &StartOrder) -> String {
        format!("{}_{}", self.settings.owner, order.name)
    }

    /// A container as a balancer leaves it that was killed before the engine had told its ID: with the seal
    /// of a life, written down as given to nobody yet. Returns the ID.
    pub(crate) async fn make_unanswered(&self, order: &StartOrder) -> String {
        self.driver.start(order.clone()).await.unwrap();
        let labels = labels_of(&self.container(order));
        self.driver.stop(order.life, StopHow::Now).await.unwrap();
        let number = labels.iter().find_map(|label| label.strip_prefix("evenkeel.seal=")).unwrap();
        let number = number.split('.').next().unwrap();
        let folder = self.settings.records.folder.join("containers/web");
        std::fs::write(folder.join(number), "").unwrap();
        self.create(&self.container(order), &labels)
    }

    /// Makes a container by hand, with these labels. Returns its ID.
    pub(crate) fn create(&self, name: &str, labels: &[String]) -> String {
        let mut words = vec!["create", "--name", name, "--network", &self.settings.network];
        words.extend(labels.iter().flat_map(|label| ["--label", label]));
        words.extend([self.settings.image.as_str(), "/bin/sleep", "600"]);
        docker(&words)
    }

    /// The IDs of everything that carries our label.
    pub(crate) fn containers(&self) -> String {
        let filter = format!("label=evenkeel.owner={}", self.settings.owner);
        docker(&["ps", "-aq", "--filter", &filter])
    }

    pub(crate) async fn event(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the driver lives");
                if is_it(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the event comes in time")
    }

    pub(crate) async fn exit_of(&mut self, whose: Life, is_it: impl Fn(&Exit) -> bool) -> (Exit, Instant) {
        let event = self
            .event(|event| matches!(event, Event::Exited(life, exit) if *life == whose && is_it(exit)))
            .await;
        let at = Instant::now();
        match event {
            Event::Exited(_, exit) => (exit, at),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn has_written(&self, order: &StartOrder, text: &str) {
        let name = self.container(order);
        let begun = Instant::now();
        while !docker(&["logs", &name]).contains(text) {
            assert!(begun.elapsed() < PATIENCE, "'{name}' never wrote {text:?}");
            tokio::task::yield_now().await;
        }
    }
}

/// Commands that clean up, whatever happened.
pub(crate) struct Guard(pub(crate) Vec<Vec<String>>);

impl Drop for Guard {
    fn drop(&mut self) {
        for command in &self.0 {
            let (program, arguments) = match command[0].as_str() {
                "sh" => ("sh", &command[1..]),
                _ => ("docker", &command[..]),
            };
            let mut command = Command::new(program);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().ok();
        }
    }
}

pub(crate) fn settings(purpose: &str) -> DockerSettings {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let owner = format!("ek-{purpose}-{}-{number}", std::process::id());
    DockerSettings {
        image: format!("evenkeel-test:{owner}"),
        command: shell(WELL_BEHAVED),
        port: 5000,
        network: owner.clone(),
        publish: false,
        records: DockerRecords { folder: std::env::temp_dir().join(&owner), secret: Secret::of([1; 32]) },
        owner,
        environment: ReplicaEnvironment {
            service: "web".into(),
            server_id: ServerId::Name,
            extra: BTreeMap::new(),
        },
        memory: None,
        cpus: None,
        capabilities: Vec::new(),
        new_privileges: false,
        fittings: Fittings::default(),
        contents: Contents::default(),
        pull: Pull::Never,
        stop_timeout: Duration::from_secs(5),
        stop_signal: None,
    }
}

pub(crate) fn shell(script: &str) -> Option<Vec<String>> {
    Some(["/bin/sh", "-c", script].map(String::from).to_vec())
}

/// No image can be pulled here, so one is made of this host's shell and `sleep` and what they load.
pub(crate) fn make_image(name: &str) {
    let script = "set -e; libraries=$(ldd /bin/sh /bin/sleep | grep -o '/lib[^ )]*' | sort -u); \
                  tar -ch /bin/sh /bin/sleep $libraries 2>/dev/null | docker import - \"$0\" >/dev/null";
    let status = Command::new("sh").args(["-c", script, name]).status().unwrap();
    assert!(status.success(), "cannot make an image");
}

pub(crate) fn tcp(address: Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => address,
        Address::Unix(path) => panic!("a container listens on {}", path.display()),
    }
}

pub(crate) fn states(found: &[Found]) -> Vec<(Life, FoundState)> {
    found.iter().map(|one| (one.life, one.state.clone())).collect()
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// All labels of a container, as `docker create` takes them.
pub(crate) fn labels_of(name: &str) -> Vec<String> {
    let template = "{{range $key, $value := .Config.Labels}}{{$key}}={{$value}}\n{{end}}";
    docker(&["inspect", "-f", template, name]).lines().map(str::to_owned).collect()
}

pub(crate) fn succeeds(arguments: &[&str]) -> bool {
    Command::new("docker").args(arguments).output().is_ok_and(|output| output.status.success())
}
