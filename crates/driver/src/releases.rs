//! What the replicas of a service run, now and after a deployment. Nothing here starts anything.

use fleet::{Life, Release};
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::{DockerSettings, DriverError, ProcessSettings, Recipe};

/// What a further release of a service runs, in the words of its driver.
#[derive(Clone, Debug)]
pub enum Spec {
    /// As child processes.
    Process(Box<ProcessSettings>),
    /// As containers.
    Docker(Box<DockerSettings>),
}

/// Which releases of a service there are. A driver of what somebody else runs knows none.
pub trait Releases: Send + Sync + 'static {
    /// What is run to begin with: what the driver was made with, or what was resumed. Known once it is prepared.
    fn release(&self) -> Release {
        Release::default()
    }

    /// Before anything else: what was stored is what is run to begin with, and not what the driver was made with. It
    /// need not be possible to run it just now. False, and nothing is changed, if it is not for this driver any more.
    fn resume(&self, _stored: &Recipe) -> bool {
        false
    }

    /// Which keys have other values in what the driver was made with than in what is run to begin with, by
    /// their names in the configuration. Asked once it is prepared.
    fn differences(&self) -> BoxFuture<'_, Vec<String>> {
        ready(Vec::new()).boxed()
    }

    /// What a replica that runs was started with, if that can be told.
    fn release_of(&self, _life: Life) -> Option<Release> {
        None
    }

    /// Learns what a further release runs, so that start orders may name it, after the same checks as
    /// before the first start. Nothing is started, and what replicas share stays as it is.
    fn learn(&self, _spec: Spec) -> BoxFuture<'_, Result<Release, DriverError>> {
        ready(Err(DriverError::new("what the replicas of this service run is not ours to change"))).boxed()
    }

    /// Learns a further release as it was stored, without any check, once the driver is prepared.
    fn recall(&self, _stored: &Recipe) {}

    /// A release as it is to be stored, if it is known here what it is.
    fn recipe(&self, _release: Release) -> Option<Recipe> {
        None
    }
}
