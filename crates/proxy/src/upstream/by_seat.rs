//! Something for each replica, found by its seat without hashing. It knows nothing of connections.

use fleet::Life;

/// What belongs to the replicas of a service. A new incarnation has nothing of the one before.
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
    pub(crate) fn get_mut(&mut self, life: Life) -> Option<&mut T> {
        let (owner, thing) = self.places.get_mut(life.seat.index())?.as_mut()?;
        (*owner == life).then_some(thing)
    }

    /// What this replica has, or will have from now on.
    pub(crate) fn of(&mut self, life: Life) -> &mut T {
        let index = life.seat.index();
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
    use placement::Seat;

    fn life(seat: u32, incarnation: u64) -> Life {
        Life { seat: Seat::new(seat).unwrap(), incarnation }
    }

    #[test]
    fn a_new_incarnation_has_nothing_of_the_one_before() {
        let mut things = BySeat::<Vec<u8>>::default();
        things.of(life(3, 1)).push(7);
        assert_eq!(things.get_mut(life(3, 1)), Some(&mut vec![7]));
        assert_eq!(things.get_mut(life(3, 2)), None);
        assert_eq!(things.get_mut(life(9, 1)), None);
        assert!(things.of(life(3, 2)).is_empty());
        assert_eq!(things.get_mut(life(3, 1)), None);
        things.of(life(1, 1)).push(8);
        things.keep_only(|kept| kept == life(1, 1));
        assert_eq!(things.values_mut().collect::<Vec<_>>(), [&mut vec![8]]);
    }
}
