//! The waiting room: where requests of a service wait while no replica can take them, or a limit keeps them
//! out.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts those who wait.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    waiting: AtomicUsize,
}

impl WaitingRoom {
    /// A place, if fewer than this many are taken; dropping it leaves.
    pub(crate) fn enter(&self, most: usize) -> Option<Place<'_>> {
        let one_more = |waiting: usize| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place { room: self })
    }

    /// How many wait.
    pub(crate) fn length(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
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
        let places: Vec<_> = (0..10).map(|_| room.enter(10).unwrap()).collect();
        assert!(room.enter(10).is_none());
        drop(places);
        assert!(room.enter(10).is_some());
    }
}
