//! Deployments of which the driver still has to learn what they run, and whether it can be run. That may
//! take as long as an engine takes, and the reconciler decides meanwhile.

use std::future::pending;
use std::sync::Arc;

use driver::Releases;
use fleet::{Deployment, Edit, Refusal};
use tokio::task::JoinSet;

use crate::handle::{Deploy, EditError, EditRequest, Reply};

/// The most deployments that are learnt at a time; a further one is refused as busy.
const DEPLOYMENTS_MAX: usize = 16;

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
