//! A circle of places, each owned by a member, and the walk round it that meets each member once.
//!
//! The ring and the Maglev table share it. Each place knows how far back its owner's previous
//! place lies, so a walk can tell without any memory of its own whether it met that owner before.

use crate::NamedMember;

/// The places in walking order, as parallel arrays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circle {
    owners: Vec<u32>,
    /// Places back to the owner's previous place; the whole round for an only place.
    gaps: Vec<u32>,
    /// How many members own a place.
    owning: usize,
    /// Members without a place, in the order of their names.
    placeless: Vec<u32>,
}

impl Circle {
    /// The circle of these owners, which are positions in `members`.
    pub(crate) fn new(owners: Vec<u32>, members: &[NamedMember]) -> Self {
        let size = owners.len();
        let mut last_places: Vec<Option<usize>> = vec![None; members.len()];
        // After the first round each owner's last place is known; the second fills the gaps.
        for (place, owner) in owners.iter().enumerate() {
            last_places[*owner as usize] = Some(place);
        }
        let mut placeless: Vec<u32> =
            (0..members.len()).filter(|member| last_places[*member].is_none()).map(narrow).collect();
        placeless.sort_by_key(|member| members[*member as usize].name());
        let owning = members.len() - placeless.len();
        let gap = |(place, owner): (usize, &u32)| {
            let last = last_places[*owner as usize].replace(place).unwrap_or(place);
            narrow(if last < place { place - last } else { place + size - last })
        };
        let gaps = owners.iter().enumerate().map(gap).collect();
        Self { owners, gaps, owning, placeless }
    }

    /// The owner of each place.
    pub(crate) fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// How many members there are, those without a place included.
    pub(crate) fn members(&self) -> usize {
        self.owning + self.placeless.len()
    }

    /// Every member: those on the circle in the order in which a walk from `start` meets them, then
    /// those that have no place on it.
    pub(crate) fn walk(&self, start: usize) -> Walk<'_> {
        Walk { circle: self, start, walked: 0, met: 0 }
    }
}

/// A number of members or places, all of which are bounded far below.
pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("members and places are limited to less than 2^32")
}

/// The members of one walk.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    circle: &'a Circle,
    start: usize,
    walked: usize,
    met: usize,
}

impl Iterator for Walk<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let circle = self.circle;
        while self.met < circle.owning {
            let place = (self.start + self.walked) % circle.owners.len();
            // The first is always new; not asking spares most lookups a miss in the cache.
            let is_new = self.walked == 0 || circle.gaps[place] as usize > self.walked;
            self.walked += 1;
            if is_new {
                self.met += 1;
                return Some(circle.owners[place]);
            }
        }
        let member = circle.placeless.get(self.met - circle.owning)?;
        self.met += 1;
        Some(*member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(owners: &[u32], start: usize) -> Vec<u32> {
        let names = ["a", "b", "d", "c"].map(|name| NamedMember::new(name, 1));
        Circle::new(owners.to_vec(), &names).walk(start).collect()
    }

    #[test]
    fn a_walk_meets_each_member_once_and_those_without_a_place_last() {
        assert_eq!(order(&[0, 0, 1, 2, 0, 3], 0), [0, 1, 2, 3]);
        assert_eq!(order(&[0, 0, 1, 2, 0, 3], 3), [2, 0, 3, 1]);
        assert_eq!(order(&[0, 0, 1, 2, 0, 3], 5), [3, 0, 1, 2]);
        assert_eq!(order(&[1, 1], 1), [1, 0, 3, 2], "by name: a, c, d");
        assert_eq!(order(&[], 0), [0, 1, 3, 2]);
    }
}
