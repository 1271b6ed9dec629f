//! How far a fleet has come towards what is desired of it: additions that do not count yet, and the rollout.
//! All of it ends with the process: none of it is stored or shared.

use crate::rollout::Rollout;
use crate::{Assignment, ChangeId, Moment};

/// An addition whose replicas do not all take traffic yet.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) id: ChangeId,
    /// Who is being added.
    pub(crate) added: Vec<Assignment>,
    /// When it is given up.
    pub(crate) deadline: Moment,
    /// Whether it was to bring the fleet to a certain size, so that no other may come between.
    pub(crate) is_alone: bool,
}

/// What is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Additions, in the order in which they were asked for.
    pub(crate) changes: Vec<Change>,
    /// The rollout under way, or the last one.
    pub(crate) rollout: Option<Rollout>,
}
