//! The seat: the identity that placement hashes. A replica dies, its seat stays.

use std::fmt;
use std::num::NonZeroU32;

/// The largest weight that a seat may carry.
pub const WEIGHT_MAX: u32 = 1 << 16;

/// A place in the fleet, numbered from 1 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(NonZeroU32);

impl Seat {
    /// The seat with this number, or nothing for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The seat at a zero-based position, as tables store them.
    pub fn at_index(index: usize) -> Self {
        let number = u32::try_from(index).unwrap_or(u32::MAX - 1) + 1;
        Self(NonZeroU32::new(number).expect("one more than an index is not zero"))
    }

    /// The number, from 1 up.
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The zero-based position in a table indexed by seat.
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A seat and how much of the keys it should get, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose place it is.
    pub seat: Seat,
    /// From 1 to [`WEIGHT_MAX`]; values outside are brought inside.
    pub weight: u32,
}

impl Member {
    /// A member with the usual weight, 1.
    pub fn new(seat: Seat) -> Self {
        Self { seat, weight: 1 }
    }
}
