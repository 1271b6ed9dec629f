//! The engine and the calls that we make to it.
//!
//! Owns the connection, the API version and the time that each call may take. It knows nothing of
//! replicas and decides nothing.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::errors::Error as LibraryError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, CreateImageInfo, EventMessage,
    NetworkConnectRequest, NetworkCreateRequest, NetworkInspect,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptions, ListContainersOptions,
    ListNetworksOptions, LogsOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures_util::stream::{Stream, StreamExt};

use super::create;
use super::errors::{self, CallError};
use super::labels::Filters;
use super::presence::{PRESENCE_LIMIT, Presence};
use crate::last_lines::LAST_LINES_MAX;
use crate::{DriverError, Extent};

const SOCKET_DEFAULT: &str = "/var/run/docker.sock";

/// The oldest API that this driver was tried with, that of Docker Engine 20.10.
const API_VERSION_MIN: Version = Version { major: 1, minor: 41 };

/// How long a question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
/// How long a deed may take: creating, starting or removing. A busy disk makes them slow.
const DEED_LIMIT: Duration = Duration::from_secs(60);
/// How much longer than the container's own time a graceful stop may take.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// The library's own limit, which ends no call before ours does.
const LIBRARY_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A version of the engine's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: usize,
    minor: usize,
}

/// A connection to the local engine. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    docker: Docker,
    api_version: Arc<str>,
    presence: Presence,
}

/// The socket to use, by the value of `DOCKER_HOST`.
pub(super) fn socket_path(docker_host: Option<&str>) -> Result<PathBuf, DriverError> {
    match docker_host {
        None | Some("") => Ok(SOCKET_DEFAULT.into()),
        Some(host) => host.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| {
            DriverError::new(format!("DOCKER_HOST is '{host}', but only unix:// sockets can be used"))
        }),
    }
}

impl Engine {
    /// Connects and agrees with the engine on an API version.
    pub(super) async fn connect(socket: &Path) -> Result<Self, DriverError> {
        let docker = Docker::connect_with_unix(
            &socket.to_string_lossy(),
            LIBRARY_LIMIT.as_secs(),
            API_DEFAULT_VERSION,
        )
        .map_err(|error| errors::unreachable(socket, error.into()))?;
        let offer = limited(QUESTION_LIMIT, docker.version()).await;
        let offer = offer.map_err(|error| errors::unreachable(socket, error))?;
        let ours =
            Version { major: API_DEFAULT_VERSION.major_version, minor: API_DEFAULT_VERSION.minor_version };
        let Version { major, minor } =
            agree(ours, offer.min_api_version.as_deref(), offer.api_version.as_deref())?;
        let api_version = format!("{major}.{minor}");

        // The library counts versions but leaves them out of its requests, and what it leaves out
        // the engine takes as the newest that it knows. So we write it in ourselves: a future
        // engine then answers in a way that we can read.
        let prefix = format!("/v{api_version}");
        let docker = docker.with_request_modifier(move |request| with_version(request, &prefix));
        Ok(Self { docker, api_version: api_version.into(), presence: Presence::default() })
    }

    pub(super) fn api_version(&self) -> &str {
        &self.api_version
    }

    /// What is known of whether it is there.
    pub(super) fn presence(&self) -> Presence {
        self.presence.clone()
    }

    /// Whether it says anything at all; a response that says no shows that, too.
    pub(super) async fn is_there(&self) -> Result<(), CallError> {
        match limited(PRESENCE_LIMIT, self.docker.ping()).await {
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How the engine keeps logs unless told otherwise; also shows that it answers.
    pub(super) async fn logging_driver(&self) -> Result<String, DriverError> {
        let info = self.within("info", QUESTION_LIMIT, self.docker.info()).await;
        let info = info.map_err(|error| error.during("Docker does not answer as it should"))?;
        Ok(info.logging_driver.unwrap_or_default())
    }

    /// The ID of an image on this host.
    pub(super) async fn find_image(&self, image: &str) -> Result<String, DriverError> {
        match self.within("inspect image", QUESTION_LIMIT, self.docker.inspect_image(image)).await {
            // Without an ID the name has to do.
            Ok(found) => Ok(found.id.unwrap_or_else(|| image.to_string())),
            Err(error) if error.is_missing() => Err(errors::no_image(image)),
            Err(error) => Err(error.during(format!("cannot look for image '{image}'"))),
        }
    }

    /// Whether an image is on this host.
    pub(super) async fn has_image(&self, image: &str) -> Result<bool, DriverError> {
        match self.within("inspect image", QUESTION_LIMIT, self.docker.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error.during(format!("cannot look for image '{image}'"))),
        }
    }

    /// Has the engine fetch an image, and tells how that goes on. Without a limit: the caller has one.
    pub(super) fn pull(
        &self,
        name: &str,
        tag: &str,
        credentials: Option<DockerCredentials>,
    ) -> impl Stream<Item = Result<CreateImageInfo, LibraryError>> + use<> {
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
        self.docker.create_image(Some(options), None, credentials)
    }

    /// Whether an image has a healthcheck of its own.
    pub(super) async fn has_healthcheck(&self, image: &str) -> Result<bool, CallError> {
        let found = self.within("inspect image", QUESTION_LIMIT, self.docker.inspect_image(image)).await?;
        let test = found.config.and_then(|config| config.healthcheck).and_then(|check| check.test);
        Ok(test.is_some_and(|test| test.first().is_some_and(|first| first != "NONE")))
    }

    /// The ports that an image says its programs listen on, such as `8080/tcp`.
    pub(super) async fn exposed_ports(&self, image: &str) -> Result<Vec<String>, CallError> {
        let found = self.within("inspect image", QUESTION_LIMIT, self.docker.inspect_image(image)).await?;
        Ok(found.config.and_then(|config| config.exposed_ports).unwrap_or_default())
    }

    pub(super) async fn network(&self, name: &str) -> Result<NetworkInspect, CallError> {
        self.within("inspect network", QUESTION_LIMIT, self.docker.inspect_network(name, None)).await
    }

    /// The IDs of all networks with this name.
    pub(super) async fn networks_named(&self, name: &str) -> Result<Vec<String>, CallError> {
        let options =
            ListNetworksOptions { filters: Some(Filters::from([("name".into(), vec![name.into()])])) };
        let networks =
            self.within("list networks", QUESTION_LIMIT, self.docker.list_networks(Some(options))).await?;
        // The engine's filter also takes names that merely contain this one.
        let namesakes = networks.into_iter().filter(|network| network.name.as_deref() == Some(name));
        Ok(namesakes.filter_map(|network| network.id).collect())
    }

    pub(super) async fn create_network(&self, request: NetworkCreateRequest) -> Result<String, CallError> {
        Ok(self.within("create network", DEED_LIMIT, self.docker.create_network(request)).await?.id)
    }

    /// Has a container join one more network.
    pub(super) async fn join_network(&self, name: &str, container: &str) -> Result<(), CallError> {
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        self.within("join network", DEED_LIMIT, self.docker.connect_network(name, request)).await
    }

    pub(super) async fn remove_network(&self, id: &str) -> Result<(), CallError> {
        self.within("remove network", DEED_LIMIT, self.docker.remove_network(id)).await
    }

    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, CallError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        Ok(self
            .within("create container", DEED_LIMIT, self.docker.create_container(Some(options), body))
            .await?
            .id)
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), CallError> {
        self.within("start container", DEED_LIMIT, self.docker.start_container(id, None)).await
    }

    pub(super) async fn inspect(&self, id_or_name: &str) -> Result<ContainerInspectResponse, CallError> {
        self.within("inspect container", QUESTION_LIMIT, self.docker.inspect_container(id_or_name, None))
            .await
    }

    pub(super) async fn list(&self, filters: Filters) -> Result<Vec<ContainerSummary>, CallError> {
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        self.within("list containers", QUESTION_LIMIT, self.docker.list_containers(Some(options))).await
    }

    /// Sends the stop signal and, after the timeout, kills. One that is gone is no error.
    pub(super) async fn stop(&self, id: &str, timeout: Duration) -> Result<(), CallError> {
        let options = StopContainerOptionsBuilder::default().t(create::whole_seconds(timeout)).build();
        let limit = timeout.saturating_add(STOP_MARGIN);
        match self.within("stop container", limit, self.docker.stop_container(id, Some(options))).await {
            Err(error) if error.is_missing() => Ok(()),
            outcome => outcome,
        }
    }

    /// Kills if need be, and removes with all volumes that have no name. One that is gone is no
    /// error; one that somebody is removing already is waited for.
    pub(super) async fn remove(&self, id: &str) -> Result<(), CallError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self
            .within("remove container", DEED_LIMIT, self.docker.remove_container(id, Some(options)))
            .await
        {
            Err(error) if error.is_missing() => Ok(()),
            Err(error) if error.is_conflict() => self.gone(id).await,
            outcome => outcome,
        }
    }

    async fn gone(&self, id: &str) -> Result<(), CallError> {
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut waiting = Box::pin(self.docker.wait_container(id, Some(options)));
        let waited = self.within("wait for removal", DEED_LIMIT, async {
            match waiting.next().await {
                // The library takes a bad exit code for an error; without a text it is none of the wait.
                Some(Err(LibraryError::DockerContainerWaitError { error, .. })) if error.is_empty() => Ok(()),
                end => end.transpose().map(drop),
            }
        });
        match waited.await {
            Err(error) if error.is_missing() => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes a call, for as long as it may take and there is hope for a response. The log tells which it was, and
    /// nothing of what was sent or came back, where environments stand.
    async fn within<T>(
        &self,
        name: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, LibraryError>>,
    ) -> Result<T, CallError> {
        let begun = tokio::time::Instant::now();
        let outcome = tokio::select! {
            biased;
            outcome = limited(limit, call) => outcome,
            error = self.presence.lost() => Err(error),
        };
        if outcome.as_ref().is_err_and(|error| error.is_lost() || matches!(error, CallError::NoAnswer(_))) {
            self.presence.doubt();
        }
        let went_well = outcome.is_ok();
        tracing::debug!(call = name, took = ?begun.elapsed(), went_well, "the engine was asked");
        outcome
    }

    /// The last lines that a container wrote, in pieces, and what comes until its end if that is wanted. Without a
    /// limit: the caller has one.
    pub(super) fn logs(
        &self,
        id: &str,
        extent: Extent,
    ) -> impl Stream<Item = Result<LogOutput, LibraryError>> + use<> {
        let tail = LAST_LINES_MAX.to_string();
        let is_to_go_on = extent == Extent::UntilItsEnd;
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&tail);
        self.docker.logs(id, Some(options.follow(is_to_go_on).build()))
    }

    /// What happens, from a moment on that is given in seconds since 1970.
    pub(super) fn events(
        &self,
        filters: Filters,
        since: String,
    ) -> impl Stream<Item = Result<EventMessage, LibraryError>> + use<> {
        self.docker.events(Some(EventsOptions { since: Some(since), until: None, filters: Some(filters) }))
    }
}

async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, LibraryError>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(CallError::from),
        Err(_) => Err(CallError::NoAnswer(limit)),
    }
}

fn with_version(mut request: BollardRequest, prefix: &str) -> BollardRequest {
    let uri = request.uri();
    if let (Some(scheme), Some(authority), Some(path)) =
        (uri.scheme_str(), uri.authority(), uri.path_and_query())
        && let Ok(versioned) = format!("{scheme}://{authority}{prefix}{path}").parse()
    {
        *request.uri_mut() = versioned;
    }
    request
}

/// The newest version that both sides speak.
fn agree(ours: Version, oldest: Option<&str>, newest: Option<&str>) -> Result<Version, DriverError> {
    let Some(engine_newest) = newest.and_then(parse_version) else {
        return Err(DriverError::new("Docker does not say which version of its API it speaks"));
    };
    let engine_oldest = oldest.and_then(parse_version).unwrap_or_default();
    let chosen = ours.min(engine_newest);
    if chosen < API_VERSION_MIN {
        let Version { major, minor } = engine_newest;
        return Err(DriverError::new(format!(
            "this Docker engine speaks API {major}.{minor}; 1.41 (engine 20.10) is the oldest that can be used"
        )));
    }
    if chosen < engine_oldest {
        let Version { major, minor } = engine_oldest;
        return Err(DriverError::new(format!(
            "this Docker engine wants API {major}.{minor} at least, which is newer than this program speaks"
        )));
    }
    Ok(chosen)
}

fn parse_version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_on_the_newest_version_that_both_speak() {
        for (oldest, newest, expected) in [
            (Some("1.12"), Some("1.41"), Ok((1, 41))),
            (Some("1.44"), Some("1.52"), Ok((1, 52))),
            (Some("1.44"), Some("1.99"), Ok((1, 53))),
            (None, Some("1.45"), Ok((1, 45))),
            (Some("1.12"), Some("1.40"), Err("speaks API 1.40")),
            (Some("1.60"), Some("1.99"), Err("wants API 1.60")),
            (None, None, Err("does not say")),
            (None, Some("new"), Err("does not say")),
        ] {
            let ours = Version { major: 1, minor: 53 };
            match (agree(ours, oldest, newest), expected) {
                (Ok(version), Ok((major, minor))) => assert_eq!(version, Version { major, minor }),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (got, expected) => panic!("{got:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn docker_host_is_honoured_when_it_is_a_socket() {
        assert_eq!(socket_path(None).unwrap(), Path::new("/var/run/docker.sock"));
        assert_eq!(socket_path(Some("")).unwrap(), Path::new("/var/run/docker.sock"));
        assert_eq!(socket_path(Some("unix:///run/x.sock")).unwrap(), Path::new("/run/x.sock"));
        assert!(socket_path(Some("tcp://10.0.0.1:2375")).is_err());
    }
}
