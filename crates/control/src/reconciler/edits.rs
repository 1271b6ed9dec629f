//! Edits on their way through the reconciler: taken, stored, answered.
//!
//! Changes are applied one after the other. An edit that is refused while additions are not yet
//! settled waits for them, because how they end may change the verdict.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use driver::{Releases, Spec};
use fleet::{
    Action, ChangeId, Deployment, Desired, Edit, Fleet, Moment, Outcome, Refusal, RolloutSettings, Step,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::storing::Storing;
use crate::ejections::Ejections;
use crate::view::ServiceView;

/// The most edits that wait for others to be settled; a further one is refused as busy.
const PARKED_MAX: usize = 1024;

/// For edits and views of one service; clones share it.
#[derive(Clone)]
pub struct Handle {
    service: Arc<str>,
    releases: Arc<dyn Releases>,
    commands: mpsc::Sender<Command>,
    shown: Shown,
}

/// What a reconciler shows of itself.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) view: watch::Receiver<Arc<ServiceView>>,
    /// Why the wish cannot be stored at present, if so.
    pub(super) trouble: watch::Receiver<Option<String>>,
    pub(super) ejections: Arc<Ejections>,
}

pub(super) type Reply = oneshot::Sender<Result<Arc<ServiceView>, EditError>>;

#[derive(Debug)]
pub(super) enum Command {
    Edit(Edit, Reply),
    /// Holds requests back for so long, or no longer.
    Pause(Option<Duration>, Reply),
    Retire(oneshot::Sender<()>),
}

/// Why an edit was not done. In every case nothing is changed. (If a disk fails between the two
/// steps of storing, an edit that was not done may be found done by the next start.)
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum EditError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    NotRunnable(String),
    #[error("undone: {0}")]
    Undone(String),
    #[error("{0}")]
    NotStored(String),
    #[error("the balancer is stopping")]
    Stopping,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn new(
        service: &str,
        (commands, releases): (mpsc::Sender<Command>, Arc<dyn Releases>),
        shown: Shown,
    ) -> Self {
        Self { service: service.into(), releases, commands, shown }
    }

    /// Who was taken out of the table since the start, by kind.
    pub fn ejections(&self) -> &Ejections {
        &self.shown.ejections
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The fleet as it is.
    pub fn view(&self) -> Arc<ServiceView> {
        Arc::clone(&self.shown.view.borrow())
    }

    /// Why what should run cannot be stored at present, if so.
    pub fn trouble(&self) -> Option<String> {
        self.shown.trouble.borrow().clone()
    }

    /// Applies an edit and returns the fleet after it. Additions return when the new replicas take
    /// traffic, removals when the removed ones get no new requests. Dropping the future does not
    /// take the edit back.
    pub async fn edit(&self, edit: Edit) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Edit(edit, reply)).await
    }

    /// Holds requests back, in the waiting room, for `length` or [`PAUSE_MAX`](super::PAUSE_MAX), or
    /// until [`resume`](Self::resume). Those under way go on. Again, it sets another end.
    pub async fn pause(&self, length: Duration) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Pause(Some(length), reply)).await
    }

    /// Lets requests through that were held back.
    pub async fn resume(&self) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Pause(None, reply)).await
    }

    async fn command(&self, command: impl FnOnce(Reply) -> Command) -> Result<Arc<ServiceView>, EditError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| EditError::Stopping)?;
        answer.await.map_err(|_| EditError::Stopping)?
    }

    /// Begins to roll out what a specification says, to every seat that runs something else, or to all
    /// of them if it `is_forced`. Returns when it has begun; the view tells how it goes on.
    pub async fn deploy(
        &self,
        spec: Spec,
        (is_forced, settings): (bool, RolloutSettings),
    ) -> Result<Arc<ServiceView>, EditError> {
        let learnt = self.releases.learn(spec).await;
        let release = learnt.map_err(|error| EditError::NotRunnable(error.in_full()))?;
        self.edit(Edit::Deploy(Deployment { release, is_forced, settings })).await
    }

    /// Waits until every replica takes traffic.
    pub async fn whole(&self) {
        let mut view = self.shown.view.clone();
        // An error means that the reconciler has ended, and then nothing will change any more.
        let _ = view.wait_for(|view| view.ready() == view.replicas.len()).await;
    }

    /// Waits until some replica takes traffic.
    pub async fn some_ready(&self) {
        let mut view = self.shown.view.clone();
        let _ = view.wait_for(|view| view.ready() > 0).await;
    }

    /// Waits until nobody is on the way in or out.
    pub async fn quiet(&self) {
        let mut view = self.shown.view.clone();
        let _ = view.wait_for(|view| view.others.is_empty()).await;
    }

    /// Stops all replicas, drained, without changing the wish. No edit is possible after it.
    pub async fn retire(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Retire(reply)).await.is_ok() {
            // An error means that the reconciler has ended already.
            let _ = done.await;
        }
    }
}

/// What a reconciler knows of edits under way.
pub(super) struct Edits {
    pub(super) storing: Storing,
    pending: BTreeMap<ChangeId, Reply>,
    parked: VecDeque<(Edit, Reply)>,
    /// Settled, to be answered when table and view show it.
    settled: Vec<Reply>,
    retiring: Option<oneshot::Sender<()>>,
    is_retired: bool,
}

impl Edits {
    pub(super) fn new(storing: Storing) -> Self {
        Self {
            storing,
            pending: BTreeMap::new(),
            parked: VecDeque::new(),
            settled: Vec::new(),
            retiring: None,
            is_retired: false,
        }
    }

    /// Applies an edit, parks it, or refuses it.
    pub(super) async fn take(&mut self, fleet: &mut Fleet, (edit, reply): (Edit, Reply), now: Moment) {
        if self.is_retired {
            return answer(reply, Err(EditError::Stopping));
        }
        let before = fleet.roster().clone();
        match fleet.edit(&edit, now) {
            Ok(Outcome::Pending(change)) => {
                self.pending.insert(change, reply);
            }
            Ok(Outcome::Settled) => match self.storing.store(fleet.desired()).await {
                Ok(()) => self.settled.push(reply),
                Err(error) => {
                    fleet.roll_back(before);
                    answer(reply, Err(error));
                }
            },
            // Neither depends on how additions end.
            Err(refusal @ (Refusal::RolloutUnderWay | Refusal::NothingToDeploy)) => {
                answer(reply, Err(refusal.into()));
            }
            Err(_) if fleet.roster().has_changes() && self.parked.len() < PARKED_MAX => {
                self.parked.push_back((edit, reply));
            }
            Err(refusal) => answer(reply, Err(refusal.into())),
        }
    }

    /// Hands out what waited for others to be settled, to be taken again one by one.
    pub(super) fn unpark(&mut self) -> VecDeque<(Edit, Reply)> {
        std::mem::take(&mut self.parked)
    }

    /// Settles an addition: it counts once it is stored; if it cannot be stored it never was.
    pub(super) async fn commit(
        &mut self,
        fleet: &mut Fleet,
        change: ChangeId,
        now: Moment,
    ) -> Result<(), EditError> {
        let before = fleet.roster().clone();
        fleet.accept(&Action::Commit(change), now);
        let stored = self.storing.store(fleet.desired()).await;
        if let Err(error) = &stored {
            fleet.roll_back(before);
            fleet.accept(&Action::Undo(change, error.to_string()), now);
        }
        stored
    }

    /// Does a step of a rollout. If what came of it cannot be stored it counts all the same: the next
    /// start finds out from the replicas what they run.
    pub(super) async fn step(&mut self, fleet: &mut Fleet, step: &Step, now: Moment) {
        fleet.accept(&Action::Rollout(step.clone()), now);
        if matches!(step, Step::Try(_) | Step::Abandon(..)) {
            return;
        }
        // That it is not stored is noted, and tried again.
        let _ = self.storing.store(fleet.desired()).await;
    }

    /// Begins to store who has taken a seat that began as a spare, if that is not on disk. Nobody waits for
    /// it: until then the next start finds out from who runs.
    pub(super) fn store_seats_of_spares(&mut self, desired: &Desired) {
        if !self.is_retired {
            self.storing.store_seats_of_spares(desired);
        }
    }

    /// Answers whoever waits for a change.
    pub(super) fn reply(&mut self, change: ChangeId, result: Result<Arc<ServiceView>, EditError>) {
        if let Some(reply) = self.pending.remove(&change) {
            answer(reply, result);
        }
    }

    /// Answers as soon as table and view show what is now.
    pub(super) fn answer_when_shown(&mut self, reply: Reply) {
        self.settled.push(reply);
    }

    /// Answers everything that is settled, now that the view shows it.
    pub(super) fn answer(&mut self, view: &Arc<ServiceView>) {
        for reply in self.settled.drain(..) {
            answer(reply, Ok(Arc::clone(view)));
        }
    }

    /// Whether the fleet is to end.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// Who is to be told when the last replica is gone.
    pub(super) fn take_retiring(&mut self) -> Option<oneshot::Sender<()>> {
        self.retiring.take()
    }

    /// No edit any more; `done` is to be told when the last replica is gone.
    pub(super) fn retire(&mut self, done: oneshot::Sender<()>) {
        self.is_retired = true;
        self.retiring = Some(done);
        let unanswered = std::mem::take(&mut self.pending).into_values();
        for reply in unanswered.chain(self.parked.drain(..).map(|(_, reply)| reply)) {
            answer(reply, Err(EditError::Stopping));
        }
    }
}

fn answer(reply: Reply, result: Result<Arc<ServiceView>, EditError>) {
    // Whoever asked may have gone; what was done stays done.
    let _ = reply.send(result);
}
