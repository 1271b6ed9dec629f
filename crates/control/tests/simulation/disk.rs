//! The disk that the wish is kept on: slow, full now and then, and never half written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use control::{WishError, WishStore};
use fleet::Desired;
use futures_util::future::{BoxFuture, FutureExt};

use crate::sabotage::Sabotage;
use crate::world::World;

pub(crate) struct Disk(pub(crate) Arc<World>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl WishStore for Disk {
    fn read(&self, _service: &str, _is_left: bool) -> Result<Desired, WishError> {
        let mut state = self.0.state();
        let stored = state.disk.clone();
        Ok(stored.unwrap_or_else(|| Desired::new(state.chance.number(0..u64::MAX))))
    }

    fn write(&self, _service: &str, desired: &Desired) -> BoxFuture<'static, Result<(), WishError>> {
        let world = Arc::clone(&self.0);
        let desired = desired.clone();
        async move {
            let (fails, is_early, before, after) = {
                let mut state = world.enter().await;
                state.writes += 1;
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
                return Err(WishError::NotStored { path, source });
            }
            Ok(())
        }
        .boxed()
    }
}
