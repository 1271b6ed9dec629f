//! Replicas as containers of the local Docker engine.
//!
//! Owns the order of the engine calls behind each deed of the driver. It never pulls an image,
//! never touches what does not carry the owner's label, and never waits for the engine without a
//! limit.

mod create;
mod engine;
mod errors;
mod found;
mod kernel;
mod labels;
mod lives;
mod network;
mod orphans;
mod pinned;
mod presence;
mod starting;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bollard::models::ContainerSummary;
use fleet::{Address, Found, FoundState, Life, Release, StopHow};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::known_releases::KnownReleases;
use crate::{Driver, DriverError, EventSender, Releases, ReplicaEnvironment, Spec, StartOrder};
use engine::Engine;
use found::Sighting;
use lives::{AbortOnDrop, Lives};
pub use orphans::end_orphaned_containers;
use pinned::Pinned;
use starting::{CONTACT_PAUSE, CONTACTS_MAX};
use watch::Witness;

/// How many containers are looked at more closely at once during a listing.
const INSPECTIONS_AT_ONCE: usize = 8;

/// What the containers of a service are made from, and how they end.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// The image, which must be on this host already.
    pub image: String,
    /// What to run in place of the image's own command; `{port}`, `{name}` and `{seat}` are filled in.
    pub command: Option<Vec<String>>,
    /// Where a replica listens inside its container.
    pub port: u16,
    /// The network that replicas share; created when it is missing.
    pub network: String,
    /// Whether to reach replicas through a port of 127.0.0.1 instead of their own address, for
    /// hosts that have no route to container addresses.
    pub publish: bool,
    /// The mark by which one balancer knows its containers and networks.
    pub owner: String,
    /// What replicas learn from their environment.
    pub environment: ReplicaEnvironment,
    /// The most memory that a replica may use, in bytes, swap included.
    pub memory: Option<u64>,
    /// The most processor time that a replica may use, in CPUs.
    pub cpus: Option<f64>,
    /// How long a replica may take to end before it is killed.
    pub stop_timeout: Duration,
    /// The signal that asks a replica to end, in place of the image's own.
    pub stop_signal: Option<String>,
}

/// Runs each replica in a container of the local Docker engine.
///
/// Containers stay when the driver is dropped; the next one with the same owner finds them.
#[derive(Debug)]
pub struct DockerDriver {
    /// What it was made with. Owner, service and network are the same for all releases.
    settings: DockerSettings,
    /// Known once it is prepared.
    releases: OnceLock<KnownReleases<Pinned>>,
    /// What replicas run that an earlier balancer started.
    adopted: Mutex<BTreeMap<Life, Release>>,
    engine: Engine,
    events: EventSender,
    lives: Arc<Lives>,
    bounds_logs: OnceLock<bool>,
    watchers: Mutex<Vec<AbortOnDrop>>,
    lookout: Mutex<Option<AbortOnDrop>>,
}

impl DockerDriver {
    /// Connects to the local engine: `DOCKER_HOST` if it names a Unix socket, else
    /// `/var/run/docker.sock`. Settles the API version with it; nothing is created yet.
    pub async fn connect(settings: DockerSettings, events: EventSender) -> Result<Self, DriverError> {
        let socket = engine::socket_path(std::env::var("DOCKER_HOST").ok().as_deref())?;
        Self::connect_to(&socket, settings, events).await
    }

    /// As [`connect`](Self::connect), to the engine behind this Unix socket.
    pub async fn connect_to(
        socket: &Path,
        settings: DockerSettings,
        events: EventSender,
    ) -> Result<Self, DriverError> {
        let engine = Engine::connect(socket).await?;
        Ok(Self {
            settings,
            releases: OnceLock::new(),
            adopted: Mutex::default(),
            engine,
            events,
            lives: Arc::default(),
            bounds_logs: OnceLock::new(),
            watchers: Mutex::default(),
            lookout: Mutex::default(),
        })
    }

    /// The version of the engine's API that is spoken, such as `1.41`.
    pub fn api_version(&self) -> &str {
        self.engine.api_version()
    }

    fn witness(&self) -> Witness {
        Witness { engine: self.engine.clone(), events: self.events.clone(), lives: self.lives.clone() }
    }

    /// What can be run; to begin with, what the settings mean now.
    async fn releases(&self) -> Result<&KnownReleases<Pinned>, DriverError> {
        if let Some(releases) = self.releases.get() {
            return Ok(releases);
        }
        let pinned = Pinned::now(self.settings.clone(), &self.engine).await?;
        Ok(self.releases.get_or_init(|| KnownReleases::new(pinned.release(), pinned)))
    }

    /// The settings behind a container; those of the start, if its labels do not tell.
    fn settings_of(&self, labels: Option<&HashMap<String, String>>) -> Option<Arc<Pinned>> {
        let releases = self.releases.get()?;
        let first = releases.get(releases.first()).ok()?;
        let told = first.release_in(labels).and_then(|release| releases.get(release).ok());
        Some(told.unwrap_or(first))
    }

    async fn stop_once(&self, life: Life, how: StopHow) -> Result<(), DriverError> {
        self.lives.farewell(life).await;
        let latest = self.releases.get().map(KnownReleases::latest);
        let settings = latest.as_ref().map_or(&self.settings, |latest| &latest.settings);
        for id in self.containers_of(life).await? {
            if how == StopHow::Graceful
                && let Err(error) = self.engine.stop(&id, settings.stop_timeout).await
            {
                let error = error.during("cannot stop a container gracefully");
                if error.is_unreachable() {
                    return Err(error);
                }
                // The removal below ends it by force, so this is no failure yet.
                tracing::warn!(%life, error = error.in_full());
            }
            let removed = self.engine.remove(&id).await;
            removed
                .map_err(|error| error.during(format!("cannot remove the container of replica {life}")))?;
        }
        self.lives.forget(life);
        Ok(())
    }

    async fn containers_of(&self, life: Life) -> Result<Vec<String>, DriverError> {
        let filters = labels::filters_of_life(&self.settings, life);
        let containers = self.engine.list(filters).await;
        let containers = containers
            .map_err(|error| error.during(format!("cannot look for the container of replica {life}")))?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }

    /// What a summary says, or nothing if it says nothing about a replica of ours.
    async fn found(&self, summary: ContainerSummary) -> Result<Option<Found>, DriverError> {
        let Some((id, life, name)) = found::identity(&summary) else { return Ok(None) };
        if self.lives.is_starting(life) {
            // It is created and not yet started: no death, and no news either.
            return Ok(None);
        }
        let pinned = self.settings_of(summary.labels.as_ref());
        let settings = pinned.as_ref().map_or(&self.settings, |pinned| &pinned.settings);
        let state = match found::sighting_of_summary(&summary, settings) {
            Sighting::Running { address, is_paused } => {
                FoundState::Running { address, is_frozen: is_paused || self.lives.is_stopped(life) }
            }
            // The summary may be older than a start that was just completed, and it knows no
            // exit code; so the engine is asked again.
            Sighting::Over | Sighting::NowhereToReach => match self.engine.inspect(&id).await {
                Ok(inspected) => match found::sighting_of_inspect(&inspected, settings) {
                    Sighting::Running { address, is_paused } => {
                        FoundState::Running { address, is_frozen: is_paused }
                    }
                    Sighting::Over | Sighting::NowhereToReach => {
                        let known = found::exit_of_inspect(&inspected);
                        FoundState::Exited(self.witness().exit_of(&id, known).await)
                    }
                },
                Err(error) if error.is_missing() => return Ok(None),
                // Not to know is not to know of a death.
                Err(error) => return Err(error.during(format!("cannot look at container '{name}'"))),
            },
        };
        Ok(Some(Found { life, name, state }))
    }

    fn watch(&self) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.is_empty() {
            let since = SystemTime::now();
            let filters = labels::filters_of_events(&self.settings);
            let follow = watch::follow(self.witness(), filters, since);
            let attend = presence::attend(self.engine.clone(), self.events.clone());
            watchers.extend([AbortOnDrop(tokio::spawn(follow)), AbortOnDrop(tokio::spawn(attend))]);
        }
    }

    /// Watches the processes of containers that an earlier balancer started.
    async fn adopt(&self) -> Result<(), DriverError> {
        let summaries = self.engine.list(labels::filters_of_service(&self.settings)).await;
        for summary in summaries.map_err(|error| error.during("cannot list containers"))? {
            let Some((id, life, name)) = found::identity(&summary) else { continue };
            let pinned = self.settings_of(None);
            let release = pinned.as_ref().and_then(|pinned| pinned.release_in(summary.labels.as_ref()));
            if release != pinned.map(|pinned| pinned.release()) {
                tracing::info!(%name, "runs something else than the configuration asks for");
            }
            if let Some(release) = release {
                self.adopted.lock().unwrap_or_else(PoisonError::into_inner).insert(life, release);
            }
            if let Ok(inspected) = self.engine.inspect(&id).await
                && self.lives.adopt(life, &id)
            {
                self.witness().watch_process(life, &id, found::pid(&inspected));
            }
        }
        Ok(())
    }
}

impl Drop for DockerDriver {
    fn drop(&mut self) {
        self.lives.forget_all();
    }
}

impl Driver for DockerDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async {
            let logging_driver = self.engine.logging_driver().await?;
            self.bounds_logs.get_or_init(|| logging_driver == create::BOUNDED_LOGGING_DRIVER);
            self.releases().await?;
            network::ensure(&self.engine, &self.settings).await?;
            self.watch();
            self.adopt().await
        }
        .boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        async move {
            self.lives.starting(order.life);
            let outcome = self.start_persistently(&order).await;
            if outcome.is_err() {
                self.lives.failed(order.life);
            }
            outcome
        }
        .boxed()
    }

    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        async move {
            let presence = self.engine.presence();
            let mut contacts = 0;
            loop {
                let there = presence.awaited().await;
                there.map_err(|error| error.during(format!("cannot stop replica {life}")))?;
                contacts += 1;
                match self.stop_once(life, how).await {
                    Err(error) if error.is_unreachable() && contacts < CONTACTS_MAX => {
                        tokio::time::sleep(CONTACT_PAUSE).await;
                    }
                    outcome => return outcome,
                }
            }
        }
        .boxed()
    }

    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>> {
        async move {
            // What the kernel shows needs no engine.
            if self.lives.is_stopped(life) {
                return Ok(true);
            }
            for id in self.containers_of(life).await? {
                let inspected = match self.engine.inspect(&id).await {
                    Ok(inspected) => inspected,
                    Err(error) if error.is_missing() => continue,
                    Err(error) => return Err(error.during(format!("cannot look at replica {life}"))),
                };
                let is_stopped = || found::pid(&inspected).is_some_and(|pid| kernel::is_stopped(pid, &id));
                if found::is_paused(&inspected) || is_stopped() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>> {
        async move {
            let summaries = self.engine.list(labels::filters_of_service(&self.settings)).await;
            let summaries = summaries.map_err(|error| error.during("cannot list containers"))?;
            let looks = stream::iter(summaries.into_iter().map(|summary| self.found(summary)));
            let found: Vec<Option<Found>> = looks.buffered(INSPECTIONS_AT_ONCE).try_collect().await?;
            Ok(found.into_iter().flatten().collect())
        }
        .boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        network::remove_if_unused(&self.engine, &self.settings).boxed()
    }
}

impl Releases for DockerDriver {
    fn release(&self) -> Release {
        self.releases.get().map(KnownReleases::first).unwrap_or_default()
    }

    fn release_of(&self, life: Life) -> Option<Release> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).get(&life).copied()
    }

    fn learn(&self, spec: Spec) -> BoxFuture<'_, Result<Release, DriverError>> {
        async move {
            let Spec::Docker(settings) = spec else {
                return Err(DriverError::new("these replicas are containers, not processes"));
            };
            let pinned = Pinned::now(*settings, &self.engine).await?;
            let release = pinned.release();
            self.releases().await?.learn(release, pinned).map(|()| release)
        }
        .boxed()
    }
}
