//! The wish on its way to disk, and what is said when it does not get there.
//!
//! An edit that cannot be stored is not done; that is its caller's affair. That nothing can be stored
//! is everybody's: it is shown for as long as it lasts, and tried again until it is over.

use std::future::pending;
use std::sync::Arc;

use fleet::{Desired, Life, in_full};
use placement::Seat;
use tokio::task::{JoinError, JoinHandle};

use crate::handle::EditError;
use crate::happening::Happening;
use crate::journal::Journal;
use crate::wish::{WishError, WishStore};

/// Stores the wish of one service.
pub(super) struct Storing {
    service: String,
    state: Option<Arc<dyn WishStore>>,
    /// Why the last attempt failed, if it did.
    trouble: Option<String>,
    journal: Journal,
    /// Which seats were said to be those of spares the last time.
    seats_of_spares: Vec<(Seat, Life)>,
    /// A write that nobody waits for. There is one at most, and no other beside it.
    under_way: Option<Write>,
}

type Write = JoinHandle<Result<(), WishError>>;

impl Storing {
    /// With what was read from there.
    pub(super) fn new(
        (service, state): (&str, Option<Arc<dyn WishStore>>),
        stored: &Desired,
        journal: Journal,
    ) -> Self {
        let (service, seats_of_spares) = (service.to_string(), stored.seats_of_spares());
        Self { service, state, trouble: None, journal, seats_of_spares, under_way: None }
    }

    /// Why nothing can be stored at present, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Stores a wish; when this returns without error, it is on disk.
    pub(super) async fn store(&mut self, desired: &Desired) -> Result<(), EditError> {
        // What is older must not be written over what is newer.
        if self.under_way.is_some() {
            self.written().await;
        }
        let Some(state) = &self.state else { return Ok(()) };
        self.seats_of_spares = desired.seats_of_spares();
        let stored = state.write(&self.service, desired).await.map_err(|error| in_full(&error));
        self.note(stored.as_ref().err());
        stored.map_err(EditError::NotStored)
    }

    /// Begins to store a wish, if its seats of spares are not those that were stored, and nothing is under
    /// way. If it fails, that is noted.
    pub(super) fn store_seats_of_spares(&mut self, desired: &Desired) {
        let Some(state) = self.state.as_ref().filter(|_| self.under_way.is_none()) else { return };
        let seats = desired.seats_of_spares();
        if seats != self.seats_of_spares {
            self.seats_of_spares = seats;
            self.under_way = Some(tokio::spawn(state.write(&self.service, desired)));
        }
    }

    /// Waits for the end of the write that is under way; for ever, if there is none.
    pub(super) async fn written(&mut self) {
        let Some(write) = &mut self.under_way else { return pending().await };
        let failure = failure_of(&write.await);
        self.under_way = None;
        self.note(failure.as_ref());
    }

    /// After a failure, stores what should run once more, so that the trouble is over when its cause
    /// is, and not only with the next edit.
    pub(super) async fn try_again(&mut self, desired: &Desired) {
        if self.trouble.is_some() {
            // What came of it is noted.
            let _ = self.store(desired).await;
        }
    }

    fn note(&mut self, failure: Option<&String>) {
        let was_in_trouble = self.trouble.is_some();
        let service = &self.service;
        match failure {
            Some(why) if !was_in_trouble => {
                tracing::error!(%service, "{why}; changes are refused until it can be stored, what runs goes on");
                self.journal.record(service, None, Happening::CannotStore { why: why.clone() });
            }
            None if was_in_trouble => {
                tracing::info!(%service, "what should run can be stored again");
                self.journal.record(service, None, Happening::CanStoreAgain);
            }
            _ => {}
        }
        self.trouble = failure.cloned();
    }
}

fn failure_of(written: &Result<Result<(), WishError>, JoinError>) -> Option<String> {
    match written {
        Ok(stored) => stored.as_ref().err().map(|error| in_full(error)),
        Err(error) => Some(format!("cannot store what should run: {error}")),
    }
}
