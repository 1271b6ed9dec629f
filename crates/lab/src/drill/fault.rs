//! The faults, and what each asks of a balancer. How they are done is a file above.

use serde::Serialize;

/// What is done to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// It ends at once, without a word.
    Kill,
    /// It does nothing more, but its connections stay.
    Freeze,
    /// It has a tenth of its speed.
    Slow,
    /// Whoever connects or sends to it is refused.
    Refuse,
}

impl Fault {
    /// Every fault, in the order in which a drill of all of them goes.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Freeze, Self::Slow, Self::Refuse];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Slow => "slow",
            Self::Refuse => "refuse",
        }
    }

    /// Whether a balancer has to take a replica out that suffers from it. One that is merely slow may
    /// stay.
    pub(super) fn has_to_eject(self) -> bool {
        self != Self::Slow
    }
}
