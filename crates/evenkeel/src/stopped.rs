//! What kept the program from doing its job: the words for whoever started it, and the exit code.

use std::fmt;

/// What a command comes to. One that succeeded has said what it had to say.
pub(crate) type Outcome = Result<(), Stopped>;

/// Why a command did not do its job; each holds the words, which may be several lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// It failed.
    #[error("{0}")]
    Failed(String),
    /// What was typed makes no sense.
    #[error("{0}")]
    WrongUsage(String),
    /// The configuration is wrong.
    #[error("{0}")]
    BadConfiguration(String),
}

impl Stopped {
    /// The exit code of a program that failed.
    pub(crate) const FAILED: u8 = 1;

    /// The exit code that says so.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => Self::FAILED,
            // As clap has it, which ends the program itself for most of what makes no sense.
            Self::WrongUsage(_) => 2,
            // `EX_CONFIG` of sysexits.h.
            Self::BadConfiguration(_) => 78,
        }
    }
}

/// A failure with its text; `error: ` is put in front.
pub(crate) fn failed(text: impl fmt::Display) -> Stopped {
    let text = text.to_string();
    // What comes from another side of a connection may have it already.
    Stopped::Failed(format!("error: {}", text.strip_prefix("error: ").unwrap_or(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_called_an_error_once() {
        for text in ["no engine", "error: no engine"] {
            assert_eq!(failed(text).to_string(), "error: no engine");
        }
    }
}
