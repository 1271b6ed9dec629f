//! What holds for every set of members and every key, tried with many that are drawn from seeds,
//! which a failure prints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use placement::{
    Classic, ClassicSettings, Key, MaglevSize, Member, Named, NamedAlgorithm, Placement, Rendezvous,
    RingLayout, Seat, SeatNames, draw,
};

/// Histories of the zero-excess test. Each makes its changes and looks at keys of its own: 100 000
/// keys in all, and 500 000 comparisons of whole orders.
const HISTORIES: u64 = 1000;
const CHANGES: u64 = 5;
const KEYS: u64 = 100;

/// A seed always gives the same history.
struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    fn of(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    fn below(&mut self, limit: u32) -> u32 {
        let high = draw(self.seed, self.drawn) >> 32;
        self.drawn += 1;
        ((high * u64::from(limit)) >> 32) as u32
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u32 + 1) as usize);
        }
    }

    /// A few members with seats from 1 up, each with a weight up to the limit.
    fn members(&mut self, count_max: u32, weight_max: u32) -> Vec<Member> {
        let count = self.below(count_max) + 1;
        let seats = (1..=count).map(|number| Seat::new(number * 3).unwrap());
        seats.map(|seat| Member { seat, weight: self.below(weight_max) + 1 }).collect()
    }
}

fn key(number: u64) -> Key {
    Key::of(&number.to_le_bytes())
}

fn rendezvous() -> Placement {
    Placement::Rendezvous(Rendezvous::default())
}

fn classic() -> Placement {
    Placement::Classic(Classic::new(ClassicSettings::default()))
}

fn ring(layout: RingLayout) -> Placement {
    Placement::Named(Named::new(NamedAlgorithm::Ring(layout), SeatNames::default()))
}

fn maglev() -> Placement {
    let size = MaglevSize::new(1009).unwrap();
    Placement::Named(Named::new(NamedAlgorithm::Maglev(size), SeatNames::default()))
}

fn made_of(mut placement: Placement, members: &[Member]) -> Placement {
    members.iter().for_each(|member| placement.insert(*member).unwrap());
    placement
}

fn order(placement: &Placement, key: Key) -> Vec<Seat> {
    placement.order(key).collect()
}

/// A change at one seat, and whether that seat may only win keys by it, or only lose some.
struct Change {
    members: Vec<Member>,
    seat: Seat,
    wins: bool,
}

fn draw_change(mut members: Vec<Member>, draws: &mut Draws) -> Change {
    let at = draws.below(members.len() as u32) as usize;
    let weight = draws.below(8) + 1;
    match draws.below(3) {
        0 if members.len() > 1 => {
            let seat = members.swap_remove(at).seat;
            Change { members, seat, wins: false }
        }
        1 => {
            let before = std::mem::replace(&mut members[at].weight, weight);
            Change { seat: members[at].seat, wins: weight >= before, members }
        }
        _ => {
            let is_free = |number: &u32| members.iter().all(|member| member.seat.number() != *number);
            let number = (draws.below(1000) + 1..).find(is_free).unwrap();
            let seat = Seat::new(number).unwrap();
            members.push(Member { seat, weight });
            Change { members, seat, wins: true }
        }
    }
}

#[test]
fn rendezvous_moves_no_key_that_need_not_move_in_a_thousand_histories() {
    let without =
        |order: &[Seat], seat: Seat| order.iter().copied().filter(|other| *other != seat).collect::<Vec<_>>();
    for history in 0..HISTORIES {
        let mut draws = Draws::of(history);
        let mut members = draws.members(12, 1);
        for step in 0..CHANGES {
            let change = draw_change(members.clone(), &mut draws);
            let (before, after) = (made_of(rendezvous(), &members), made_of(rendezvous(), &change.members));
            for number in 0..KEYS {
                let key = key(history * KEYS + number);
                let (was, is) = (order(&before, key), order(&after, key));
                let place = format!("history {history}, step {step}, key {number}, seat {}", change.seat);
                // All others keep their order to the last, so nothing moves between them.
                assert_eq!(without(&was, change.seat), without(&is, change.seat), "{place}");
                let position = |order: &[Seat]| order.iter().position(|seat| *seat == change.seat);
                match (position(&was), position(&is)) {
                    (Some(was), Some(is)) if change.wins => assert!(is <= was, "{place}"),
                    (Some(was), Some(is)) => assert!(is >= was, "{place}"),
                    (None, is) => assert!(is.is_some() && change.wins, "{place}"),
                    (Some(_), None) => assert!(!change.wins, "{place}"),
                }
            }
            members = change.members;
        }
    }
}

#[test]
fn shuffled_instances_agree() {
    for seed in 0..20 {
        let mut draws = Draws::of(seed);
        let members = draws.members(20, 3);
        let mut shuffled = members.clone();
        draws.shuffle(&mut shuffled);
        // Not the classic placement, in which who comes first takes the slot: that is the contract.
        for empty in [rendezvous(), ring(RingLayout::Nginx), ring(RingLayout::Ketama), maglev()] {
            let (one, other) = (made_of(empty.clone(), &members), made_of(empty, &shuffled));
            for number in 0..200 {
                assert_eq!(order(&one, key(number)), order(&other, key(number)), "seed {seed}, key {number}");
            }
        }
    }
}

#[test]
fn every_order_is_a_permutation() {
    for seed in 0..20 {
        let members = Draws::of(seed).members(30, 20);
        let expected: Vec<Seat> = members.iter().map(|member| member.seat).collect();
        for empty in [rendezvous(), classic(), ring(RingLayout::Nginx), ring(RingLayout::Ketama), maglev()] {
            let placement = made_of(empty, &members);
            for number in 0..200 {
                let mut order = order(&placement, key(number));
                order.sort_unstable();
                assert_eq!(order, expected, "seed {seed}, key {number}");
            }
        }
    }
}

#[test]
fn a_prefix_outlives_the_removal_of_later_members() {
    for seed in 0..20 {
        let mut draws = Draws::of(seed);
        let members = draws.members(10, 1);
        // Not Maglev, which fills its table anew, so that even first choices may change. libketama
        // counts points by the part of the whole weight: even weights keep theirs.
        for empty in [rendezvous(), classic(), ring(RingLayout::Nginx), ring(RingLayout::Ketama)] {
            let placement = made_of(empty, &members);
            for number in 0..50 {
                let whole = order(&placement, key(number));
                let kept = draws.below(whole.len() as u32) as usize;
                let mut rest = placement.clone();
                for seat in &whole[kept..] {
                    if draws.below(2) == 0 {
                        rest.remove(*seat);
                    }
                }
                assert_eq!(order(&rest, key(number))[..kept], whole[..kept], "seed {seed}, key {number}");
            }
        }
    }
}
