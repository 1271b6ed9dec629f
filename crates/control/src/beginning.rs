//! How far the start of a service has come. It is no part of the fleet: before it has begun there is none.

/// How far the start of a service has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It has not begun. It is tried, and tried again.
    Waiting {
        /// Why the last attempt failed, if there was one.
        why: Option<String>,
    },
    /// It has begun, for good.
    Begun(Begun),
}

/// What a service began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// How many replicas an earlier balancer left that run.
    pub found: usize,
    /// Whether what should run was stored before.
    pub is_restored: bool,
}

impl Beginning {
    /// What it began with, if it has begun.
    pub fn begun(&self) -> Option<Begun> {
        match self {
            Self::Waiting { .. } => None,
            Self::Begun(begun) => Some(*begun),
        }
    }

    /// Why it has not begun, if an attempt has failed.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Waiting { why } => why.as_deref(),
            Self::Begun(_) => None,
        }
    }
}
