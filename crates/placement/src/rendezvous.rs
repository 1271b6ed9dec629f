//! Rendezvous hashing over seats: each seat bids for each key, the highest bid wins.
//!
//! Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998). Weights follow
//! the logarithmic method (Schindelhauer and Schomaker, 2005): the seat with the least
//! `-log2(u) / weight` wins, u being its bid as a number from 0 to 1. A seat's bids depend on
//! nothing but itself, so a change moves only keys that it has to move.

use crate::logarithm::{negative_log2, negative_log2_at_least};
use crate::split_mix::{draw, mix};
use crate::{Key, Member, Seat, WEIGHT_MAX};

/// Bits behind the point of a weight's reciprocal.
const RECIPROCAL_BITS: u32 = 48;

/// The members and their seeds, sorted by seat.
///
/// ```
/// use placement::{Key, Member, Rendezvous, Seat};
///
/// let mut rendezvous = Rendezvous::default();
/// for number in 1..=3 {
///     rendezvous.insert(Member::new(Seat::new(number).unwrap()));
/// }
/// let order: Vec<Seat> = rendezvous.order(Key::of(b"/home")).collect();
/// assert_eq!(order.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rendezvous {
    members: Vec<Member>,
    /// What the lookup reads, apart from the rest: eight bytes for each member.
    seeds: Vec<u64>,
    /// 1 / weight in fixed point.
    reciprocals: Vec<u64>,
    is_even: bool,
}

impl Rendezvous {
    /// Adds a member, or changes the weight of one that is there.
    pub fn insert(&mut self, mut member: Member) {
        member.weight = member.weight.clamp(1, WEIGHT_MAX);
        let reciprocal = (1 << RECIPROCAL_BITS) / u64::from(member.weight);
        match self.find(member.seat) {
            Ok(at) => {
                self.members[at] = member;
                self.reciprocals[at] = reciprocal;
                self.is_even = is_even(&self.reciprocals);
            }
            Err(at) => {
                // A newcomer is compared with one of the others: looking at all of them for each of
                // ten thousand would take longer than everything else.
                let is_like_the_first = self.reciprocals.first().is_none_or(|first| *first == reciprocal);
                self.is_even = is_like_the_first && (self.is_even || self.members.is_empty());
                self.members.insert(at, member);
                self.seeds.insert(at, seed(member.seat));
                self.reciprocals.insert(at, reciprocal);
            }
        }
    }

    /// Takes a member away; one that is not there is no error.
    pub fn remove(&mut self, seat: Seat) {
        if let Ok(at) = self.find(seat) {
            self.members.remove(at);
            self.seeds.remove(at);
            self.reciprocals.remove(at);
            self.is_even = is_even(&self.reciprocals);
        }
    }

    /// The members, by seat.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.members.iter().copied()
    }

    /// Whether this is the seat of a member.
    pub fn has(&self, seat: Seat) -> bool {
        self.find(seat).is_ok()
    }

    /// Every seat, the best first. Costs no allocation; each step looks at every member once.
    #[inline]
    pub fn order(&self, key: Key) -> RendezvousOrder<'_> {
        RendezvousOrder { rendezvous: self, key, given: 0, last: None }
    }

    fn find(&self, seat: Seat) -> Result<usize, usize> {
        self.members.binary_search_by_key(&seat, |member| member.seat)
    }

    /// The member with the highest bid below `limit`, or with the highest of all if none is below:
    /// seen from the limit downwards round the circle of 2^64, that is the next one. No two bids are
    /// equal, since seeds differ and `mix` is a bijection.
    fn next_bid(&self, key: u64, limit: u64) -> Option<(usize, u64)> {
        let mut best = (0, 0);
        for (at, seed) in self.seeds.iter().enumerate() {
            let above_limit = mix(key ^ seed).wrapping_sub(limit);
            if above_limit >= best.1 {
                best = (at, above_limit);
            }
        }
        (!self.seeds.is_empty()).then(|| (best.0, best.1.wrapping_add(limit)))
    }

    /// The member with the least rank above `last`.
    fn next_rank(&self, key: u64, last: Option<Rank>) -> Option<(usize, Rank)> {
        let mut best = None;
        let mut least = Rank::WORST;
        for (at, (seed, reciprocal)) in self.seeds.iter().zip(&self.reciprocals).enumerate() {
            let bid = mix(key ^ seed);
            // Most bids are so low that a glance shows it; few logarithms are taken.
            if cost(negative_log2_at_least(bid), *reciprocal) > least.cost {
                continue;
            }
            let rank = Rank { cost: cost(negative_log2(bid), *reciprocal), inverse_bid: !bid };
            if rank < least && last.is_none_or(|last| rank > last) {
                (best, least) = (Some(at), rank);
            }
        }
        best.map(|at| (at, least))
    }
}

// Among equal weights the cost falls as the bid rises, so the bid alone gives the same order and the
// logarithm need not be taken.
fn is_even(reciprocals: &[u64]) -> bool {
    reciprocals.windows(2).all(|two| two[0] == two[1])
}

/// The less, the better: cost first, then the higher bid. Bids differ, so ranks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    cost: u128,
    inverse_bid: u64,
}

impl Rank {
    /// No member's rank: a logarithm has 54 bits and a reciprocal 49.
    const WORST: Self = Self { cost: u128::MAX, inverse_bid: u64::MAX };
}

fn cost(log: u64, reciprocal: u64) -> u128 {
    u128::from(log) * u128::from(reciprocal)
}

/// The seats of one key, the best first.
#[derive(Clone, Debug)]
pub struct RendezvousOrder<'a> {
    rendezvous: &'a Rendezvous,
    key: Key,
    given: usize,
    last: Option<Rank>,
}

impl Iterator for RendezvousOrder<'_> {
    type Item = Seat;

    #[inline]
    fn next(&mut self) -> Option<Seat> {
        let Self { rendezvous, key, last, .. } = *self;
        if self.given == rendezvous.seeds.len() {
            return None;
        }
        self.given += 1;
        let at = if rendezvous.is_even {
            // The first limit is 0: below it, round the circle, lie all bids.
            let limit = last.map_or(0, |last| !last.inverse_bid);
            let (at, bid) = rendezvous.next_bid(key.number(), limit)?;
            self.last = Some(Rank { cost: 0, inverse_bid: !bid });
            at
        } else {
            let (at, rank) = rendezvous.next_rank(key.number(), last)?;
            self.last = Some(rank);
            at
        };
        Some(rendezvous.members[at].seat)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rendezvous.seeds.len() - self.given;
        (left, Some(left))
    }
}

// The sequence of seed 0, which begins at index 0 as seats begin at 1.
fn seed(seat: Seat) -> u64 {
    draw(0, u64::from(seat.number()) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const KEYS: u64 = 40_000;

    fn fleet(members: &[(u32, u32)]) -> Rendezvous {
        let mut rendezvous = Rendezvous::default();
        for &(seat, weight) in members {
            rendezvous.insert(Member { seat: Seat::new(seat).unwrap(), weight });
        }
        rendezvous
    }

    fn first(rendezvous: &Rendezvous, number: u64) -> u32 {
        rendezvous.order(key(number)).next().unwrap().number()
    }

    fn key(number: u64) -> Key {
        Key::of(&number.to_le_bytes())
    }

    fn shares(rendezvous: &Rendezvous) -> BTreeMap<u32, f64> {
        let mut counts = BTreeMap::new();
        for number in 0..KEYS {
            *counts.entry(first(rendezvous, number)).or_insert(0.0) += 1.0;
        }
        counts
    }

    /// Each count within four standard deviations of what its weight promises.
    fn assert_shares(members: &[(u32, u32)]) {
        let total: u32 = members.iter().map(|member| member.1).sum();
        let shares = shares(&fleet(members));
        for &(seat, weight) in members {
            let p = f64::from(weight) / f64::from(total);
            let (mean, sigma) = (KEYS as f64 * p, (KEYS as f64 * p * (1.0 - p)).sqrt());
            let count = shares[&seat];
            assert!((count - mean).abs() <= 4.0 * sigma, "seat {seat} of {members:?}: {count}, not {mean}");
        }
    }

    #[test]
    fn equal_weights_share_evenly() {
        assert_shares(&[(1, 1), (2, 1), (3, 1)]);
        assert_shares(&[(1, 1), (5, 1), (7, 1), (8, 1), (20, 1), (21, 1), (22, 1)]);
    }

    #[test]
    fn weights_share_in_proportion() {
        assert_shares(&[(1, 1), (2, 2), (3, 5)]);
        assert_shares(&[(1, 1), (2, 100)]);
        assert_shares(&[(1, 7), (2, 7), (3, 8)]);
    }

    #[test]
    fn the_order_is_a_permutation_that_ignores_the_order_of_insertion() {
        let (a, b) = (fleet(&[(1, 1), (2, 3), (3, 1), (9, 2)]), fleet(&[(9, 2), (3, 1), (1, 1), (2, 3)]));
        for number in 0..1000 {
            let order: Vec<Seat> = a.order(key(number)).collect();
            assert_eq!(order, b.order(key(number)).collect::<Vec<_>>());
            let mut sorted: Vec<u32> = order.iter().map(|seat| seat.number()).collect();
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3, 9]);
        }
    }

    #[test]
    fn a_lost_member_moves_only_its_own_keys_and_each_to_its_second_choice() {
        let whole = fleet(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let mut rest = whole.clone();
        rest.remove(Seat::new(3).unwrap());
        for number in 0..10_000 {
            let mut order = whole.order(key(number)).map(Seat::number);
            let (first_choice, second) = (order.next().unwrap(), order.next().unwrap());
            let expected = if first_choice == 3 { second } else { first_choice };
            assert_eq!(first(&rest, number), expected);
        }
    }

    #[test]
    fn a_higher_weight_only_attracts() {
        let (before, after) = (fleet(&[(1, 1), (2, 1), (3, 1)]), fleet(&[(1, 1), (2, 3), (3, 1)]));
        for number in 0..10_000 {
            let (was, is) = (first(&before, number), first(&after, number));
            assert!(was == is || is == 2, "key {number} went from {was} to {is}");
        }
    }

    #[test]
    fn equal_weights_place_alike_whatever_the_weight() {
        // The path with logarithms and the one without must agree to the last key.
        let (plain, mut weighted) = (fleet(&[(1, 1), (2, 1), (3, 1)]), fleet(&[(1, 5), (2, 5), (3, 5)]));
        weighted.insert(Member { seat: Seat::new(4).unwrap(), weight: 1 });
        for number in 0..10_000 {
            let order: Vec<u32> =
                weighted.order(key(number)).map(Seat::number).filter(|seat| *seat != 4).collect();
            assert_eq!(order, plain.order(key(number)).map(Seat::number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_map_is_the_same_on_every_machine() {
        let rendezvous = fleet(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
        let places: Vec<u32> = ["/home", "/", "alice", "bob", ""]
            .map(|key| rendezvous.order(Key::of(key.as_bytes())).next().unwrap().number())
            .into();
        assert_eq!(places, GOLDEN);
    }

    /// Recorded once; a change here moves every user's keys.
    const GOLDEN: [u32; 5] = [3, 4, 3, 2, 2];
}
