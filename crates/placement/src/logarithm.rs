//! The logarithm that weighted rendezvous needs, in integers alone, so that every machine agrees.
//!
//! `-log2((h) / 2^64)` as fixed point with [`FRACTION_BITS`] bits: the exponent comes from the
//! leading zeros, the rest from a table that is interpolated linearly. Linear interpolation in a
//! rising table can never fall, and that monotony is what placement relies on: a higher hash never
//! gets a higher cost. The table's step bounds the error at 2^-22 (h²/8 · max f'' with h = 2^-10).
//!
//! What counts for shares is the error relative to the logarithm: it is always upwards and below
//! 2^-12 (the chord of the last segment against its tangent, h/4). A common factor cancels between
//! bidders, so the shares are nearer still: integrated numerically over two bidders with weights from
//! 2:3 to 1:1000, no share is off by more than 2 · 10^-8. Counting that would take 10^15 keys.

/// Bits behind the binary point of every logarithm here.
pub(crate) const FRACTION_BITS: u32 = 48;

const SEGMENT_BITS: u32 = 10;
const SEGMENTS: usize = 1 << SEGMENT_BITS;
/// What is left of a 63-bit mantissa below the segment number.
const REST_BITS: u32 = 63 - SEGMENT_BITS;

/// `log2(1 + i / SEGMENTS)` for each segment border.
static BORDERS: [u64; SEGMENTS + 1] = borders();

/// `-log2(hash / 2^64)`, from just above 0 (the highest hash) to 64 (the lowest).
pub(crate) fn negative_log2(hash: u64) -> u64 {
    let hash = hash | 1;
    let zeros = hash.leading_zeros();
    let mantissa = (hash << zeros) & !(1 << 63);
    let segment = (mantissa >> REST_BITS) as usize;
    let rest = mantissa & ((1 << REST_BITS) - 1);
    let (low, high) = (BORDERS[segment], BORDERS[segment + 1]);
    let between = ((u128::from(high - low) * u128::from(rest)) >> REST_BITS) as u64;
    (u64::from(zeros + 1) << FRACTION_BITS) - (low + between)
}

/// A number that [`negative_log2`] is never below, for a fraction of the price.
///
/// -ln(u) ≥ 1 - u, hence -log2(u) ≥ 1.4426 · (1 - u); 1.4375 leaves room for what the fixed point
/// cuts off. It is a close bound where it counts, at the high hashes that win.
pub(crate) fn negative_log2_at_least(hash: u64) -> u64 {
    let below_one = !hash >> (64 - FRACTION_BITS);
    below_one + (below_one >> 1) - (below_one >> 4)
}

const fn borders() -> [u64; SEGMENTS + 1] {
    let mut table = [0; SEGMENTS + 1];
    let mut i = 0;
    while i < SEGMENTS {
        table[i] = log2_of_mantissa((1 << 63) + ((i as u64) << REST_BITS));
        i += 1;
    }
    table[SEGMENTS] = 1 << FRACTION_BITS;
    table
}

/// log2 of a number from 1 to 2, given with 63 bits behind the point, one bit per squaring.
const fn log2_of_mantissa(mantissa: u64) -> u64 {
    let mut x = mantissa as u128;
    let mut log = 0;
    let mut bit = FRACTION_BITS;
    while bit > 0 {
        bit -= 1;
        x = (x * x) >> 63;
        if x >> 64 != 0 {
            log |= 1 << bit;
            x >>= 1;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_floating_point_and_never_falls() {
        let mut last = u64::MAX;
        for step in 0..200_000u64 {
            let hash = step * (u64::MAX / 200_000) + 1;
            let log = negative_log2(hash);
            assert!(log <= last, "rose at {hash:#x}");
            last = log;
            assert!(negative_log2_at_least(hash) <= log, "not a lower bound at {hash:#x}");
            let exact = 64.0 - (hash as f64).log2();
            let ours = log as f64 / (1u64 << FRACTION_BITS) as f64;
            assert!((exact - ours).abs() < 1.0 / f64::from(1 << 22), "{hash:#x}: {exact} and {ours}");
        }
    }

    #[test]
    fn both_ends_are_finite() {
        assert_eq!(negative_log2(0), 64 << FRACTION_BITS);
        assert!(negative_log2(u64::MAX) < 1 << 10);
    }
}
