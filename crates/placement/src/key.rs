//! The key: what a request is placed by, reduced to 64 bits once, at the start of its way.

use md5::{Digest, Md5};
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh64::xxh64;

/// The classic placement speaks of six-digit request ids; these are the smallest and the count.
const REQUEST_ID_MIN: u64 = 100_000;
const REQUEST_ID_COUNT: u64 = 900_000;

/// In the key of a number that is none of them.
const ITSELF: u64 = 1 << 63;

/// All of those ids.
pub(crate) const REQUEST_IDS: std::ops::Range<u32> = 100_000..1_000_000;

/// How bytes become a key. Whoever comes from another balancer keeps their map only if keys are
/// hashed as they were there; [`Placement::key_hash`](crate::Placement::key_hash) says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHash {
    /// XXH3-64, seed 0: our own choice, for rendezvous.
    Xxh3,
    /// A decimal number stands for itself, anything else for a number of six digits by its XXH3-64: the classic
    /// placement's request ids. Of a number with more than 18 digits only its last 63 bits count.
    RequestId,
    /// CRC-32 as in zlib (ISO 3309): nginx and Pingora.
    Crc32,
    /// The first four bytes of MD5 (RFC 1321), the lowest first: libketama.
    Md5,
    /// XXH64, seed 0: Envoy.
    Xxh64,
}

impl KeyHash {
    /// The key of some bytes: a path, a header value, an address. Allocates nothing.
    #[inline]
    pub fn key(self, bytes: &[u8]) -> Key {
        match self {
            Self::Xxh3 => Key::of(bytes),
            Self::RequestId => match decimal(bytes) {
                Some(number) => Key::from_request_id(number),
                None => Key(Key::of(bytes).0 % REQUEST_ID_COUNT),
            },
            Self::Crc32 => Key(u64::from(crc32fast::hash(bytes))),
            Self::Md5 => {
                let digest = Md5::digest(bytes);
                Key(u64::from(u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])))
            }
            Self::Xxh64 => Key(xxh64(bytes, 0)),
        }
    }
}

/// The number that these bytes spell, if they do.
fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        bytes
            .iter()
            .fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))),
    )
}

/// A hashed key. Equal input gives equal keys on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The key of some bytes by XXH3-64, seed 0.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }

    /// A key that is a number already: a random draw, of which 63 bits count.
    pub fn from_number(number: u64) -> Self {
        Self(number & !ITSELF)
    }

    /// The key that stands for one of the classic placement's request ids. They have six digits; any other number
    /// of up to 63 bits stands for itself as well.
    pub fn from_request_id(id: u64) -> Self {
        match id.checked_sub(REQUEST_ID_MIN) {
            Some(number) if number < REQUEST_ID_COUNT => Self(number),
            _ => Self(id | ITSELF),
        }
    }

    /// All 64 bits.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The request id that the classic placement knows this key by: a number of six digits, unless the key was
    /// another number.
    pub fn request_id(self) -> u64 {
        if self.0 & ITSELF != 0 { self.0 & !ITSELF } else { REQUEST_ID_MIN + self.0 % REQUEST_ID_COUNT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_were_published() {
        let check = |hash: KeyHash, bytes: &[u8], expected: u64| {
            assert_eq!(hash.key(bytes).number(), expected, "{hash:?} of {bytes:?}");
        };
        // The reference implementation's values for the empty input.
        check(KeyHash::Xxh3, b"", 0x2D06_8005_38D3_94C2);
        check(KeyHash::Xxh64, b"", 0xEF46_DB37_51D8_E999);
        // The check value that every catalogue of CRCs gives for CRC-32/ISO-HDLC.
        check(KeyHash::Crc32, b"123456789", 0xCBF4_3926);
        // The test suite of RFC 1321, A.5, cut to the four bytes that a key takes.
        for (bytes, first_bytes) in [
            ("", [0xD4, 0x1D, 0x8C, 0xD9]),
            ("a", [0x0C, 0xC1, 0x75, 0xB9]),
            ("abc", [0x90, 0x01, 0x50, 0x98]),
            ("message digest", [0xF9, 0x6B, 0x69, 0x7D]),
            ("abcdefghijklmnopqrstuvwxyz", [0xC3, 0xFC, 0xD3, 0xD7]),
        ] {
            check(KeyHash::Md5, bytes.as_bytes(), u64::from(u32::from_le_bytes(first_bytes)));
        }
        // libketama's own Python test.
        check(KeyHash::Md5, b"test", 3_446_378_249);
    }

    #[test]
    fn the_xx_hashes_pass_the_reference_sanity_check() {
        // xxHash's sanity test fills its buffer with a generator that starts at PRIME32_1.
        let mut generator = 2_654_435_761_u64;
        let buffer: Vec<u8> = std::iter::repeat_with(|| {
            let byte = (generator >> 56) as u8;
            generator = generator.wrapping_mul(11_400_714_785_074_694_797);
            byte
        })
        .take(222)
        .collect();
        assert_eq!(xxh64(&buffer[..1], 0), 0xE934_A84A_DB05_2768);
        assert_eq!(xxh64(&buffer[..14], 0), 0x8282_DCC4_994E_35C8);
        assert_eq!(xxh64(&buffer[..222], 0), 0xB641_AE8C_B691_C174);
        assert_eq!(xxh3_64(&buffer[..1]), 0xC44B_DFF4_074E_ECDB);
        assert_eq!(xxh3_64(&buffer[..6]), 0x27B5_6A84_CD2D_7325);
        assert_eq!(xxh3_64(&buffer[..12]), 0xA713_DAF0_DFBB_77E7);
    }

    #[test]
    fn request_ids_survive_the_way_through_a_key() {
        for id in [100_000, 132_574, 237_891, 999_999] {
            assert_eq!(Key::from_request_id(id).request_id(), id);
            assert_eq!(KeyHash::RequestId.key(id.to_string().as_bytes()).request_id(), id);
        }
        assert!((100_000..1_000_000).contains(&Key::from_number(u64::MAX).request_id()));
        for number in [0, 5, 99_999, 1_000_000, 1_234_567, u64::MAX >> 1] {
            assert_eq!(KeyHash::RequestId.key(number.to_string().as_bytes()).request_id(), number);
        }
        assert_eq!(KeyHash::RequestId.key(b"012345").request_id(), 12_345);
        for other in ["12345x", "-5", ""] {
            let id = 100_000 + Key::of(other.as_bytes()).number() % 900_000;
            assert_eq!(KeyHash::RequestId.key(other.as_bytes()).request_id(), id);
        }
    }
}
