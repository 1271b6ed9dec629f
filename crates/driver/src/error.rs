//! Why a driver could not do what it was told.

use fleet::ReplicaName;

/// Why a driver could not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct DriverError {
    what: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    is_unreachable: bool,
}

impl DriverError {
    /// An error with nothing behind it.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, is_unreachable: false }
    }

    /// An error with its cause.
    pub fn caused(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()), is_unreachable: false }
    }

    /// The same error, which came of not reaching whoever should have done it, or did not.
    pub(crate) fn and_unreachable(self, is_unreachable: bool) -> Self {
        Self { is_unreachable, ..self }
    }

    /// Whether the one who should have done it could not be reached: it may be done or not.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable
    }

    /// The same error in the words that are left of it, if they are others.
    pub(crate) fn reworded(self, reword: impl FnOnce(&str) -> String) -> Self {
        let said = self.in_full();
        let left = reword(&said);
        if left == said { self } else { Self { what: left, source: None, ..self } }
    }

    /// The error and all its causes in one line.
    pub fn in_full(&self) -> String {
        fleet::in_full(self)
    }
}

impl From<NameOfAnother> for DriverError {
    fn from(error: NameOfAnother) -> Self {
        Self::new(error.to_string())
    }
}

/// A name that no replica can have, because something else goes by it or may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name '{name}' cannot be given to a replica: {why}")]
pub struct NameOfAnother {
    /// Which name.
    pub name: ReplicaName,
    /// What stands against it.
    pub why: String,
}
