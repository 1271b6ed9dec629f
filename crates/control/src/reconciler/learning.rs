//! Edits of which the driver still has to say whether they can be done: what a deployment runs, and whether
//! names that a caller has chosen can be had. That may take as long as an engine takes, and the reconciler
//! decides meanwhile.

use std::future::pending;
use std::sync::Arc;

use driver::{Driver, Releases};
use fleet::{Deployment, Edit, Refusal};
use futures_util::future::FutureExt;
use tokio::task::JoinSet;

use crate::handle::{Deploy, EditError, EditRequest, Reply};

/// The most deployments that are learnt at a time; a further one is refused as busy.
const DEPLOYMENTS_MAX: usize = 16;

/// The most additions whose names are asked about at a time.
const ADDITIONS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Learning {
    tasks: JoinSet<Option<EditRequest>>,
}

impl Learning {
    /// Begins with one. What came of it is an edit, or an answer to whoever asked.
    pub(super) fn begin(&mut self, releases: Arc<dyn Releases>, deploy: Deploy, reply: Reply) {
        if self.tasks.len() == DEPLOYMENTS_MAX {
            let _ = reply.send(Err(Refusal::Busy.into()));
            return;
        }
        self.tasks.spawn(async move {
            let Deploy { spec, is_forced, settings } = deploy;
            match releases.learn(spec).await {
                Ok(release) => {
                    let edit = Edit::Deploy(Deployment { release, is_forced, settings });
                    Some(EditRequest { edit, reply })
                }
                Err(error) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(Err(EditError::NotRunnable(error.in_full())));
                    None
                }
            }
        });
    }

    /// Begins to ask whether an addition can have its names. Returns the edit if there is nothing to ask, or
    /// if it is answered at once that there is nothing against it.
    pub(super) fn vet(&mut self, driver: Arc<dyn Driver>, request: EditRequest) -> Option<EditRequest> {
        let Edit::Add { names, .. } = &request.edit else { return Some(request) };
        if names.is_empty() {
            return Some(request);
        }
        if self.tasks.len() >= DEPLOYMENTS_MAX + ADDITIONS_MAX {
            let _ = request.reply.send(Err(Refusal::Busy.into()));
            return None;
        }
        let names = names.clone();
        let mut vetting = async move { driver.vet_names(&names).await }.boxed();
        let vetted = move |vetted: Result<(), driver::NameOfAnother>| match vetted {
            Ok(()) => Some(request),
            Err(driver::NameOfAnother { name, why }) => {
                let _ = request.reply.send(Err(Refusal::NameOfAnother { name, why }.into()));
                None
            }
        };
        match (&mut vetting).now_or_never() {
            Some(outcome) => vetted(outcome),
            None => {
                self.tasks.spawn(async move { vetted(vetting.await) });
                None
            }
        }
    }

    /// Waits for one that can be run; for ever, if there is none.
    pub(super) async fn learnt(&mut self) -> EditRequest {
        while let Some(learnt) = self.tasks.join_next().await {
            if let Ok(Some(request)) = learnt {
                return request;
            }
        }
        pending().await
    }
}
