//! What can happen to a replica or a service, as facts. Nothing here has a shape or a word for programs:
//! those are chosen by whoever shows it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fleet::{Death, Exit, Life, ReplicaName, RolloutFailure, Sign};
use placement::Seat;

/// Something that happened: when, to whom, and what.
#[derive(Clone, Debug)]
pub struct Record {
    /// Rises by one with each.
    pub number: u64,
    /// By the wall clock, for people; nothing is ever decided by it.
    pub at: SystemTime,
    /// The service.
    pub service: Arc<str>,
    /// The replica; none, if it happened to the service as a whole.
    pub replica: Option<Subject>,
    /// What it was.
    pub happening: Happening,
}

/// The replica that something happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its seat, or the one that it had last.
    pub seat: Seat,
    /// Which life it is.
    pub life: Life,
    /// Its name, if it is known.
    pub name: Option<ReplicaName>,
}

/// What happened. The first ones happen to a replica, the others to a service as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the facts that the variants' texts speak of")]
pub enum Happening {
    /// Its start was ordered.
    Starting,
    /// It takes traffic.
    Ready,
    /// It takes traffic no longer.
    OutOfTable(Departure),
    /// It takes the few requests that try it.
    HalfOpen,
    /// Another life begins in its seat, because of how it ended.
    Replaced { death: Death },
    /// A spare has got a seat.
    SeatTaken,
    /// Lives keep failing in its seat: how many in a row, how the last one ended, and what it wrote.
    CrashLooping { failures: u32, death: Death, last_output: Vec<String> },
    /// It gets no new requests and finishes those that it has.
    Draining,
    /// Its stop was ordered.
    Stopping,
    /// It ended in this way, which became known only later.
    Ended { exit: Exit },
    /// As a successor in a rollout it is given up.
    Abandoned { death: Death },
    /// As a successor in a rollout it has its seat.
    Passed,

    /// The service could not be started; it is tried again.
    CannotStart { why: String },
    /// What kept it from being started is over.
    CanStart,
    /// A rollout is undone.
    RollingBack { failure: RolloutFailure },
    /// A rollout can neither go on nor back.
    RolloutGivenUp { failure: RolloutFailure },
    /// A rollout has ended.
    RolloutEnded,
    /// Requests are held back for so long.
    Paused { length: Duration },
    /// Requests are no longer held back.
    Resumed { end: PauseEnd },
    /// What should run cannot be stored.
    CannotStore { why: String },
    /// What should run can be stored again.
    CanStoreAgain,
}

/// Why a replica is routed to no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the facts that the variants' texts speak of")]
pub enum Departure {
    /// For its health: the sign that was seen first, and all of them in words.
    Ill { sign: Sign, signs: String },
    /// It died. How is told here, or else by the line about its replacement.
    Dead(Option<Death>),
    /// It was meant to go.
    Meant,
}

/// Why a pause has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseEnd {
    /// Somebody wanted it to.
    Asked,
    /// It was to be no longer than that.
    InTime,
}

impl fmt::Display for PauseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "it was asked for",
            Self::InTime => "its time is over",
        })
    }
}
