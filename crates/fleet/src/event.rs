//! Facts that arrive. An event says what happened, never what should be done about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Address, Latencies, Life, Moment, ReplicaName};

/// Something that happened to a fleet.
#[derive(Clone, Debug)]
pub enum Event {
    /// The driver started a replica; it listens here, or soon will.
    Started(Life, Address),
    /// The driver could not start a replica.
    StartFailed(Life, String),
    /// A replica ended, ordered or not.
    Exited(Life, Exit),
    /// Somebody else answers at the address of a replica: who, in words.
    Displaced(Life, String),
    /// A heartbeat was answered, or was not.
    Beat(Life, ProbeResult),
    /// What there was instead of a good answer to a heartbeat, if it is something else than the last time.
    Heard(Life, Heard),
    /// Whether there are requests inside of a replica whose heartbeat was missed.
    Working(Life, bool),
    /// The way of a request met something odd.
    Suspected(Suspicion),
    /// How long some of the good responses took that came since the last time. Who gave none is left out.
    Measured(Vec<Measured>),
    /// The driver found a replica frozen (`true`), or no longer frozen (`false`).
    Frozen(Life, bool),
    /// Nobody is inside a replica whose gate was closed.
    Drained(Life),
    /// Nothing is left of a replica.
    Stopped(Life),
    /// What kept the driver from its work is over: its engine is back, or an image is there again.
    Recovered,
    /// Things may have happened that the driver could not see.
    Overlooked,
    /// Everything that the driver knows to be ours, asked for at `asked_at`.
    Listed {
        /// When the question was put; what started later may be missing.
        asked_at: Moment,
        /// What there is.
        found: Vec<Found>,
    },
}

/// What there was instead of a good answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it counts as.
    pub result: ProbeResult,
    /// The question, where it was put, and what came of it, for people.
    pub words: Arc<str>,
}

/// What came of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// Answered well and in time.
    Good,
    /// The connection was refused: nobody listens.
    Refused,
    /// No response.
    Missed,
    /// A bad response, in time.
    Unwell,
}

/// What was measured of one replica.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Whom.
    pub life: Life,
    /// How much of the load it should get, relative to the others.
    pub weight: u32,
    /// How long its good responses took; a sample of them.
    pub latencies: Latencies,
}

/// What the way of a request noticed about a replica. Losing one is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Whom.
    pub life: Life,
    /// Of what.
    pub kind: SuspicionKind,
}

/// What the way of a request noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspicionKind {
    /// The connection was refused, which counts as a death.
    Refused,
    /// A connection broke, was not made, or nothing came in time. No sign by itself.
    Broken,
    /// So many responses in a row failed that it counts.
    Failing,
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
    /// More than one thing that runs says it is this life.
    Doubled,
    /// It never ran.
    StartFailed(String),
    /// It ran, but no heartbeat was good within the start timeout; and what there was instead at last.
    NeverHealthy(Option<Arc<str>>),
    /// Somebody else answers at its address: who, in words.
    Displaced(String),
    /// Two different signs of illness; these.
    Ill(String),
}

impl Death {
    /// How long an end that nobody waits to see replaced waits for its reason.
    pub(crate) const REASON_WAIT: Duration = Duration::from_millis(500);

    /// The last lines that it wrote, the oldest first.
    pub fn last_output(&self) -> &[String] {
        match self {
            Self::Exited(exit) => &exit.last_output,
            _ => &[],
        }
    }

    /// Whether more is known than that it is over.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(self, Self::Exited(exit) if exit.code.is_none() && exit.signal.is_none())
    }

    /// Takes in what became known later of an exit that nobody had told.
    pub(crate) fn refine(&mut self, told: &Exit) {
        if self.is_told() {
            return;
        }
        let mut told = told.clone();
        if told.last_output.is_empty() {
            told.last_output = self.last_output().to_vec();
        }
        *self = Self::Exited(told);
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(exit) => exit.fmt(f),
            Self::Vanished => f.write_str("it vanished"),
            Self::Doubled => f.write_str("it is there twice"),
            Self::StartFailed(why) => write!(f, "could not be started: {why}"),
            Self::NeverHealthy(None) => f.write_str("no good heartbeat within the start timeout"),
            Self::NeverHealthy(Some(heard)) => {
                write!(f, "no good heartbeat within the start timeout; the last one: {heard}")
            }
            Self::Displaced(who) => f.write_str(who),
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
