//! Rings and Maglev tables over seats: each seat is hashed by its name.

use crate::maglev::MaglevOrder;
use crate::ring::RingOrder;
use crate::{
    Key, KeyHash, Maglev, MaglevSize, Member, NamedMember, NoRoom, Ring, RingLayout, Seat, SeatNames,
};

/// Which algorithm places the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedAlgorithm {
    /// A ring with points in this layout.
    Ring(RingLayout),
    /// A Maglev table with this many slots.
    Maglev(MaglevSize),
}

/// Seats, their names, and the ring or table made from them.
///
/// A replacement takes the dead one's seat, hence its name, hence its place: whatever address it
/// has, no key moves. Each change makes the ring or table anew.
#[derive(Clone, Debug)]
pub struct Named {
    algorithm: NamedAlgorithm,
    names: SeatNames,
    /// By seat; the table's positions are positions in here.
    members: Vec<Member>,
    table: Table,
}

#[derive(Clone, Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

impl Named {
    /// No seats yet.
    pub fn new(algorithm: NamedAlgorithm, names: SeatNames) -> Self {
        let table = match algorithm {
            NamedAlgorithm::Ring(_) => Table::Ring(Ring::default()),
            NamedAlgorithm::Maglev(size) => Table::Maglev(Maglev::new(size, &[])),
        };
        Self { algorithm, names, members: Vec::new(), table }
    }

    /// Adds members, or changes the weights of those that are there; all or nothing. Makes the table
    /// once, so many are cheaper together than one by one.
    pub fn insert_all(&mut self, added: impl IntoIterator<Item = Member>) -> Result<(), NoRoom> {
        let mut members = self.members.clone();
        for member in added {
            match members.binary_search_by_key(&member.seat, |other| other.seat) {
                Ok(at) => members[at] = member,
                Err(at) => members.insert(at, member),
            }
        }
        self.table = self.made_of(&members)?;
        self.members = members;
        Ok(())
    }

    /// Takes a member away; one that is not there is no error.
    pub fn remove(&mut self, seat: Seat) {
        let members: Vec<Member> =
            self.members.iter().copied().filter(|member| member.seat != seat).collect();
        if members.len() < self.members.len() {
            self.table = self.made_of(&members).expect("fewer members need no more room");
            self.members = members;
        }
    }

    /// Whether this is the seat of a member.
    pub fn has(&self, seat: Seat) -> bool {
        self.members.binary_search_by_key(&seat, |member| member.seat).is_ok()
    }

    /// The members, by seat.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.members.iter().copied()
    }

    /// How the balancer that the algorithm comes from hashes its keys.
    pub fn key_hash(&self) -> KeyHash {
        match self.algorithm {
            NamedAlgorithm::Ring(layout) => layout.key_hash(),
            NamedAlgorithm::Maglev(_) => KeyHash::Xxh64,
        }
    }

    /// Every seat, the best for this key first.
    pub fn order(&self, key: Key) -> NamedOrder<'_> {
        let walk = match &self.table {
            Table::Ring(ring) => NamedWalk::Ring(ring.order(key)),
            Table::Maglev(maglev) => NamedWalk::Maglev(maglev.order(key)),
        };
        NamedOrder { members: &self.members, walk }
    }

    /// Each member's exact part of the keys, by seat.
    pub fn shares(&self) -> Vec<(Seat, f64)> {
        let shares = match &self.table {
            Table::Ring(ring) => ring.shares(),
            Table::Maglev(maglev) => maglev.shares(),
        };
        self.members.iter().map(|member| member.seat).zip(shares).collect()
    }

    /// The owner of each slot of a Maglev table; nothing for a ring.
    pub fn slots(&self) -> Option<Vec<Seat>> {
        let Table::Maglev(maglev) = &self.table else { return None };
        Some(maglev.table().iter().map(|owner| self.members[*owner as usize].seat).collect())
    }

    fn made_of(&self, members: &[Member]) -> Result<Table, NoRoom> {
        let named = |member: &Member| NamedMember::new(self.names.of(member.seat), member.weight);
        let named: Vec<NamedMember> = members.iter().map(named).collect();
        Ok(match self.algorithm {
            NamedAlgorithm::Ring(layout) => Table::Ring(Ring::new(layout, &named)?),
            NamedAlgorithm::Maglev(size) => Table::Maglev(Maglev::new(size, &named)),
        })
    }
}

/// The seats of one key, the best first.
#[derive(Clone, Debug)]
pub struct NamedOrder<'a> {
    members: &'a [Member],
    walk: NamedWalk<'a>,
}

#[derive(Clone, Debug)]
enum NamedWalk<'a> {
    Ring(RingOrder<'a>),
    Maglev(MaglevOrder<'a>),
}

impl Iterator for NamedOrder<'_> {
    type Item = Seat;

    fn next(&mut self) -> Option<Seat> {
        let position = match &mut self.walk {
            NamedWalk::Ring(order) => order.next(),
            NamedWalk::Maglev(order) => order.next(),
        };
        position.map(|position| self.members[position].seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(number: u32) -> Seat {
        Seat::new(number).unwrap()
    }

    #[test]
    fn a_seat_keeps_the_place_of_its_name_through_removal_and_return() {
        for algorithm in [
            NamedAlgorithm::Ring(RingLayout::Nginx),
            NamedAlgorithm::Ring(RingLayout::Ketama),
            NamedAlgorithm::Maglev(MaglevSize::new(1009).unwrap()),
        ] {
            let mut named = Named::new(algorithm, SeatNames::default());
            named.insert_all((1..=5).map(|number| Member::new(seat(number)))).unwrap();
            let order = |named: &Named, number: u64| {
                named.order(Key::from_number(number * 40_503)).collect::<Vec<_>>()
            };
            let before: Vec<_> = (0..1000).map(|number| order(&named, number)).collect();
            named.remove(seat(3));
            assert!((0..1000).all(|number| !order(&named, number).contains(&seat(3))));
            named.insert_all([Member::new(seat(3))]).unwrap();
            assert_eq!((0..1000).map(|number| order(&named, number)).collect::<Vec<_>>(), before);
        }
    }

    #[test]
    fn listed_seats_are_hashed_by_what_the_operator_calls_them() {
        let listed = vec!["127.0.0.1:7777".to_owned(), "127.0.0.1:7778".to_owned()];
        let names = SeatNames::new(listed).unwrap();
        let mut named = Named::new(NamedAlgorithm::Ring(RingLayout::Nginx), names);
        named.insert_all([2, 1].map(|number| Member::new(seat(number)))).unwrap();
        let key = named.key_hash().key(b"/some/path");
        assert_eq!(named.order(key).map(Seat::number).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_ring_with_too_many_points_is_refused_and_stays_as_it_was() {
        let mut named = Named::new(NamedAlgorithm::Ring(RingLayout::Nginx), SeatNames::default());
        named.insert_all([Member::new(seat(1))]).unwrap();
        let heavy = [2, 3].map(|number| Member { seat: seat(number), weight: crate::WEIGHT_MAX });
        assert!(matches!(named.insert_all(heavy), Err(NoRoom::Points { .. })));
        assert_eq!(named.members().count(), 1);
    }
}
