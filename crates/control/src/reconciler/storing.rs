//! The desired state on its way to the store, and what is said when it does not get there.
//!
//! An edit that cannot be stored is not done; that is its caller's affair. That nothing can be stored
//! is everybody's: it is shown for as long as it lasts, and tried again until it is over.

use std::future::pending;
use std::sync::Arc;

use driver::Driver;
use fleet::{Desired, Life, in_full};
use placement::Seat;
use tokio::task::{JoinError, JoinHandle};

use super::settings::ReconcilerSettings;
use crate::handle::EditError;
use crate::happening::Happening;
use crate::journal::Journal;
use crate::store::{Recipes, Revision, Store, StoreError, Stored};

/// Stores what should run of one service.
pub(super) struct Storing {
    service: String,
    store: Option<Arc<dyn Store>>,
    /// Who knows what releases are.
    driver: Arc<dyn Driver>,
    /// What was read or stored the last time, and so what the next write follows.
    revision: Revision,
    /// Why the last attempt failed, if it did.
    trouble: Option<String>,
    journal: Journal,
    /// Which seats were said to be those of spares the last time.
    seats_of_spares: Vec<(Seat, Life)>,
    /// A write that nobody waits for. There is one at most, and no other beside it.
    under_way: Option<Write>,
}

type Write = JoinHandle<Result<Revision, StoreError>>;

impl Storing {
    /// Of this service, whose releases the driver knows.
    pub(super) fn new(settings: &ReconcilerSettings, driver: Arc<dyn Driver>) -> Self {
        let ReconcilerSettings { service, state, journal, .. } = settings;
        Self {
            service: service.clone(),
            store: state.clone(),
            driver,
            revision: Revision::NONE,
            trouble: None,
            journal: journal.clone(),
            seats_of_spares: Vec::new(),
            under_way: None,
        }
    }

    /// Whether anything is kept at all.
    pub(super) fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// What the releases are that are stored with what should run.
    pub(super) fn recipes(&self, desired: &Desired) -> Recipes {
        desired.releases().filter_map(|release| Some((release, self.driver.recipe(release)?))).collect()
    }

    /// What was stored, if that counts: not every store keeps it for longer than there is a trace of the
    /// fleet (`is_left`). What does not count is not even looked at, and written over.
    pub(super) async fn read(&mut self, is_left: bool) -> Result<Option<Stored>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        self.revision = *store.watch(&self.service).borrow();
        if !is_left && !store.outlasts_fleets() {
            return Ok(None);
        }
        let Some(stored) = store.read(&self.service).await? else { return Ok(None) };
        self.revision = stored.revision;
        self.seats_of_spares = stored.desired.seats_of_spares();
        Ok(Some(stored))
    }

    /// What is to be stored next.
    fn next(&self, desired: &Desired) -> Stored {
        Stored { revision: self.revision, desired: desired.clone(), recipes: self.recipes(desired) }
    }

    /// Where it is stored, for people.
    pub(super) fn location(&self) -> String {
        self.store.as_ref().map(|store| store.location(&self.service)).unwrap_or_default()
    }

    /// Why nothing can be stored at present, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Stores what should run; when this returns without error, no crash can lose it.
    pub(super) async fn store(&mut self, desired: &Desired) -> Result<(), EditError> {
        // What is older must not be written over what is newer.
        if self.under_way.is_some() {
            self.written().await;
        }
        let Some(store) = &self.store else { return Ok(()) };
        self.seats_of_spares = desired.seats_of_spares();
        let written = store.write(&self.service, &self.next(desired)).await;
        let stored = self.follow(written.map_err(|error| in_full(&error)));
        self.note(stored.as_ref().err());
        stored.map_err(EditError::NotStored)
    }

    /// Begins to store what should run, if its seats of spares are not those that were stored, and nothing is
    /// under way. If it fails, that is noted.
    pub(super) fn store_seats_of_spares(&mut self, desired: &Desired) {
        let Some(store) = self.store.as_ref().filter(|_| self.under_way.is_none()) else { return };
        let seats = desired.seats_of_spares();
        if seats != self.seats_of_spares {
            self.seats_of_spares = seats;
            let write = store.write(&self.service, &self.next(desired));
            self.under_way = Some(tokio::spawn(write));
        }
    }

    /// Waits for the end of the write that is under way; for ever, if there is none.
    pub(super) async fn written(&mut self) {
        let Some(write) = &mut self.under_way else { return pending().await };
        let written = in_words(write.await);
        self.under_way = None;
        let stored = self.follow(written);
        self.note(stored.as_ref().err());
    }

    /// After a failure, stores what should run once more, so that the trouble is over when its cause
    /// is, and not only with the next edit.
    pub(super) async fn try_again(&mut self, desired: &Desired) {
        if self.trouble.is_some() {
            // What came of it is noted.
            let _ = self.store(desired).await;
        }
    }

    /// The next write follows this one. After a failure it follows the same as this one did, so that
    /// whatever somebody else has stored meanwhile is never written over.
    fn follow(&mut self, written: Result<Revision, String>) -> Result<(), String> {
        self.revision = written?;
        Ok(())
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

fn in_words(written: Result<Result<Revision, StoreError>, JoinError>) -> Result<Revision, String> {
    match written {
        Ok(stored) => stored.map_err(|error| in_full(&error)),
        Err(error) => Err(format!("cannot store what should run: {error}")),
    }
}
