//! What the engine does when it is told to: create, run, stop, remove, list. It is slow, it fails half
//! way, it forgets what it was doing when nobody waits any more; but what it says of itself is so.

use std::time::Duration;

use driver::StartOrder;
use fleet::{Exit, Found, FoundState, Life, Release, ReplicaName, StopHow};

use crate::containers::{Container, FOREIGN_NAME, Happening, Stage, Ticket};
use crate::sabotage::Sabotage;
use crate::world::State;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// When an order is answered.
pub(crate) struct Pending {
    pub(crate) ticket: u64,
    pub(crate) answer_at: Duration,
    pub(crate) result: Result<(), String>,
}

impl State {
    fn open_ticket(&mut self, life: Life, start: Option<(ReplicaName, Release)>) -> u64 {
        let number = self.number();
        let ticket = Ticket {
            life,
            balancer: self.balancer,
            start,
            fails_before: false,
            fails_after: false,
            is_abandoned: false,
            container: None,
            error: None,
        };
        self.tickets.insert(number, ticket);
        number
    }

    pub(crate) fn begin_start(&mut self, order: &StartOrder) -> Pending {
        let StartOrder { life, name, release } = order;
        let life = *life;
        self.note(|_| format!("order: start {life} '{name}'"));
        self.orders += 1;
        self.judge_start(life, name);
        let number = self.open_ticket(life, Some((name.clone(), *release)));
        let (fails, lies) = (self.faults.start_fails, self.faults.start_lies);
        let ticket_fails = self.chance.happens(fails);
        let is_before = self.chance.happens(500);
        let has_lied = self.chance.happens(lies);
        let mut create_after = self.chance.milliseconds(1..60);
        let mut run_after = self.chance.milliseconds(5..300);
        if self.chance.happens(self.faults.start_slow) {
            create_after += self.chance.milliseconds(0..6000);
            run_after += self.chance.milliseconds(0..6000);
        }
        let ticket = self.tickets.get_mut(&number).expect("it was just opened");
        ticket.fails_before = ticket_fails && is_before;
        ticket.fails_after = ticket_fails && !is_before;
        let now = self.now();
        self.schedule(now + create_after, Happening::Create(number));
        self.schedule(now + create_after + run_after, Happening::Run(number));
        let answer_at = now + create_after + run_after + self.chance.milliseconds(0..40);
        let result = if has_lied { Err("the engine took too long to answer".into()) } else { Ok(()) };
        Pending { ticket: number, answer_at, result }
    }

    /// The engine has come to an order to create a container.
    pub(crate) fn create(&mut self, number: u64) {
        let Some(ticket) = self.tickets.get(&number).cloned() else { return };
        // An order that nobody waits for any more may be on its way already.
        if ticket.is_abandoned && self.chance.happens(500) {
            return;
        }
        let Some((name, release)) = ticket.start else { return };
        if ticket.fails_before {
            return self.fail(number, "no space left on device");
        }
        if name.as_str() == FOREIGN_NAME {
            return self.fail(number, "the name is taken by a container that is not ours");
        }
        let holder = self.containers.iter().find(|(_, container)| container.name == name);
        if holder.is_some() && ticket.is_abandoned {
            return self.fail(number, "the name is taken");
        }
        if let Some((holder, life)) = holder.map(|(id, container)| (*id, container.life)) {
            // As the driver for containers does with what an earlier life left under a name.
            self.judge_taking_name(life, &name);
            self.remove(holder);
        }
        let container = Container {
            life: ticket.life,
            name,
            release,
            address: self.free_address(),
            stage: Stage::Created,
            well_from: None,
            boots_aloud: self.chance.happens(500),
            sick_until: Duration::ZERO,
            slow_until: Duration::ZERO,
            ordered_by: ticket.balancer,
            ticket: Some(number),
        };
        let life = container.life;
        if ticket.balancer == self.balancer {
            self.judge.is_at(life, &container.address);
        }
        self.note(|_| format!("container {life} '{}' is created at {}", container.name, container.address));
        let id = self.number();
        self.containers.insert(id, container);
        self.tickets.entry(number).and_modify(|ticket| ticket.container = Some(id));
    }

    /// The engine has come to an order to run what was created.
    pub(crate) fn run(&mut self, number: u64) {
        let Some(ticket) = self.tickets.get(&number).cloned() else { return };
        if ticket.is_abandoned {
            self.tickets.remove(&number);
        }
        let Some(id) = ticket.container else { return };
        if ticket.is_abandoned && self.chance.happens(500) {
            return;
        }
        if ticket.fails_after {
            self.remove_unstarted(id);
            return self.fail(number, "cannot join the network");
        }
        let mut boot = self.chance.milliseconds(5..800);
        if self.chance.happens(self.faults.boot_slow) {
            boot += self.chance.milliseconds(0..9000);
        }
        let is_never_well = self.chance.happens(self.faults.never_well);
        let well_from = (!is_never_well).then(|| self.now() + boot);
        let Some(container) = self.containers.get_mut(&id).filter(|one| one.stage == Stage::Created) else {
            return self.fail(number, "there is no such container");
        };
        container.stage = Stage::Running;
        container.well_from = well_from;
        let life = container.life;
        self.note(|_| format!("container {life} runs, well from {well_from:?}"));
    }

    fn fail(&mut self, number: u64, why: &str) {
        self.tickets.entry(number).and_modify(|ticket| ticket.error = Some(why.to_string()));
    }

    fn remove_unstarted(&mut self, id: u64) {
        if self.containers.get(&id).is_some_and(|container| container.stage == Stage::Created) {
            self.remove(id);
        }
    }

    /// What became of an order to start.
    pub(crate) fn end_start(&mut self, pending: Pending) -> Result<fleet::Address, String> {
        let ticket = self.tickets.remove(&pending.ticket).expect("an order ends once");
        let container = ticket.container.and_then(|id| self.containers.get_mut(&id));
        let result = match (ticket.error, container) {
            (Some(error), _) => Err(error),
            (None, None) => Err("there is no such container".into()),
            (None, Some(container)) => {
                container.ticket = None;
                pending.result.map(|()| container.address.clone())
            }
        };
        if result.is_err() {
            self.judge.told_dead(ticket.life);
        }
        self.note(|_| format!("answer: start {}: {result:?}", ticket.life));
        result
    }

    pub(crate) fn begin_stop(&mut self, life: Life, how: StopHow) -> Pending {
        let word = if how == StopHow::Now { "kill" } else { "stop" };
        self.note(|_| format!("order: {word} {life}"));
        self.orders += 1;
        self.judge_stop(life, how);
        let number = self.open_ticket(life, None);
        let fails = self.chance.happens(self.faults.stop_fails);
        let is_early = self.chance.happens(300);
        let is_half_done = self.chance.happens(500);
        let mut pause = self.chance.milliseconds(1..50);
        if how == StopHow::Graceful {
            pause += self.chance.milliseconds(0..1500);
        }
        if self.chance.happens(self.faults.stop_slow) {
            pause += self.chance.milliseconds(0..15_000);
        }
        let now = self.now();
        let remove_at = now + pause + self.chance.milliseconds(1..100);
        let answer_at = remove_at + self.chance.milliseconds(1..100);
        if self.sabotage == Some(Sabotage::DeafStop) && how == StopHow::Graceful {
            return Pending { ticket: number, answer_at, result: Ok(()) };
        }
        let ids = self.containers.iter().filter(|(_, container)| container.life == life);
        let ids: Vec<u64> = ids.map(|(id, _)| *id).collect();
        if !(fails && is_early) {
            let signal = if how == StopHow::Now { SIGKILL } else { SIGTERM };
            for id in &ids {
                let exit = Exit { signal: Some(signal), ..Exit::default() };
                self.schedule(now + pause, Happening::End(*id, exit));
            }
        }
        if !fails || !(is_early || is_half_done) {
            ids.iter().for_each(|id| self.schedule(remove_at, Happening::Remove(*id)));
        }
        let result = if fails { Err("the engine is busy".to_string()) } else { Ok(()) };
        Pending { ticket: number, answer_at, result }
    }

    pub(crate) fn end_stop(&mut self, life: Life, pending: Pending) -> Result<(), String> {
        self.tickets.remove(&pending.ticket);
        self.note(|_| format!("answer: stop {life}: {:?}", pending.result));
        pending.result
    }

    pub(crate) fn is_frozen(&mut self, life: Life) -> bool {
        let is_frozen = self
            .containers
            .values()
            .any(|container| container.life == life && container.stage == Stage::Frozen);
        if is_frozen {
            self.judge.told_frozen(life);
        }
        is_frozen
    }

    /// What there is now, and which container says so. What is being started is no news.
    pub(crate) fn snapshot(&self) -> Vec<(u64, Found)> {
        let balancer_waits = |ticket: Option<u64>| {
            ticket.and_then(|ticket| self.tickets.get(&ticket)).is_some_and(|ticket| !ticket.is_abandoned)
        };
        let look = |(id, container): (&u64, &Container)| {
            let (address, is_frozen) = (container.address.clone(), container.stage == Stage::Frozen);
            let state = match &container.stage {
                Stage::Created if balancer_waits(container.ticket) => return None,
                Stage::Created => FoundState::Exited(Exit::default()),
                Stage::Running | Stage::Frozen => FoundState::Running { address, is_frozen },
                Stage::Exited(exit) => FoundState::Exited(exit.clone()),
            };
            let stopped = self.sabotage == Some(Sabotage::DeafStop) && self.judge.is_stopped(container.life);
            (!stopped).then(|| (*id, Found { life: container.life, name: container.name.clone(), state }))
        };
        self.containers.iter().filter_map(look).collect()
    }

    /// A list is not made at one moment: of what changed meanwhile it shows the one or the other.
    pub(crate) fn listing(&mut self, before: &[(u64, Found)]) -> Vec<Found> {
        let after = self.snapshot();
        let mut found = Vec::new();
        for (id, old) in before {
            match after.iter().find(|(other, _)| other == id) {
                Some((_, new)) => {
                    let shown = if self.chance.happens(500) { old } else { new };
                    found.push(shown.clone());
                }
                None if self.chance.happens(500) => found.push(old.clone()),
                None => {}
            }
        }
        for (id, new) in after {
            if before.iter().all(|(other, _)| *other != id) && self.chance.happens(500) {
                found.push(new);
            }
        }
        self.judge_listing(&found);
        self.note(|_| {
            let texts = found.iter().map(|one| format!("{} '{}' {:?}", one.life, one.name, one.state));
            format!("answer: list: {}", texts.collect::<Vec<_>>().join("; "))
        });
        found
    }
}
