//! The two layouts of a ring, and what bounds both.

use crate::KeyHash;

/// The most points that a ring may have: weights multiply them, and they cost 12 bytes each.
pub const RING_POINTS_MAX: u64 = 1 << 24;

/// Where the points of a ring are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingLayout {
    /// nginx's `hash … consistent` and Pingora's ketama: for each unit of weight 160 points, each
    /// the CRC-32 of host, NUL, port and the point before, starting at 0.
    Nginx,
    /// libketama's: ⌊40 · n · weight / total⌋ MD5 digests of `name-0`, `name-1`, …, each cut into
    /// four points.
    Ketama,
}

impl RingLayout {
    /// Every name that [`RingLayout::from_name`] knows.
    pub const NAMES: [&str; 2] = ["nginx", "ketama"];

    /// The layout of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "nginx" => Some(Self::Nginx),
            "ketama" => Some(Self::Ketama),
            _ => None,
        }
    }

    /// How the balancer that the layout comes from hashes its keys.
    pub fn key_hash(self) -> KeyHash {
        match self {
            Self::Nginx => KeyHash::Crc32,
            Self::Ketama => KeyHash::Md5,
        }
    }
}
