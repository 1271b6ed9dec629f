//! How many replicas of a service were taken out of the table for their health.

use std::sync::atomic::{AtomicU64, Ordering};

use fleet::Sign;

/// What a replica was taken out of the table for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EjectionKind {
    Dead,
    Ill(Sign),
}

/// How many replicas of a service were taken out of the table since the start, by kind. Those that were
/// meant to go do not count.
#[derive(Debug, Default)]
pub struct Ejections {
    dead: AtomicU64,
    ill: [AtomicU64; Sign::ALL.len()],
}

impl Ejections {
    pub(crate) fn count(&self, kind: EjectionKind) {
        let counter = match kind {
            EjectionKind::Dead => &self.dead,
            EjectionKind::Ill(sign) => &self.ill[sign as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts, by what was seen first.
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let ill = Sign::ALL.iter().map(|sign| (sign.as_str(), &self.ill[*sign as usize]));
        let all = std::iter::once(("dead", &self.dead)).chain(ill);
        all.map(|(kind, count)| (kind, count.load(Ordering::Relaxed))).collect()
    }
}
