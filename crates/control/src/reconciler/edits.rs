//! Edits on their way through the reconciler: taken, stored, answered.
//!
//! Changes are applied one after the other. An edit that is refused while additions are not yet
//! settled waits for them, because how they end may change the verdict.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fleet::{Action, ChangeId, Desired, Fleet, Moment, Outcome, Refusal, Step};
use tokio::sync::oneshot;

use super::storing::Storing;
use crate::handle::{EditError, EditRequest, Reply};
use crate::view::ServiceView;

/// The most edits that wait for others to be settled; a further one is refused as busy.
const PARKED_MAX: usize = 1024;

/// What a reconciler knows of edits under way.
pub(super) struct Edits {
    pub(super) storing: Storing,
    pending: BTreeMap<ChangeId, Reply>,
    parked: VecDeque<EditRequest>,
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
    pub(super) async fn take(&mut self, fleet: &mut Fleet, request: EditRequest, now: Moment) {
        let EditRequest { edit, reply } = request;
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
                self.parked.push_back(EditRequest { edit, reply });
            }
            Err(refusal) => answer(reply, Err(refusal.into())),
        }
    }

    /// Hands out what waited for others to be settled, to be taken again one by one.
    pub(super) fn unpark(&mut self) -> VecDeque<EditRequest> {
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
        for reply in unanswered.chain(self.parked.drain(..).map(|request| request.reply)) {
            answer(reply, Err(EditError::Stopping));
        }
    }
}

fn answer(reply: Reply, result: Result<Arc<ServiceView>, EditError>) {
    // Whoever asked may have gone; what was done stays done.
    let _ = reply.send(result);
}
