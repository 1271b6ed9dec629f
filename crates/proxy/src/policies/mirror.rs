//! A mirror: a service that gets copies of another one's requests, so that it can be seen how it bears them. Its
//! answers are for nobody.

use std::fmt;

/// Of whose requests a service gets copies, and of how many.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The name of the service whose requests they are.
    pub of: String,
    /// Of how many of them, in per cent, from 0 to 100.
    pub share: f64,
}

impl Mirror {
    /// Whether a request is to be copied that has drawn this lot, from 0 to less than 1.
    pub(crate) fn is_meant(&self, lot: f64) -> bool {
        lot * 100.0 < self.share
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copies of {} % of the requests of '{}'", self.share, self.of)
    }
}
