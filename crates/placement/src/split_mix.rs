//! SplitMix64: numbers that look random and depend on nothing but a seed and an index.
//!
//! Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), in the version
//! by Sebastiano Vigna (<https://prng.di.unimi.it/splitmix64.c>), whose finaliser is Stafford's variant 13.
//! What follows from these numbers is stored and compared between machines; so they never change.

/// What the state grows by with each number: 2^64 divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The number at this index, from 0 up, in the sequence that begins with a seed.
///
/// ```
/// let faces = [0, 1, 2].map(|index| placement::draw(7, index) % 6 + 1);
/// assert_eq!(faces, [0, 1, 2].map(|index| placement::draw(7, index) % 6 + 1), "each time the same");
/// ```
#[inline]
pub fn draw(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

/// The finaliser: a bijection in which every input bit reaches every output bit.
#[inline]
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Java's `SplittableRandom` and Vigna's program give them.
    #[test]
    fn the_numbers_are_those_that_were_published() {
        let of_zero = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F];
        assert_eq!([0, 1, 2].map(|index| draw(0, index)), of_zero);
        let of_1234567 = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!([0, 1, 2, 3, 4].map(|index| draw(1_234_567, index)), of_1234567);
    }
}
