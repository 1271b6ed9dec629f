//! What a placement does with its keys: who gets how many, and which of them a change moves.

use std::collections::BTreeMap;

use crate::{Key, Placement, Seat};

/// How the keys are shared out.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Each seat's part, from 0 to 1; together they make 1.
    pub parts: Vec<(Seat, f64)>,
    /// Over how many keys they were counted; nothing if they are exact.
    pub sampled_keys: Option<u32>,
}

impl Shares {
    /// The largest part over the mean part; 1 is perfect, and so is no seat at all.
    pub fn largest_over_mean(&self) -> f64 {
        let largest = self.parts.iter().map(|(_, part)| *part).fold(0.0, f64::max);
        if self.parts.is_empty() { 1.0 } else { largest * self.parts.len() as f64 }
    }
}

impl Placement {
    /// How the keys are shared out: exact for classic, rings and Maglev tables; for rendezvous, whose
    /// shares are even but for chance, counted over this many of [`sample_keys`].
    pub fn shares(&self, sampled_keys: u32) -> Shares {
        match self {
            Self::Classic(classic) => Shares { parts: classic.shares(), sampled_keys: None },
            Self::Named(named) => Shares { parts: named.shares(), sampled_keys: None },
            Self::Rendezvous(rendezvous) => {
                let mut counts: BTreeMap<Seat, u32> =
                    rendezvous.members().map(|member| (member.seat, 0)).collect();
                for bytes in sample_keys(sampled_keys) {
                    let first = rendezvous.order(self.key_hash().key(&bytes)).next();
                    first.and_then(|seat| counts.get_mut(&seat)).into_iter().for_each(|count| *count += 1);
                }
                let part = |count| f64::from(count) / f64::from(sampled_keys.max(1));
                let parts = counts.into_iter().map(|(seat, count)| (seat, part(count))).collect();
                Shares { parts, sampled_keys: Some(sampled_keys) }
            }
        }
    }
}

/// Keys to count with: the numbers from 0 up as eight bytes, lowest first. Always the same ones.
pub fn sample_keys(count: u32) -> impl Iterator<Item = [u8; 8]> {
    (0..u64::from(count)).map(u64::to_le_bytes)
}

/// What a change did to some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// How many keys were looked at.
    pub keys: u64,
    /// How many have another first choice than before.
    pub moved: u64,
    /// How many had to move, at the least, for the seats to have as many keys as they have now: what
    /// the losing seats lost, after what they won.
    pub unavoidable: u64,
    /// From where to where they moved, with how many, by seats.
    pub flows: Vec<Flow>,
}

/// Keys that moved from one seat to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where they were; nothing if nobody was there.
    pub from: Option<Seat>,
    /// Where they are; nothing if nobody is left.
    pub to: Option<Seat>,
    /// How many.
    pub keys: u64,
}

impl Movement {
    /// The part of the keys that moved.
    pub fn moved_share(&self) -> f64 {
        self.share(self.moved)
    }

    /// The part of the keys that had to move.
    pub fn unavoidable_share(&self) -> f64 {
        self.share(self.unavoidable)
    }

    fn share(&self, keys: u64) -> f64 {
        keys as f64 / self.keys.max(1) as f64
    }
}

/// Compares the first choices of two placements for these keys, each hashed as the placement in
/// question hashes, so that the two may be of different kinds.
pub fn movement<K: AsRef<[u8]>>(
    before: &Placement,
    after: &Placement,
    keys: impl IntoIterator<Item = K>,
) -> Movement {
    let first = |placement: &Placement, bytes: &[u8]| -> Option<Seat> {
        let key: Key = placement.key_hash().key(bytes);
        placement.order(key).next()
    };
    let mut flows: BTreeMap<(Option<Seat>, Option<Seat>), u64> = BTreeMap::new();
    let mut balance: BTreeMap<Option<Seat>, i64> = BTreeMap::new();
    let (mut count, mut moved) = (0, 0);
    for bytes in keys {
        let (from, to) = (first(before, bytes.as_ref()), first(after, bytes.as_ref()));
        count += 1;
        if from != to {
            moved += 1;
            *flows.entry((from, to)).or_default() += 1;
            *balance.entry(from).or_default() -= 1;
            *balance.entry(to).or_default() += 1;
        }
    }
    let unavoidable = balance.values().filter(|balance| **balance < 0).map(|loss| loss.unsigned_abs()).sum();
    let flows = flows.into_iter().map(|((from, to), keys)| Flow { from, to, keys }).collect();
    Movement { keys: count, moved, unavoidable, flows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Classic, ClassicSettings, MaglevSize, Member, Named, NamedAlgorithm, Rendezvous, RingLayout,
        SeatNames,
    };

    const KEYS: u32 = 20_000;

    fn of_each_kind(seats: &[u32]) -> Vec<Placement> {
        let named = |algorithm| Placement::Named(Named::new(algorithm, SeatNames::default()));
        let mut placements = vec![
            Placement::Rendezvous(Rendezvous::default()),
            Placement::Classic(Classic::new(ClassicSettings::default())),
            named(NamedAlgorithm::Ring(RingLayout::Nginx)),
            named(NamedAlgorithm::Ring(RingLayout::Ketama)),
            named(NamedAlgorithm::Maglev(MaglevSize::default())),
        ];
        for placement in &mut placements {
            for number in seats {
                placement.insert(Member::new(Seat::new(*number).unwrap())).unwrap();
            }
        }
        placements
    }

    #[test]
    fn exact_shares_are_what_counting_converges_to() {
        for placement in of_each_kind(&[1, 2, 3, 5]) {
            let shares = placement.shares(KEYS);
            let sum: f64 = shares.parts.iter().map(|(_, part)| part).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{shares:?} make {sum}");
            for (seat, part) in shares.parts {
                let keys = sample_keys(KEYS).map(|bytes| placement.key_hash().key(&bytes));
                let counted = keys.filter(|key| placement.order(*key).next() == Some(seat)).count() as f64;
                let sigma = (part * (1.0 - part) * f64::from(KEYS)).sqrt();
                let expected = part * f64::from(KEYS);
                assert!((counted - expected).abs() <= 4.0 * sigma + 1.0, "{seat}: {counted}, not {expected}");
            }
        }
    }

    #[test]
    fn a_lost_seat_moves_its_keys_and_only_maglev_moves_more() {
        let (before, after) = (of_each_kind(&[1, 2, 3]), of_each_kind(&[1, 3]));
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            let movement = movement(before, after, sample_keys(KEYS));
            let lost = Seat::new(2);
            let from_lost: u64 =
                movement.flows.iter().filter(|flow| flow.from == lost).map(|flow| flow.keys).sum();
            let is_maglev = at == 4;
            assert_eq!(movement.moved > from_lost, is_maglev, "{movement:?}");
            assert_eq!(movement.moved > movement.unavoidable, is_maglev, "{movement:?}");
            assert_eq!(movement.flows.iter().map(|flow| flow.keys).sum::<u64>(), movement.moved);
        }
    }

    #[test]
    fn what_was_nowhere_comes_from_nowhere() {
        let (none, one) = (of_each_kind(&[]), of_each_kind(&[7]));
        for (none, one) in none.iter().zip(&one) {
            let expected = Flow { from: None, to: Seat::new(7), keys: 10 };
            assert_eq!(movement(none, one, sample_keys(10)).flows, [expected]);
        }
    }
}
