//! Names: what rings and Maglev tables hash, and which of them a seat goes by.

use std::collections::HashSet;
use std::fmt;

use crate::{Seat, WEIGHT_MAX};

/// A member that is known by a name or an address, and how much of the keys it should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMember {
    name: String,
    weight: u32,
}

impl NamedMember {
    /// A member of this weight, which is brought between 1 and [`WEIGHT_MAX`].
    pub fn new(name: impl Into<String>, weight: u32) -> Self {
        Self { name: name.into(), weight: weight.clamp(1, WEIGHT_MAX) }
    }

    /// What is hashed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From 1 to [`WEIGHT_MAX`].
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

/// The name that each seat is hashed by: the operator's list, the first for seat 1, and for the
/// seats behind its end their number in decimal.
///
/// A replica's address changes with each replacement, its seat does not: hashing the seat's name
/// keeps the map. Whoever moves here from another balancer lists the addresses that they had there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatNames {
    listed: Vec<String>,
}

impl SeatNames {
    /// These names, for the seats from 1 up. Refuses a name that two seats would share: one that is
    /// listed twice, or that is the number of a seat behind the end of the list.
    pub fn new(listed: Vec<String>) -> Result<Self, SharedName> {
        let mut known = HashSet::new();
        for name in &listed {
            let number = name.parse::<u32>().ok().filter(|number| number.to_string() == *name);
            let is_of_unlisted = number.is_some_and(|number| number as usize > listed.len());
            if is_of_unlisted || !known.insert(name) {
                return Err(SharedName { name: name.clone() });
            }
        }
        Ok(Self { listed })
    }

    /// The operator's list.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// What this seat is hashed by.
    pub fn of(&self, seat: Seat) -> String {
        self.listed.get(seat.index()).cloned().unwrap_or_else(|| seat.to_string())
    }
}

/// Two seats would go by the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedName {
    /// The name.
    pub name: String,
}

impl fmt::Display for SharedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two seats would go by the name {:?}", self.name)
    }
}

impl std::error::Error for SharedName {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listed: &[&str]) -> Result<SeatNames, SharedName> {
        SeatNames::new(listed.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn seats_go_by_the_list_and_then_by_their_number() {
        let names = names(&["10.0.0.1:80", "1"]).unwrap();
        assert_eq!([0, 1, 2].map(|index| names.of(Seat::at_index(index))), ["10.0.0.1:80", "1", "3"]);
    }

    #[test]
    fn a_name_that_two_seats_would_share_is_refused() {
        for (listed, shared) in [(&["a", "b", "a"][..], "a"), (&["3", "4"], "3")] {
            assert_eq!(names(listed).unwrap_err().name, shared);
        }
        assert!(names(&["2", "1", "03"]).is_ok());
    }
}
