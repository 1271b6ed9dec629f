//! Which releases a driver of processes knows: what it was made with, what was stored, and what it learns.

use fleet::{Life, Release};
use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{ProcessDriver, ProcessRecipe, ProcessSettings};
use crate::{DriverError, Recipe, Releases, Spec};

impl ProcessDriver {
    /// Whether what is run to begin with can be run. That what was stored cannot be is no reason not to begin: whoever
    /// runs it is taken over, and another release can be deployed.
    pub(super) fn check_first(&self) -> Result<(), DriverError> {
        let first = self.releases.get(self.releases.first())?;
        first.check_sight()?;
        match first.check_program() {
            Err(error) if first.release() != self.settings.release() => {
                tracing::error!(service = %self.settings.environment.service, "what was deployed cannot be run: {error}; whoever dies stays away until it can be, or until `evenkeel deploy`");
                Ok(())
            }
            checked => checked,
        }
    }

    /// What was stored, run as this driver runs things.
    fn within(&self, stored: &Recipe) -> Option<ProcessSettings> {
        match stored {
            Recipe::Process(recipe) => recipe.within(&self.settings),
            Recipe::Docker(_) => None,
        }
    }
}

impl Releases for ProcessDriver {
    fn release(&self) -> Release {
        self.releases.first()
    }

    fn resume(&self, stored: &Recipe) -> bool {
        let Some(settings) = self.within(stored) else { return false };
        self.releases.begin_with(settings.release(), settings);
        true
    }

    fn differences(&self) -> BoxFuture<'_, Vec<String>> {
        let first = self.releases.get(self.releases.first());
        let differences = first.map(|first| ProcessRecipe::of(&first).differences(&self.settings));
        ready(differences.unwrap_or_default()).boxed()
    }

    fn release_of(&self, life: Life) -> Option<Release> {
        self.running().get(&life).and_then(|process| process.release)
    }

    fn learn(&self, spec: Spec) -> BoxFuture<'_, Result<Release, DriverError>> {
        let learnt = match spec {
            Spec::Process(settings) => settings.check().and_then(|()| {
                let release = settings.release();
                self.releases.learn(release, *settings).map(|()| release)
            }),
            Spec::Docker(_) => Err(DriverError::new("these replicas are processes, not containers")),
        };
        ready(learnt).boxed()
    }

    fn recall(&self, stored: &Recipe) {
        if let Some(settings) = self.within(stored) {
            self.releases.recall(settings.release(), settings);
        }
    }

    fn recipe(&self, release: Release) -> Option<Recipe> {
        let settings = self.releases.get(release).ok()?;
        Some(Recipe::Process(Box::new(ProcessRecipe::of(&settings))))
    }
}
