//! What runs: the processes of a driver, each with what is known of it, and how they are signalled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet::{Address, Exit, FoundState, Life, Release, ReplicaName};
use rustix::process::{Pid, Signal};
use tokio::sync::watch;

use super::identity::{Hold, Stat};
use super::keeper::signal_all;
use super::port::Port;
use crate::following::Told;

/// What runs, by life.
pub(super) type Table = Arc<Mutex<BTreeMap<Life, Running>>>;

/// The table, for a moment.
pub(super) fn lock(table: &Table) -> MutexGuard<'_, BTreeMap<Life, Running>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) name: ReplicaName,
    pub(super) process: Process,
    pub(super) address: Address,
    /// Who was seen to listen there.
    pub(super) port: Port,
    /// What it was started with, if its record tells.
    pub(super) release: Option<Release>,
    /// Turns true when the process has ended and nothing of it is left.
    pub(super) has_exited: watch::Receiver<bool>,
    /// What it tells, if it tells it to us and not to a keeper.
    pub(super) told: Option<Arc<Told>>,
}

/// What there is of a life.
#[derive(Clone, Debug)]
pub(super) enum Process {
    /// A child, which ends with us.
    Tethered(Pid),
    /// One with a keeper, which is held.
    Kept(Arc<Hold>),
    /// It was kept, and ended while no balancer ran; its files are left.
    Over(Exit),
}

impl Process {
    /// The one whose group, session and descendants are the replica's.
    pub(super) fn root(&self) -> Option<Pid> {
        match self {
            Self::Tethered(pid) => Some(*pid),
            Self::Kept(keeper) => Pid::from_raw(keeper.pid()),
            Self::Over(_) => None,
        }
    }
}

/// Takes a life out of the table; its port stays nobody's for a while.
pub(super) fn forget(table: &Table, life: Life) {
    let over = lock(table).remove(&life);
    if let Some(over) = over {
        over.port.let_go_later();
    }
}

impl Running {
    pub(super) async fn is_gone_within(&mut self, limit: Duration) -> bool {
        let gone = self.has_exited.wait_for(|has_exited| *has_exited);
        // A closed channel means that the supervisor is gone, and so is the process.
        tokio::time::timeout(limit, gone).await.is_ok()
    }

    pub(super) fn signal(&self, signal: Signal) {
        match &self.process {
            Process::Tethered(pid) => signal_all(*pid, signal),
            // It passes on a request to stop; its own end is the replica's.
            Process::Kept(keeper) => keeper.signal(signal),
            Process::Over(_) => {}
        }
    }

    pub(super) fn state(&self) -> FoundState {
        match &self.process {
            Process::Over(exit) => FoundState::Exited(exit.clone()),
            _ => FoundState::Running { address: self.address.clone(), is_frozen: self.is_frozen() },
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        match &self.process {
            Process::Tethered(pid) => Stat::of(*pid).is_some_and(|stat| stat.is_stopped()),
            Process::Kept(keeper) => keeper.is_stopped(),
            Process::Over(_) => false,
        }
    }
}
