//! By what an engine is let in where images come from: what `docker login` has left for this account.
//!
//! Owns the reading of the engine's own configuration file, and the asking of its helpers. Nothing of it is kept,
//! and nothing of it is in an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::DriverError;

/// How the engine's own registry is called in that file.
const OWN_REGISTRY: &str = "https://index.docker.io/v1/";
const OWN_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What a helper calls the one whose secret is a token.
const TOKEN_USER: &str = "<token>";

/// How long a helper may take, which may ask another machine.
const HELPER_LIMIT: Duration = Duration::from_secs(20);
/// A larger file is none of the engine's.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
struct Helped {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// Where images come from whose names say nothing else.
pub(super) fn registry(image: &str) -> &str {
    let first = image.split_once('/').map(|(first, _)| first);
    let is_host = |first: &&str| first.contains(['.', ':']) || *first == "localhost";
    let host = first.filter(is_host).unwrap_or(OWN_HOSTS[0]);
    if OWN_HOSTS.contains(&host) { OWN_REGISTRY } else { host }
}

/// Where the file is: where `DOCKER_CONFIG` says, or with this account.
pub(super) fn usual_file() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = named("DOCKER_CONFIG").or_else(|| named("HOME").map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// What there is for a registry; nothing, if everybody is let in there or nobody has logged in.
pub(super) async fn find(file: &Path, registry: &str) -> Result<Option<DockerCredentials>, DriverError> {
    let unusable = |why: &str| DriverError::new(format!("{} cannot be used: {why}", file.display()));
    let text = match tokio::fs::metadata(file).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(unusable("it is too large")),
        Ok(_) | Err(_) => tokio::fs::read_to_string(file).await,
    };
    let text = text.map_err(|error| unusable(&error.to_string()))?;
    // Its own words may repeat what stands there.
    let known: File = serde_json::from_str(&text).map_err(|error| {
        unusable(&format!("it is not what `docker login` writes (line {})", error.line()))
    })?;
    let of_registry = |name: &str| host(name) == host(registry);
    let helper = known.helpers.iter().find(|(name, _)| of_registry(name)).map(|(_, helper)| helper);
    let auth = known.auths.into_iter().find(|(name, _)| of_registry(name)).map(|(_, auth)| auth);
    let (helper, is_chosen) = (helper.or(known.store.as_ref()), helper.is_some());
    if let Some(helper) = helper {
        match ask(helper, registry).await {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(error) if is_chosen => return Err(error),
            Err(error) => tracing::warn!("{}", error.in_full()),
        }
    }
    Ok(auth.and_then(|auth| auth.credentials(registry)))
}

/// A registry by its host, with or without what else its name has in the file.
fn host(name: &str) -> &str {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = name.split('/').next().unwrap_or(name);
    if OWN_HOSTS.contains(&host) { OWN_HOSTS[0] } else { host }
}

impl Auth {
    fn credentials(self, registry: &str) -> Option<DockerCredentials> {
        let decoded = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.as_deref().and_then(|both| both.split_once(':'));
        let (username, password) = match decoded {
            Some((username, password)) => (username.to_owned(), password.trim_end_matches('\0').to_owned()),
            None => (self.username, self.password),
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        let found = DockerCredentials {
            username: some(username),
            password: some(password),
            identitytoken: some(self.identitytoken),
            registrytoken: some(self.registrytoken),
            serveraddress: Some(registry.to_owned()),
            ..Default::default()
        };
        let is_any =
            found.username.is_some() || found.identitytoken.is_some() || found.registrytoken.is_some();
        is_any.then_some(found)
    }
}

/// Asks a helper as the engine's command line does; nothing, if it knows nobody there.
async fn ask(helper: &str, registry: &str) -> Result<Option<DockerCredentials>, DriverError> {
    let is_name = helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let program = format!("docker-credential-{helper}");
    let failed = |why: &str| DriverError::new(format!("{program} does not tell who may fetch images: {why}"));
    if !is_name {
        return Err(failed("that is no name of a helper"));
    }
    let asked = async {
        let mut command = Command::new(&program);
        command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(registry.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER_LIMIT, asked).await;
    let output =
        output.map_err(|_| failed("it takes too long"))?.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        let is_unknown = String::from_utf8_lossy(&output.stdout).contains("not found");
        return if is_unknown { Ok(None) } else { Err(failed(&output.status.to_string())) };
    }
    let helped: Helped =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("its answer is not understood"))?;
    let serveraddress = Some(registry.to_owned());
    Ok(Some(match helped.username == TOKEN_USER {
        true => DockerCredentials { identitytoken: Some(helped.secret), serveraddress, ..Default::default() },
        false => DockerCredentials {
            username: Some(helped.username),
            password: Some(helped.secret),
            serveraddress,
            ..Default::default()
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_its_image_comes_from() {
        for (image, expected) in [
            ("nginx", OWN_REGISTRY),
            ("library/nginx:1", OWN_REGISTRY),
            ("docker.io/library/nginx", OWN_REGISTRY),
            ("example.org/shop:1", "example.org"),
            ("localhost/shop", "localhost"),
            ("example:5000/shop@sha256:a", "example:5000"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[tokio::test]
    async fn what_a_login_has_left_is_found_by_the_host_and_what_is_broken_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        assert!(find(&file, "example.org").await.unwrap().is_none(), "there is no file");
        let text = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6czNjOnJldA=="},
            "example.org": {"identitytoken": "t0ken"}, "empty.example": {}}, "HttpHeaders": {"a": "b"}}"#;
        std::fs::write(&file, text).unwrap();
        let found = find(&file, OWN_REGISTRY).await.unwrap().unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("s3c:ret")));
        let found = find(&file, "example.org").await.unwrap().unwrap();
        assert_eq!(found.identitytoken.as_deref(), Some("t0ken"));
        assert!(find(&file, "empty.example").await.unwrap().is_none());
        assert!(find(&file, "example.com").await.unwrap().is_none());
        std::fs::write(&file, r#"{"auths": {"x": {"auth": "s3cret"}"#).unwrap();
        let error = find(&file, "x").await.unwrap_err().in_full();
        assert!(error.contains("not what `docker login` writes") && !error.contains("s3cret"), "{error}");
        std::fs::write(&file, r#"{"credHelpers": {"x": "../sh"}}"#).unwrap();
        let error = find(&file, "x").await.unwrap_err().in_full();
        assert!(error.contains("no name of a helper"), "{error}");
    }
}
