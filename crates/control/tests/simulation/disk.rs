//! The disk that is to keep what should run: slow, full now and then, and never half written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use control::{Recipes, Revision, Store, StoreError, Stored};
use fleet::Desired;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;

use crate::sabotage::Sabotage;
use crate::world::World;

pub(crate) struct Disk(pub(crate) Arc<World>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Store for Disk {
    // A fleet of which nothing was ever stored gets its seed here, because all chance is ours.
    fn read(&self, _service: &str) -> BoxFuture<'static, Result<Option<Stored>, StoreError>> {
        let mut state = self.0.state();
        let stored = state.disk.clone();
        let desired = stored.unwrap_or_else(|| Desired::new(state.chance.number(0..u64::MAX)));
        let revision = *state.revision.borrow();
        async move { Ok(Some(Stored { revision, desired, recipes: Recipes::new() })) }.boxed()
    }

    fn write(&self, _service: &str, next: &Stored) -> BoxFuture<'static, Result<Revision, StoreError>> {
        let world = Arc::clone(&self.0);
        let (desired, expected) = (next.desired.clone(), next.revision);
        async move {
            let (fails, is_early, before, after) = {
                let mut state = world.enter().await;
                state.writes += 1;
                let found = *state.revision.borrow();
                if found != expected {
                    state.violate(format!("revision {expected} was to be followed, {found} is on disk"));
                }
                let (fails, slow) = (state.faults.disk_fails, state.faults.disk_slow);
                let fails = state.chance.happens(fails);
                let longest = if state.chance.happens(slow) { 8000 } else { 30 };
                let (before, after) =
                    (state.chance.milliseconds(0..longest), state.chance.milliseconds(0..longest));
                (fails, state.chance.happens(700), before, after)
            };
            world.wait(before).await;
            {
                let mut state = world.enter().await;
                let is_kept = state.sabotage != Some(Sabotage::ForgetfulDisk);
                if is_kept && !(fails && is_early) {
                    state.note(|_| format!("on disk: {desired:?}"));
                    state.disk = Some(desired);
                }
            }
            world.wait(after).await;
            let mut state = world.enter().await;
            state.writes -= 1;
            if fails {
                state.note(|_| "the write failed".into());
                let (path, source) = (PathBuf::from("web.wish"), io::Error::other("no space left on device"));
                return Err(StoreError::NotStored { path, source });
            }
            state.revision.send_replace(expected.next());
            Ok(expected.next())
        }
        .boxed()
    }

    fn watch(&self, _service: &str) -> watch::Receiver<Revision> {
        self.0.state().revision.subscribe()
    }

    fn outlasts_fleets(&self) -> bool {
        true
    }

    fn location(&self, service: &str) -> String {
        format!("{service}.wish")
    }
}
