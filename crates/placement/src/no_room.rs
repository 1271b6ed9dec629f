//! Why a placement takes no more members.

use std::fmt;

use crate::RING_POINTS_MAX;

/// The placement cannot take another replica, or not with this weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The slot table of the classic placement is full.
    Slots {
        /// How many slots there are.
        slots: usize,
        /// How many each replica needs.
        virtual_servers: usize,
        /// How many replicas fit.
        replicas_max: usize,
    },
    /// The ring would get too many points.
    Points {
        /// How many the weights ask for.
        wanted: u64,
    },
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots { slots, virtual_servers, replicas_max } => write!(
                f,
                "{slots} slots with {virtual_servers} virtual servers per replica hold at most {replicas_max} replicas"
            ),
            Self::Points { wanted } => write!(
                f,
                "the weights ask for {wanted} points on the ring, which holds at most {RING_POINTS_MAX}"
            ),
        }
    }
}

impl std::error::Error for NoRoom {}
