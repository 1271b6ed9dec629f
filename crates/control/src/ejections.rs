//! How many replicas of a service were taken out of the table for their health.

use fleet::Sign;

/// What a replica was taken out of the table for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EjectionKind {
    Dead,
    Ill(Sign),
}

/// How many replicas of a service were taken out of the table since the start, by kind. Those that were
/// meant to go do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ejections {
    dead: u64,
    ill: [u64; Sign::ALL.len()],
}

impl Ejections {
    pub(crate) fn count(&mut self, kind: EjectionKind) {
        match kind {
            EjectionKind::Dead => self.dead += 1,
            EjectionKind::Ill(sign) => self.ill[sign as usize] += 1,
        }
    }

    /// The counts, by what was seen first.
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let ill = Sign::ALL.iter().map(|sign| (sign.as_str(), self.ill[*sign as usize]));
        std::iter::once(("dead", self.dead)).chain(ill).collect()
    }
}
