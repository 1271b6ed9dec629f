//! What the replicas of a service run, now and after a deployment. Nothing here starts anything.

use fleet::{Life, Release};
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::{DockerSettings, DriverError, ProcessSettings};

/// What a further release of a service runs, in the words of its driver.
#[derive(Clone, Debug)]
pub enum Spec {
    /// As child processes.
    Process(ProcessSettings),
    /// As containers.
    Docker(Box<DockerSettings>),
}

/// Which releases of a service there are. A driver of what somebody else runs knows none.
pub trait Releases: Send + Sync + 'static {
    /// What the driver was made with. Known once it is prepared.
    fn release(&self) -> Release {
        Release::default()
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
}
