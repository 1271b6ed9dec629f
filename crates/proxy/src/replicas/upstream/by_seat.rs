//! Something for each replica, found by its seat without hashing. It knows nothing of connections.

use fleet::Life;
use placement::Seat;

/// Which replica has which seat of the fleet. Spares that have taken one began elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) seat: Seat,
    pub(crate) life: Life,
}

/// What belongs to the replicas of a service. Who takes a seat has nothing of the one before.
pub(crate) struct BySeat<T> {
    places: Vec<Option<(Life, T)>>,
}

impl<T> Default for BySeat<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T: Default> BySeat<T> {
    /// What this replica has, if it has anything.
    pub(crate) fn get_mut(&mut self, holder: Holder) -> Option<&mut T> {
        let (owner, thing) = self.places.get_mut(holder.seat.index())?.as_mut()?;
        (*owner == holder.life).then_some(thing)
    }

    /// What this replica has, or will have from now on.
    pub(crate) fn of(&mut self, holder: Holder) -> &mut T {
        let Holder { seat, life } = holder;
        let index = seat.index();
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        let place = &mut self.places[index];
        if place.as_ref().is_none_or(|(owner, _)| *owner != life) {
            *place = None;
        }
        &mut place.get_or_insert_with(|| (life, T::default())).1
    }

    /// Forgets what belongs to others.
    pub(crate) fn keep_only(&mut self, is_kept: impl Fn(Life) -> bool) {
        for place in &mut self.places {
            if place.as_ref().is_some_and(|(owner, _)| !is_kept(*owner)) {
                *place = None;
            }
        }
    }

    /// What everybody has.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten().map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has this seat, by the seat and incarnation that it began with.
    fn holder(seat: u32, first_seat: u32, incarnation: u64) -> Holder {
        let seat_of = |number| Seat::new(number).unwrap();
        Holder { seat: seat_of(seat), life: Life { seat: seat_of(first_seat), incarnation } }
    }

    #[test]
    fn who_takes_a_seat_has_nothing_of_the_one_before() {
        let mut things = BySeat::<Vec<u8>>::default();
        let (first, second, spare) = (holder(3, 3, 1), holder(3, 3, 2), holder(3, 70_000, 1));
        things.of(first).push(7);
        assert_eq!(things.get_mut(first), Some(&mut vec![7]));
        assert_eq!(things.get_mut(second), None);
        assert_eq!(things.get_mut(holder(9, 9, 1)), None);
        assert!(things.of(second).is_empty());
        assert_eq!(things.get_mut(first), None);
        assert!(things.of(spare).is_empty());
        assert_eq!(things.places.len(), 3, "as long as the fleet");
        let other = holder(1, 1, 1);
        things.of(other).push(8);
        things.keep_only(|kept| kept == other.life);
        assert_eq!(things.values_mut().collect::<Vec<_>>(), [&mut vec![8]]);
    }
}
