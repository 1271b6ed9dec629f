//! How a service begins: a driver is made, what should run is read, what an earlier balancer left is found,
//! and then the reconciler goes. Whatever stands in the way is told and tried again, for as long as it
//! takes: an engine may come later than we, and the other services do not wait for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use driver::{Driver, EventSender, Recipe};
use fleet::{Desired, Edit, Event, Fleet, FoundState, Publisher, Refusal, Seating, Suspicion, in_full};
use placement::NoRoom;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::chronicle::Chronicle;
use super::edits::Edits;
use super::learning::Learning;
use super::publishing::Publishing;
use super::releases;
use super::settings::{MakeDriver, ReconcilerSettings};
use super::storing::Storing;
use super::{Inbox, Reconciler};
use crate::beginning::{Beginning, Begun};
use crate::clock::Clock;
use crate::handle::{Command, EditError};
use crate::happening::Happening;
use crate::heartbeat::Heartbeats;
use crate::perform::{Lists, Performer};
use crate::store::{StoreError, Stored};
use crate::view::ServiceView;

/// The pause after the first attempt that failed; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// How often a reason is told again that has not changed.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// How often a driver is made in one attempt: what is stored may count, or not.
const LOOKS_MAX: usize = 3;

/// The lines that lead to a service and from it.
pub(super) struct Lines {
    pub(super) events_in: EventSender,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) suspicions: mpsc::Receiver<Suspicion>,
    pub(super) publisher: Publisher,
    pub(super) view: watch::Sender<Arc<ServiceView>>,
    pub(super) began_at: SystemTime,
}

/// What a service is begun with.
pub(super) struct Beginner {
    pub(super) settings: ReconcilerSettings,
    pub(super) heartbeats: Heartbeats,
    pub(super) clock: Clock,
    pub(super) make_driver: MakeDriver,
    /// The driver, as soon as it is ready. What it has taken over by then it takes over once.
    pub(super) prepared: Option<Prepared>,
    /// Why it could not begin, if that was told, and when it was told the last time.
    pub(super) told: Option<(String, Instant)>,
}

/// A driver that is ready.
#[derive(Clone)]
pub(super) struct Prepared {
    driver: Arc<dyn Driver>,
    /// What was stored, and what it was to run.
    offered: Option<Recipe>,
    /// Whether it does, and not what it was made with.
    is_resumed: bool,
}

/// What there is before the fleet is made.
struct Sight {
    prepared: Prepared,
    found: Vec<fleet::Found>,
    storing: Storing,
    stored: Option<Stored>,
}

/// What was found at the beginning.
struct Found {
    driver: Arc<dyn Driver>,
    fleet: Fleet,
    storing: Storing,
    begun: Begun,
    /// In which keys the configuration differs from what is run.
    differing: Vec<String>,
}

impl Beginner {
    /// Begins, and then reconciles until nobody holds the handle any more.
    pub(super) async fn run(mut self, mut lines: Lines) {
        let mut pause = RETRY_FIRST;
        let found = loop {
            let attempt = self.attempt(&lines.events_in);
            let Some(outcome) = meanwhile(attempt, &mut lines.commands, &lines.view).await else { return };
            match outcome {
                Ok(found) => break found,
                Err(error) => self.tell(&in_full(&error), pause, &lines.view),
            }
            let slept = meanwhile(tokio::time::sleep(pause), &mut lines.commands, &lines.view).await;
            if slept.is_none() {
                return;
            }
            pause = (pause * 2).min(RETRY_LONGEST);
        };
        if self.told.is_some() {
            tracing::info!(service = %self.settings.service, "can be started now");
            self.settings.journal.record(&self.settings.service, None, Happening::CanStart);
        }
        self.reconcile(found, lines).await;
    }

    /// Says why it could not begin: to whoever looks at it, and in the log and among the events when it is
    /// news.
    fn tell(&mut self, why: &str, pause: Duration, view: &watch::Sender<Arc<ServiceView>>) {
        let service = &self.settings.service;
        let is_news = self.told.as_ref().is_none_or(|(told, _)| told != why);
        if is_news || self.told.as_ref().is_none_or(|(_, at)| at.elapsed() >= REMIND_EVERY) {
            tracing::error!(%service, "cannot be started: {why}; it is tried again, the next time in {pause:?}");
            self.told = Some((why.to_owned(), Instant::now()));
        }
        if is_news {
            self.settings.journal.record(service, None, Happening::CannotStart { why: why.to_owned() });
            view.send_modify(|view| {
                let beginning = Beginning::Waiting { why: Some(why.to_owned()) };
                *view = Arc::new(ServiceView { beginning, ..(**view).clone() });
            });
        }
    }

    async fn attempt(&mut self, events: &EventSender) -> Result<Found, StartError> {
        let Sight { prepared, found, mut storing, stored } = self.look(events).await?;
        let Prepared { driver, is_resumed, offered: _ } = prepared;
        let settings = &self.settings;
        let desired = stored.as_ref().map(|stored| stored.desired.clone());
        let desired = desired.unwrap_or_else(|| Desired::new(fastrand::u64(..)));
        let is_restored = desired.generation > 0;
        let seating = Seating::new(settings.placement.clone(), settings.weights.clone());
        let fleet = Fleet::new(settings.fleet.clone(), seating, desired);
        let mut fleet = fleet.map_err(|why| StartError::DoesNotFit { location: storing.location(), why })?;
        fleet.reserve(settings.reserved_names.iter().cloned());
        fleet.reserve(driver.names_of_strangers().iter().map(ToString::to_string));
        let release_of = |life| driver.release_of(life);
        fleet.adopt(&found, release_of, self.clock.now());
        let is_known = |release| driver.recipe(release).is_some();
        let outdated = fleet.settle_releases(driver.release(), release_of, is_known);
        let differing = releases::tell(&settings.service, &*driver, is_resumed, stored.as_ref()).await;
        releases::tell_of_outdated(&settings.service, outdated);
        let is_running = |one: &&fleet::Found| matches!(one.state, FoundState::Running { .. });
        let begun = Begun { found: found.iter().filter(is_running).count(), is_restored };
        if !is_restored {
            fleet.edit(&Edit::Fill { count: settings.replicas }, self.clock.now())?;
        }
        if !is_restored && fleet.desired().generation > 0 {
            storing.store(fleet.desired()).await?;
        }
        if stored.is_some_and(|stored| is_restored && !is_alike(&stored, fleet.desired(), &storing)) {
            // What could be started from is there. That it cannot be renewed is noted, and tried again.
            let _ = storing.store(fleet.desired()).await;
        }
        Ok(Found { driver, fleet, storing, begun, differing })
    }

    /// What is stored says what is run, if it counts; and whether it does may depend on what is found. So a
    /// driver is made for what is likely, and another one if that was wrong.
    async fn look(&mut self, events: &EventSender) -> Result<Sight, StartError> {
        let mut likely = self.peek().await?;
        for _ in 0..LOOKS_MAX {
            let prepared = self.prepare(events, likely.as_ref()).await?;
            let found = prepared.driver.list().await?;
            let mut storing = Storing::new(&self.settings, Arc::clone(&prepared.driver));
            let stored = storing.read(!found.is_empty()).await?;
            if stored.as_ref().and_then(recipe_of) == prepared.offered.as_ref() {
                return Ok(Sight { prepared, found, storing, stored });
            }
            likely = stored;
        }
        Err(StartError::Unsettled)
    }

    /// What is stored, whether it counts or not.
    async fn peek(&self) -> Result<Option<Stored>, StoreError> {
        let Some(store) = &self.settings.state else { return Ok(None) };
        match store.read(&self.settings.service).await {
            // Whether that matters is known by who knows whether it counts.
            Err(_) if !store.outlasts_fleets() => Ok(None),
            read => read,
        }
    }

    /// A driver that runs what is stored, if that is for it.
    async fn prepare(
        &mut self,
        events: &EventSender,
        stored: Option<&Stored>,
    ) -> Result<Prepared, StartError> {
        let recipe = stored.and_then(recipe_of);
        match &self.prepared {
            Some(prepared) if prepared.offered.as_ref() == recipe => return Ok(prepared.clone()),
            _ => self.prepared = None,
        }
        let driver = (self.make_driver)(events.clone()).await?;
        let is_resumed = recipe.is_some_and(|recipe| driver.resume(recipe));
        driver.prepare().await?;
        if let Some(stored) = stored.filter(|_| is_resumed) {
            stored.recipes.values().for_each(|recipe| driver.recall(recipe));
        }
        let prepared = Prepared { driver, offered: recipe.cloned(), is_resumed };
        Ok(self.prepared.insert(prepared).clone())
    }

    async fn reconcile(self, found: Found, lines: Lines) {
        let Self { settings, heartbeats, clock, make_driver: _, prepared: _, told: _ } = self;
        let Lines { events_in, events, commands, suspicions, publisher, view, began_at } = lines;
        let Found { driver, fleet, storing, begun, differing } = found;
        let performer = Performer {
            service: settings.service.as_str().into(),
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
            heartbeats: heartbeats.watch(settings.heartbeat, Arc::clone(&performer.driver), events_in),
            clock,
            publishing: Publishing::new(publisher, settings.load_factor, failures_max),
            chronicle: Chronicle::new(Arc::clone(&performer.service), settings.journal),
            performer,
            pause: None,
            beginning: Beginning::Begun(begun),
            differing,
            view,
            began_at,
        };
        let learning = Learning::default();
        reconciler.run(Inbox { commands, events, suspicions, learning }).await;
    }
}

/// What it is that was stored as what is to be run.
fn recipe_of(stored: &Stored) -> Option<&Recipe> {
    stored.recipes.get(&stored.desired.release)
}

/// Whether it is stored what is to be run, and what that is.
fn is_alike(stored: &Stored, desired: &Desired, storing: &Storing) -> bool {
    stored.desired.release == desired.release && stored.recipes == storing.recipes(desired)
}

/// Does something, and refuses what is asked of the service meanwhile. Nothing if the service is to end.
async fn meanwhile<T>(
    deed: impl Future<Output = T>,
    commands: &mut mpsc::Receiver<Command>,
    view: &watch::Sender<Arc<ServiceView>>,
) -> Option<T> {
    let mut deed = std::pin::pin!(deed);
    loop {
        let command = tokio::select! {
            biased;
            done = &mut deed => return Some(done),
            command = commands.recv() => command?,
        };
        let reply = match command {
            Command::Edit(request) => request.reply,
            Command::Deploy(_, reply) | Command::Pause(_, reply) => reply,
            // Nothing runs yet that could write, and who asked hears so.
            Command::Output(..) => continue,
            Command::Retire(done) => {
                // Nothing was begun, so nothing is to be ended. Whoever asked may have gone.
                let _ = done.send(());
                return None;
            }
        };
        let why = view.borrow().beginning.failure().map(str::to_owned);
        let _ = reply.send(Err(EditError::NotBegun(why.unwrap_or_else(|| "it is being started".into()))));
    }
}

/// Why a service could not be started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Driver(#[from] driver::DriverError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what {location} asks for does not fit the configured placement: {why}")]
    DoesNotFit { location: String, why: NoRoom },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    NotStored(#[from] EditError),
    #[error("what is left of the replicas changes while it is looked at")]
    Unsettled,
}
