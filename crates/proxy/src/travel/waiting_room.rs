//! The waiting room: where requests of a service wait while no replica can take them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::settings::WAITING_MAX;

/// Counts those who wait.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    waiting: AtomicUsize,
}

impl WaitingRoom {
    /// A place, if there is one; dropping it leaves.
    pub(crate) fn enter(&self) -> Option<Place<'_>> {
        let one_more = |waiting: usize| (waiting < WAITING_MAX).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place { room: self })
    }
}

/// A place in the waiting room.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    room: &'a WaitingRoom,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_has_a_limit_and_places_come_free() {
        let room = WaitingRoom::default();
        let places: Vec<_> = (0..WAITING_MAX).map(|_| room.enter().unwrap()).collect();
        assert!(room.enter().is_none());
        drop(places);
        assert!(room.enter().is_some());
    }
}
