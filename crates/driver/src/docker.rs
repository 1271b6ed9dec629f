//! Replicas as containers of the local Docker engine.
//!
//! Owns the order of the engine calls behind each deed of the driver. It pulls no image unless it is told to,
//! never touches what it cannot prove to have made, and never waits for the engine without a
//! limit.

mod container_name;
mod contents;
mod create;
mod fittings;
mod furnish;
mod labels;
mod records;
mod secrets;
mod settings;

mod ledger;
mod proof;
mod seal;
mod strangers;

mod attend;
mod credentials;
mod engine;
mod errors;
mod presence;

mod found;
mod kernel;
mod lives;
mod follow;
mod network;
mod output;
mod pull;
mod pinned;
mod recipe;
mod witness;

mod containers;
mod names;
mod orphans;
mod reach;
mod releases;
mod starting;
mod watch;

#[cfg(test)]
mod fixtures;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bollard::models::ContainerSummary;
use fleet::{Address, Found, FoundState, Life, Release, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::runtime::Handle;

use crate::abort_on_drop::AbortOnDrop;
use crate::known_releases::KnownReleases;
use crate::{
    Driver, DriverError, EventSender, Extent, Following, NameOfAnother, Recognition, StartOrder, Whereabouts,
};
use containers::Containers;
use engine::Engine;
use found::{Identity, Sighting};
use lives::Container;
use pinned::release_in;
use starting::{CONTACT_PAUSE, CONTACTS_MAX};

pub use contents::Contents;
pub use fittings::{Device, Fittings, Gpus, Pull, Source, Tmpfs, Ulimit, Volume};
pub use orphans::{EndedContainers, end_orphaned_containers, remove_unused_networks};
pub use recipe::DockerRecipe;
pub use records::DockerRecords;
pub use settings::DockerSettings;

/// How many containers are looked at more closely at once during a listing.
const INSPECTIONS_AT_ONCE: usize = 8;

/// Runs each replica in a container of the local Docker engine.
///
/// Containers stay when the driver is dropped; the next one with the same owner finds them.
#[derive(Debug)]
pub struct DockerDriver {
    containers: Containers,
    /// What replicas run that an earlier balancer started.
    adopted: Mutex<BTreeMap<Life, Release>>,
    watchers: Mutex<Vec<AbortOnDrop>>,
}

impl DockerDriver {
    /// Connects to the local engine: `DOCKER_HOST` if it names a Unix socket, else
    /// `/var/run/docker.sock`. Settles the API version with it; nothing is created yet.
    pub async fn connect(settings: DockerSettings, events: EventSender) -> Result<Self, DriverError> {
        let socket = engine::socket_path(std::env::var("DOCKER_HOST").ok().as_deref())?;
        Self::connect_to(&socket, settings, events).await
    }

    /// Whether the engine is named in a way that it can be reached by, whether it is there or not. An error will be
    /// one for as long as this process lives.
    pub fn check_host() -> Result<(), DriverError> {
        engine::socket_path(std::env::var("DOCKER_HOST").ok().as_deref()).map(drop)
    }

    /// As [`connect`](Self::connect), to the engine behind this Unix socket.
    pub async fn connect_to(
        socket: &Path,
        settings: DockerSettings,
        events: EventSender,
    ) -> Result<Self, DriverError> {
        let engine = Engine::connect(socket).await?;
        let containers = Containers::new(settings, engine, events)?;
        Ok(Self { containers, adopted: Mutex::default(), watchers: Mutex::default() })
    }

    /// The version of the engine's API that is spoken, such as `1.41`.
    pub fn api_version(&self) -> &str {
        self.containers.engine.api_version()
    }

    async fn stop_once(&self, life: Life, how: StopHow) -> Result<(), DriverError> {
        self.containers.lives.farewell(life).await;
        let latest = self.containers.releases.get().map(KnownReleases::latest);
        let settings = latest.as_ref().map_or(&self.containers.settings, |latest| &latest.settings);
        for id in self.containers.of_life(life).await? {
            if how == StopHow::Graceful
                && let Err(error) = self.containers.engine.stop(&id, settings.stop_timeout).await
            {
                let error = error.during("cannot stop a container gracefully");
                if error.is_unreachable() {
                    return Err(error);
                }
                // The removal below ends it by force, so this is no failure yet.
                tracing::warn!(%life, error = error.in_full());
            }
            let removed = self.containers.remove(&id).await;
            removed
                .map_err(|error| error.during(format!("cannot remove the container of replica {life}")))?;
        }
        self.containers.lives.forget(life);
        Ok(())
    }

    /// What a summary says, or nothing if it says nothing about a replica of ours.
    async fn found(&self, summary: ContainerSummary) -> Result<Option<Found>, DriverError> {
        let Some(Identity { id, called, life, name }) = found::identity(&summary) else { return Ok(None) };
        if self.containers.lives.is_starting(life) {
            // It is created and not yet started: no death, and no news either.
            return Ok(None);
        }
        // The engine's events may be lost; what it lists has it, too.
        self.containers.lives.told_health(life, &id, found::is_unhealthy(&summary));
        let pinned = self.containers.settings_of(summary.labels.as_ref());
        let settings = pinned.as_ref().map_or(&self.containers.settings, |pinned| &pinned.settings);
        let state = match found::sighting_of_summary(&summary, settings) {
            Sighting::Running { address, is_paused } => FoundState::Running {
                address,
                is_frozen: is_paused || self.containers.lives.is_stopped(life),
            },
            // The summary may be older than a start that was just completed, and it knows no
            // exit code; so the engine is asked again.
            Sighting::Over | Sighting::NowhereToReach => match self.containers.engine.inspect(&id).await {
                Ok(inspected) => match found::sighting_of_inspect(&inspected, settings) {
                    Sighting::Running { address, is_paused } => {
                        FoundState::Running { address, is_frozen: is_paused }
                    }
                    Sighting::Over | Sighting::NowhereToReach => {
                        let known = found::exit_of_inspect(&inspected);
                        FoundState::Exited(self.containers.witness().exit_of(&id, known).await)
                    }
                },
                Err(error) if error.is_missing() => return Ok(None),
                // Not to know is not to know of a death.
                Err(error) => return Err(error.during(format!("cannot look at container '{called}'"))),
            },
        };
        Ok(Some(Found { life, name, state }))
    }

    fn watch(&self) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.is_empty() {
            let since = SystemTime::now();
            let filters = labels::filters_of_events(&self.containers.settings);
            let follow = watch::follow(self.containers.witness(), filters, since);
            let attend = attend::attend(self.containers.engine.clone(), self.containers.events.clone());
            let (proof, networks) = (self.containers.proof.clone(), self.containers.networks());
            let names = names::watch(self.containers.engine.clone(), proof, networks);
            let tasks = [tokio::spawn(follow), tokio::spawn(attend), tokio::spawn(names)];
            watchers.extend(tasks.map(AbortOnDrop));
        }
    }

    /// Watches the processes of containers that an earlier balancer started.
    async fn adopt(&self) -> Result<(), DriverError> {
        let summaries = self.containers.all().await;
        let summaries = summaries.map_err(|error| error.during("cannot list containers"))?;
        for summary in summaries {
            let Some(Identity { id, called, life, name }) = found::identity(&summary) else { continue };
            let pinned = self.containers.settings_of(None);
            let own = self.containers.settings_of(summary.labels.as_ref());
            let heeds_health = own.is_some_and(|own| own.settings.fittings.image_health);
            let release = release_in(summary.labels.as_ref());
            if release != pinned.map(|pinned| pinned.release()) {
                tracing::info!(%name, "runs something else than what is to be run");
            }
            if let Some(release) = release {
                self.adopted.lock().unwrap_or_else(PoisonError::into_inner).insert(life, release);
            }
            if let Ok(inspected) = self.containers.engine.inspect(&id).await
                && self
                    .containers
                    .lives
                    .adopt(life, Container { id: id.clone(), called, since: since(&summary), heeds_health })
            {
                self.containers.witness().watch_process(life, &id, found::pid(&inspected));
            }
        }
        Ok(())
    }
}

impl Drop for DockerDriver {
    fn drop(&mut self) {
        self.containers.lives.forget_all();
    }
}

/// When a container was made, to the second; it was started at once.
fn since(summary: &ContainerSummary) -> Option<SystemTime> {
    let seconds = u64::try_from(summary.created?).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

impl Driver for DockerDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async {
            let logging_driver = self.containers.engine.logging_driver().await?;
            self.containers.bounds_logs.get_or_init(|| logging_driver == furnish::BOUNDED_LOGGING_DRIVER);
            let latest = self.containers.releases().await?.latest();
            network::ensure(&self.containers.engine, &latest.settings).await?;
            // What ends before it is watched is found by the first list.
            self.adopt().await?;
            self.watch();
            Ok(())
        }
        .boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        async move {
            self.containers.lives.starting(order.life);
            let outcome = self.containers.start_persistently(&order).await;
            if outcome.is_err() {
                self.containers.lives.failed(order.life);
            }
            outcome
        }
        .boxed()
    }

    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        async move {
            let presence = self.containers.engine.presence();
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
            if self.containers.lives.is_stopped(life) {
                return Ok(true);
            }
            for id in self.containers.of_life(life).await? {
                let inspected = match self.containers.engine.inspect(&id).await {
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

    fn recognise(&self, life: Life) -> BoxFuture<'_, Recognition> {
        let is_unhealthy = self.containers.lives.is_unhealthy(life);
        let unwell = || Recognition::Unwell("the healthcheck of its image fails".into());
        ready(if is_unhealthy { unwell() } else { Recognition::Itself }).boxed()
    }

    fn why_unheard<'a>(&'a self, life: Life, address: &'a Address) -> BoxFuture<'a, Option<String>> {
        reach::why_unheard(&self.containers, life, address).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>> {
        async move {
            let summaries = self.containers.all().await;
            let summaries = summaries.map_err(|error| error.during("cannot list containers"))?;
            let looks = stream::iter(summaries.into_iter().map(|summary| self.found(summary)));
            let found: Vec<Option<Found>> = looks.buffered(INSPECTIONS_AT_ONCE).try_collect().await?;
            Ok(found.into_iter().flatten().collect())
        }
        .boxed()
    }

    fn vet_names<'a>(&'a self, names: &'a [ReplicaName]) -> BoxFuture<'a, Result<(), NameOfAnother>> {
        async move {
            match self.containers.known_names().await {
                Ok(known) => names.iter().try_for_each(|name| known.refuse(name)),
                Err(error) => {
                    // It is looked at again when they are started.
                    tracing::info!("cannot ask Docker which names are taken: {error}");
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn names_of_strangers(&self) -> Vec<ReplicaName> {
        self.containers.strangers.names()
    }

    fn whereabouts(&self, life: Life) -> Option<Whereabouts> {
        self.containers.lives.whereabouts(life)
    }

    fn output(&self, life: Life, extent: Extent) -> Option<Following> {
        let container = self.containers.lives.container(life)?;
        let output = follow::Output { life, container, witness: self.containers.witness() };
        Some(Following::of(&Handle::current(), |told| output.tell(extent, told)))
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        async {
            let latest = self.containers.releases.get().map(KnownReleases::latest);
            let settings = latest.as_ref().map_or(&self.containers.settings, |latest| &latest.settings);
            network::remove_if_unused(&self.containers.engine, settings).await
        }
        .boxed()
    }
}
