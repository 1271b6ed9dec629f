//! Why `place` and `simulate` say nothing, and what their user is told instead.

use std::io;

use clap::CommandFactory;
use clap::error::ErrorKind;
use fleet::in_full;
use placement::NoRoom;

use super::keys::UnreadableKeys;
use crate::cli::Cli;
use crate::{Outcome, Stopped, failed};

/// Why nothing is said of keys and replicas.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What was typed makes no sense.
    Usage(String),
    /// The replicas do not fit.
    NoRoom(NoRoom),
    /// The keys cannot be read.
    Keys(UnreadableKeys),
    /// The answer cannot be written.
    Output(io::Error),
}

impl Refusal {
    /// What the user is told; wrong usage in the words and the form that clap has for it.
    pub(super) fn told(self, command: &str) -> Outcome {
        match self {
            Self::Usage(text) => {
                let mut program = Cli::command();
                program.build();
                let command = program.find_subcommand_mut(command).expect("it is running");
                let error = command.error(ErrorKind::ValueValidation, text);
                Err(Stopped::WrongUsage(error.to_string()))
            }
            Self::NoRoom(error) => Err(failed(error)),
            Self::Keys(error) => Err(failed(in_full(&error))),
            // Nobody reads any more, as when a pager was closed: there is nobody to tell.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Self::Output(error) => Err(failed(format!("the answer cannot be written: {error}"))),
        }
    }
}

impl From<NoRoom> for Refusal {
    fn from(error: NoRoom) -> Self {
        Self::NoRoom(error)
    }
}

impl From<UnreadableKeys> for Refusal {
    fn from(error: UnreadableKeys) -> Self {
        Self::Keys(error)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
