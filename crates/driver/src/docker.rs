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
mod watch;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bollard::models::ContainerSummary;
use fleet::{Address, Found, FoundState, Life, StopHow};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::{Driver, DriverError, EventSender, ReplicaEnvironment, StartOrder};
use engine::Engine;
use found::Sighting;
use lives::{AbortOnDrop, Lives};
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
    settings: DockerSettings,
    engine: Engine,
    events: EventSender,
    lives: Arc<Lives>,
    bounds_logs: OnceLock<bool>,
    watcher: Mutex<Option<AbortOnDrop>>,
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
            engine,
            events,
            lives: Arc::default(),
            bounds_logs: OnceLock::new(),
            watcher: Mutex::default(),
        })
    }

    /// The version of the engine's API that is spoken, such as `1.41`.
    pub fn api_version(&self) -> &str {
        self.engine.api_version()
    }

    fn witness(&self) -> Witness {
        Witness { engine: self.engine.clone(), events: self.events.clone(), lives: self.lives.clone() }
    }

    async fn create(&self, order: &StartOrder) -> Result<String, DriverError> {
        let bounds_logs = self.bounds_logs.get().copied().unwrap_or(false);
        let body = create::body(&self.settings, order, bounds_logs);
        let name = order.name.as_str();
        let mut outcome = self.engine.create(name, body.clone()).await;
        if outcome.as_ref().is_err_and(errors::CallError::is_conflict) {
            self.free_name(name).await?;
            outcome = self.engine.create(name, body).await;
        }
        outcome.map_err(|error| errors::of_create(error, name, &self.settings.image))
    }

    /// Removes what an earlier life of this service left under a name, and only that.
    async fn free_name(&self, name: &str) -> Result<(), DriverError> {
        let holder = match self.engine.inspect(name).await {
            Ok(holder) => holder,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error.during(format!("cannot see who holds the name '{name}'"))),
        };
        let labels = holder.config.and_then(|config| config.labels).unwrap_or_default();
        labels::claim_name(&self.settings, name, &labels)?;
        tracing::warn!(name, "removing a container that an earlier life left under this name");
        let id = holder.id.as_deref().unwrap_or(name);
        self.engine.remove(id).await.map_err(|error| error.during(format!("cannot free the name '{name}'")))
    }

    /// Starts a created container and finds out where it listens.
    async fn run(&self, order: &StartOrder, id: &str) -> Result<Address, DriverError> {
        let name = &order.name;
        let started = self.engine.start(id).await;
        started.map_err(|error| error.during(format!("cannot start container '{name}'")))?;
        self.lives.started(order.life);
        let inspected = self.engine.inspect(id).await;
        let inspected =
            inspected.map_err(|error| error.during(format!("cannot look at container '{name}'")))?;
        match found::sighting_of_inspect(&inspected, &self.settings) {
            Sighting::Running { address, .. } => {
                self.witness().watch_process(order.life, id, found::pid(&inspected));
                Ok(address)
            }
            Sighting::Over => {
                let exit = self.witness().exit_of(id, found::exit_of_inspect(&inspected)).await;
                Err(DriverError::new(format!("container '{name}' ended at once: it {exit}")))
            }
            Sighting::NowhereToReach => {
                let network = &self.settings.network;
                Err(DriverError::new(format!("container '{name}' has no address on network '{network}'")))
            }
        }
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
        let state = match found::sighting_of_summary(&summary, &self.settings) {
            Sighting::Running { address, is_paused } => {
                FoundState::Running { address, is_frozen: is_paused || self.lives.is_stopped(life) }
            }
            // The summary may be older than a start that was just completed, and it knows no
            // exit code; so the engine is asked again.
            Sighting::Over | Sighting::NowhereToReach => match self.engine.inspect(&id).await {
                Ok(inspected) => match found::sighting_of_inspect(&inspected, &self.settings) {
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
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_none() {
            let since = SystemTime::now();
            let filters = labels::filters_of_events(&self.settings);
            *watcher = Some(AbortOnDrop(tokio::spawn(watch::follow(self.witness(), filters, since))));
        }
    }

    /// Watches the processes of containers that an earlier balancer started.
    async fn adopt(&self) -> Result<(), DriverError> {
        let summaries = self.engine.list(labels::filters_of_service(&self.settings)).await;
        for summary in summaries.map_err(|error| error.during("cannot list containers"))? {
            let Some((id, life, name)) = found::identity(&summary) else { continue };
            if !labels::is_of_spec(&self.settings, summary.labels.as_ref()) {
                tracing::warn!(%name, "runs with other settings than the configuration's; it keeps them until it is replaced, for example by `docker rm -f {name}`");
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
            self.engine.find_image(&self.settings.image).await?;
            network::ensure(&self.engine, &self.settings).await?;
            self.watch();
            self.adopt().await
        }
        .boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        async move {
            self.lives.starting(order.life);
            let id = match self.create(&order).await {
                Ok(id) => id,
                Err(error) => {
                    self.lives.forget(order.life);
                    return Err(error);
                }
            };
            self.lives.created(order.life, &id);
            let outcome = self.run(&order, &id).await;
            if outcome.is_err() {
                self.lives.failed(order.life);
                if let Err(error) = self.engine.remove(&id).await {
                    let error = error.during("cannot remove a container that failed to start").in_full();
                    tracing::warn!(name = %order.name, error);
                }
            }
            outcome
        }
        .boxed()
    }

    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        async move {
            for id in self.containers_of(life).await? {
                if how == StopHow::Graceful
                    && let Err(error) = self.engine.stop(&id, self.settings.stop_timeout).await
                {
                    // The removal below ends it by force, so this is no failure yet.
                    let error = error.during("cannot stop a container gracefully").in_full();
                    tracing::warn!(%life, error);
                }
                let removed = self.engine.remove(&id).await;
                removed.map_err(|error| {
                    error.during(format!("cannot remove the container of replica {life}"))
                })?;
            }
            self.lives.forget(life);
            Ok(())
        }
        .boxed()
    }

    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>> {
        async move {
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
