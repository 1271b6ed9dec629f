//! Which replica a request would rather have than others.

use placement::{Key, Seat};

/// What a request is placed by: the order of its key, and before that the seat that it was given earlier, if
/// it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Where its session is. One that the fleet has no more counts for nothing.
    pub seat: Option<Seat>,
    /// What decides where it has no such seat, and who is next.
    pub key: Key,
}

impl From<Key> for Preference {
    fn from(key: Key) -> Self {
        Self { seat: None, key }
    }
}
