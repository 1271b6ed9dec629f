//! A release of containers: settings, and the very image that their image name meant when they were
//! deployed. Owns what makes two releases the same.

use std::collections::HashMap;

use fleet::Release;

use super::engine::Engine;
use super::fittings::Pull;
use super::pull::pull;
use super::settings::DockerSettings;
use super::{labels, secrets};
use crate::DriverError;
use crate::keyed::Keyed;

/// Settings that do not change their meaning when an image name does.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    pub(super) settings: DockerSettings,
    pub(super) image_id: String,
}

impl Pinned {
    /// What these settings mean now. Fails if the image is not on this host, and is not to be fetched or cannot be.
    pub(super) async fn now(settings: DockerSettings, engine: &Engine) -> Result<Self, DriverError> {
        let is_to_be_pulled = match settings.pull {
            Pull::Never => false,
            Pull::Missing => !engine.has_image(&settings.image).await?,
            Pull::Always => true,
        };
        if is_to_be_pulled {
            pull(engine, &settings.image).await?;
        }
        secrets::keep(&settings)?;
        let image_id = engine.find_image(&settings.image).await?;
        let image = &settings.image;
        if settings.fittings.image_health {
            let found = engine.has_healthcheck(image).await;
            let found = found.map_err(|error| error.during(format!("cannot look at image '{image}'")))?;
            if !found {
                let what = format!("image_health is set, and image '{image}' has no HEALTHCHECK");
                return Err(DriverError::new(what));
            }
        }
        Ok(Self { settings, image_id })
    }

    /// A hash of everything that all containers of the release have in common.
    pub(super) fn release(&self) -> Release {
        let stop_timeout = format!("{:?}", self.settings.stop_timeout);
        let parts = [self.settings.spec(), self.image_id.clone(), stop_timeout];
        Release::of_hash(Keyed::over(&self.settings.records.secret, "release", &parts).number())
    }

    /// The image to make a container of: under its name, as long as the name means this image. Nothing if it
    /// is gone, and its name means another one: that is another release, perhaps one that was gone back from.
    pub(super) async fn image(&self, engine: &Engine) -> Result<Option<String>, DriverError> {
        let name = &self.settings.image;
        match engine.find_image(name).await {
            Ok(id) if id == self.image_id => Ok(Some(name.clone())),
            Ok(_) if engine.has_image(&self.image_id).await? => Ok(Some(self.image_id.clone())),
            Ok(_) => Ok(None),
            Err(_) => Ok(Some(self.image_id.clone())),
        }
    }
}

/// The release that a container was started with, if its labels tell.
pub(super) fn release_in(labels: Option<&HashMap<String, String>>) -> Option<Release> {
    labels.and_then(|labels| Release::parse(labels.get(labels::RELEASE)?))
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
    fn a_container_tells_its_release() {
        let mut labels = labels::of(&settings(), &order());
        assert_eq!(release_in(Some(&labels)), None);
        labels.insert(labels::RELEASE.into(), pinned("sha256:b").release().to_string());
        assert_eq!(release_in(Some(&labels)), Some(pinned("sha256:b").release()));
        assert_eq!(release_in(None), None);
    }
}
