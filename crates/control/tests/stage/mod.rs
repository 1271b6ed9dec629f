//! A reconciler on a stage: its driver does what the script says, its replicas are well unless a test says
//! otherwise. A scene is described first, `Scene::new().stored_in(&folder).finds("1.1 web_1")`, and then set.

#![allow(dead_code, reason = "each test file uses the part of the stage that it needs")]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::{
    Control, EditError, HeartbeatProtocol, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings,
    ServiceView, StateDir, Store,
};
use driver::{Driver, DriverError, EventSender, Script, ScriptedDriver};
use fleet::{
    Address, Edit, Event, Exit, FleetSettings, Found, FoundState, HealthSettings, Life, ReplicaName,
    ReplicaState, RolloutSettings,
};
use placement::{Placement, Rendezvous, Seat, SeatChoice};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// How long something that comes true at once may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What there is before a reconciler starts.
pub(crate) struct Scene {
    settings: ReconcilerSettings,
    driver: Arc<ScriptedDriver>,
    folder: Option<PathBuf>,
    /// The next attempts to make a driver fail with these texts.
    absences: VecDeque<String>,
}

/// A reconciler that runs.
pub(crate) struct Stage {
    pub(crate) driver: Arc<ScriptedDriver>,
    pub(crate) control: Control,
    pub(crate) events: EventSender,
    pub(crate) journal: Journal,
    _heartbeats: Heartbeats,
}

impl Scene {
    /// Nothing runs and nothing is stored; what is started is well at once.
    pub(crate) fn new() -> Self {
        let driver = Arc::new(ScriptedDriver::new(healthy()));
        Self { settings: settings(), driver, folder: None, absences: VecDeque::new() }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut ReconcilerSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn scripted(self, change: impl FnOnce(&mut Script)) -> Self {
        change(&mut self.driver.script());
        self
    }

    /// What should run is stored in this folder.
    pub(crate) fn stored_in(mut self, folder: &TempDir) -> Self {
        self.folder = Some(folder.path().to_path_buf());
        self
    }

    pub(crate) fn stored_by(self, store: Arc<dyn Store>) -> Self {
        self.with(|settings| settings.state = Some(store))
    }

    /// An earlier balancer left this one, such as `1.4 web_abcdef`, and it is well.
    pub(crate) fn finds(self, replica: &str) -> Self {
        let address = self.driver.script().address.clone();
        self.finds_at(replica, address)
    }

    pub(crate) fn finds_at(self, replica: &str, address: Address) -> Self {
        let (life_text, name) = replica.split_once(' ').unwrap();
        let name = ReplicaName::parse(name).unwrap();
        let state = FoundState::Running { address, is_frozen: false };
        self.scripted(|script| script.found.push(Found { life: life(life_text), name, state }))
    }

    /// There is no engine at first.
    pub(crate) fn without_engine(mut self, attempts: usize) -> Self {
        self.absences = (0..attempts).map(|_| "no engine".to_owned()).collect();
        self
    }

    /// Starts the reconciler.
    pub(crate) async fn set(self) -> Stage {
        self.try_set().await.unwrap()
    }

    pub(crate) async fn try_set(mut self) -> Result<Stage, String> {
        if let Some(folder) = &self.folder {
            self.settings.state = Some(Arc::new(open(folder).await));
        }
        let is_patient = !self.absences.is_empty();
        let heartbeats = Heartbeats::start().unwrap();
        let journal = self.settings.journal.clone();
        let (given, line) = (Arc::clone(&self.driver), Arc::<Mutex<Option<EventSender>>>::default());
        let line_given = Arc::clone(&line);
        let absences = Mutex::new(self.absences);
        let asked = self.driver.script().release;
        let make_driver = control::driver_maker(move |events| {
            let absence = absences.lock().unwrap().pop_front();
            *line_given.lock().unwrap() = Some(events);
            given.script().release = asked;
            let given = Arc::clone(&given) as Arc<dyn Driver>;
            async move { absence.map_or(Ok(given), |why| Err(DriverError::new(why))) }
        });
        let control = Control::start(self.settings, &heartbeats, make_driver);
        let attempted = control.handle.attempted().await;
        if !is_patient {
            attempted?;
        }
        // Where what is stored cannot be read at first, a driver is made later.
        let made = async {
            loop {
                let events = line.lock().unwrap().take();
                if let Some(events) = events {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        let events = tokio::time::timeout(PATIENCE, made).await.expect("a driver is made");
        Ok(Stage { driver: self.driver, control, events, journal, _heartbeats: heartbeats })
    }
}

impl Stage {
    pub(crate) async fn edit(&self, edit: Edit) -> Result<Arc<ServiceView>, EditError> {
        self.control.handle.edit(edit).await
    }

    /// As a balancer does that has just been started.
    pub(crate) async fn fill(&self, count: u32) -> Arc<ServiceView> {
        self.edit(Edit::Fill { count }).await.unwrap();
        self.control.handle.whole().await;
        self.view()
    }

    /// The process of this life is killed.
    pub(crate) async fn kill(&self, life: Life) {
        let exit = Exit { signal: Some(9), ..Exit::default() };
        self.events.send(Event::Exited(life, exit)).await.unwrap();
    }

    /// The process of this life ends by itself.
    pub(crate) async fn end(&self, life: Life) {
        self.events.send(Event::Exited(life, Exit::default())).await.unwrap();
    }

    pub(crate) fn is_restored(&self) -> bool {
        self.view().beginning.begun().unwrap().is_restored
    }

    pub(crate) fn view(&self) -> Arc<ServiceView> {
        self.control.handle.view()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.view().fleet.names().map(ToString::to_string).collect()
    }

    /// Seat and life of everybody in the table.
    pub(crate) fn table(&self) -> String {
        let table = self.control.table.load();
        let replicas = table.replicas().map(|replica| format!("{}:{}", replica.seat, replica.life));
        replicas.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn orders(&self) -> Vec<String> {
        self.driver.script().orders.clone()
    }

    /// The number of orders that begin like this.
    pub(crate) fn ordered(&self, beginning: &str) -> usize {
        self.orders().iter().filter(|order| order.starts_with(beginning)).count()
    }

    pub(crate) async fn spares_are_ready(&self) {
        self.eventually("every spare is ready", |stage| {
            stage.view().fleet.spares.iter().all(|spare| spare.state == ReplicaState::Spare)
        })
        .await;
    }

    pub(crate) async fn eventually(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        self.within(PATIENCE, what, is_so).await;
    }

    pub(crate) async fn within(&self, length: Duration, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(length, wait).await;
        let (orders, table) = (self.orders(), self.table());
        assert!(in_time.is_ok(), "it did not come true: {what}; orders: {orders:?}; the table has {table}");
    }
}

/// A fleet of up to ten replicas that is watched closely.
fn settings() -> ReconcilerSettings {
    ReconcilerSettings {
        service: "web".into(),
        fleet: FleetSettings {
            name_prefix: "web".into(),
            replicas_max: 10,
            spares: 0,
            start_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(10),
            health: HealthSettings::default(),
            seat_choice: SeatChoice::Lowest,
            rollout: RolloutSettings::default(),
            is_owned: true,
        },
        replicas: 0,
        heartbeat: HeartbeatSettings {
            protocol: HeartbeatProtocol::Http1,
            path: "/heartbeat".into(),
            question: control::Question::default(),
            every: Duration::from_millis(50),
            timeout: Duration::from_millis(50),
        },
        placement: Placement::Rendezvous(Rendezvous::default()),
        weights: Vec::new(),
        load_factor: 1.25,
        requests_per_replica: None,
        state: None,
        reserved_names: std::collections::BTreeSet::new(),
        journal: Journal::default(),
    }
}

/// Opens a folder that an earlier reconciler may hold: it lets go when it has ended.
pub(crate) async fn open(folder: &Path) -> StateDir {
    let is_let_go = async {
        loop {
            match StateDir::open(folder, true) {
                Ok(state) => return state,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_let_go).await.expect("the lock is let go")
}

/// Where what should run is stored.
pub(crate) fn stored_file(folder: &TempDir) -> PathBuf {
    folder.path().join("web.wish")
}

pub(crate) fn stored_text(folder: &TempDir) -> String {
    std::fs::read_to_string(stored_file(folder)).unwrap()
}

pub(crate) fn life(text: &str) -> Life {
    let (seat, incarnation) = text.split_once('.').unwrap();
    Life { seat: Seat::new(seat.parse().unwrap()).unwrap(), incarnation: incarnation.parse().unwrap() }
}

/// A port of our own.
pub(crate) fn listener() -> (Address, TcpListener) {
    let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener.local_addr().unwrap().into(), TcpListener::from_std(listener).unwrap())
}

/// A web server that answers every heartbeat well.
pub(crate) fn healthy() -> Address {
    let (address, listener) = listener();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

pub(crate) async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = stream.read(&mut [0; 1024]).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
}
