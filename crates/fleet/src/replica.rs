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
        self.gate.enter(bound).then(|| Claim::new(self, Guise::Usual))
    }

    /// The same for a request that may have killed another replica.
    pub(crate) fn claim_as_suspect(self: &Arc<Self>, bound: u64) -> Option<Claim> {
        let is_inside = self.gate.enter(bound);
        is_inside.then(|| {
            self.gate.add_suspect();
            Claim::new(self, Guise::Suspect)
        })
    }

    /// The one place that a replica half-open has to give.
    pub(crate) fn claim_half_open(self: &Arc<Self>) -> Option<Claim> {
        self.gate.enter_half_open().then(|| Claim::new(self, Guise::HalfOpen))
    }
}

/// A request's place inside a replica. It lives as long as the response body; dropping it leaves.
#[derive(Debug)]
pub struct Claim {
    replica: Arc<Replica>,
    guise: Guise,
}

/// What a request is inside as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guise {
    Usual,
    /// It tries a replica that is half-open.
    HalfOpen,
    /// It was in another replica when that was lost.
    Suspect,
}

impl Claim {
    fn new(replica: &Arc<Replica>, guise: Guise) -> Self {
        Self { replica: Arc::clone(replica), guise }
    }

    /// Whether this request tries whether the replica is well again. If it fails, that says nothing
    /// about the request.
    pub fn is_half_open(&self) -> bool {
        self.guise == Guise::HalfOpen
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
        if self.guise == Guise::Suspect {
            self.replica.gate.remove_suspect();
        }
        self.replica.gate.leave();
    }
}
