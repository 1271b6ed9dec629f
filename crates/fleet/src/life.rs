//! Who a replica is: a seat, which life of that seat, and a name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use placement::Seat;

/// A point in time, counted from the start of the balancer. Only differences mean anything.
pub type Moment = Duration;

/// One life of a seat. News about an earlier life is no news about this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// The place.
    pub seat: Seat,
    /// From 1 up, never used twice for a seat while anything of the earlier life is left.
    pub incarnation: u64,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seat, self.incarnation)
    }
}

/// The lowest seat of spares. A fleet has ten thousand seats at most, so it never gets there.
pub const SPARE_SEAT_MIN: u32 = 10_001;

/// The seats in which spares begin, lowest first.
pub(crate) fn spare_seats() -> impl Iterator<Item = Seat> {
    (SPARE_SEAT_MIN..).filter_map(Seat::new)
}

/// Whether a seat is one of those.
pub(crate) fn is_spare_seat(seat: Seat) -> bool {
    seat.number() >= SPARE_SEAT_MIN
}

impl Life {
    /// Whether it was begun as a spare; it may have a seat of the fleet by now.
    pub fn began_as_spare(self) -> bool {
        is_spare_seat(self.seat)
    }
}

/// The longest name that a replica may carry; with it a name is also a legal host name label.
const NAME_LENGTH_MAX: usize = 63;

/// A replica's name: also its container's name, so it must be legal as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaName(Arc<str>);

impl ReplicaName {
    /// Takes `[A-Za-z0-9][A-Za-z0-9_.-]{1,62}` and nothing else.
    pub fn parse(text: &str) -> Result<Self, IllegalName> {
        let mut characters = text.chars();
        let starts_well = characters.next().is_some_and(|first| first.is_ascii_alphanumeric());
        let goes_on_well = characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if starts_well && goes_on_well && (2..=NAME_LENGTH_MAX).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(IllegalName(text.chars().take(NAME_LENGTH_MAX + 1).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot name a replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no legal name: 2 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit")]
pub struct IllegalName(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_container_may_carry() {
        let longest = "a".repeat(63);
        for legal in ["S5", "server_1", "a.b-c_d", "00", &longest] {
            assert!(ReplicaName::parse(legal).is_ok(), "{legal}");
        }
        let too_long = "a".repeat(64);
        for illegal in ["", "a", "_a", "-a", ".a", "a b", "a/b", "é1", "a;b", "a\n", &too_long] {
            assert!(ReplicaName::parse(illegal).is_err(), "{illegal}");
        }
    }
}
