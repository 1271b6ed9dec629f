//! Edits on their way through the reconciler: taken, stored, answered.
//!
//! Changes are applied one after the other. An edit that is refused while additions are not yet
//! settled waits for them, because how they end may change the verdict.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fleet::{Action, ChangeId, Desired, Edit, Fleet, FleetView, Moment, Outcome, Refusal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::wish::{StateDir, WishError};

/// The most edits that wait for others to be settled; a further one is refused as busy.
const PARKED_MAX: usize = 1024;

/// For edits and views of one service; clones share it.
#[derive(Clone, Debug)]
pub struct Handle {
    service: Arc<str>,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<FleetView>>,
}

pub(super) type Reply = oneshot::Sender<Result<Arc<FleetView>, EditError>>;

#[derive(Debug)]
pub(super) enum Command {
    Edit(Edit, Reply),
    Retire(oneshot::Sender<()>),
}

/// Why an edit was not done. In every case nothing is changed. (If a disk fails between the two
/// steps of storing, an edit that was not done may be found done by the next start.)
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum EditError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("undone: {0}")]
    Undone(String),
    #[error("{0}")]
    NotStored(String),
    #[error("the balancer is stopping")]
    Stopping,
}

impl Handle {
    pub(super) fn new(
        service: &str,
        commands: mpsc::Sender<Command>,
        view: watch::Receiver<Arc<FleetView>>,
    ) -> Self {
        Self { service: service.into(), commands, view }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The fleet as it is.
    pub fn view(&self) -> Arc<FleetView> {
        Arc::clone(&self.view.borrow())
    }

    /// Applies an edit and returns the fleet after it. Additions return when the new replicas take
    /// traffic, removals when the removed ones get no new requests. Dropping the future does not
    /// take the edit back.
    pub async fn edit(&self, edit: Edit) -> Result<Arc<FleetView>, EditError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Edit(edit, reply)).await.map_err(|_| EditError::Stopping)?;
        answer.await.map_err(|_| EditError::Stopping)?
    }

    /// Waits until every replica takes traffic.
    pub async fn whole(&self) {
        let mut view = self.view.clone();
        // An error means that the reconciler has ended, and then nothing will change any more.
        let _ = view.wait_for(|view| view.ready() == view.replicas.len()).await;
    }

    /// Waits until some replica takes traffic.
    pub async fn some_ready(&self) {
        let mut view = self.view.clone();
        let _ = view.wait_for(|view| view.ready() > 0).await;
    }

    /// Waits until nobody is on the way in or out.
    pub async fn quiet(&self) {
        let mut view = self.view.clone();
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
    service: String,
    state: Option<StateDir>,
    pending: BTreeMap<ChangeId, Reply>,
    parked: VecDeque<(Edit, Reply)>,
    /// Settled, to be answered when table and view show it.
    settled: Vec<Reply>,
    retiring: Option<oneshot::Sender<()>>,
    is_retired: bool,
}

impl Edits {
    pub(super) fn new(service: &str, state: Option<StateDir>) -> Self {
        Self {
            service: service.to_string(),
            state,
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
        let before = fleet.desired().clone();
        match fleet.edit(&edit, now) {
            Ok(Outcome::Pending(change)) => {
                self.pending.insert(change, reply);
            }
            Ok(Outcome::Settled) => match self.store(fleet.desired()).await {
                Ok(()) => self.settled.push(reply),
                Err(error) => {
                    fleet.roll_back(before);
                    answer(reply, Err(error));
                }
            },
            Err(_) if fleet.desired().has_changes() && self.parked.len() < PARKED_MAX => {
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
        let before = fleet.desired().clone();
        fleet.accept(&Action::Commit(change), now);
        let stored = self.store(fleet.desired()).await;
        if let Err(error) = &stored {
            fleet.roll_back(before);
            fleet.accept(&Action::Undo(change, error.to_string()), now);
        }
        stored
    }

    /// Answers whoever waits for a change.
    pub(super) fn reply(&mut self, change: ChangeId, result: Result<Arc<FleetView>, EditError>) {
        if let Some(reply) = self.pending.remove(&change) {
            answer(reply, result);
        }
    }

    /// Answers everything that is settled, now that the view shows it.
    pub(super) fn answer(&mut self, view: &Arc<FleetView>) {
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

    async fn store(&self, desired: &Desired) -> Result<(), EditError> {
        let Some(state) = self.state.clone() else { return Ok(()) };
        let (service, desired) = (self.service.clone(), desired.clone());
        let stored = tokio::task::spawn_blocking(move || state.write(&service, &desired)).await;
        let not_stored = |error: &WishError| {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            EditError::NotStored(format!("{error}{}", cause.unwrap_or_default()))
        };
        match stored {
            Ok(stored) => stored.map_err(|error| not_stored(&error)),
            Err(_) => Err(EditError::NotStored("the writer ended early".into())),
        }
    }
}

fn answer(reply: Reply, result: Result<Arc<FleetView>, EditError>) {
    // Whoever asked may have gone; what was done stays done.
    let _ = reply.send(result);
}
