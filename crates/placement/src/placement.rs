//! One type over the algorithms, so that a routing table need not know which one it uses.

use std::fmt;

use crate::classic::ClassicOrder;
use crate::rendezvous::RendezvousOrder;
use crate::{Classic, Key, KeyHash, Member, Rendezvous, Seat};

/// key → seats in order of preference.
#[derive(Clone, Debug)]
pub enum Placement {
    /// Even, weighted, nothing moves that need not.
    Rendezvous(Rendezvous),
    /// The original system's slot table.
    Classic(Classic),
}

impl Placement {
    /// Adds a member; all or nothing.
    pub fn insert(&mut self, member: Member) -> Result<(), NoRoom> {
        match self {
            Self::Rendezvous(rendezvous) => {
                rendezvous.insert(member);
                Ok(())
            }
            Self::Classic(classic) => classic.insert(member),
        }
    }

    /// Takes a member away; one that is not there is no error.
    pub fn remove(&mut self, seat: Seat) {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.remove(seat),
            Self::Classic(classic) => classic.remove(seat),
        }
    }

    /// How bytes are to become keys for this placement.
    pub fn key_hash(&self) -> KeyHash {
        match self {
            Self::Rendezvous(_) => KeyHash::Xxh3,
            Self::Classic(_) => KeyHash::RequestId,
        }
    }

    /// Every seat, the best for this key first.
    #[inline]
    pub fn order(&self, key: Key) -> Order<'_> {
        match self {
            Self::Rendezvous(rendezvous) => Order::Rendezvous(rendezvous.order(key)),
            Self::Classic(classic) => Order::Classic(classic.order(key)),
        }
    }
}

/// The seats of one key, the best first; made by [`Placement::order`].
#[derive(Clone, Debug)]
pub enum Order<'a> {
    /// By bid.
    Rendezvous(RendezvousOrder<'a>),
    /// By the walk over the slots.
    Classic(ClassicOrder<'a>),
}

impl Iterator for Order<'_> {
    type Item = Seat;

    #[inline]
    fn next(&mut self) -> Option<Seat> {
        match self {
            Self::Rendezvous(order) => order.next(),
            Self::Classic(order) => order.next(),
        }
    }
}

/// The placement cannot take another replica.
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
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Slots { slots, virtual_servers, replicas_max } = self;
        write!(
            f,
            "{slots} slots with {virtual_servers} virtual servers per replica hold at most {replicas_max} replicas"
        )
    }
}

impl std::error::Error for NoRoom {}
