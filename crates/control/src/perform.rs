//! Carries out what a plan orders. It makes no choices: what came of a deed returns as an event.

use std::sync::Arc;
use std::time::Duration;

use driver::{Driver, EventSender, StartOrder};
use fleet::{Action, Event, Life, Moment, Release, Replica, StopHow};
use tokio::sync::{Mutex, Semaphore};

use crate::clock::Clock;

/// The first pause before a failed stop is tried again; each further one is twice as long.
const STOP_RETRY_FIRST: Duration = Duration::from_millis(200);
const STOP_RETRY_LONGEST: Duration = Duration::from_secs(5);

/// How long a list may take altogether. After that it is given up, and the next one tells more.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// One list is under way at most, and one more waits for it. Whoever wants a third gets what the
/// second will find.
const LISTS_MAX: usize = 2;

/// What deeds are done with.
#[derive(Clone)]
pub(crate) struct Performer {
    pub(crate) service: Arc<str>,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) events: EventSender,
    pub(crate) start_timeout: Duration,
    pub(crate) clock: Clock,
    pub(crate) lists: Lists,
}

/// Who may list when.
#[derive(Clone)]
pub(crate) struct Lists {
    room: Arc<Semaphore>,
    turn: Arc<Mutex<()>>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(LISTS_MAX)), turn: Arc::default() }
    }
}

impl Performer {
    /// Begins a deed in a task of its own. `replica` is the one that the action is about, if it
    /// ever ran, and `release` what it runs, or shall. Commits, undos, admissions and rollouts are the
    /// reconciler's own.
    pub(crate) fn begin(&self, action: &Action, replica: Option<Arc<Replica>>, release: Release) {
        let performer = self.clone();
        match action {
            Action::Start(life, name) => {
                let order = StartOrder { life: *life, name: name.clone(), release };
                tokio::spawn(async move { performer.start(order).await });
            }
            Action::Stop(life, how) => {
                let (life, how) = (*life, *how);
                tokio::spawn(async move { performer.stop(life, how).await });
            }
            Action::Inspect(life) => {
                let life = *life;
                tokio::spawn(async move { performer.inspect(life).await });
            }
            Action::Drain(life) => {
                let life = *life;
                if let Some(replica) = &replica {
                    // Before anybody waits for it to be empty, nobody may enter any more.
                    replica.gate.close();
                }
                tokio::spawn(async move {
                    if let Some(replica) = replica {
                        replica.gate.emptied().await;
                    }
                    performer.report(Event::Drained(life)).await;
                });
            }
            Action::Replace(..)
            | Action::Admit(..)
            | Action::Commit(..)
            | Action::Undo(..)
            | Action::Rollout(_) => {}
        }
    }

    /// Asks the driver for everything that is ours.
    pub(crate) fn begin_list(&self) {
        let Ok(room) = Arc::clone(&self.lists.room).try_acquire_owned() else { return };
        let performer = self.clone();
        tokio::spawn(async move {
            let turn = performer.lists.turn.lock().await;
            performer.list().await;
            drop((turn, room));
        });
    }

    async fn list(&self) {
        let asked_at: Moment = self.clock.now();
        let why = match tokio::time::timeout(LIST_LIMIT, self.driver.list()).await {
            Ok(Ok(found)) => return self.report(Event::Listed { asked_at, found }).await,
            Ok(Err(error)) => error.in_full(),
            Err(_) => format!("it takes longer than {LIST_LIMIT:?}"),
        };
        tracing::warn!(service = %self.service, "cannot list replicas: {why}");
    }

    async fn start(self, order: StartOrder) {
        let life = order.life;
        let event = match tokio::time::timeout(self.start_timeout, self.driver.start(order)).await {
            Ok(Ok(address)) => Event::Started(life, address),
            Ok(Err(error)) => Event::StartFailed(life, error.in_full()),
            Err(_) => {
                Event::StartFailed(life, format!("the driver took longer than {:?}", self.start_timeout))
            }
        };
        self.report(event).await;
    }

    async fn stop(self, life: Life, how: StopHow) {
        let mut pause = STOP_RETRY_FIRST;
        while let Err(error) = self.driver.stop(life, how).await {
            tracing::warn!(service = %self.service, %life, "cannot stop a replica, trying again: {}", error.in_full());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(STOP_RETRY_LONGEST);
        }
        self.report(Event::Stopped(life)).await;
    }

    async fn inspect(self, life: Life) {
        match self.driver.is_frozen(life).await {
            Ok(true) => self.report(Event::Frozen(life, true)).await,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(service = %self.service, %life, "cannot inspect: {}", error.in_full());
            }
        }
    }

    async fn report(&self, event: Event) {
        // Without a reconciler there is nobody left to tell.
        let _ = self.events.send(event).await;
    }
}
