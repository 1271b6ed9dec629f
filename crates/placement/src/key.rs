//! The key: what a request is placed by, reduced to 64 bits once, at the start of its way.

use xxhash_rust::xxh3::xxh3_64;

/// The classic placement speaks of six-digit request ids; these are the smallest and the count.
const REQUEST_ID_MIN: u64 = 100_000;
const REQUEST_ID_COUNT: u64 = 900_000;

/// A hashed key. Equal input gives equal keys on every machine (XXH3-64, seed 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The key of some bytes: a path, a header value, an address.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }

    /// A key that is a number already: a random draw.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The key that stands for one of the classic placement's request ids.
    pub fn from_request_id(id: u32) -> Self {
        Self(u64::from(id).saturating_sub(REQUEST_ID_MIN))
    }

    /// All 64 bits.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The six-digit request id that the classic placement knows this key by, 100 000 to 999 999.
    pub fn request_id(self) -> u32 {
        let id = REQUEST_ID_MIN + self.0 % REQUEST_ID_COUNT;
        u32::try_from(id).expect("a six-digit number fits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_xxh3_as_published() {
        // The first is the reference implementation's published value for the empty input.
        assert_eq!(Key::of(b"").number(), 0x2D06_8005_38D3_94C2);
        assert_eq!(Key::of(b"/home"), Key::of(b"/home"));
        assert_ne!(Key::of(b"/home"), Key::of(b"/homf"));
    }

    #[test]
    fn request_ids_survive_the_way_through_a_key() {
        for id in [100_000, 132_574, 237_891, 999_999] {
            assert_eq!(Key::from_request_id(id).request_id(), id);
        }
        assert!((100_000..1_000_000).contains(&Key::from_number(u64::MAX).request_id()));
    }
}
