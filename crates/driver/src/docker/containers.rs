//! The containers of one service: what is known of them, and what every deed on them needs. Each deed is
//! a file of its own above this one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bollard::models::ContainerSummary;
use fleet::Life;

use super::engine::Engine;
use super::errors::CallError;
use super::labels::{self, Filters};
use super::lives::Lives;
use super::pinned::{Pinned, release_in};
use super::proof::Proof;
use super::settings::DockerSettings;
use super::strangers::Strangers;
use super::witness::Witness;
use crate::abort_on_drop::AbortOnDrop;
use crate::known_releases::KnownReleases;
use crate::{DriverError, EventSender};

/// What all deeds on the containers of a service share.
#[derive(Debug)]
pub(super) struct Containers {
    /// What the driver was made with. Owner, service and network are the same for all releases.
    pub(super) settings: DockerSettings,
    /// Known once it is prepared.
    pub(super) releases: OnceLock<KnownReleases<Pinned>>,
    pub(super) engine: Engine,
    pub(super) events: EventSender,
    pub(super) lives: Arc<Lives>,
    /// Which of them we have started.
    pub(super) proof: Proof,
    /// The others.
    pub(super) strangers: Strangers,
    /// Whether the engine keeps logs in a way that has a bound; known once it is prepared.
    pub(super) bounds_logs: OnceLock<bool>,
    /// Looks out for an image that was missing.
    pub(super) lookout: Mutex<Option<AbortOnDrop>>,
}

impl Containers {
    /// Of which nothing is known yet.
    pub(super) fn new(
        settings: DockerSettings,
        engine: Engine,
        events: EventSender,
    ) -> Result<Self, DriverError> {
        let proof = Proof::open(&settings.records, &settings.owner, &settings.environment.service)?;
        Ok(Self {
            proof,
            strangers: Strangers::default(),
            settings,
            releases: OnceLock::new(),
            engine,
            events,
            lives: Arc::default(),
            bounds_logs: OnceLock::new(),
            lookout: Mutex::default(),
        })
    }

    /// Sees what happens to them, and tells.
    pub(super) fn witness(&self) -> Witness {
        Witness { engine: self.engine.clone(), events: self.events.clone(), lives: self.lives.clone() }
    }

    /// What can be run; to begin with, what the settings mean now.
    pub(super) async fn releases(&self) -> Result<&KnownReleases<Pinned>, DriverError> {
        if let Some(releases) = self.releases.get() {
            return Ok(releases);
        }
        let pinned = Pinned::now(self.settings.clone(), &self.engine).await?;
        Ok(self.releases.get_or_init(|| KnownReleases::new(pinned.release(), pinned)))
    }

    /// The networks that those are on who are started from now on; the first is that by which they are reached.
    pub(super) fn networks(&self) -> Vec<String> {
        let latest = self.releases.get().map(KnownReleases::latest);
        let settings = latest.as_ref().map_or(&self.settings, |latest| &latest.settings);
        settings.networks().cloned().collect()
    }

    /// The settings behind a container; those of the start, if its labels do not tell.
    pub(super) fn settings_of(&self, labels: Option<&HashMap<String, String>>) -> Option<Arc<Pinned>> {
        let releases = self.releases.get()?;
        let first = releases.get(releases.first()).ok()?;
        let told = release_in(labels).and_then(|release| releases.get(release).ok());
        Some(told.unwrap_or(first))
    }

    /// All of the service that we have started.
    pub(super) async fn all(&self) -> Result<Vec<ContainerSummary>, CallError> {
        let listed = self.engine.list(labels::filters_of_service(&self.settings)).await?;
        let (ours, mut others): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|one| self.proof.is_ours(one));
        others.retain(|one| !self.proof.was_ours(one));
        self.strangers.note(&self.settings.environment.service, &others);
        // Writes as well what was found out now, or could not be written before.
        let there = ours.iter().filter_map(|one| one.id.as_deref()).collect();
        self.proof.ledger().prune(&there).await;
        Ok(ours)
    }

    async fn ours(&self, filters: Filters) -> Result<Vec<ContainerSummary>, CallError> {
        let listed = self.engine.list(filters).await?;
        Ok(listed.into_iter().filter(|one| self.proof.is_ours(one)).collect())
    }

    /// Removes one of ours, and what was written down of it.
    pub(super) async fn remove(&self, id: &str) -> Result<(), CallError> {
        self.engine.remove(id).await?;
        self.proof.ledger().forget(id).await;
        Ok(())
    }

    /// The IDs of what there is of a life.
    pub(super) async fn of_life(&self, life: Life) -> Result<Vec<String>, DriverError> {
        let filters = labels::filters_of_life(&self.settings, life);
        let containers = self.ours(filters).await;
        let containers = containers
            .map_err(|error| error.during(format!("cannot look for the container of replica {life}")))?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }
}
