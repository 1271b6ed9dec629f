//! The world that a balancer runs in: its time, its containers, and what is about to happen to them.
//!
//! It goes on while no balancer runs. It is lawful: whatever the faults, it does only what engines,
//! networks and disks may do by the contracts that the control plane relies on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use control::Revision;
use driver::EventSender;
use fleet::{Address, Desired, Life};
use placement::Seat;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::chance::{Chance, Faults};
use crate::containers::{Container, Happening, Ticket};
use crate::evidence::Judge;
use crate::sabotage::Sabotage;

/// A stop of the balancer that is longer than the first counts for the second.
const STOP_NOTICED: Duration = Duration::from_secs(2);
const STOP_COUNTED: Duration = Duration::from_millis(500);

/// Shared by everybody in the simulation.
pub(crate) struct World {
    state: Mutex<State>,
    over: Notify,
    scheduled: Notify,
}

pub(crate) struct State {
    pub(crate) chance: Chance,
    pub(crate) faults: Faults,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) judge: Judge,
    pub(crate) containers: BTreeMap<u64, Container>,
    pub(crate) tickets: BTreeMap<u64, Ticket>,
    pub(crate) disk: Option<Desired>,
    /// Rises with each write that succeeded.
    pub(crate) revision: watch::Sender<Revision>,
    /// How many writes to the disk are under way.
    pub(crate) writes: u32,
    /// Addresses that questions do not reach, and until when.
    pub(crate) cuts: BTreeMap<Address, Duration>,
    pub(crate) blackout_until: Duration,
    /// Which run of the balancer this is.
    pub(crate) balancer: u64,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) edits_open: u32,
    /// Whether the balancer was told to end all replicas.
    pub(crate) is_retiring: bool,
    /// How many orders the driver was given.
    pub(crate) orders: u64,
    pub(crate) whole_at: Duration,
    /// How many there shall be.
    pub(crate) spares: usize,
    /// Those that began as spares and were routed to.
    pub(crate) seated_spares: BTreeSet<Life>,
    pub(crate) events: Option<EventSender>,
    end: Option<End>,
    now: Duration,
    /// How long balancers were stopped, as far as that does not count.
    stopped: Duration,
    fair_now: Duration,
    clock: Option<(Instant, Duration)>,
    happenings: BTreeMap<(Duration, u64), Happening>,
    next_number: u64,
    has_new_plans: bool,
}

/// Why a run of the balancer is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Crash,
    Violation(String),
}

/// The seats of what is stored.
pub(crate) fn seats_in(stored: &Desired) -> BTreeSet<Seat> {
    stored.replicas.iter().map(|assignment| assignment.seat).collect()
}

impl World {
    pub(crate) fn new(chance: Chance, faults: Faults, sabotage: Option<Sabotage>, judge: Judge) -> Self {
        let state = State {
            chance,
            faults,
            sabotage,
            judge,
            containers: BTreeMap::new(),
            tickets: BTreeMap::new(),
            disk: None,
            revision: watch::Sender::default(),
            writes: 0,
            cuts: BTreeMap::new(),
            blackout_until: Duration::ZERO,
            balancer: 0,
            trace: None,
            edits_open: 0,
            is_retiring: false,
            orders: 0,
            whole_at: Duration::ZERO,
            spares: 0,
            seated_spares: BTreeSet::new(),
            events: None,
            end: None,
            now: Duration::ZERO,
            stopped: Duration::ZERO,
            fair_now: Duration::ZERO,
            clock: None,
            happenings: BTreeMap::new(),
            next_number: 0,
            has_new_plans: false,
        };
        Self { state: Mutex::new(state), over: Notify::new(), scheduled: Notify::new() }
    }

    /// The state as it is now, with everything done that was to happen until now.
    pub(crate) fn state(&self) -> Now<'_> {
        let mut state = self.state.lock().unwrap();
        state.pass();
        Now { state, world: self }
    }

    /// Waits until the balancer's run is over.
    pub(crate) async fn over(&self) -> End {
        loop {
            if let Some(end) = self.state().end.clone() {
                return end;
            }
            self.over.notified().await;
        }
    }

    /// Makes everything happen at its time, for as long as a balancer runs.
    pub(crate) async fn go_on(self: Arc<Self>) {
        loop {
            let next = self.state().next_instant();
            tokio::select! {
                biased;
                () = self.scheduled.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// A balancer is started, whose clock starts now.
    pub(crate) fn balancer_starts(&self) {
        let mut state = self.state();
        let now = state.now;
        state.clock = Some((Instant::now(), now));
        state.balancer += 1;
        state.end = None;
        let fair_now = state.fair_now();
        state.judge.balancer_starts(fair_now);
        state.edits_open = 0;
        state.note(|state| format!("balancer {} starts", state.balancer));
    }

    /// The balancer's clock is not asked any more; it is about to be gone.
    pub(crate) fn balancer_ends(&self) {
        let mut state = self.state();
        state.clock = None;
        state.tickets.values_mut().for_each(|ticket| ticket.is_abandoned = true);
    }

    /// The balancer is gone, and the world goes on without it for a while.
    pub(crate) fn balancer_is_gone(&self, for_how_long: Duration) {
        let mut state = self.state();
        state.note(|_| format!("the balancer is gone for {for_how_long:?}"));
        state.events = None;
        state.writes = 0;
        let until = state.now + for_how_long;
        state.pass_until(until);
    }

    pub(crate) fn listen(&self, events: EventSender) {
        self.state().events = Some(events);
    }
}

/// The state, locked; what was scheduled or ended meanwhile wakes those who wait for it.
pub(crate) struct Now<'a> {
    state: MutexGuard<'a, State>,
    world: &'a World,
}

impl std::ops::Deref for Now<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl std::ops::DerefMut for Now<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Now<'_> {
    fn drop(&mut self) {
        if self.state.end.is_some() {
            self.world.over.notify_one();
        }
        if std::mem::take(&mut self.state.has_new_plans) {
            self.world.scheduled.notify_one();
        }
    }
}

impl State {
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// The time that counts for the balancer, at the most: not that in which it was stopped.
    pub(crate) fn fair_now(&self) -> Duration {
        self.fair_now
    }

    /// The balancer is about to be stopped.
    pub(crate) fn stops(&mut self, time: Duration) {
        if time > STOP_NOTICED {
            self.stopped += time - STOP_COUNTED;
        }
    }

    /// The balancer's clock at a time of the world.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        let (start, base) = self.clock.expect("only a running balancer waits");
        start + at.saturating_sub(base)
    }

    fn next_instant(&self) -> Instant {
        let next = self.happenings.keys().next().map(|(at, _)| *at);
        self.instant(next.unwrap_or(self.now + Duration::from_secs(1)))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn schedule(&mut self, at: Duration, happening: Happening) {
        let number = self.number();
        self.happenings.insert((at, number), happening);
        self.has_new_plans = true;
    }

    pub(crate) fn end(&self) -> Option<End> {
        self.end.clone()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Whether a balancer runs; what is dropped with a dead one has no consequences.
    pub(crate) fn has_balancer(&self) -> bool {
        self.clock.is_some() && self.end.is_none()
    }

    pub(crate) fn crash(&mut self) {
        self.note(|_| "the balancer is killed".into());
        self.end.get_or_insert(End::Crash);
    }

    /// A promise was broken. The first one counts.
    pub(crate) fn violate(&mut self, what: impl fmt::Display) {
        self.note(|_| format!("VIOLATION: {what}"));
        if !matches!(self.end, Some(End::Violation(_))) {
            self.end = Some(End::Violation(format!("at {:?}: {what}", self.now)));
        }
    }

    pub(crate) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:10.3} {}", self.now.as_secs_f64(), text(self));
            self.trace.iter_mut().for_each(|trace| trace.push(line.clone()));
        }
    }

    /// Whether an order is still to have its effect.
    pub(crate) fn is_engine_at_work(&self) -> bool {
        self.happenings.values().any(|happening| !matches!(happening, Happening::Deliver(..)))
    }

    fn pass(&mut self) {
        if let Some((start, base)) = self.clock {
            self.pass_until(base + start.elapsed());
        }
    }

    fn pass_until(&mut self, until: Duration) {
        while let Some(next) = self.happenings.first_entry().filter(|next| next.key().0 <= until) {
            let (at, _) = *next.key();
            let happening = next.remove();
            self.it_is(at);
            self.happen(happening);
        }
        self.it_is(until);
    }

    fn it_is(&mut self, now: Duration) {
        self.now = self.now.max(now);
        // What happens while the balancer is stopped happens at one moment of its time.
        self.fair_now = self.fair_now.max(self.now.saturating_sub(self.stopped));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Create(ticket) => self.create(ticket),
            Happening::Run(ticket) => self.run(ticket),
            Happening::End(container, exit) => self.exit(container, exit),
            Happening::Remove(container) => self.remove(container),
            Happening::Thaw(container) => self.thaw(container),
            Happening::Deliver(balancer, event) => self.deliver(balancer, event),
        }
    }
}
