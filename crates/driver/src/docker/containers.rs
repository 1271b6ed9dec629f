//! The containers of one service: what is known of them, and what every deed on them needs. Each deed is
//! a file of its own above this one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use fleet::Life;

use super::engine::Engine;
use super::labels;
use super::lives::{AbortOnDrop, Lives};
use super::pinned::Pinned;
use super::settings::DockerSettings;
use super::witness::Witness;
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
    /// Whether the engine keeps logs in a way that has a bound; known once it is prepared.
    pub(super) bounds_logs: OnceLock<bool>,
    /// Looks out for an image that was missing.
    pub(super) lookout: Mutex<Option<AbortOnDrop>>,
}

impl Containers {
    /// Of which nothing is known yet.
    pub(super) fn new(settings: DockerSettings, engine: Engine, events: EventSender) -> Self {
        Self {
            settings,
            releases: OnceLock::new(),
            engine,
            events,
            lives: Arc::default(),
            bounds_logs: OnceLock::new(),
            lookout: Mutex::default(),
        }
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

    /// The settings behind a container; those of the start, if its labels do not tell.
    pub(super) fn settings_of(&self, labels: Option<&HashMap<String, String>>) -> Option<Arc<Pinned>> {
        let releases = self.releases.get()?;
        let first = releases.get(releases.first()).ok()?;
        let told = first.release_in(labels).and_then(|release| releases.get(release).ok());
        Some(told.unwrap_or(first))
    }

    /// The IDs of what there is of a life.
    pub(super) async fn of_life(&self, life: Life) -> Result<Vec<String>, DriverError> {
        let filters = labels::filters_of_life(&self.settings, life);
        let containers = self.engine.list(filters).await;
        let containers = containers
            .map_err(|error| error.during(format!("cannot look for the container of replica {life}")))?;
        Ok(containers.into_iter().filter_map(|container| container.id).collect())
    }
}
