//! Facts that arrive. An event says what happened, never what should be done about it.

use std::fmt;

use crate::{Address, Life, Moment, ReplicaName};

/// Something that happened to a fleet.
#[derive(Clone, Debug)]
pub enum Event {
    /// The driver started a replica; it listens here, or soon will.
    Started(Life, Address),
    /// The driver could not start a replica.
    StartFailed(Life, String),
    /// A replica ended, ordered or not.
    Exited(Life, Exit),
    /// A heartbeat was answered, or was not.
    Beat(Life, Pulse),
    /// The way of a request met something odd.
    Suspected(Suspicion),
    /// The driver found a replica frozen (`true`), or no longer frozen (`false`).
    Frozen(Life, bool),
    /// Nobody is inside a replica whose gate was closed.
    Drained(Life),
    /// Nothing is left of a replica.
    Stopped(Life),
    /// Everything that the driver knows to be ours, asked for at `asked_at`.
    Listed {
        /// When the question was put; what started later may be missing.
        asked_at: Moment,
        /// The answer.
        found: Vec<Found>,
    },
}

/// What came of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Answered well and in time.
    Good,
    /// The connection was refused: nobody listens.
    Refused,
    /// No answer, or a bad one.
    Missed,
}

/// What the way of a request noticed about a replica. Losing one is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Whom.
    pub life: Life,
    /// Whether the connection was refused, which counts as a death; if not, it broke or timed out.
    pub is_refusal: bool,
}

/// How a replica ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it ended by itself.
    pub code: Option<i64>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel ended it for want of memory.
    pub is_out_of_memory: bool,
    /// The last lines that it wrote.
    pub last_output: Vec<String>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_out_of_memory, self.signal, self.code) {
            (true, _, _) => f.write_str("killed for want of memory")?,
            (_, Some(signal), _) => write!(f, "killed by signal {signal}")?,
            (_, _, Some(code)) => write!(f, "exited with code {code}")?,
            (_, None, None) => f.write_str("ended")?,
        }
        match self.last_output.last() {
            Some(line) => write!(f, "; its last words: {line:?}"),
            None => Ok(()),
        }
    }
}

/// Why a life is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// It ended.
    Exited(Exit),
    /// It is gone and nobody saw it go.
    Vanished,
    /// It never ran.
    StartFailed(String),
    /// It ran, but no heartbeat was good within the start timeout.
    NeverHealthy,
    /// Two different signs of illness; these.
    Ill(String),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(exit) => exit.fmt(f),
            Self::Vanished => f.write_str("it vanished"),
            Self::StartFailed(why) => write!(f, "could not be started: {why}"),
            Self::NeverHealthy => f.write_str("no good heartbeat within the start timeout"),
            Self::Ill(signs) => write!(f, "ill: {signs}"),
        }
    }
}

/// A replica that the driver knows of, whoever started it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which one, by its labels or records.
    pub life: Life,
    /// What it is called.
    pub name: ReplicaName,
    /// How it is.
    pub state: FoundState,
}

/// What the driver says of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundState {
    /// It runs.
    Running {
        /// Where it listens.
        address: Address,
        /// Whether it is paused or stopped by a signal.
        is_frozen: bool,
    },
    /// It ended; something is left to remove.
    Exited(Exit),
}
