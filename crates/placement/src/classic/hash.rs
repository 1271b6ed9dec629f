//! The pairs of hash functions of the classic placement: one for virtual servers, one for requests.

use xxhash_rust::xxh3::xxh3_64;

use crate::split_mix::mix;

/// A pair of hash functions. What they give is taken modulo the number of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassicHash {
    /// The contract's: i² + j² + 2j + 25 for virtual server j of seat i, r² + 2r + 17 for request r.
    /// It reaches few slots, so the load is uneven.
    #[default]
    Quadratic,
    /// SplitMix64's finaliser over 2^31 · i + j and over 2^63 + r.
    Splitmix,
    /// XXH3-64 over the eight bytes, lowest first, of the same numbers.
    Xxh3,
}

/// Keeps requests apart from virtual servers, whose numbers never have this bit.
const REQUEST: u64 = 1 << 63;

impl ClassicHash {
    /// Every name that [`ClassicHash::from_name`] knows.
    pub const NAMES: [&str; 3] = ["quadratic", "splitmix", "xxh3"];

    /// The pair of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "quadratic" => Some(Self::Quadratic),
            "splitmix" => Some(Self::Splitmix),
            "xxh3" => Some(Self::Xxh3),
            _ => None,
        }
    }

    /// Where virtual server `number` of a seat would like to sit.
    pub(super) fn server_slot(self, seat: u32, number: u16, slots: u64) -> usize {
        let (i, j) = (u64::from(seat), u64::from(number));
        let identity = (i << 31) + j;
        let hash = match self {
            // Each term is reduced first: i² + j² + 2j + 25 may be more than 64 bits hold.
            Self::Quadratic => (i * i) % slots + (j * j + 2 * j + 25) % slots,
            Self::Splitmix => mix(identity),
            Self::Xxh3 => xxh3_64(&identity.to_le_bytes()),
        };
        (hash % slots) as usize
    }

    /// Where a request begins to look.
    pub(super) fn request_slot(self, id: u64, slots: u64) -> usize {
        let hash = match self {
            // Reduced first, as above.
            Self::Quadratic => {
                let id = id % slots;
                id * id + 2 * id + 17
            }
            Self::Splitmix => mix(REQUEST + id),
            Self::Xxh3 => xxh3_64(&(REQUEST + id).to_le_bytes()),
        };
        (hash % slots) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known() {
        let hashes = ClassicHash::NAMES.map(|name| ClassicHash::from_name(name).unwrap());
        assert_eq!(hashes, [ClassicHash::Quadratic, ClassicHash::Splitmix, ClassicHash::Xxh3]);
        assert_eq!(ClassicHash::from_name("md5"), None);
    }

    #[test]
    fn the_quadratic_pair_is_the_contracts_even_for_the_highest_seat() {
        assert_eq!(ClassicHash::Quadratic.server_slot(1, 8, 512), 106);
        assert_eq!(ClassicHash::Quadratic.request_slot(132_574, 512), 81);
        let i = u128::from(u32::MAX);
        let exact = (i * i + 25) % 509;
        assert_eq!(ClassicHash::Quadratic.server_slot(u32::MAX, 0, 509) as u128, exact);
    }

    #[test]
    fn mixing_pairs_are_as_recorded() {
        let slots = |hash: ClassicHash| {
            let servers = [1, 2, 3].map(|seat| hash.server_slot(seat, 8, 512));
            (servers, [100_000, 132_574].map(|id| hash.request_slot(id, 512)))
        };
        assert_eq!(slots(ClassicHash::Splitmix), ([172, 85, 229], [325, 21]));
        assert_eq!(slots(ClassicHash::Xxh3), ([44, 90, 295], [322, 100]));
    }
}
