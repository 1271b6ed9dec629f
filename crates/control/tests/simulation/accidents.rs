//! What befalls containers, network and balancer by itself, and the end of it.

use std::collections::BTreeSet;
use std::time::Duration;

use control::Control;
use fleet::{Exit, Life, ReplicaState, StopHow, Suspicion, SuspicionKind};

use crate::chance::Faults;
use crate::containers::{Container, Happening, Stage};
use crate::run::TICK;
use crate::sabotage::Sabotage;
use crate::world::{State, World, seats_in};

impl World {
    /// Now and then a request suspects a replica that is well.
    pub(crate) fn accuse(&self, control: &Control) {
        let draw = || {
            let mut state = self.state();
            let every = state.faults.suspicion_every;
            if !state.chance.comes(every, TICK) {
                return None;
            }
            let lives: Vec<Life> = control.table.load().replicas().map(|replica| replica.life).collect();
            let kinds = [SuspicionKind::Refused, SuspicionKind::Broken, SuspicionKind::Failing];
            let kind = state.chance.pick(&kinds)?;
            state.chance.pick(&lives).map(|life| Suspicion { life, kind })
        };
        if let Some(suspicion) = draw() {
            self.suspect(&control.suspicions, suspicion);
        }
    }
}

impl State {
    /// Draws what happens in this step. Returns for how long the balancer is stopped, if it is.
    pub(crate) fn tick(&mut self, control: &Control) -> Option<Duration> {
        self.judge_table(&control.table.load(), &control.handle.view().fleet);
        self.sabotage(control);
        let faults = self.faults.clone();
        self.befall_containers(&faults);
        self.black_out(faults.blackout_every);
        if self.chance.comes(faults.crash_every, TICK) {
            self.crash();
        }
        let stalls = self.chance.comes(faults.stall_every, TICK);
        let stall = stalls.then(|| self.chance.milliseconds(200..40_000));
        if let Some(stall) = stall {
            self.note(|_| format!("the balancer is stopped for {stall:?}"));
        }
        stall
    }

    fn befall_containers(&mut self, faults: &Faults) {
        let now = self.now();
        if let Some(id) = self.befallen(faults.death_every, true) {
            self.exit(id, Exit { code: Some(1), ..Exit::default() });
        }
        if let Some(id) = self.befallen(faults.removal_every, false) {
            self.remove(id);
        }
        if let Some(id) = self.befallen(faults.freeze_every, true) {
            self.freeze(id);
            let thaw_at = now + self.chance.milliseconds(300..20_000);
            self.schedule(thaw_at, Happening::Thaw(id));
        }
        if let Some(id) = self.befallen(faults.cut_every, false) {
            let address = self.containers[&id].address.clone();
            let until = now + self.chance.milliseconds(300..20_000);
            self.note(|_| format!("{address} is cut off until {until:?}"));
            self.cuts.insert(address, until);
        }
        if let Some(id) = self.befallen(faults.illness_every, true) {
            let until = now + self.chance.milliseconds(300..20_000);
            let is_slow = self.chance.happens(500);
            let container = self.containers.get_mut(&id).expect("it was just picked");
            *(if is_slow { &mut container.slow_until } else { &mut container.sick_until }) = until;
            let (life, what) = (container.life, if is_slow { "slow" } else { "sick" });
            self.note(|_| format!("container {life} is {what} until {until:?}"));
        }
    }

    /// Whom something befalls in this step that comes once in so long.
    fn befallen(&mut self, every: Duration, has_to_run: bool) -> Option<u64> {
        if !self.chance.comes(every, TICK) {
            return None;
        }
        let is_meant = |container: &Container| !has_to_run || container.stage == Stage::Running;
        let ids = self.containers.iter().filter(|(_, container)| is_meant(container));
        let ids: Vec<u64> = ids.map(|(id, _)| *id).collect();
        self.chance.pick(&ids)
    }

    fn black_out(&mut self, every: Duration) {
        let now = self.now();
        if self.blackout_until <= now && self.chance.comes(every, TICK) {
            self.blackout_until = now + self.chance.milliseconds(1000..40_000);
            self.note(|state| format!("nobody is reached until {:?}", state.blackout_until));
        }
        let (is_on, fair_now) = (self.blackout_until > now, self.fair_now());
        self.judge.blackout_is(is_on, fair_now);
    }

    fn sabotage(&mut self, control: &Control) {
        let now = self.fair_now();
        let how = match self.sabotage {
            Some(Sabotage::EarlyStop) => StopHow::Graceful,
            Some(Sabotage::HastyKill) => StopHow::Now,
            _ => return,
        };
        // Once there is anybody, and after some requests.
        if let Some(life) = self.judge.somebody_well(now).filter(|_| control.table.load().version() > 2) {
            let _ = self.begin_stop(life, how);
        }
    }

    /// From now on nothing goes wrong by itself.
    pub(crate) fn calm(&mut self) {
        let now = self.fair_now();
        self.judge.blackout_is(false, now);
        self.note(|_| "calm".into());
        self.faults = Faults::default();
        self.cuts.clear();
        self.blackout_until = Duration::ZERO;
        for container in self.containers.values_mut() {
            (container.sick_until, container.slow_until) = (Duration::ZERO, Duration::ZERO);
        }
    }

    /// What is missing for the fleet to be what is desired, and nothing else.
    pub(crate) fn why_not_whole(&self, control: &Control) -> Option<String> {
        let view = control.handle.view();
        let in_seats: BTreeSet<Life> = view.fleet.replicas.iter().map(|replica| replica.life).collect();
        let desired: BTreeSet<Life> =
            view.fleet.replicas.iter().chain(&view.fleet.spares).map(|one| one.life).collect();
        let routed: BTreeSet<Life> = control.table.load().replicas().map(|replica| replica.life).collect();
        let containers: Vec<(Life, &Stage)> =
            self.containers.values().map(|container| (container.life, &container.stage)).collect();
        let run = containers.iter().all(|(life, stage)| **stage == Stage::Running && desired.contains(life));
        let stored = self.disk.as_ref().map(|disk| {
            let of_spares: BTreeSet<_> = disk.seats_of_spares().into_iter().collect();
            (disk.generation, seats_in(disk), of_spares)
        });
        let seats = view.fleet.replicas.iter().map(|replica| replica.seat).collect();
        let began_as_spare = view.fleet.replicas.iter().filter(|replica| replica.life.began_as_spare());
        let seats_of_spares = began_as_spare.map(|replica| (replica.seat, replica.life)).collect();
        let is_ready = view.fleet.replicas.iter().all(|replica| replica.state == ReplicaState::Ready)
            && view.fleet.spares.iter().all(|spare| spare.state == ReplicaState::Spare);
        if self.is_engine_at_work() {
            Some("the engine is still at work".into())
        } else if self.edits_open > 0 {
            Some(format!("{} edits are not answered", self.edits_open))
        } else if !is_ready || !view.fleet.others.is_empty() {
            Some(format!("not all are ready: {view:?}"))
        } else if view.fleet.spares.len() != self.spares {
            Some(format!("not {} spares: {view:?}", self.spares))
        } else if routed != in_seats {
            Some(format!("the table has {routed:?}, the desired state {in_seats:?}"))
        } else if !run || containers.len() != desired.len() {
            Some(format!("desired are {desired:?}, the containers are {containers:?}"))
        } else if stored != Some((view.fleet.generation, seats, seats_of_spares)) {
            Some(format!("on disk is {stored:?}, the view is {view:?}"))
        } else {
            None
        }
    }

    /// A balancer that was restarted has the desired state that was stored.
    pub(crate) fn judge_beginning(&mut self, control: &Control) {
        let view = control.handle.view();
        self.judge.history.begin(&view.fleet);
        let seats = view.fleet.replicas.iter().map(|replica| replica.seat).collect();
        // Where nothing was ever desired, what runs is the desired state.
        if let Some(stored) = self.disk.as_ref().map(|disk| (disk.generation, seats_in(disk)))
            && stored.0 > 0
            && stored != (view.fleet.generation, seats)
        {
            self.violate(format!("on disk was {stored:?}, the balancer began with {view:?}"));
        }
    }
}
