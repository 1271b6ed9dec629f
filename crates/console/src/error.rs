//! Why a command did not do its job.

use std::fmt;

/// What kept a command from doing its job, in words for whoever typed it; there may be several lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl CommandError {
    pub(crate) fn new(words: impl fmt::Display) -> Self {
        Self(words.to_string())
    }
}
