//! Maglev's lookup table, as Envoy fills it.
//!
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section
//! 3.4: each member prefers the slots of a table of prime size M in an order of its own, offset,
//! offset + skip, offset + 2 · skip, …; the members take turns at taking the best slot that is still
//! free. Hashes and weights are Envoy's: XXH64 of the name with seed 0 for the offset and seed 1 for
//! the skip, turns in the order of the names, and turns left out in proportion to the weight.

use std::fmt;

use xxhash_rust::xxh64::xxh64;

use crate::circle::{Circle, Walk, narrow};
use crate::{Key, NamedMember};

/// Envoy's limit for the size of a table.
pub const MAGLEV_SIZE_MAX: u32 = 5_000_011;

/// The number of slots in a Maglev table: a prime, so that each skip reaches every slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaglevSize(u32);

impl MaglevSize {
    /// Refuses what is not a prime, and what is more than [`MAGLEV_SIZE_MAX`].
    pub fn new(size: u32) -> Result<Self, BadMaglevSize> {
        let is_prime = || (2..).take_while(|d| d * d <= size).all(|d| !size.is_multiple_of(d));
        let is_fit = (2..=MAGLEV_SIZE_MAX).contains(&size) && is_prime();
        if is_fit { Ok(Self(size)) } else { Err(BadMaglevSize { size }) }
    }

    /// The number of slots.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Default for MaglevSize {
    /// 65 537, as in the paper and in Envoy.
    fn default() -> Self {
        Self(65_537)
    }
}

/// A table of this size cannot be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMaglevSize {
    /// What was asked for.
    pub size: u32,
}

impl fmt::Display for BadMaglevSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a Maglev table has a prime number of slots, at most {MAGLEV_SIZE_MAX}, not {}", self.size)
    }
}

impl std::error::Error for BadMaglevSize {}

/// A table over a list of members; orders name them by their position in that list.
///
/// ```
/// use placement::{KeyHash, Maglev, MaglevSize, NamedMember};
///
/// let members = ["10.0.0.1:80", "10.0.0.2:80"].map(|name| NamedMember::new(name, 1));
/// let maglev = Maglev::new(MaglevSize::default(), &members);
/// assert_eq!(maglev.order(KeyHash::Xxh64.key(b"/home")).count(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Maglev {
    circle: Circle,
}

impl Maglev {
    /// The table of these members, whatever their order. Names should be distinct. Members for whom
    /// the table has no slot left come last in every order.
    pub fn new(size: MaglevSize, members: &[NamedMember]) -> Self {
        let mut by_name: Vec<usize> = (0..members.len()).collect();
        by_name.sort_by_key(|position| members[*position].name());
        let total: u64 = members.iter().map(|member| u64::from(member.weight())).sum();
        let preference = |position: &usize| {
            let (name, slots) = (members[*position].name().as_bytes(), u64::from(size.number()));
            Preference {
                next: xxh64(name, 0) % slots,
                skip: xxh64(name, 1) % (slots - 1) + 1,
                weight: f64::from(members[*position].weight()) / total as f64,
            }
        };
        let table = populate(by_name.iter().map(preference).collect(), size);
        let owners = table.into_iter().map(|owner| narrow(by_name[owner as usize])).collect();
        Self { circle: Circle::new(owners, members) }
    }

    /// Every member, the one in the key's slot first, the others as the walk up the table meets
    /// them.
    pub fn order(&self, key: Key) -> MaglevOrder<'_> {
        let slots = self.circle.owners().len().max(1) as u64;
        MaglevOrder(self.circle.walk((key.number() % slots) as usize))
    }

    /// The owner of each slot, as a position in the list of members; empty without members.
    pub fn table(&self) -> &[u32] {
        self.circle.owners()
    }

    /// Each member's part of the slots, exact.
    pub fn shares(&self) -> Vec<f64> {
        let mut slots = vec![0_u32; self.circle.members()];
        self.table().iter().for_each(|owner| slots[*owner as usize] += 1);
        let size = self.table().len().max(1) as f64;
        slots.into_iter().map(|count| f64::from(count) / size).collect()
    }
}

/// The members of one key, as positions in the list that the table was made from.
#[derive(Clone, Debug)]
pub struct MaglevOrder<'a>(Walk<'a>);

impl Iterator for MaglevOrder<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.0.next().map(|member| member as usize)
    }
}

/// One member's way through the slots.
struct Preference {
    /// The slot that it tries next.
    next: u64,
    skip: u64,
    /// Its part of the sum of all weights.
    weight: f64,
}

impl Preference {
    fn take(&mut self, slots: u64) -> usize {
        let slot = self.next;
        self.next = (slot + self.skip) % slots;
        slot as usize
    }
}

/// The paper's listing 1, with Envoy's weights: in round r a member has its turn once r · weight has
/// reached its target, and each turn raises the target by the greatest weight. The sums are taken in
/// the same order and width as Envoy's, so they round alike.
fn populate(mut preferences: Vec<Preference>, size: MaglevSize) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let greatest = preferences.iter().map(|preference| preference.weight).fold(0.0, f64::max);
    let mut targets = vec![0.0; preferences.len()];
    if preferences.is_empty() {
        return Vec::new();
    }
    let slots = u64::from(size.number());
    let mut table = vec![FREE; slots as usize];
    let mut free = slots;
    for round in 1_u32.. {
        for (number, preference) in preferences.iter_mut().enumerate() {
            if f64::from(round) * preference.weight < targets[number] {
                continue;
            }
            targets[number] += greatest;
            let mut slot = preference.take(slots);
            while table[slot] != FREE {
                slot = preference.take(slots);
            }
            table[slot] = narrow(number);
            free -= 1;
            if free == 0 {
                return table;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(preferences: &[(u64, u64)]) -> Vec<u32> {
        let weight = 1.0 / preferences.len() as f64;
        let preferences = preferences.iter().map(|&(next, skip)| Preference { next, skip, weight });
        populate(preferences.collect(), MaglevSize::new(7).unwrap())
    }

    fn members(weights: &[u32]) -> Vec<NamedMember> {
        let named = |(i, weight): (usize, &u32)| NamedMember::new(format!("127.0.0.1:{}", 90 + i), *weight);
        weights.iter().enumerate().map(named).collect()
    }

    fn table(size: u32, members: &[NamedMember]) -> Vec<u32> {
        Maglev::new(MaglevSize::new(size).unwrap(), members).table().to_vec()
    }

    #[test]
    fn the_papers_example_is_filled_as_in_the_paper() {
        // Tables 1 and 2: the permutations of B0, B1 and B2, and the table with and without B1.
        let walk = |(offset, skip)| (0..7).map(|turn| (offset + turn * skip) % 7).collect::<Vec<u64>>();
        let (b0, b1, b2) = ((3, 4), (0, 2), (3, 1));
        assert_eq!(walk(b0), [3, 0, 4, 1, 5, 2, 6]);
        assert_eq!(walk(b1), [0, 2, 4, 6, 1, 3, 5]);
        assert_eq!(walk(b2), [3, 4, 5, 6, 0, 1, 2]);
        assert_eq!(filled(&[b0, b1, b2]), [1, 0, 1, 0, 2, 2, 0]);
        let without = filled(&[b0, b2]).into_iter().map(|owner| [0, 2][owner as usize]);
        assert_eq!(without.collect::<Vec<_>>(), [0, 0, 0, 0, 2, 2, 2]);
    }

    // The expected tables are those that Envoy's own maglev_lb_test.cc asserts.
    #[test]
    fn even_tables_are_envoys() {
        assert_eq!(table(7, &members(&[1; 6])), [2, 4, 0, 1, 5, 0, 3]);
        let by_name = ["90", "91", "92", "93", "94", "95"].map(|name| NamedMember::new(name, 1));
        assert_eq!(table(7, &by_name), [2, 5, 0, 3, 4, 1, 0]);
        assert_eq!(table(7, &members(&[1])), [0; 7]);
        assert_eq!(table(7, &[]), []);
    }

    #[test]
    fn weighted_tables_are_envoys() {
        assert_eq!(table(17, &members(&[1, 2])), [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]);
        assert_eq!(table(17, &members(&[1, 1])), [1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]);
        // Envoy's test reaches 8 to 2 by weighted localities.
        assert_eq!(table(17, &members(&[8, 2])), [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(table(17, &members(&[7])), [0; 17]);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let mut reversed = members(&[3, 1, 2, 1]);
        reversed.reverse();
        let positions = table(1009, &reversed).into_iter().map(|owner| 3 - owner);
        assert_eq!(positions.collect::<Vec<_>>(), table(1009, &members(&[3, 1, 2, 1])));
    }

    #[test]
    fn more_members_than_slots_still_have_a_full_order() {
        let maglev = Maglev::new(MaglevSize::new(7).unwrap(), &members(&[1; 9]));
        let mut order: Vec<usize> = maglev.order(Key::from_number(5)).collect();
        assert_eq!(&order[7..], [7, 8], "the last of the turn, by name");
        order.sort_unstable();
        assert_eq!(order, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn a_size_that_is_no_prime_is_refused() {
        for size in [0, 1, 4, 8, 65_536, 5_000_010, 5_000_077, u32::MAX] {
            assert_eq!(MaglevSize::new(size), Err(BadMaglevSize { size }));
        }
        for size in [2, 3, 7, 65_537, MAGLEV_SIZE_MAX] {
            assert_eq!(MaglevSize::new(size).unwrap().number(), size);
        }
    }
}
