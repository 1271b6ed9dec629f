//! What becomes of a request at each seat in the order of its key, as it is explained to people.

use std::sync::Arc;

use placement::Seat;

use crate::Replica;

/// One seat in the order of a key; made where a routing table explains itself.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The seat.
    pub seat: Seat,
    /// Who sits in it, if somebody does who may be routed to.
    pub replica: Option<Arc<Replica>>,
    /// What the request does here.
    pub ranking: Ranking,
    /// The most requests at a time that the replica may have now, if there is a bound.
    pub bound: Option<u64>,
}

/// What a request does at a seat of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// It stays here.
    Chosen,
    /// It would come here next, if the ones before failed.
    Next,
    /// Nobody sits here who may be routed to.
    Empty,
    /// The replica takes no new requests.
    Closed,
    /// The replica has as many requests as the load bound allows.
    OverBound,
    /// The replica has as many requests as its service allows.
    Full,
}

impl Ranking {
    /// One or two words, as shown to people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Next => "next",
            Self::Empty => "empty",
            Self::Closed => "closed",
            Self::OverBound => "over bound",
            Self::Full => "full",
        }
    }
}
