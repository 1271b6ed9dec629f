//! What is remembered of passwords that were compared, for a while, so that a page with fifty pictures is not
//! fifty comparisons: a keyed hash of a name and a password, never these themselves. The key is drawn anew for each
//! state of a file, so that nothing outlives it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::rand;

const BYTES: usize = 32;

/// What a name and a password are known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; BYTES]);

/// Makes fingerprints. Nobody else has its key.
pub(super) struct Fingerprints(Key);

/// What is known, by fingerprint.
pub(super) struct Remembered<T> {
    lifetime: Duration,
    most: usize,
    known: Mutex<HashMap<Fingerprint, Known<T>>>,
}

struct Known<T> {
    what: T,
    until: Instant,
}

impl Fingerprints {
    /// With a new key, if the system has one for us.
    pub(super) fn new() -> Option<Self> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).ok()?;
        Some(Self(Key::new(HMAC_SHA256, &bytes)))
    }

    pub(super) fn of(&self, text: &[u8]) -> Fingerprint {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(sign(&self.0, text).as_ref());
        Fingerprint(bytes)
    }
}

impl Fingerprint {
    /// A number that nobody can foresee, always the same for the same text.
    pub(super) fn number(self) -> u64 {
        self.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl<T: Clone> Remembered<T> {
    /// Each for so long, and never more than this many.
    pub(super) fn new(lifetime: Duration, most: usize) -> Self {
        Self { lifetime, most, known: Mutex::default() }
    }

    pub(super) fn get(&self, of: Fingerprint, now: Instant) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&of).filter(|known| now < known.until).map(|known| known.what.clone())
    }

    /// Remembers one more. Where there is no room, what is too old goes, and if nothing is, all goes: those who are
    /// still there are compared once more.
    pub(super) fn keep(&self, of: Fingerprint, what: T, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.most {
            known.retain(|_, known| now < known.until);
        }
        if known.len() >= self.most {
            known.clear();
        }
        known.insert(of, Known { what, until: now + self.lifetime });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_does_not_last() {
        let fingerprints = Fingerprints::new().unwrap();
        let of = |number: usize| fingerprints.of(number.to_string().as_bytes());
        let remembered = Remembered::new(Duration::from_secs(10), 3);
        let now = Instant::now();
        (0..3).for_each(|number| remembered.keep(of(number), number, now));
        assert_eq!(remembered.get(of(2), now), Some(2));
        assert_eq!(remembered.get(of(3), now), None);
        let later = now + Duration::from_secs(10);
        assert_eq!(remembered.get(of(2), later), None, "it is over");
        (3..5).for_each(|number| remembered.keep(of(number), number, later));
        assert_eq!(remembered.get(of(3), later), Some(3), "the old ones made room");
        (5..9).for_each(|number| remembered.keep(of(number), number, later));
        let left = (0..9).filter(|number| remembered.get(of(*number), later).is_some()).count();
        assert!((1..=3).contains(&left), "{left}");
        assert!(Fingerprints::new().unwrap().of(b"0") != of(0), "another key");
        assert_ne!(of(0).number(), of(1).number());
    }
}
