//! Containers, what can happen to them, and what the engine tells of it: soon, late, twice or never.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use fleet::{Address, Event, Exit, Life, Release, ReplicaName};

use crate::world::State;

/// Fewer than containers that may be there at once would need, so that addresses are used again soon.
const ADDRESSES: u8 = 40;

/// A name that somebody else's container bears.
pub(crate) const FOREIGN_NAME: &str = "S9";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Created,
    Running,
    Frozen,
    Exited(Exit),
}

#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) life: Life,
    pub(crate) name: ReplicaName,
    pub(crate) release: Release,
    pub(crate) address: Address,
    pub(crate) stage: Stage,
    /// From when on it answers heartbeats well, if ever.
    pub(crate) well_from: Option<Duration>,
    /// Whether it answers badly until then, or not at all.
    pub(crate) boots_aloud: bool,
    /// Until when it answers badly, also to requests.
    pub(crate) sick_until: Duration,
    pub(crate) slow_until: Duration,
    /// The run of the balancer that ordered it.
    pub(crate) ordered_by: u64,
    /// The order that is still at work on it.
    pub(crate) ticket: Option<u64>,
}

impl Container {
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Frozen)
    }
}

/// An order to the engine that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) life: Life,
    /// The run of the balancer that gave it.
    pub(crate) balancer: u64,
    /// What is to be started; nothing for another order.
    pub(crate) start: Option<(ReplicaName, Release)>,
    pub(crate) fails_before: bool,
    pub(crate) fails_after: bool,
    /// Nobody waits for its answer any more.
    pub(crate) is_abandoned: bool,
    pub(crate) container: Option<u64>,
    pub(crate) error: Option<String>,
}

/// What is about to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Create(u64),
    Run(u64),
    End(u64, Exit),
    Remove(u64),
    Thaw(u64),
    Deliver(u64, Event),
}

impl State {
    pub(crate) fn container_at(&self, address: &Address) -> Option<&Container> {
        self.containers.values().find(|container| container.address == *address)
    }

    pub(crate) fn free_address(&mut self) -> Address {
        let taken: BTreeSet<Address> =
            self.containers.values().map(|container| container.address.clone()).collect();
        let all = (1..=ADDRESSES).map(|last| Address::from(SocketAddr::from(([10, 0, 0, last], 80))));
        let free: Vec<Address> = all.filter(|address| !taken.contains(address)).collect();
        self.chance.pick(&free).expect("there are more addresses than containers")
    }

    /// A container's first process ends.
    pub(crate) fn exit(&mut self, id: u64, exit: Exit) {
        let Some(container) = self.containers.get_mut(&id).filter(|container| container.is_up()) else {
            return;
        };
        container.stage = Stage::Exited(exit.clone());
        let life = container.life;
        self.note(|_| format!("container {life} {exit}"));
        self.report(&Event::Exited(life, exit));
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.exit(id, Exit { signal: Some(9), ..Exit::default() });
        if let Some(container) = self.containers.remove(&id) {
            self.note(|_| format!("container {} '{}' is removed", container.life, container.name));
        }
    }

    pub(crate) fn freeze(&mut self, id: u64) {
        let Some(container) = self.containers.get_mut(&id).filter(|one| one.stage == Stage::Running) else {
            return;
        };
        container.stage = Stage::Frozen;
        let life = container.life;
        self.note(|_| format!("container {life} freezes"));
        self.report(&Event::Frozen(life, true));
    }

    pub(crate) fn thaw(&mut self, id: u64) {
        let Some(container) = self.containers.get_mut(&id).filter(|one| one.stage == Stage::Frozen) else {
            return;
        };
        container.stage = Stage::Running;
        let life = container.life;
        self.note(|_| format!("container {life} thaws"));
        self.report(&Event::Frozen(life, false));
    }

    /// The engine tells what happened: soon, late, twice or never.
    fn report(&mut self, event: &Event) {
        let balancer = self.balancer;
        if self.chance.happens(self.faults.event_lost) {
            self.note(|_| format!("the event is lost: {event:?}"));
            return;
        }
        let mut times = 1;
        if self.chance.happens(self.faults.event_doubled) {
            times = 2;
        }
        for _ in 0..times {
            let mut delay = self.chance.milliseconds(0..30);
            if self.chance.happens(self.faults.event_late) {
                delay += self.chance.milliseconds(0..8000);
            }
            self.schedule(self.now() + delay, Happening::Deliver(balancer, event.clone()));
        }
    }

    pub(crate) fn deliver(&mut self, balancer: u64, event: Event) {
        if balancer != self.balancer || self.is_over() {
            return;
        }
        let Some(events) = &self.events else { return };
        if events.try_send(event.clone()).is_err() {
            let later = self.now() + Duration::from_millis(5);
            return self.schedule(later, Happening::Deliver(balancer, event));
        }
        self.note(|_| format!("event {event:?}"));
        self.judge.told(&event, self.fair_now());
    }
}
