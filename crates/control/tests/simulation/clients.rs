//! Those who use the balancer: requests that hold claims, and callers who edit the fleet, several at
//! once.

use std::sync::Arc;
use std::time::Duration;

use control::{EditError, Handle, ServiceView};
use fleet::{
    Claim, Deployment, Edit, FleetView, Reader, Release, ReplicaName, ReplicaState, RolloutSettings,
    Suspicion, SuspicionKind,
};
use placement::Key;
use tokio::sync::mpsc;

use crate::containers::{FOREIGN_NAME, Stage};
use crate::sabotage::Sabotage;
use crate::world::{State, World};

/// How often a request looks whether its replica is abandoned.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// Callers use few names, so that they get in each other's way.
const NAMES: [&str; 5] = ["S5", "S6", "S7", "S8", FOREIGN_NAME];

/// One request after the other.
pub(crate) async fn request(world: Arc<World>, table: Reader, suspicions: mpsc::Sender<Suspicion>) {
    loop {
        let (pause, key, mut hold) = {
            let mut state = world.state();
            let longest = if state.chance.happens(50) { 15_000 } else { 300 };
            let pause = state.chance.milliseconds(10..1500);
            (pause, state.chance.number(0..u64::MAX), state.chance.milliseconds(0..longest))
        };
        world.wait(pause).await;
        let (version, claim) = {
            let table = table.load();
            let key = Key::from_number(key);
            (table.version(), table.claim_half_open(key).or_else(|| table.claim(key, &[])))
        };
        let Some(claim) = claim else {
            // The waiting room.
            let newer = table.newer_than(version);
            let _ = tokio::time::timeout(Duration::from_secs(10), newer).await;
            continue;
        };
        let answer = world.state().enter_replica(&claim);
        let is_good = matches!(answer, Answer::After(_));
        let (pause, suspicion) = match answer {
            Answer::After(pause) => (pause, None),
            Answer::Bad => (Duration::ZERO, worth_a_word(&claim).then_some(SuspicionKind::Failing)),
            Answer::Refused => (Duration::ZERO, Some(SuspicionKind::Refused)),
            Answer::Never => {
                world.wait(CONNECT_TIMEOUT).await;
                (Duration::ZERO, Some(SuspicionKind::Broken))
            }
        };
        if let Some(kind) = suspicion {
            world.suspect(&suspicions, Suspicion { life: claim.life, kind });
        }
        if !is_good {
            continue;
        }
        world.wait(pause).await;
        claim.responses.note_success();
        claim.responses.note_latency(pause);
        while !hold.is_zero() && !claim.gate.is_abandoned() {
            let step = hold.min(LOOK_EVERY);
            world.wait(step).await;
            hold -= step;
        }
    }
}

/// What a replica says to a request.
enum Answer {
    After(Duration),
    Bad,
    Refused,
    Never,
}

/// Whether the reconciler should hear of a bad answer.
fn worth_a_word(claim: &Claim) -> bool {
    claim.responses.note_failure() || (claim.is_half_open() && claim.responses.are_counted())
}

impl World {
    /// A suspicion, right or wrong.
    pub(crate) fn suspect(&self, suspicions: &mpsc::Sender<Suspicion>, suspicion: Suspicion) {
        let mut state = self.state();
        // To lose one is harmless.
        if suspicions.try_send(suspicion).is_ok() {
            state.note(|_| format!("suspicion {suspicion:?}"));
            let now = state.fair_now();
            state.judge.suspected(suspicion, now);
        }
    }
}

/// One edit after the other, until the calm.
pub(crate) async fn edit(world: Arc<World>, handle: Handle, calm_at: Duration) {
    loop {
        let pause = world.state().chance.milliseconds(100..9000);
        world.wait(pause).await;
        let edit = {
            let mut state = world.state();
            if state.now() >= calm_at {
                return;
            }
            state.draw_edit(&handle.view().fleet)
        };
        // What became of it is judged there.
        let _ = put(&world, &handle, edit).await;
    }
}

/// Puts one edit and judges its answer.
pub(crate) async fn put(world: &World, handle: &Handle, edit: Edit) -> Result<Arc<ServiceView>, EditError> {
    {
        let mut state = world.state();
        state.edits_open += 1;
        state.note(|_| format!("edit {edit:?}"));
    }
    let answer = handle.edit(edit.clone()).await;
    let mut state = world.state();
    state.edits_open = state.edits_open.saturating_sub(1);
    state.judge_answer(&edit, &answer);
    answer
}

impl State {
    fn enter_replica(&mut self, claim: &Claim) -> Answer {
        if self.judge.is_stopped(claim.life) && !self.is_over() {
            self.violate(format!("{} got a request after its stop order", claim.life));
        }
        let now = self.now();
        let usual = self.chance.milliseconds(5..60);
        if self.is_cut(&claim.address) {
            return Answer::Never;
        }
        match self.container_at(&claim.address).filter(|container| container.is_up()) {
            None => Answer::Refused,
            Some(container) if container.stage == Stage::Frozen => Answer::Never,
            Some(container) if container.sick_until > now => Answer::Bad,
            Some(container) if container.slow_until > now => Answer::After(usual * 20),
            Some(_) => Answer::After(usual),
        }
    }

    fn draw_edit(&mut self, view: &FleetView) -> Edit {
        let name = |name: &str| ReplicaName::parse(name).unwrap();
        let count = self.chance.number(1..3) as u32;
        match self.chance.number(0..7) {
            6 => Edit::Deploy(Deployment {
                release: Release::of_hash(self.chance.number(1..4)),
                is_forced: self.chance.happens(300),
                settings: RolloutSettings {
                    at_once: self.chance.number(1..3) as u32,
                    bake: self.chance.milliseconds(0..2000),
                },
            }),
            0 => Edit::Scale { count: self.chance.number(0..7) as u32 },
            1 | 2 => {
                let names: Vec<ReplicaName> = view.names().cloned().collect();
                let chosen = self.chance.pick(&names).filter(|_| self.chance.happens(600));
                Edit::Remove { count, names: chosen.into_iter().collect() }
            }
            _ => {
                let chosen = self.chance.pick(&NAMES).filter(|_| self.chance.happens(600));
                Edit::Add { count, names: chosen.into_iter().map(name).collect() }
            }
        }
    }

    fn judge_answer(&mut self, edit: &Edit, answer: &Result<Arc<ServiceView>, EditError>) {
        self.note(|_| match answer {
            Ok(view) => {
                let names: Vec<&str> = view.fleet.names().map(|name| name.as_str()).collect();
                format!("answer: {edit:?}: generation {} {}", view.fleet.generation, names.join(" "))
            }
            Err(error) => format!("answer: {edit:?}: {error}"),
        });
        if self.is_over() {
            return;
        }
        let view = match answer {
            Ok(view) => view,
            Err(EditError::Stopping) if self.is_retiring => return,
            Err(EditError::Stopping) => {
                return self.violate("an edit was not answered, as if the balancer ended");
            }
            Err(_) => return,
        };
        let mut problem = self.judge.history.answered(edit, &view.fleet);
        if self.sabotage == Some(Sabotage::DoubleAnswer) {
            problem = problem.or(self.judge.history.answered(edit, &view.fleet));
        }
        let stored = self.disk.as_ref().map_or(0, |stored| stored.generation);
        if stored < view.fleet.generation {
            problem = Some(format!("generation {} was answered and is not on disk", view.fleet.generation));
        }
        if let Edit::Add { names, .. } = edit {
            let is_ready = |name: &ReplicaName| {
                view.fleet.replicas.iter().any(|one| one.name == *name && one.state == ReplicaState::Ready)
            };
            if let Some(late) = names.iter().find(|name| !is_ready(name)) {
                problem = Some(format!("'{late}' was answered before it took traffic: {view:?}"));
            }
        }
        if let Some(problem) = problem {
            self.violate(problem);
        }
    }
}
