//! Random names and draws that are functions of a seed, so that a plan made twice is the same.

use placement::draw;

use crate::{Life, ReplicaName};

/// Letters and digits that cannot be misread for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const RANDOM_LENGTH: usize = 6;

/// A number that looks random and is the same for a life whenever it is asked for.
pub(crate) fn draw_for(seed: u64, life: Life) -> u64 {
    draw(draw(seed, u64::from(life.seat.number())), life.incarnation)
}

/// A random name for one life that `is_free`.
pub(crate) fn random(
    prefix: &str,
    seed: u64,
    life: Life,
    is_free: impl Fn(&ReplicaName) -> bool,
) -> ReplicaName {
    let drawn = draw_for(seed, life);
    let mut names = (0..).map(|attempt| spell(prefix, draw(drawn, attempt)));
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
