//! A release of containers: settings, and the very image that their image name meant when they were
//! deployed. Owns what makes two releases the same.

use std::collections::HashMap;

use fleet::Release;

use super::engine::Engine;
use super::labels;
use super::settings::DockerSettings;
use crate::{DriverError, known_releases};

/// Settings that do not change their meaning when an image name does.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    pub(super) settings: DockerSettings,
    image_id: String,
}

impl Pinned {
    /// What these settings mean now. Fails if the image is not on this host.
    pub(super) async fn now(settings: DockerSettings, engine: &Engine) -> Result<Self, DriverError> {
        let image_id = engine.find_image(&settings.image).await?;
        Ok(Self { settings, image_id })
    }

    /// A hash of everything that all containers of the release have in common.
    pub(super) fn release(&self) -> Release {
        let stop_timeout = format!("{:?}", self.settings.stop_timeout);
        let parts = [self.settings.spec(), self.image_id.clone(), stop_timeout];
        Release::of_hash(known_releases::hash(&parts))
    }

    /// The image to make a container of: under its name, as long as the name means this image. When the
    /// image is gone altogether, what has its name is better than nothing.
    pub(super) async fn image(&self, engine: &Engine) -> String {
        let name = &self.settings.image;
        let named = engine.find_image(name).await;
        if named.as_ref().is_ok_and(|id| *id == self.image_id) {
            return name.clone();
        }
        if named.is_err() || engine.find_image(&self.image_id).await.is_ok() {
            return self.image_id.clone();
        }
        tracing::warn!(
            image = name,
            "the image that was deployed is gone; what has its name now is run instead"
        );
        name.clone()
    }

    /// The release that a container was started with, if its labels tell. Before labels told, only what
    /// the container is could be compared.
    pub(super) fn release_in(&self, labels: Option<&HashMap<String, String>>) -> Option<Release> {
        let told = labels.and_then(|labels| labels.get(labels::RELEASE));
        match told {
            Some(text) => Release::parse(text),
            None => labels::is_of_spec(&self.settings, labels).then(|| self.release()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{order, settings};
    use super::*;

    fn pinned(image_id: &str) -> Pinned {
        Pinned { settings: settings(), image_id: image_id.into() }
    }

    #[test]
    fn the_same_name_for_another_image_is_another_release() {
        assert_eq!(pinned("sha256:a").release(), pinned("sha256:a").release());
        assert_ne!(pinned("sha256:a").release(), pinned("sha256:b").release());
        let patient = DockerSettings { stop_timeout: std::time::Duration::from_secs(99), ..settings() };
        let patient = Pinned { settings: patient, ..pinned("sha256:a") };
        assert_ne!(patient.release(), pinned("sha256:a").release());
    }

    #[test]
    fn a_container_tells_its_release_or_is_known_by_what_it_is() {
        let now = pinned("sha256:a");
        let mut labels = labels::of(&settings(), &order());
        assert_eq!(now.release_in(Some(&labels)), Some(now.release()), "from before labels told");
        labels.insert(labels::RELEASE.into(), pinned("sha256:b").release().to_string());
        assert_eq!(now.release_in(Some(&labels)), Some(pinned("sha256:b").release()));
        let other = DockerSettings { image: "shop:2".into(), ..settings() };
        assert_eq!(now.release_in(Some(&labels::of(&other, &order()))), None);
        assert_eq!(now.release_in(None), None);
    }
}
