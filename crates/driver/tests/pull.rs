//! Images that are fetched, against an engine that is none: no image can be fetched where tests run. Its answers were
//! composed after the reference of the API.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper cannot do fails the test")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver::{
    Contents, DockerDriver, DockerRecords, DockerSettings, Driver, EVENTS_CAPACITY, Fittings, Pull, Releases,
    ReplicaEnvironment, ServerId, Spec,
};
use files::Secret;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// A test that needs an environment of its own runs itself again in one, with this name for what it does.
const WITHIN: &str = "PULL_TEST_WITHIN";

/// What the engine is, and what it was asked for.
#[derive(Default)]
struct Engine {
    /// The image that is here, by its ID.
    here: Option<u32>,
    /// Says no to whoever fetches.
    refuses: bool,
    /// The requests for images, each with the head in which it stood.
    pulls: Vec<String>,
}

#[tokio::test]
async fn an_image_that_is_missing_is_fetched_only_if_that_is_wanted() {
    for (pull, here, pulls) in [
        (Pull::Never, None, 0),
        (Pull::Never, Some(1), 0),
        (Pull::Missing, None, 1),
        (Pull::Missing, Some(1), 0),
        (Pull::Always, None, 1),
        (Pull::Always, Some(1), 1),
    ] {
        let rig = Rig::up(Engine { here, ..Engine::default() });
        let driver = rig.driver(pull).await;
        let prepared = driver.prepare().await;
        assert_eq!(
            prepared.is_ok(),
            pull != Pull::Never || here.is_some(),
            "{pull:?} {here:?}: {prepared:?}"
        );
        let asked = rig.pulls();
        assert_eq!(asked.len(), pulls, "{pull:?} {here:?}");
        for head in asked {
            assert!(head.contains("fromImage=example.org%2Fshop&") && head.contains("tag=1"), "{head}");
        }
    }
}

#[tokio::test]
async fn each_deployment_asks_anew_and_one_that_fails_changes_nothing() {
    let rig = Rig::up(Engine { here: Some(1), ..Engine::default() });
    let driver = rig.driver(Pull::Always).await;
    driver.prepare().await.unwrap();
    let before = driver.release();
    // What comes from there is another image each time.
    let after = driver.learn(rig.spec(Pull::Always)).await.unwrap();
    assert_ne!(before, after);
    rig.engine.lock().unwrap().refuses = true;
    let refused = driver.learn(rig.spec(Pull::Always)).await.unwrap_err().in_full();
    let expected = "cannot pull image 'example.org/shop:1': pull access denied for example.org/shop";
    assert!(refused.starts_with(expected), "{refused}");
    assert_eq!(driver.learn(rig.spec(Pull::Never)).await.unwrap(), after);
    assert_eq!(rig.pulls().len(), 3);
}

#[test]
fn whoever_has_logged_in_is_let_in_by_the_file_or_by_a_helper() {
    if let Ok(expected) = std::env::var(WITHIN) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(is_let_in(&expected));
    }
    let by_auth = r#"{"auths": {"example.org": {"auth": "bWU6czNjcmV0"}}}"#;
    let by_helper = r#"{"credHelpers": {"example.org": "test"}, "auths": {"example.org": {"auth": "eDp5"}}}"#;
    let by_store = r#"{"credsStore": "test"}"#;
    let nobody = r#"{"auths": {"elsewhere.example": {"auth": "eDp5"}}}"#;
    for (file, expected) in
        [(by_auth, "me:s3cret"), (by_helper, "helped:t0ken"), (by_store, "helped:t0ken"), (nobody, ":")]
    {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), file).unwrap();
        let helper = folder.path().join("docker-credential-test");
        let script = "#!/bin/sh\n[ \"$1 $(cat)\" = \"get example.org\" ] || exit 1\n\
                      echo '{\"ServerURL\":\"example.org\",\"Username\":\"helped\",\"Secret\":\"t0ken\"}'\n";
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "whoever_has_logged_in_is_let_in_by_the_file_or_by_a_helper", "--nocapture"])
            .envs([("DOCKER_CONFIG", folder.path().display().to_string()), ("PATH", path)])
            .env(WITHIN, expected)
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// With what this process has in its environment, an image is asked for as this account.
async fn is_let_in(expected: &str) {
    let rig = Rig::up(Engine::default());
    rig.driver(Pull::Missing).await.prepare().await.unwrap();
    let head = rig.pulls().remove(0);
    let sent = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-registry-auth").then(|| decoded(value))
    });
    let sent: serde_json::Value = sent.map_or(json!({}), |sent| serde_json::from_str(&sent).unwrap());
    let text = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(format!("{}:{}", text("username"), text("password")), expected);
}

/// What stands in a header in base64.
fn decoded(text: &str) -> String {
    let mut command = Command::new("base64");
    command.arg("-d").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

struct Rig {
    folder: tempfile::TempDir,
    engine: Arc<Mutex<Engine>>,
}

impl Rig {
    fn up(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let engine = Arc::new(Mutex::new(engine));
        let shared = Arc::clone(&engine);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { folder, engine }
    }

    async fn driver(&self, pull: Pull) -> DockerDriver {
        let (events, _receiver) = mpsc::channel(EVENTS_CAPACITY);
        let socket: &Path = &self.folder.path().join("docker.sock");
        DockerDriver::connect_to(socket, self.settings(pull), events).await.unwrap()
    }

    fn spec(&self, pull: Pull) -> Spec {
        Spec::Docker(Box::new(self.settings(pull)))
    }

    fn pulls(&self) -> Vec<String> {
        std::mem::take(&mut self.engine.lock().unwrap().pulls)
    }

    fn settings(&self, pull: Pull) -> DockerSettings {
        DockerSettings {
            image: "example.org/shop:1".into(),
            command: None,
            port: 5000,
            network: "shop".into(),
            publish: false,
            owner: "me".into(),
            records: DockerRecords { folder: self.folder.path().join("docker"), secret: Secret::of([1; 32]) },
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
            pull,
            stop_timeout: Duration::from_secs(1),
            stop_signal: None,
        }
    }
}

/// Answers one request; the driver opens a connection for each.
async fn serve(mut stream: UnixStream, engine: Arc<Mutex<Engine>>) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let (status, body) = answer(&head, &mut engine.lock().unwrap());
    let head = format!(
        "HTTP/1.1 {status} Fake\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}

fn answer(head: &str, engine: &mut Engine) -> (u16, String) {
    let path = head.split(' ').nth(1).unwrap().trim_start_matches("/v1.52");
    match path.split('?').next().unwrap() {
        "/version" => (200, json!({"ApiVersion": "1.52", "MinAPIVersion": "1.44"}).to_string()),
        "/info" => (200, json!({"LoggingDriver": "json-file"}).to_string()),
        "/images/example.org/shop:1/json" => match engine.here {
            Some(number) => (200, json!({"Id": format!("sha256:{number}")}).to_string()),
            None => (404, json!({"message": "No such image: example.org/shop:1"}).to_string()),
        },
        "/images/create" => {
            engine.pulls.push(head.to_owned());
            let mut steps = vec![
                json!({"status": "Pulling from shop", "id": "1"}),
                json!({"status": "Downloading", "id": "a", "progressDetail": {"current": 1, "total": 2}}),
            ];
            if engine.refuses {
                let why = "pull access denied for example.org/shop, repository does not exist";
                steps.push(json!({"error": why, "errorDetail": {"message": why}}));
            } else {
                engine.here = Some(engine.here.unwrap_or(0) + 1);
                steps.push(json!({"status": "Pull complete", "id": "a", "progressDetail": {}}));
            }
            (200, steps.iter().map(|step| format!("{step}\r\n")).collect())
        }
        "/networks/shop" => (200, json!({"Name": "shop", "Id": "net"}).to_string()),
        "/containers/json" => (200, "[]".to_owned()),
        _ => (404, json!({"message": "page not found"}).to_string()),
    }
}
