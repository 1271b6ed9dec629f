//! Which seat number a new replica gets: the contract leaves the numbers free.

use super::Classic;
use crate::{Member, Seat};

/// The highest seat number that [`SeatChoice::Spread`] considers.
pub const SPREAD_SEAT_MAX: u32 = 1024;

/// How the number of a new seat is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeatChoice {
    /// The lowest free number.
    #[default]
    Lowest,
    /// The free number up to [`SPREAD_SEAT_MAX`] whose virtual servers leave the exact shares with the
    /// least sum of squares; among equals the one with the smallest largest share, then the lowest.
    Spread,
}

impl SeatChoice {
    /// Every name that [`SeatChoice::from_name`] knows.
    pub const NAMES: [&str; 2] = ["lowest", "spread"];

    /// The choice of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "lowest" => Some(Self::Lowest),
            "spread" => Some(Self::Spread),
            _ => None,
        }
    }

    /// The seat to insert next into this table. Seats in `taken` are never chosen, nor those in the
    /// table. Depends on nothing else. Nothing if there is no seat left, or for `Spread` no room.
    ///
    /// `Spread` tries every number: some milliseconds with the usual settings.
    pub fn next(self, classic: &Classic, taken: &[Seat]) -> Option<Seat> {
        let is_held = |seat| classic.holdings().iter().any(|holding| holding.seat == seat);
        let mut free =
            (1..=u32::MAX).filter_map(Seat::new).filter(|seat| !taken.contains(seat) && !is_held(*seat));
        match self {
            Self::Lowest => free.next(),
            Self::Spread => {
                let demand = classic.demand();
                let candidates = free.take_while(|seat| seat.number() <= SPREAD_SEAT_MAX);
                let ranked = candidates.filter_map(|seat| Some((unevenness(classic, seat, &demand)?, seat)));
                ranked.min().map(|(_, seat)| seat)
            }
        }
    }
}

/// The sum of the squares of the seats' requests, and the most that one gets, once `seat` is
/// inserted; nothing if it has no room.
///
/// The largest share alone is a bad guide: one seat that no newcomer relieves hides what the choice
/// does to all others, and the next choices pay for it.
fn unevenness(classic: &Classic, seat: Seat, demand: &[u32]) -> Option<(u128, u64)> {
    let mut classic = classic.clone();
    classic.insert(Member::new(seat)).ok()?;
    let counts = classic.requests(demand);
    let squares = counts.iter().map(|(_, count)| u128::from(*count).pow(2)).sum();
    Some((squares, counts.iter().map(|(_, count)| *count).max()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassicHash, ClassicSettings};

    fn grown(choice: SeatChoice, hash: ClassicHash, replicas: usize) -> Classic {
        let mut classic = Classic::new(ClassicSettings { hash, ..ClassicSettings::default() });
        for _ in 0..replicas {
            let seat = choice.next(&classic, &[]).unwrap();
            classic.insert(Member::new(seat)).unwrap();
        }
        classic
    }

    fn largest_over_mean(classic: &Classic) -> f64 {
        let shares = classic.shares();
        shares.iter().map(|(_, share)| *share).fold(0.0, f64::max) * shares.len() as f64
    }

    #[test]
    fn the_lowest_free_number_is_the_usual_choice() {
        let classic = grown(SeatChoice::Lowest, ClassicHash::Quadratic, 3);
        let numbers: Vec<u32> = classic.holdings().iter().map(|holding| holding.seat.number()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let taken = [4, 6].map(|number| Seat::new(number).unwrap());
        assert_eq!(SeatChoice::Lowest.next(&classic, &taken), Seat::new(5));
    }

    #[test]
    fn spread_seats_share_far_more_evenly() {
        for (hash, replicas) in
            [(ClassicHash::Quadratic, 3), (ClassicHash::Quadratic, 6), (ClassicHash::Xxh3, 6)]
        {
            let lowest = largest_over_mean(&grown(SeatChoice::Lowest, hash, replicas));
            let spread = largest_over_mean(&grown(SeatChoice::Spread, hash, replicas));
            assert!(spread < 1.3 && spread < lowest, "{hash:?}, {replicas}: {spread} after {lowest}");
        }
    }

    #[test]
    fn a_full_table_has_no_seat_to_spread_to() {
        let settings = ClassicSettings { slots: 16, virtual_servers: 8, ..ClassicSettings::default() };
        let mut classic = Classic::new(settings);
        for number in [1, 2] {
            classic.insert(Member::new(Seat::new(number).unwrap())).unwrap();
        }
        assert_eq!(SeatChoice::Spread.next(&classic, &[]), None);
    }
}
