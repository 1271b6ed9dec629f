//! The start of a service: reads what should run, finds what an earlier balancer left, and lets the
//! reconciler go.

use std::sync::Arc;
use std::time::SystemTime;

use driver::{Driver, EVENTS_CAPACITY, EventSender};
use fleet::{Desired, Fleet, FleetSettings, Reader, RoutingTable, Seating, Suspicion, routing};
use placement::{NoRoom, Placement};
use tokio::sync::{mpsc, watch};

use super::chronicle::Chronicle;
use super::edits::Edits;
use super::learning::Learning;
use super::publishing::Publishing;
use super::storing::Storing;
use super::{Inbox, Reconciler, SUSPICIONS_CAPACITY};
use crate::clock::Clock;
use crate::ejections::Ejections;
use crate::handle::Handle;
use crate::heartbeat::{HeartbeatSettings, Heartbeats};
use crate::journal::Journal;
use crate::perform::{Lists, Performer};
use crate::store::{Store, StoreError};
use crate::view::ServiceView;

/// Room for commands. Callers wait when it is full.
const COMMANDS_CAPACITY: usize = 256;

/// What a reconciler is started with.
#[derive(Clone, Debug)]
pub struct ReconcilerSettings {
    /// The service's name.
    pub service: String,
    /// What plans are made with.
    pub fleet: FleetSettings,
    /// How replicas are asked for their health.
    pub heartbeat: HeartbeatSettings,
    /// An empty placement of the configured kind.
    pub placement: Placement,
    /// The weights of seats 1, 2, 3, …; those behind the end have 1.
    pub weights: Vec<u32>,
    /// The bound on a replica's load; below 1 there is none.
    pub load_factor: f64,
    /// Where it is stored what should run, if it is.
    pub state: Option<Arc<dyn Store>>,
    /// Where it is written down what happens to replicas.
    pub journal: Journal,
}

/// A reconciler that runs, as the rest of the program sees it; clones share it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use control::{Control, HeartbeatSettings, Heartbeats, ReconcilerSettings};
/// use driver::ScriptedDriver;
/// use fleet::{Edit, FleetSettings};
/// use placement::{Key, Placement, Rendezvous};
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let replica = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = replica.local_addr()?;
/// # tokio::spawn(async move {
/// #     while let Ok((mut stream, _)) = replica.accept().await {
/// #         let _ = stream.read(&mut [0; 1024]).await;
/// #         let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
/// #     }
/// # });
/// let settings = ReconcilerSettings {
///     service: "web".into(),
///     fleet: FleetSettings {
///         name_prefix: "web".into(),
///         replicas_max: 10,
///         spares: 0,
///         start_timeout: Duration::from_secs(30),
///         drain_deadline: Duration::from_secs(30),
///         health: fleet::HealthSettings::default(),
///         seat_choice: placement::SeatChoice::Lowest,
///         rollout: fleet::RolloutSettings::default(),
///         is_owned: true,
///     },
///     heartbeat: HeartbeatSettings {
///         protocol: control::HeartbeatProtocol::Http1,
///         path: "/heartbeat".into(),
///         every: Duration::from_millis(50),
///         timeout: Duration::from_millis(500),
///     },
///     placement: Placement::Rendezvous(Rendezvous::default()),
///     weights: Vec::new(),
///     load_factor: 1.25,
///     state: None,
///     journal: control::Journal::default(),
/// };
/// let heartbeats = Heartbeats::start()?;
/// // All replicas of this driver are said to listen where a web server of ours does.
/// let driver = Arc::new(ScriptedDriver::new(address.into()));
/// let control = Control::start(settings, &heartbeats, async |_events| Ok(driver as _)).await?;
///
/// // An edit is answered when the replicas take traffic.
/// let view = control.handle.edit(Edit::Fill { count: 2 }).await?;
/// assert_eq!(view.fleet.ready(), 2);
/// let names: Vec<_> = control.table.load().replicas().map(|one| one.name.to_string()).collect();
/// assert_eq!(names, ["web_1", "web_2"]);
/// assert!(control.table.load().claim(Key::of(b"alice"), &[]).is_some());
///
/// control.handle.retire().await;
/// assert_eq!(control.table.load().replicas().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Control {
    /// For edits and views.
    pub handle: Handle,
    /// The routing table.
    pub table: Reader,
    /// Where the way of a request drops its suspicions.
    pub suspicions: mpsc::Sender<Suspicion>,
    /// Whether what should run was read from disk.
    pub is_restored: bool,
}

impl Control {
    /// Reads what should run, finds what an earlier balancer left, and starts the reconciler. `make_driver`
    /// is given the line on which the driver reports.
    pub async fn start<F>(
        settings: ReconcilerSettings,
        heartbeats: &Heartbeats,
        make_driver: F,
    ) -> Result<Self, StartError>
    where
        F: AsyncFnOnce(EventSender) -> Result<Arc<dyn Driver>, driver::DriverError>,
    {
        let (events_in, events) = mpsc::channel(EVENTS_CAPACITY);
        let (commands_in, commands) = mpsc::channel(COMMANDS_CAPACITY);
        let (suspicions_in, suspicions) = mpsc::channel(SUSPICIONS_CAPACITY);
        let driver = make_driver(events_in.clone()).await?;
        driver.prepare().await?;
        let clock = Clock::start();
        let service = settings.service.as_str();
        let found = driver.list().await?;
        let mut storing = Storing::new(service, settings.state, settings.journal.clone());
        let stored = storing.read(!found.is_empty()).await?;
        let desired = stored.unwrap_or_else(|| Desired::new(fastrand::u64(..)));
        let is_restored = desired.generation > 0;
        let seating = Seating::new(settings.placement, settings.weights);
        let fleet = Fleet::new(settings.fleet.clone(), seating, desired);
        let mut fleet = fleet.map_err(|why| StartError::DoesNotFit { location: storing.location(), why })?;
        fleet.adopt(&found, |life| driver.release_of(life), clock.now());
        let outdated = fleet.settle_releases(driver.release(), |life| driver.release_of(life));
        if outdated > 0 {
            tracing::warn!(
                service,
                "{outdated} replicas run something else than the configuration asks for; `evenkeel deploy` brings them up to date"
            );
        }
        let first = RoutingTable::new(0, fleet.placement().clone(), &[], settings.load_factor);
        let (publisher, table) = routing(first);
        let began_at = SystemTime::now();
        let (view, view_seen) = watch::channel(Arc::new(ServiceView {
            fleet: fleet.view(clock.now()),
            paused_until: None,
            began_at,
            ejections: Ejections::default(),
            trouble: None,
        }));
        let handle = Handle::new(service, commands_in, view_seen);
        let performer = Performer {
            service: service.into(),
            driver,
            events: events_in.clone(),
            start_timeout: settings.fleet.start_timeout,
            clock: clock.clone(),
            lists: Lists::default(),
        };
        let failures_max = settings.fleet.health.failures;
        let reconciler = Reconciler {
            fleet,
            edits: Edits::new(storing),
            heartbeats: heartbeats.watch(settings.heartbeat, events_in),
            clock,
            publishing: Publishing::new(publisher, settings.load_factor, failures_max),
            chronicle: Chronicle::new(Arc::clone(&performer.service), settings.journal),
            performer,
            pause: None,
            view,
            began_at,
        };
        let learning = Learning::default();
        tokio::spawn(reconciler.run(Inbox { commands, events, suspicions, learning }));
        Ok(Self { handle, table, suspicions: suspicions_in, is_restored })
    }
}

/// Why a service could not be started.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum StartError {
    #[error(transparent)]
    Driver(#[from] driver::DriverError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what {location} asks for does not fit the configured placement: {why}")]
    DoesNotFit { location: String, why: NoRoom },
}
