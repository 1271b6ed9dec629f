//! The start of a service, as the rest of the program sees it: what it is started with, and what there is
//! of it from the first moment on. How it begins stands beside it.

use std::sync::Arc;
use std::time::SystemTime;

use driver::EVENTS_CAPACITY;
use fleet::{FleetView, Reader, RoutingTable, Suspicion, routing};
use tokio::sync::{mpsc, watch};

use super::SUSPICIONS_CAPACITY;
use super::beginning::{Beginner, Lines};
use super::settings::{MakeDriver, ReconcilerSettings};
use crate::beginning::Beginning;
use crate::clock::Clock;
use crate::ejections::Ejections;
use crate::handle::Handle;
use crate::heartbeat::Heartbeats;
use crate::view::{Running, ServiceView};

/// Room for commands. Callers wait when it is full.
const COMMANDS_CAPACITY: usize = 256;

/// A reconciler that runs, as the rest of the program sees it; clones share it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use control::{Control, HeartbeatSettings, Heartbeats, ReconcilerSettings};
/// use driver::ScriptedDriver;
/// use fleet::FleetSettings;
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
///     replicas: 2,
///     heartbeat: HeartbeatSettings {
///         protocol: control::HeartbeatProtocol::Http1,
///         path: "/heartbeat".into(),
///         question: control::Question::default(),
///         every: Duration::from_millis(50),
///         timeout: Duration::from_millis(500),
///     },
///     placement: Placement::Rendezvous(Rendezvous::default()),
///     weights: Vec::new(),
///     load_factor: 1.25,
///     requests_per_replica: None,
///     state: None,
///     reserved_names: std::collections::BTreeSet::new(),
///     journal: control::Journal::default(),
/// };
/// let heartbeats = Heartbeats::start()?;
/// // All replicas of this driver are said to listen where a web server of ours does.
/// let driver = Arc::new(ScriptedDriver::new(address.into()));
/// let make_driver = control::driver_maker(move |_events| {
///     let driver = Arc::clone(&driver);
///     async move { Ok(driver as _) }
/// });
/// let control = Control::start(settings, &heartbeats, make_driver);
///
/// // Its table is there at once, and has the replicas when they take traffic.
/// control.handle.begun().await;
/// control.handle.whole().await;
/// assert_eq!(control.handle.view().fleet.ready(), 2);
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
}

impl Control {
    /// Starts a service. Handle and table are there at once; the service begins beside that, with what
    /// should run, as it was stored, and what an earlier balancer left. What stands in its way is shown in
    /// the view, and tried again until it begins.
    pub fn start(settings: ReconcilerSettings, heartbeats: &Heartbeats, make_driver: MakeDriver) -> Self {
        let (events_in, events) = mpsc::channel(EVENTS_CAPACITY);
        let (commands_in, commands) = mpsc::channel(COMMANDS_CAPACITY);
        let (suspicions_in, suspicions) = mpsc::channel(SUSPICIONS_CAPACITY);
        let clock = Clock::start();
        let first = RoutingTable::awaited(settings.placement.clone());
        let (mut publisher, table) = routing(first);
        publisher.limit_requests(settings.requests_per_replica.unwrap_or(u64::MAX));
        let began_at = SystemTime::now();
        let (view, view_seen) = watch::channel(Arc::new(ServiceView {
            beginning: Beginning::Waiting { why: None },
            fleet: FleetView::default(),
            paused_until: None,
            began_at,
            ejections: Ejections::default(),
            trouble: None,
            differing: Vec::new(),
            running: Running::default(),
        }));
        let handle = Handle::new(&settings.service, commands_in, view_seen);
        let lines = Lines { events_in, events, commands, suspicions, publisher, view, began_at };
        let beginner = Beginner {
            settings,
            heartbeats: heartbeats.clone(),
            clock,
            make_driver,
            prepared: None,
            told: None,
        };
        tokio::spawn(beginner.run(lines));
        Self { handle, table, suspicions: suspicions_in }
    }
}
