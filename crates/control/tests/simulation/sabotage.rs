//! Deliberate faults beyond every contract. Each must be found: a simulation that never finds
//! anything could also be one that looks away.

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Writes are said to be on disk and are not.
    ForgetfulDisk,
    /// Every order to start is carried out twice.
    DoubleStart,
    /// What is to be stopped runs on, and is not shown any more.
    DeafStop,
    /// A replica is stopped while it is routed to.
    EarlyStop,
    /// A replica is killed when its first heartbeat is missed.
    HastyKill,
    /// Replicas that are not well say that they are.
    FalseHealth,
    /// An edit is answered twice.
    DoubleAnswer,
}

impl Sabotage {
    /// Each with a part of what must be said about it.
    pub(crate) const ALL: [(Self, &str); 7] = [
        (Self::ForgetfulDisk, "is not on disk"),
        (Self::DoubleStart, "while something of that life is left"),
        (Self::DeafStop, "not whole"),
        (Self::EarlyStop, "stopped while it is routed to"),
        (Self::HastyKill, "killed without two signs"),
        (Self::FalseHealth, "routed to, and never was well"),
        (Self::DoubleAnswer, "answered with generation"),
    ];
}
