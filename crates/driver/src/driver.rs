//! The one interface over all the ways in which a replica can run.

use fleet::{Address, Event, Found, Life, Release, ReplicaName, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::sync::mpsc;

use crate::Spec;
use crate::environment::Endpoint;

/// Room for events on their way to the reconciler. When it is full the sender waits: the facts
/// here are few, and each is needed.
pub const EVENTS_CAPACITY: usize = 1024;

/// Where a driver reports what it sees.
pub type EventSender = mpsc::Sender<Event>;

/// Which replica to start.
#[derive(Clone, Debug)]
pub struct StartOrder {
    /// Which life of which seat it will be.
    pub life: Life,
    /// What it will be called.
    pub name: ReplicaName,
    /// What it will run; what the driver was made with, unless it is told.
    pub release: Release,
}

impl StartOrder {
    /// A word of a command with its placeholders filled in: `{name}`, `{seat}`, and where to listen.
    pub(crate) fn fill_in(&self, word: &str, endpoint: &Endpoint) -> String {
        let word = word.replace("{name}", self.name.as_str()).replace("{seat}", &self.life.seat.to_string());
        // Last, because a path may look as if it held placeholders of its own.
        endpoint.fill_in(&word)
    }
}

/// Starts, stops and lists the replicas of one service. Exits and freezes are reported as events,
/// through the [`EventSender`] that the driver was made with. Dropping a future that a method
/// returned leaves the work half done; call `stop` to tidy up.
pub trait Driver: Send + Sync + 'static {
    /// Checks, before anything is started, that starting can work: the engine answers, the image
    /// or the program exists. Creates what replicas share, such as their network.
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>>;

    /// Starts a replica and returns where it will listen. It need not listen yet. On failure
    /// nothing that was started is left running.
    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>>;

    /// Makes sure that nothing of a life is left: stops it, and removes what remains. A life that
    /// is gone already is no error.
    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>>;

    /// Whether a replica is frozen: paused, or stopped by a signal.
    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>>;

    /// Everything of this service that is ours, running or not.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>>;

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

    /// Removes what replicas shared, when the last of them is gone and the balancer ends.
    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>>;
}

/// Why a driver could not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct DriverError {
    what: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    is_unreachable: bool,
}

impl DriverError {
    /// An error with nothing behind it.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, is_unreachable: false }
    }

    /// An error with its cause.
    pub fn caused(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()), is_unreachable: false }
    }

    /// The same error, which came of not reaching whoever should have done it, or did not.
    pub(crate) fn and_unreachable(self, is_unreachable: bool) -> Self {
        Self { is_unreachable, ..self }
    }

    /// Whether the one who should have done it could not be reached: it may be done or not.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable
    }

    /// The error and all its causes in one line.
    pub fn in_full(&self) -> String {
        fleet::in_full(self)
    }
}
