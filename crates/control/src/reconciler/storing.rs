//! The wish on its way to disk, and what is said when it does not get there.
//!
//! An edit that cannot be stored is not done; that is its caller's affair. That nothing can be stored
//! is everybody's: it is shown for as long as it lasts, and tried again until it is over.

use std::sync::Arc;

use fleet::Desired;
use tokio::sync::watch;

use super::edits::EditError;
use crate::journal::Journal;
use crate::wish::{WishError, WishStore};

/// Stores the wish of one service.
pub(super) struct Storing {
    service: String,
    state: Option<Arc<dyn WishStore>>,
    /// Why the last attempt failed, if it did.
    trouble: watch::Sender<Option<String>>,
    journal: Journal,
}

impl Storing {
    pub(super) fn new(service: &str, state: Option<Arc<dyn WishStore>>, journal: Journal) -> Self {
        let (trouble, _) = watch::channel(None);
        Self { service: service.to_string(), state, trouble, journal }
    }

    /// Where it can be seen whether anything can be stored.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Stores a wish; when this returns without error, it is on disk.
    pub(super) async fn store(&self, desired: &Desired) -> Result<(), EditError> {
        let Some(state) = &self.state else { return Ok(()) };
        let stored = state.write(&self.service, desired).await.map_err(|error| in_full(&error));
        self.note(stored.as_ref().err());
        stored.map_err(EditError::NotStored)
    }

    /// After a failure, stores what should run once more, so that the trouble is over when its cause
    /// is, and not only with the next edit.
    pub(super) async fn try_again(&self, desired: &Desired) {
        if self.trouble.borrow().is_some() {
            // What came of it is noted.
            let _ = self.store(desired).await;
        }
    }

    fn note(&self, failure: Option<&String>) {
        let was_in_trouble = self.trouble.borrow().is_some();
        let service = &self.service;
        match failure {
            Some(why) if !was_in_trouble => {
                tracing::error!(%service, "{why}; changes are refused until it can be stored, what runs goes on");
                self.journal.record_of_service(service, "cannot store", Some(why.clone()));
            }
            None if was_in_trouble => {
                tracing::info!(%service, "what should run can be stored again");
                self.journal.record_of_service(service, "can store again", None);
            }
            _ => {}
        }
        self.trouble.send_if_modified(|current| {
            let is_new = current.as_ref() != failure;
            *current = failure.cloned();
            is_new
        });
    }
}

fn in_full(error: &WishError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
