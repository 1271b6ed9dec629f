//! Which releases a driver of containers knows: what it was made with, what was stored, and what it learns.

use std::sync::PoisonError;

use fleet::{Life, Release};
use futures_util::future::{BoxFuture, FutureExt};

use super::pinned::Pinned;
use super::{DockerDriver, DockerRecipe, network, secrets};
use crate::known_releases::KnownReleases;
use crate::{DriverError, Recipe, Releases, Spec};

impl DockerDriver {
    /// What was stored, run as this driver runs things.
    fn within(&self, stored: &Recipe) -> Option<Pinned> {
        match stored {
            Recipe::Docker(recipe) => Some(recipe.within(&self.containers.settings)),
            Recipe::Process(_) => None,
        }
    }
}

impl Releases for DockerDriver {
    fn release(&self) -> Release {
        self.containers.releases.get().map(KnownReleases::first).unwrap_or_default()
    }

    fn resume(&self, stored: &Recipe) -> bool {
        let Some(pinned) = self.within(stored) else { return false };
        self.containers.releases.set(KnownReleases::new(pinned.release(), pinned)).is_ok()
    }

    fn differences(&self) -> BoxFuture<'_, Vec<String>> {
        async {
            let Some(first) = self.containers.settings_of(None) else { return Vec::new() };
            let asked = &self.containers.settings;
            // What cannot be told now is told another time.
            let named = self.containers.engine.find_image(&asked.image).await.ok();
            DockerRecipe::of(&first).differences(asked, named)
        }
        .boxed()
    }

    fn release_of(&self, life: Life) -> Option<Release> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner).get(&life).copied()
    }

    fn learn(&self, spec: Spec) -> BoxFuture<'_, Result<Release, DriverError>> {
        async move {
            let Spec::Docker(settings) = spec else {
                return Err(DriverError::new("these replicas are containers, not processes"));
            };
            let pinned = Pinned::now(*settings, &self.containers.engine).await?;
            network::ensure(&self.containers.engine, &pinned.settings).await?;
            let release = pinned.release();
            let releases = self.containers.releases().await?;
            releases.learn(release, pinned)?;
            let known = releases.all();
            secrets::forget_others(&self.containers.settings, known.iter().map(|one| &one.settings));
            Ok(release)
        }
        .boxed()
    }

    fn recall(&self, stored: &Recipe) {
        if let (Some(pinned), Some(releases)) = (self.within(stored), self.containers.releases.get()) {
            releases.recall(pinned.release(), pinned);
        }
    }

    fn recipe(&self, release: Release) -> Option<Recipe> {
        let pinned = self.containers.releases.get()?.get(release).ok()?;
        Some(Recipe::Docker(Box::new(DockerRecipe::of(&pinned))))
    }
}
