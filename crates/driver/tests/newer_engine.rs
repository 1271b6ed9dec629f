//! The Docker driver against answers like those of engines 28 and 29, which refuse old clients.
//!
//! The answers were composed after the reference of the newer API, not captured: no newer engine
//! was at hand. So these tests show that we can read what the reference promises, no more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper cannot do fails the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver::{
    Contents, DockerDriver, DockerRecords, DockerSettings, Driver, EVENTS_CAPACITY, Fittings, Pull,
    ReplicaEnvironment, ServerId, StartOrder,
};
use files::Secret;
use fleet::{Event, Exit, FoundState, Life, Release, ReplicaName, StopHow};
use placement::Seat;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);
const OLDEST: u32 = 44;
const NEWEST: u32 = 52;

#[tokio::test]
async fn a_version_within_the_engines_range_is_spoken_in_every_request() {
    let engine = FakeEngine::up().await;
    let (driver, _events) = engine.driver().await;
    assert_eq!(driver.api_version(), "1.52");
    driver.prepare().await.unwrap();
    driver.start(order(2)).await.unwrap();
    driver.list().await.unwrap();
    driver.is_frozen(order(1).life).await.unwrap();
    driver.stop(order(1).life, StopHow::Graceful).await.unwrap();
    driver.tidy_up().await.unwrap();
    for request in engine.requests() {
        let path = &request.path;
        assert!(path == "/version" || path.starts_with("/v1.52/"), "{path}");
    }
}

#[tokio::test]
async fn containers_in_a_newer_engines_list_are_understood() {
    let engine = FakeEngine::up().await;
    let (driver, _events) = engine.driver().await;
    let found = driver.list().await.unwrap();
    let found: Vec<_> = found.into_iter().map(|one| (one.life, one.name.to_string(), one.state)).collect();
    let address = "172.20.0.2:5000".parse().unwrap();
    let exit = Exit {
        code: Some(137),
        signal: Some(9),
        is_out_of_memory: true,
        last_output: vec!["out of everything".into()],
    };
    assert_eq!(
        found,
        [
            (order(1).life, "web_1".into(), FoundState::Running { address, is_frozen: false }),
            (order(3).life, "web_3".into(), FoundState::Exited(exit)),
        ]
    );
}

#[tokio::test]
async fn a_container_is_created_as_a_newer_engine_wants_it() {
    let engine = FakeEngine::up().await;
    let (driver, _events) = engine.driver().await;
    driver.prepare().await.unwrap();
    assert_eq!(driver.start(order(2)).await.unwrap(), "172.20.0.2:5000".parse().unwrap());

    let requests = engine.requests();
    let create = requests.iter().find(|request| request.path.contains("/containers/create")).unwrap();
    assert!(create.path.contains("?name=me_web_2"), "{}", create.path);
    let body: Value = serde_json::from_str(&create.body).unwrap();
    assert_eq!(body["Image"], "shop:1");
    assert_eq!(body["ExposedPorts"], json!({"5000/tcp": {}}));
    assert_eq!(body["HostConfig"]["CapDrop"], json!(["ALL"]));
    assert_eq!(body["HostConfig"]["NetworkMode"], "shop");
    assert_eq!(body["HostConfig"]["LogConfig"], Value::Null, "its logging driver is not json-file");
    assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["shop"]["Aliases"], json!(["web_2"]));
    // Refused or gone in the newer versions.
    assert_eq!(body["MacAddress"], Value::Null);
    assert_eq!(body["HostConfig"]["KernelMemory"], Value::Null);
}

#[tokio::test]
async fn a_newer_engines_events_are_understood() {
    let engine = FakeEngine::up().await;
    let (driver, mut events) = engine.driver().await;
    driver.prepare().await.unwrap();
    let mut next = async || match tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
        Event::Exited(life, exit) => (life, exit),
        other => panic!("{other:?}"),
    };
    // That it ended comes first, and then how.
    assert_eq!(next().await, (order(3).life, Exit::default()));
    let (life, exit) = next().await;
    assert_eq!((life, exit.code, exit.signal), (order(3).life, Some(137), Some(9)));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let _never_accepts = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (events, _receiver) = mpsc::channel(EVENTS_CAPACITY);
    let settings = settings(directory.path());
    let error = DockerDriver::connect_to(&socket, settings, events).await.unwrap_err().in_full();
    assert!(error.ends_with("no answer within 10s"), "{error}");
}

struct Request {
    path: String,
    body: String,
}

/// What the engine has seen.
#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    /// The labels of the containers that it made, by their names.
    labels: BTreeMap<String, Value>,
    /// Whether `web_3` has ended.
    has_ended: bool,
}

struct FakeEngine {
    directory: tempfile::TempDir,
    seen: Arc<Mutex<Seen>>,
}

impl FakeEngine {
    /// On which an earlier balancer has started `web_1` and `web_3`, which has ended meanwhile.
    async fn up() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let record = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, record.clone()));
            }
        });
        let engine = Self { directory, seen };
        let (earlier, _events) = engine.driver().await;
        earlier.start(order(1)).await.unwrap();
        earlier.start(order(3)).await.unwrap();
        engine.requests();
        engine.seen.lock().unwrap().has_ended = true;
        engine
    }

    async fn driver(&self) -> (DockerDriver, mpsc::Receiver<Event>) {
        let (sender, events) = mpsc::channel(EVENTS_CAPACITY);
        let socket: &Path = &self.directory.path().join("docker.sock");
        let settings = settings(self.directory.path());
        (DockerDriver::connect_to(socket, settings, sender).await.unwrap(), events)
    }

    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.seen.lock().unwrap().requests)
    }
}

/// Answers one request; the driver opens a connection for each.
async fn serve(mut stream: UnixStream, seen: Arc<Mutex<Seen>>) {
    let Some((method, request)) = read(&mut stream).await else { return };
    let is_event_stream = request.path.contains("/events");
    let (status, body) = {
        let mut seen = seen.lock().unwrap();
        let answer = answer(&method, &request, &mut seen);
        seen.requests.push(request);
        answer
    };
    let length = match is_event_stream {
        true => String::new(),
        false => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!(
        "HTTP/1.1 {status} Fake\r\nContent-Type: application/json\r\n{length}Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    if is_event_stream {
        // Like the real one it stays open until the client goes.
        stream.read_u8().await.ok();
    }
}

async fn read(stream: &mut UnixStream) -> Option<(String, Request)> {
    let mut bytes = Vec::new();
    loop {
        if let Some((head, body)) = String::from_utf8_lossy(&bytes).split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                let mut words = head.split(' ');
                let method = words.next()?.to_string();
                return Some((method, Request { path: words.next()?.to_string(), body: body.to_string() }));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(method: &str, request: &Request, seen: &mut Seen) -> (u16, Vec<u8>) {
    let (status, value) = match versionless(&request.path) {
        Err(refusal) => (400, json!({ "message": refusal })),
        Ok(path) if path.starts_with("/events") => return (200, line(&die_event(seen))),
        Ok(path) if path.contains("/logs") => return (200, log_frame("out of everything\n")),
        Ok(path) if path.starts_with("/containers/create") => create(path, &request.body, seen),
        Ok(path) => route(method, path.split('?').next().unwrap_or(path), seen),
    };
    match value {
        Value::Null => (status, Vec::new()),
        value => (status, value.to_string().into_bytes()),
    }
}

/// The path without its version, or why engine 29 will not hear it.
fn versionless(path: &str) -> Result<&str, String> {
    let Some((version, rest)) = path.strip_prefix("/v1.").and_then(|path| path.split_once('/')) else {
        return Ok(path);
    };
    let start = path.len() - rest.len() - 1;
    match version.parse().unwrap() {
        old @ ..OLDEST => Err(format!(
            "client version 1.{old} is too old. Minimum supported API version is 1.{OLDEST}, please upgrade \
             your client to a newer version"
        )),
        new if new > NEWEST => {
            Err(format!("client version 1.{new} is too new. Maximum supported API version is 1.{NEWEST}"))
        }
        _ => Ok(&path[start..]),
    }
}

/// Makes a container, whose ID is the number in its name.
fn create(path: &str, body: &str, seen: &mut Seen) -> (u16, Value) {
    let name = path.split(['=', '&']).nth(1).unwrap().to_string();
    let body: Value = serde_json::from_str(body).unwrap();
    seen.labels.insert(name.clone(), body["Labels"].clone());
    (201, json!({"Id": id_of(&name), "Warnings": []}))
}

fn id_of(name: &str) -> &'static str {
    match name {
        "me_web_1" => "one",
        "me_web_2" => "new",
        _ => "three",
    }
}

fn route(method: &str, path: &str, seen: &Seen) -> (u16, Value) {
    match (method, path) {
        ("GET", "/version") => (200, version()),
        ("GET", "/info") => (200, json!({"LoggingDriver": "journald", "ServerVersion": "29.1.3"})),
        ("GET", "/images/shop:1/json") => (200, json!({"Id": "sha256:1", "RepoTags": ["shop:1"]})),
        ("GET", "/networks/shop") => (200, network()),
        ("GET", "/containers/json") => (200, list(seen)),
        ("POST", path) if path.ends_with("/start") || path.ends_with("/stop") => (204, Value::Null),
        ("GET", "/containers/three/json") if seen.has_ended => (200, inspect("three", "exited", seen)),
        ("GET", path) if path.starts_with("/containers/") => (200, inspect("new", "running", seen)),
        ("DELETE", path) if path.starts_with("/containers/") => (204, Value::Null),
        _ => (404, json!({"message": "page not found"})),
    }
}

fn version() -> Value {
    json!({
        "Platform": {"Name": "Docker Engine - Community"},
        "Version": "29.1.3", "ApiVersion": "1.52", "MinAPIVersion": "1.44",
        "Os": "linux", "Arch": "amd64", "GitCommit": "fbf3ed2", "GoVersion": "go1.25.5",
        "KernelVersion": "6.12.0", "BuildTime": "2025-12-12T14:49:37.000000000+00:00",
    })
}

fn network() -> Value {
    json!({
        "Name": "shop", "Id": "net", "Created": "2026-01-05T10:00:00.123456789Z", "Scope": "local",
        "Driver": "bridge", "EnableIPv4": true, "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": {}, "Config": [{"Subnet": "172.20.0.0/16"}]},
        "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""},
        "ConfigOnly": false, "Options": {}, "Labels": {"evenkeel.owner": "somebody"}, "Containers": {},
        "Status": {"IPAM": {"Subnets": {"172.20.0.0/16": {"IPsInUse": 4, "DynamicIPsAvailable": 65532}}}},
    })
}

fn endpoint(address: &str) -> Value {
    json!({
        "IPAMConfig": null, "Links": null, "Aliases": ["web_1"], "DriverOpts": null, "GwPriority": 0,
        "NetworkID": "net", "EndpointID": "end", "Gateway": "172.20.0.1", "IPAddress": address,
        "MacAddress": "02:42:ac:14:00:02", "IPPrefixLen": 16, "IPv6Gateway": "",
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": ["me_web_1", "web_1", "abc"],
    })
}

fn labels(seen: &Seen, seat: u32) -> Value {
    seen.labels.get(&format!("me_web_{seat}")).cloned().unwrap_or_else(|| json!({}))
}

fn list(seen: &Seen) -> Value {
    let container = |id: &str, seat: u32, state: &str, address: &str| {
        json!({
            "Id": id, "Names": [format!("/me_web_{seat}")], "Image": "shop:1", "ImageID": "sha256:1",
            "ImageManifestDescriptor": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:2", "size": 424,
                "platform": {"architecture": "amd64", "os": "linux"},
            },
            "Command": "serve", "Created": 1767607200, "State": state, "Status": "Up 2 minutes",
            "Health": {"Status": "none", "FailingStreak": 0},
            "Ports": [{"PrivatePort": 5000, "Type": "tcp"}], "Labels": labels(seen, seat),
            "HostConfig": {"NetworkMode": "shop", "Annotations": {}},
            "NetworkSettings": {"Networks": {"shop": endpoint(address)}}, "Mounts": [],
        })
    };
    let all = [
        ("me_web_1", container("one", 1, "running", "172.20.0.2")),
        ("me_web_3", container("three", 3, "exited", "")),
    ];
    all.into_iter().filter(|(name, _)| seen.labels.contains_key(*name)).map(|(_, one)| one).collect()
}

/// The newer versions no longer repeat the address outside of `Networks`.
fn inspect(id: &str, status: &str, seen: &Seen) -> Value {
    let is_running = status == "running";
    json!({
        "Id": id, "Created": "2026-01-05T10:00:00.1Z", "Path": "serve", "Args": [], "Name": "/me_web_2",
        "State": {
            "Status": status, "Running": is_running, "Paused": false, "Restarting": false,
            "OOMKilled": !is_running, "Dead": false, "Pid": 0, "ExitCode": if is_running { 0 } else { 137 },
            "Error": "", "StartedAt": "2026-01-05T10:00:00.2Z", "FinishedAt": "0001-01-01T00:00:00Z",
        },
        "Image": "sha256:1", "RestartCount": 0, "Driver": "overlayfs", "Platform": "linux",
        "Storage": {"RootFS": {"Snapshot": {"Name": "overlayfs"}}}, "Mounts": [],
        "Config": {"Labels": labels(seen, 2), "Image": "shop:1", "ExposedPorts": {"5000/tcp": {}}},
        "NetworkSettings": {
            "SandboxID": "box", "SandboxKey": "/var/run/docker/netns/box", "Ports": {"5000/tcp": null},
            "Networks": {"shop": endpoint(if is_running { "172.20.0.2" } else { "" })},
        },
    })
}

/// The newer versions no longer repeat status, id and from outside of `Actor`.
fn die_event(seen: &Seen) -> Value {
    let mut attributes = labels(seen, 3);
    attributes["exitCode"] = "137".into();
    attributes["execDuration"] = "12".into();
    json!({
        "Type": "container", "Action": "die", "Actor": {"ID": "three", "Attributes": attributes},
        "scope": "local", "time": 4102444800_u64, "timeNano": 4102444800000000000_u64,
    })
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// A piece of output as the engine sends it: the stream's number, the length, the bytes.
fn log_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![1, 0, 0, 0];
    frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

fn order(seat: u32) -> StartOrder {
    let life = Life { seat: Seat::new(seat).unwrap(), incarnation: 1 };
    let name = ReplicaName::parse(&format!("web_{seat}")).unwrap();
    StartOrder { life, name, release: Release::default() }
}

fn settings(directory: &Path) -> DockerSettings {
    DockerSettings {
        image: "shop:1".into(),
        command: None,
        port: 5000,
        network: "shop".into(),
        publish: false,
        owner: "me".into(),
        records: DockerRecords { folder: directory.join("docker"), secret: Secret::of([1; 32]) },
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
        stop_timeout: Duration::from_secs(1),
        stop_signal: None,
    }
}
