//! The one task that owns a fleet: observe, plan, perform, publish.

mod edits;
mod show;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use driver::{Driver, EVENTS_CAPACITY, EventSender};
use fleet::{
    Action, Event, Fleet, FleetSettings, FleetView, Life, Publisher, Reader, Replica, RoutingTable,
    Suspicion, routing,
};
use placement::{Placement, Seat};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::heartbeat::{HeartbeatLine, HeartbeatSettings, Heartbeats};
use crate::journal::Journal;
use crate::perform::Performer;
use crate::wish::{StateDir, WishError};

use edits::{Command, Edits};
pub use edits::{EditError, Handle};

/// How often the driver is asked for everything, to repair whatever was missed.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// Room for commands and for suspicions. Callers wait when the first is full; when the second is,
/// the suspicion is dropped, and heartbeats find out later.
const COMMANDS_CAPACITY: usize = 256;
const SUSPICIONS_CAPACITY: usize = 1024;

/// A fleet planned again and again must come to rest; this many rounds without are a mistake.
const ROUNDS_MAX: usize = 1000;

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
    /// Where the wish is kept, if it is.
    pub state: Option<StateDir>,
    /// Where it is written down what happens to replicas.
    pub journal: Journal,
}

/// A reconciler that runs, as the rest of the program sees it.
#[derive(Debug)]
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

struct Reconciler {
    fleet: Fleet,
    edits: Edits,
    performer: Performer,
    heartbeats: HeartbeatLine,
    clock: Clock,
    load_factor: f64,
    replicas: BTreeMap<Life, Arc<Replica>>,
    publisher: Publisher,
    published: Published,
    view: watch::Sender<Arc<FleetView>>,
    journal: Journal,
}

/// What the last published table was made of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Published {
    generation: u64,
    seats: Vec<Seat>,
    routable: Vec<Life>,
}

struct Inbox {
    commands: mpsc::Receiver<Command>,
    events: mpsc::Receiver<Event>,
    suspicions: mpsc::Receiver<Suspicion>,
}

impl Control {
    /// Reads the wish, finds what an earlier balancer left, and starts the reconciler. `make_driver`
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
        let placement = (settings.placement.clone(), settings.weights.clone());
        let desired = match &settings.state {
            Some(state) => state.read(service, placement, !found.is_empty())?,
            None => fleet::Desired::new(fastrand::u64(..), placement.0, placement.1),
        };
        let is_restored = desired.generation() > 0;
        let mut fleet = Fleet::new(settings.fleet.clone(), desired);
        fleet.adopt(&found, clock.now());
        let first = RoutingTable::new(0, fleet.placement().clone(), &[], settings.load_factor);
        let (publisher, table) = routing(first);
        let (view, view_seen) = watch::channel(Arc::new(fleet.view(clock.now())));
        let performer = Performer {
            service: service.into(),
            driver,
            events: events_in.clone(),
            start_timeout: settings.fleet.start_timeout,
            clock,
        };
        let reconciler = Reconciler {
            fleet,
            edits: Edits::new(service, settings.state),
            performer,
            heartbeats: heartbeats.watch(settings.heartbeat, events_in),
            clock,
            load_factor: settings.load_factor,
            replicas: BTreeMap::new(),
            publisher,
            published: Published::default(),
            view,
            journal: settings.journal,
        };
        tokio::spawn(reconciler.run(Inbox { commands, events, suspicions }));
        let handle = Handle::new(service, commands_in, view_seen);
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
    Wish(#[from] WishError),
}

impl Reconciler {
    async fn run(mut self, mut inbox: Inbox) {
        let mut list_at = Instant::now() + LIST_EVERY;
        loop {
            let again_at = self.step().await;
            if self.edits.is_retired() && self.fleet.observed().lives().next().is_none() {
                self.finish_retiring().await;
            }
            let again_at = again_at.map_or(list_at, |again_at| again_at.min(list_at));
            if self.hear(&mut inbox, again_at).await.is_break() {
                return;
            }
            if Instant::now() >= list_at {
                list_at = Instant::now() + LIST_EVERY;
                self.performer.begin_list();
            }
        }
    }

    /// Takes in what comes until something of it is news, or the time has come. Breaks when nobody
    /// holds the handle any more: the program is ending.
    async fn hear(&mut self, inbox: &mut Inbox, until: Instant) -> ControlFlow<()> {
        let mut has_news = false;
        while !has_news {
            tokio::select! {
                event = inbox.events.recv() => match event {
                    Some(event) => has_news = self.observe(&event),
                    None => return ControlFlow::Break(()),
                },
                Some(suspicion) = inbox.suspicions.recv() => has_news = self.observe(&Event::Suspected(suspicion)),
                command = inbox.commands.recv() => match command {
                    Some(command) => {
                        self.take(command).await;
                        has_news = true;
                    }
                    None => return ControlFlow::Break(()),
                },
                () = tokio::time::sleep_until(until) => has_news = true,
            }
        }
        // Facts that have come meanwhile belong into the same plan.
        for _ in 0..EVENTS_CAPACITY {
            match inbox.events.try_recv() {
                Ok(event) => self.observe(&event),
                Err(_) => break,
            };
        }
        ControlFlow::Continue(())
    }

    /// Whether it was news.
    fn observe(&mut self, event: &Event) -> bool {
        if !self.fleet.observed().is_news(event) {
            return false;
        }
        // What could be something or nothing is asked about at once.
        match event {
            Event::Suspected(suspicion) if !suspicion.is_refusal => self.heartbeats.poke(suspicion.life),
            Event::Frozen(life, true) => self.heartbeats.poke(*life),
            _ => {}
        }
        self.fleet.observe(event, self.clock.now());
        if let Event::Started(life, address) = event {
            tracing::debug!(service = %self.performer.service, %life, %address, "started, waiting for its heartbeat");
        }
        true
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::Edit(edit, reply) => {
                self.edits.take(&mut self.fleet, (edit, reply), self.clock.now()).await;
            }
            Command::Retire(reply) => {
                self.fleet.retire();
                self.edits.retire(reply);
            }
        }
    }

    /// The last replica is gone, and with it goes what replicas shared.
    async fn finish_retiring(&mut self) {
        let Some(done) = self.edits.take_retiring() else { return };
        if let Err(error) = self.performer.driver.tidy_up().await {
            tracing::warn!(service = %self.performer.service, "cannot tidy up: {}", error.in_full());
        }
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
    }

    /// Edits that waited are taken one by one, each answered with the fleet as it left it.
    async fn retry_parked(&mut self) {
        for parked in self.edits.unpark() {
            self.edits.take(&mut self.fleet, parked, self.clock.now()).await;
            self.show();
        }
    }

    /// Plans and performs until there is nothing more to do now; then shows the outcome.
    /// Returns when time alone will call for something.
    async fn step(&mut self) -> Option<Instant> {
        for _ in 0..ROUNDS_MAX {
            let plan = self.fleet.plan(self.clock.now());
            if plan.actions.is_empty() {
                self.show();
                return plan.again_at.map(|moment| self.clock.instant(moment));
            }
            for action in plan.actions {
                if self.perform(action).await.is_break() {
                    // What was planned for the fleet as it was need not be right for it now.
                    break;
                }
            }
        }
        tracing::error!(service = %self.performer.service, "plans do not come to rest");
        self.show();
        Some(Instant::now() + Duration::from_secs(1))
    }

    /// Breaks when the action changed what should run.
    async fn perform(&mut self, action: Action) -> ControlFlow<()> {
        self.log(&action);
        let now = self.clock.now();
        match &action {
            // Whoever waits for a settled change must find it in the table and in the view.
            Action::Commit(change) => {
                let stored = self.edits.commit(&mut self.fleet, *change, now).await;
                self.show();
                self.edits.reply(*change, stored.map(|()| Arc::clone(&self.view.borrow())));
                self.retry_parked().await;
                ControlFlow::Break(())
            }
            Action::Undo(change, why) => {
                self.fleet.accept(&action, now);
                self.show();
                self.edits.reply(*change, Err(EditError::Undone(why.clone())));
                self.retry_parked().await;
                ControlFlow::Break(())
            }
            Action::Start(life, _)
            | Action::Replace(life, _)
            | Action::Inspect(life)
            | Action::Drain(life)
            | Action::Stop(life, _) => {
                self.fleet.accept(&action, now);
                self.performer.begin(&action, self.replicas.get(life).cloned());
                ControlFlow::Continue(())
            }
        }
    }
}
