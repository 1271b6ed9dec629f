//! What a replica runs, as far as a fleet is concerned: a number that stands for it.

use std::fmt;

/// What is run, by a hash of command, image, environment and the like: replicas of one release are
/// alike. The default one stands for what nobody has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release(u64);

impl Release {
    /// The release that this hash stands for.
    pub fn of_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// Reads what [`Display`](fmt::Display) writes: 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| is_hash).map(Self)
    }

    /// Whether somebody has told what is run.
    pub fn is_told(self) -> bool {
        self != Self::default()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_as_it_was_written() {
        for hash in [0, 1, 0xca0b_916f_83d4_3c08, u64::MAX] {
            assert_eq!(Release::parse(&Release::of_hash(hash).to_string()), Some(Release(hash)));
        }
        for text in ["", "1", "+ca0b916f83d43c0", "ca0b916f83d43c080", "ca0b916f83d43c0g"] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
    }
}
