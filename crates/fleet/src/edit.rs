//! Edits: what a caller may ask for, and what comes of it. What an edit makes of a fleet is not here.

use placement::NoRoom;

use crate::{Release, ReplicaName, RolloutSettings};

/// What a caller wants changed. Counts and names only: what is run comes from the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// `count` more, the first of them with these names.
    Add {
        /// How many, at least 1.
        count: u32,
        /// Names for the first ones.
        names: Vec<ReplicaName>,
    },
    /// As many as this, at the least; those that are missing are named by number.
    Fill {
        /// How many.
        count: u32,
    },
    /// `count` fewer: these, and others drawn at random.
    Remove {
        /// How many, at least 1.
        count: u32,
        /// Who must be among them.
        names: Vec<ReplicaName>,
    },
    /// As many as this, whatever it takes.
    Scale {
        /// How many.
        count: u32,
    },
    /// Every seat to this release, one after the other. What a release is, the operator says.
    Deploy(Deployment),
}

/// What an operator wants rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// What all replicas are to run.
    pub release: Release,
    /// Whether those are replaced too that run it already.
    pub is_forced: bool,
    /// How careful to be.
    pub settings: RolloutSettings,
}

/// What came of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Settled,
    /// It counts, or never was, when this change is committed or undone.
    Pending(ChangeId),
}

/// Names a change that is not yet settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub(crate) u64);

/// Why an edit is not possible; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it means")]
pub enum Refusal {
    #[error("{names} names for {count} new replicas")]
    MoreNamesThanAdded { names: usize, count: u32 },
    #[error("{names} names for {count} replicas to remove")]
    MoreNamesThanRemoved { names: usize, count: u32 },
    #[error("'{0}' is named twice")]
    NamedTwice(ReplicaName),
    #[error("a replica named '{0}' exists already")]
    NameTaken(ReplicaName),
    #[error("the name '{0}' is reserved; choose another one")]
    NameReserved(ReplicaName),
    #[error("the name '{name}' cannot be given to a replica: {why}; choose another one")]
    NameOfAnother { name: ReplicaName, why: String },
    #[error("there is no replica named '{0}'")]
    UnknownName(ReplicaName),
    #[error("there are only {present} replicas, {asked} cannot be removed")]
    TooFew { present: u32, asked: u32 },
    #[error("that would be {asked} replicas, max_replicas allows {max}")]
    TooMany { max: u32, asked: u64 },
    #[error("the placement has no room: {0}")]
    NoRoom(NoRoom),
    #[error(
        "the replicas of this service are not ours to add or remove: its addresses are fixed in the configuration"
    )]
    NotOwned,
    #[error("another change is under way")]
    Busy,
    #[error("a rollout is under way; wait until it has ended")]
    RolloutUnderWay,
    #[error("nothing has changed: every replica runs what the configuration asks for")]
    NothingToDeploy,
}
