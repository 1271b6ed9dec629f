//! What a service is started with, and who makes its driver.

use std::collections::BTreeSet;
use std::sync::Arc;

use driver::{Driver, DriverError, EventSender};
use fleet::FleetSettings;
use futures_util::future::BoxFuture;
use placement::Placement;

use crate::heartbeat::HeartbeatSettings;
use crate::journal::Journal;
use crate::store::Store;

/// What a reconciler is started with.
#[derive(Clone, Debug)]
pub struct ReconcilerSettings {
    /// The service's name.
    pub service: String,
    /// What plans are made with.
    pub fleet: FleetSettings,
    /// How many replicas there are to be at the first start; after that, what was stored counts.
    pub replicas: u32,
    /// How replicas are asked for their health.
    pub heartbeat: HeartbeatSettings,
    /// An empty placement of the configured kind.
    pub placement: Placement,
    /// The weights of seats 1, 2, 3, …; those behind the end have 1.
    pub weights: Vec<u32>,
    /// The bound on a replica's load; below 1 there is none.
    pub load_factor: f64,
    /// The most requests in a replica at a time, if there is a limit.
    pub requests_per_replica: Option<u64>,
    /// Where it is stored what should run, if it is.
    pub state: Option<Arc<dyn Store>>,
    /// Names that no replica may have: of other services, and of machines that may come.
    pub reserved_names: BTreeSet<String>,
    /// Where it is written down what happens to replicas.
    pub journal: Journal,
}

/// Makes the driver of a service, which reports on this line. It is asked again when that failed.
pub type MakeDriver =
    Box<dyn Fn(EventSender) -> BoxFuture<'static, Result<Arc<dyn Driver>, DriverError>> + Send + Sync>;

/// What a function returns that makes drivers, in the form in which it is passed on.
pub fn driver_maker<F, Made>(make: F) -> MakeDriver
where
    F: Fn(EventSender) -> Made + Send + Sync + 'static,
    Made: Future<Output = Result<Arc<dyn Driver>, DriverError>> + Send + 'static,
{
    Box::new(move |events| Box::pin(make(events)))
}
