//! A replica as the way of a request sees it: where it is, and the gate to it.

use std::ops::Deref;
use std::sync::Arc;

use placement::Seat;

use crate::{Address, Gate, Life, ReplicaName, Responses};

/// One running copy of the application.
#[derive(Debug)]
pub struct Replica {
    /// Its place in the fleet.
    pub seat: Seat,
    /// Which life it is.
    pub life: Life,
    /// What it is called.
    pub name: ReplicaName,
    /// Where it listens.
    pub address: Address,
    /// How much of the load it should get, relative to the others.
    pub weight: u32,
    /// Who may enter, and how many are inside.
    pub gate: Gate,
    /// How its responses are.
    pub responses: Responses,
}

impl Replica {
    /// A place inside, if the gate is open and fewer than `bound` are inside.
    pub(crate) fn claim(self: &Arc<Self>, bound: u64) -> Option<Claim> {
        self.gate.enter(bound).then(|| Claim { replica: Arc::clone(self), is_half_open: false })
    }

    /// The one place that a replica half-open has to give.
    pub(crate) fn claim_half_open(self: &Arc<Self>) -> Option<Claim> {
        self.gate.enter_half_open().then(|| Claim { replica: Arc::clone(self), is_half_open: true })
    }
}

/// A request's place inside a replica. It lives as long as the response body; dropping it leaves.
#[derive(Debug)]
pub struct Claim {
    replica: Arc<Replica>,
    is_half_open: bool,
}

impl Claim {
    /// Whether this request tries whether the replica is well again. If it fails, that says nothing
    /// about the request.
    pub fn is_half_open(&self) -> bool {
        self.is_half_open
    }
}

impl Deref for Claim {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.replica
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.replica.gate.leave();
    }
}
