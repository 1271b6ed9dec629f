//! A service as the rest of the program sees it: commands go in, views come out. What is done with a
//! command is not known here.

use std::sync::Arc;
use std::time::Duration;

use driver::{Extent, Following, Spec};
use fleet::{Edit, Life, Refusal, RolloutSettings};
use tokio::sync::{mpsc, oneshot, watch};

use crate::beginning::Begun;
use crate::view::ServiceView;

/// For edits and views of one service; clones share it.
#[derive(Clone, Debug)]
pub struct Handle {
    service: Arc<str>,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<ServiceView>>,
}

/// Where the answer to a command goes.
pub(crate) type Reply = oneshot::Sender<Result<Arc<ServiceView>, EditError>>;

/// What a reconciler can be told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Edit(EditRequest),
    Deploy(Deploy, Reply),
    /// Holds requests back for so long, or no longer.
    Pause(Option<Duration>, Reply),
    /// Wants what a life writes; nothing if that cannot be known.
    Output(Life, Extent, oneshot::Sender<Option<Following>>),
    Retire(oneshot::Sender<()>),
}

/// An edit, and who wants to know what came of it.
#[derive(Debug)]
pub(crate) struct EditRequest {
    pub(crate) edit: Edit,
    pub(crate) reply: Reply,
}

/// What to roll out, and how.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// What replicas shall run.
    pub spec: Spec,
    /// Whether seats that run this already are taken anew, too.
    pub is_forced: bool,
    /// How careful to be.
    pub settings: RolloutSettings,
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
    #[error("the service has not been started: {0}")]
    NotBegun(String),
    #[error("undone: {0}")]
    Undone(String),
    #[error("{0}")]
    NotStored(String),
    #[error("the balancer is stopping")]
    Stopping,
}

impl Handle {
    pub(crate) fn new(
        service: &str,
        commands: mpsc::Sender<Command>,
        view: watch::Receiver<Arc<ServiceView>>,
    ) -> Self {
        Self { service: service.into(), commands, view }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The service as it is.
    pub fn view(&self) -> Arc<ServiceView> {
        Arc::clone(&self.view.borrow())
    }

    /// Applies an edit and returns the service after it. Additions return when the new replicas take
    /// traffic, removals when the removed ones get no new requests. Dropping the future does not
    /// take the edit back.
    pub async fn edit(&self, edit: Edit) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Edit(EditRequest { edit, reply })).await
    }

    /// Begins to roll out what a specification says, to every seat that runs something else, or to all
    /// of them if it `is_forced`. Returns when it has begun; the view tells how it goes on. Dropping the
    /// future does not take it back.
    pub async fn deploy(&self, deploy: Deploy) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Deploy(deploy, reply)).await
    }

    /// Holds requests back, in the waiting room, for `length` or [`PAUSE_MAX`](crate::PAUSE_MAX), or
    /// until [`resume`](Self::resume). Those under way go on. Again, it sets another end.
    pub async fn pause(&self, length: Duration) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Pause(Some(length), reply)).await
    }

    /// Lets requests through that were held back.
    pub async fn resume(&self) -> Result<Arc<ServiceView>, EditError> {
        self.command(|reply| Command::Pause(None, reply)).await
    }

    /// What a life writes. Nothing if it does not run, or somebody else runs it. Nobody waits for whoever
    /// follows it.
    pub async fn output(&self, life: Life, extent: Extent) -> Option<Following> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Output(life, extent, reply)).await.ok()?;
        answer.await.ok()?
    }

    async fn command(&self, command: impl FnOnce(Reply) -> Command) -> Result<Arc<ServiceView>, EditError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| EditError::Stopping)?;
        answer.await.map_err(|_| EditError::Stopping)?
    }

    /// Waits until the service has begun, and returns with what.
    pub async fn begun(&self) -> Option<Begun> {
        self.wait_for(|view| view.beginning.begun().is_some()).await;
        self.view().beginning.begun()
    }

    /// Waits until the service has begun, or could not at the first attempt. The error says why.
    pub async fn attempted(&self) -> Result<Begun, String> {
        let has_come_of_it =
            |view: &ServiceView| view.beginning.begun().is_some() || view.beginning.failure().is_some();
        self.wait_for(has_come_of_it).await;
        let view = self.view();
        view.beginning.begun().ok_or_else(|| view.beginning.failure().unwrap_or("it is ending").to_owned())
    }

    /// Waits until every replica takes traffic, or lives of some keep failing.
    pub async fn whole_or_failing(&self) {
        let is_whole = |view: &ServiceView| view.fleet.ready() == view.fleet.replicas.len();
        self.wait_for(|view| is_whole(view) || view.fleet.crash_looping() > 0).await;
    }

    /// Waits until every replica takes traffic.
    pub async fn whole(&self) {
        self.wait_for(|view| view.fleet.ready() == view.fleet.replicas.len()).await;
    }

    /// Waits until some replica takes traffic.
    pub async fn some_ready(&self) {
        self.wait_for(|view| view.fleet.ready() > 0).await;
    }

    /// Waits until nobody is on the way in or out.
    pub async fn quiet(&self) {
        self.wait_for(|view| view.fleet.others.is_empty()).await;
    }

    async fn wait_for(&self, is_so: impl Fn(&ServiceView) -> bool) {
        let mut view = self.view.clone();
        // An error means that the reconciler has ended, and then nothing will change any more.
        let _ = view.wait_for(|view| is_so(view)).await;
    }

    /// Stops all replicas, drained, without changing what should run. No edit is possible after it.
    pub async fn retire(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Retire(reply)).await.is_ok() {
            // An error means that the reconciler has ended already.
            let _ = done.await;
        }
    }
}
