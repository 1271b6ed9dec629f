//! Carries out what a plan orders. It makes no choices: what came of a deed returns as an event.

use std::sync::Arc;
use std::time::Duration;

use driver::{Driver, EventSender, StartOrder};
use fleet::{Action, Event, Life, Moment, Replica, ReplicaName, StopHow};

use crate::clock::Clock;

/// The first pause before a failed stop is tried again; each further one is twice as long.
const STOP_RETRY_FIRST: Duration = Duration::from_millis(200);
const STOP_RETRY_LONGEST: Duration = Duration::from_secs(30);

/// What deeds are done with.
#[derive(Clone)]
pub(crate) struct Performer {
    pub(crate) service: Arc<str>,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) events: EventSender,
    pub(crate) start_timeout: Duration,
    pub(crate) clock: Clock,
}

impl Performer {
    /// Begins a deed in a task of its own. `replica` is the one that the action is about, if it
    /// ever ran. Commits and undos are the reconciler's own.
    pub(crate) fn begin(&self, action: &Action, replica: Option<Arc<Replica>>) {
        let performer = self.clone();
        match action {
            Action::Start(life, name) => {
                let (life, name) = (*life, name.clone());
                tokio::spawn(async move { performer.start(life, name).await });
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
            Action::Replace(..) | Action::Commit(..) | Action::Undo(..) => {}
        }
    }

    /// Asks the driver for everything that is ours.
    pub(crate) fn begin_list(&self) {
        let performer = self.clone();
        tokio::spawn(async move {
            let asked_at: Moment = performer.clock.now();
            match performer.driver.list().await {
                Ok(found) => performer.report(Event::Listed { asked_at, found }).await,
                Err(error) => {
                    tracing::warn!(service = %performer.service, "cannot list replicas: {}", error.in_full());
                }
            }
        });
    }

    async fn start(self, life: Life, name: ReplicaName) {
        let order = StartOrder { life, name };
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
