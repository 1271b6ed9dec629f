//! The one task that owns a fleet: observe, plan, perform, publish.

mod edits;
mod look;
mod pause;
mod show;
mod storing;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use driver::{Driver, EVENTS_CAPACITY, EventSender};
use fleet::{
    Action, Event, Fleet, FleetSettings, Life, ProbeResult, Publisher, Reader, Replica, RoutingTable,
    Seating, Standing, Suspicion, SuspicionKind, routing,
};
use placement::{NoRoom, Placement, Seat};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::ejections::Ejections;
use crate::heartbeat::{HeartbeatLine, HeartbeatSettings, Heartbeats};
use crate::journal::Journal;
use crate::perform::{Lists, Performer};
use crate::view::ServiceView;
use crate::wish::{WishError, WishStore};

use edits::{Command, Edits, Shown};
pub use edits::{EditError, Handle};
pub use pause::PAUSE_MAX;
use storing::Storing;

/// How often the driver is asked for everything, to repair whatever was missed.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How often one looks at how long answers took.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
    pub state: Option<Arc<dyn WishStore>>,
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
    /// How many failed answers in a row of a replica are worth a word.
    failures_max: u32,
    replicas: BTreeMap<Life, Arc<Replica>>,
    publisher: Publisher,
    published: Published,
    pause: Option<pause::Pause>,
    view: watch::Sender<Arc<ServiceView>>,
    journal: Journal,
    ejections: Arc<Ejections>,
    /// When the clock began, for people.
    began_at: SystemTime,
}

/// What the last published table was made of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Published {
    generation: u64,
    seats: Vec<Seat>,
    pause: Option<pause::Pause>,
    standings: Standings,
}

/// Who may be routed to, who is half-open, and who was given up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standings {
    routable: Vec<Life>,
    half_open: Vec<Life>,
    abandoned: Vec<Life>,
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
        let desired = match &settings.state {
            Some(state) => state.read(service, !found.is_empty())?,
            None => fleet::Desired::new(fastrand::u64(..)),
        };
        let is_restored = desired.generation > 0;
        let storing = Storing::new((service, settings.state), &desired, settings.journal.clone());
        let seating = Seating::new(settings.placement, settings.weights);
        let mut fleet = Fleet::new(settings.fleet.clone(), seating, desired)?;
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
        let first = ServiceView { fleet: fleet.view(clock.now()), paused_until: None, began_at };
        let (view, view_seen) = watch::channel(Arc::new(first));
        let ejections = Arc::<Ejections>::default();
        let shown = Shown { view: view_seen, trouble: storing.trouble(), ejections: Arc::clone(&ejections) };
        let handle = Handle::new(service, (commands_in, driver.clone()), shown);
        let performer = Performer {
            service: service.into(),
            driver,
            events: events_in.clone(),
            start_timeout: settings.fleet.start_timeout,
            clock: clock.clone(),
            lists: Lists::default(),
        };
        let reconciler = Reconciler {
            fleet,
            edits: Edits::new(storing),
            performer,
            heartbeats: heartbeats.watch(settings.heartbeat, events_in),
            clock,
            load_factor: settings.load_factor,
            failures_max: settings.fleet.health.failures,
            replicas: BTreeMap::new(),
            publisher,
            published: Published::default(),
            pause: None,
            view,
            journal: settings.journal,
            ejections,
            began_at,
        };
        tokio::spawn(reconciler.run(Inbox { commands, events, suspicions }));
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
    #[error("what should run does not fit the configured placement: {0}")]
    DoesNotFit(#[from] NoRoom),
}

impl Reconciler {
    async fn run(mut self, mut inbox: Inbox) {
        let mut list_at = Instant::now() + LIST_EVERY;
        let mut look_at = Instant::now() + LOOK_EVERY;
        loop {
            let again_at = self.step(&mut inbox).await;
            if self.edits.is_retired() && self.fleet.observed().lives().next().is_none() {
                self.finish_retiring().await;
            }
            let pause_end = self.pause.map(|pause| self.clock.instant(pause.until));
            let moments = [again_at, pause_end, Some(look_at)].into_iter().flatten();
            let again_at = moments.fold(list_at, Instant::min);
            if self.hear(&mut inbox, again_at).await.is_break() {
                return;
            }
            if Instant::now() >= look_at {
                look_at = Instant::now() + LOOK_EVERY;
                self.look(|_| true);
            }
            if Instant::now() >= list_at {
                list_at = Instant::now() + LIST_EVERY;
                self.performer.begin_list();
                self.store_again(&mut inbox).await;
            }
        }
    }

    /// Stores the wish once more if it could not be stored. A fleet that ends has none any more, and the
    /// stored one is for the next balancer.
    async fn store_again(&mut self, inbox: &mut Inbox) {
        if !self.edits.is_retired() {
            self.edits.storing.try_again(self.fleet.desired()).await;
            self.catch_up(inbox);
        }
    }

    /// Takes in what comes until something of it is news, or the time has come. Breaks when nobody
    /// holds the handle any more: the program is ending.
    async fn hear(&mut self, inbox: &mut Inbox, until: Instant) -> ControlFlow<()> {
        let mut has_news = false;
        while !has_news {
            // In this order, and not by chance, so that a simulation can be repeated. Nobody starves:
            // each command ends this wait, and the facts that came meanwhile are taken in below.
            tokio::select! {
                biased;
                command = inbox.commands.recv() => match command {
                    Some(command) => {
                        self.take(command).await;
                        has_news = true;
                    }
                    None => return ControlFlow::Break(()),
                },
                event = inbox.events.recv() => match event {
                    Some(event) => has_news = self.observe(&event),
                    None => return ControlFlow::Break(()),
                },
                Some(suspicion) = inbox.suspicions.recv() => has_news = self.observe(&Event::Suspected(suspicion)),
                () = self.edits.storing.written() => has_news = true,
                () = tokio::time::sleep_until(until) => has_news = true,
            }
        }
        self.catch_up(inbox);
        ControlFlow::Continue(())
    }

    /// Takes in the facts that have come meanwhile: they belong into the same plan.
    fn catch_up(&mut self, inbox: &mut Inbox) {
        for _ in 0..EVENTS_CAPACITY {
            match inbox.events.try_recv() {
                Ok(event) => self.observe(&event),
                Err(_) => break,
            };
        }
        for _ in 0..SUSPICIONS_CAPACITY {
            match inbox.suspicions.try_recv() {
                Ok(suspicion) => self.observe(&Event::Suspected(suspicion)),
                Err(_) => break,
            };
        }
    }

    /// Whether it was news.
    fn observe(&mut self, event: &Event) -> bool {
        if !self.fleet.observed().is_news(event) {
            return false;
        }
        // What could be something or nothing is asked about at once.
        match event {
            Event::Suspected(Suspicion { life, kind: SuspicionKind::Broken }) => self.heartbeats.poke(*life),
            // Whether requests were answered meanwhile must be known before.
            Event::Beat(life, ProbeResult::Missed) => self.look(|other| other == *life),
            Event::Frozen(life, true) => self.heartbeats.poke(*life),
            Event::Overlooked => self.performer.begin_list(),
            Event::Exited(life, exit) if exit.code.or(exit.signal.map(i64::from)).is_some() => {
                self.log_exit(*life, exit);
            }
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
                // Answered before anything else is settled, or the answer would show that, too.
                self.show();
            }
            Command::Pause(length, reply) => {
                match length {
                    Some(length) => self.pause(length),
                    None => self.resume("it was asked for"),
                }
                self.edits.answer_when_shown(reply);
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
    async fn step(&mut self, inbox: &mut Inbox) -> Option<Instant> {
        self.end_pause_in_time();
        for _ in 0..ROUNDS_MAX {
            let plan = self.fleet.plan(self.clock.now());
            if plan.actions.is_empty() {
                self.show();
                self.edits.store_seats_of_spares(self.fleet.desired());
                return plan.again_at.map(|moment| self.clock.instant(moment));
            }
            for action in plan.actions {
                if self.perform(action).await.is_break() {
                    // What was planned for the fleet as it was need not be right for it now. And the
                    // disk may have taken long: nobody is judged by what was known before.
                    self.catch_up(inbox);
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
            Action::Rollout(step) => {
                self.edits.step(&mut self.fleet, step, now).await;
                self.show();
                ControlFlow::Break(())
            }
            Action::Replace(life, _) => {
                let seat = self.fleet.seat_of(*life);
                self.fleet.accept(&action, now);
                self.log_taking(seat);
                ControlFlow::Continue(())
            }
            Action::Start(life, _)
            | Action::Inspect(life)
            | Action::Admit(life)
            | Action::Drain(life)
            | Action::Stop(life, _) => {
                self.fleet.accept(&action, now);
                // Who is pardoned is not tried, but routed to.
                let is_tried =
                    matches!(action, Action::Admit(_)) && self.fleet.standing(*life) == Standing::HalfOpen;
                if let Some(replica) = self.replicas.get(life).filter(|_| is_tried) {
                    replica.gate.admit_one();
                }
                let release = self.fleet.roster().release_of(*life).unwrap_or_default();
                self.performer.begin(&action, (self.replicas.get(life).cloned(), release));
                ControlFlow::Continue(())
            }
        }
    }
}
