//! Random names and draws that are functions of a seed, so that a plan made twice is the same.

use placement::{Seat, draw};

use crate::ReplicaName;

/// Letters and digits that cannot be misread for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const RANDOM_LENGTH: usize = 6;

/// A random name for one life that `is_free`.
pub(crate) fn random(
    prefix: &str,
    seed: u64,
    (seat, incarnation): (Seat, u64),
    is_free: impl Fn(&ReplicaName) -> bool,
) -> ReplicaName {
    let life = draw(draw(seed, u64::from(seat.number())), incarnation);
    let mut names = (0..).map(|attempt| spell(prefix, draw(life, attempt)));
    names.find(is_free).expect("2^30 names are more than a fleet can use up")
}

/// A name for the first fleet.
pub(crate) fn numbered(prefix: &str, number: u32) -> ReplicaName {
    ReplicaName::parse(&format!("{prefix}_{number}")).expect("settings hold a prefix that makes legal names")
}

fn spell(prefix: &str, mut bits: u64) -> ReplicaName {
    let mut name = format!("{prefix}_");
    for _ in 0..RANDOM_LENGTH {
        name.push(char::from(ALPHABET[(bits % 32) as usize]));
        bits /= 32;
    }
    ReplicaName::parse(&name).expect("settings hold a prefix that makes legal names")
}
