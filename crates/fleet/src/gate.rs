//! The gate of a replica: whether it may be entered, and how many are inside, in one atomic.
//!
//! One atomic, because two that must agree do not: a request that saw "open" and then counted
//! itself in could slip in between a close and the look at the count that follows it.
//!
//! A replica half-open has a closed gate with an admission for a single request. Whoever is not on the
//! look-out for it sees a closed gate, so it costs the others nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use event_listener::Event as Signal;

const CLOSED: u64 = 1 << 63;
const ABANDONED: u64 = 1 << 62;
/// One request may enter although the gate is closed.
const ADMISSION: u64 = 1 << 61;
const COUNT: u64 = ADMISSION - 1;

/// Open or closed, and the count of claims.
#[derive(Debug, Default)]
pub struct Gate {
    state: AtomicU64,
    /// How many of those inside were in another replica when that was lost. Only they touch it.
    suspects: AtomicU64,
    emptied: Signal,
}

impl Gate {
    /// Counts one in, if the gate is open and fewer than `bound` are inside.
    pub(crate) fn enter(&self, bound: u64) -> bool {
        let may_enter = |state: u64| (state & CLOSED == 0 && state & COUNT < bound).then_some(state + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, may_enter).is_ok()
    }

    /// Counts one in through a closed gate, if there is an admission; the admission is then used up.
    pub(crate) fn enter_half_open(&self) -> bool {
        let may_enter = |state: u64| (state & ADMISSION != 0).then(|| (state & !ADMISSION) + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, may_enter).is_ok()
    }

    pub(crate) fn leave(&self) {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        if before & CLOSED != 0 && before & COUNT == 1 {
            self.emptied.notify(usize::MAX);
        }
    }

    /// How many inside may have killed another replica.
    pub(crate) fn suspects(&self) -> u64 {
        self.suspects.load(Ordering::Relaxed)
    }

    /// One of them has entered.
    pub(crate) fn add_suspect(&self) {
        self.suspects.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them leaves.
    pub(crate) fn remove_suspect(&self) {
        self.suspects.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lets requests in.
    pub fn open(&self) {
        self.state.fetch_and(COUNT, Ordering::AcqRel);
    }

    /// Lets nobody in; who is inside may finish.
    pub fn close(&self) {
        self.change_flags(CLOSED);
    }

    /// Lets nobody in but whoever has an admission.
    pub fn restrict(&self) {
        let update = |state: u64| Some((state & (COUNT | ADMISSION)) | CLOSED);
        // The closure never declines.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, update);
    }

    /// Closes the gate to all but one request.
    pub fn admit_one(&self) {
        self.change_flags(CLOSED | ADMISSION);
    }

    /// Lets nobody in, and tells who is inside not to count on a response.
    pub fn abandon(&self) {
        self.change_flags(CLOSED | ABANDONED);
    }

    /// Whether those inside should look elsewhere.
    pub fn is_abandoned(&self) -> bool {
        self.state.load(Ordering::Acquire) & ABANDONED != 0
    }

    /// Whether anybody may enter.
    pub fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED == 0
    }

    /// How many are inside, if anybody may enter.
    pub(crate) fn claims_if_open(&self) -> Option<u64> {
        let state = self.state.load(Ordering::Relaxed);
        (state & CLOSED == 0).then_some(state & COUNT)
    }

    /// How many are inside.
    pub fn claims(&self) -> u64 {
        self.state.load(Ordering::Relaxed) & COUNT
    }

    /// Waits until nobody is inside. Dropping the future changes nothing.
    pub async fn emptied(&self) {
        while self.claims() > 0 {
            let listener = self.emptied.listen();
            if self.claims() > 0 {
                listener.await;
            }
        }
    }

    fn change_flags(&self, flags: u64) {
        let update = |state: u64| Some((state & COUNT) | flags);
        // The closure never declines.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, update);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in_and_remembers_who_is_inside() {
        let gate = Gate::default();
        assert!(gate.enter(u64::MAX));
        gate.close();
        assert!(!gate.enter(u64::MAX));
        assert!((gate.claims(), gate.is_abandoned()) == (1, false));
        gate.abandon();
        assert!(gate.is_abandoned());
        gate.open();
        assert!(gate.enter(u64::MAX) && !gate.is_abandoned());
        gate.leave();
        gate.leave();
        assert_eq!(gate.claims(), 0);
    }

    #[test]
    fn a_half_open_gate_admits_one_at_a_time_and_nobody_who_does_not_ask_for_it() {
        let gate = Gate::default();
        assert!(!gate.enter_half_open(), "an open gate needs no admission");
        gate.admit_one();
        assert!(!gate.enter(u64::MAX) && !gate.is_open());
        gate.restrict();
        assert!(gate.enter_half_open() && !gate.enter_half_open());
        gate.admit_one();
        gate.close();
        assert!(!gate.enter_half_open(), "closed is closed");
        gate.admit_one();
        gate.open();
        assert!(!gate.enter_half_open() && gate.enter(2) && !gate.enter(2));
        gate.leave();
        gate.leave();
        assert_eq!(gate.claims(), 0);
    }

    #[test]
    fn the_bound_is_never_exceeded_by_many_at_once() {
        let gate = Gate::default();
        let highest = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if gate.enter(3) {
                            highest.fetch_max(gate.claims(), Ordering::Relaxed);
                            gate.leave();
                        }
                    }
                });
            }
        });
        assert!(highest.into_inner() <= 3);
        assert_eq!(gate.claims(), 0);
    }
}
