//! One run: a seed, a world, and one balancer after the other in it, until it is calm and whole, or a
//! promise is broken.

use std::sync::Arc;
use std::time::Duration;

use control::{
    Control, HeartbeatProtocol, HeartbeatSettings, Heartbeats, Journal, ReconcilerSettings, Store,
};
use driver::Driver;
use fleet::{Desired, Edit, FleetSettings, HealthSettings, Life};
use placement::{Placement, Rendezvous, SeatChoice};
use tokio::runtime::Builder;

use crate::chance::{Chance, Faults};
use crate::clients;
use crate::containers::Container;
use crate::disk::Disk;
use crate::driver::Engine;
use crate::evidence::{Judge, Rules};
use crate::logs::Logs;
use crate::network::Network;
use crate::sabotage::Sabotage;
use crate::world::{End, World};

/// From one look at the whole to the next; also the step in which accidents are drawn.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// The fleet is whole again this long after the last fault, whatever came before.
const RECOVERY_MAX: Duration = Duration::from_secs(240);

/// Some runs see two lists of the driver while nothing moves.
const SHORT_REST: Duration = Duration::from_secs(3);
const LONG_REST: Duration = Duration::from_secs(22);

const REQUESTS: usize = 4;
const CALLERS: usize = 3;

/// What was drawn for a run before it began.
#[derive(Clone, Debug)]
struct Script {
    fleet: FleetSettings,
    heartbeat: HeartbeatSettings,
    replicas: u32,
    calm_at: Duration,
    /// How long a whole fleet is watched for anything that still moves.
    rest: Duration,
    /// Whether the fleet has to be whole before it retires.
    rests_first: bool,
    retires: bool,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) trace: Vec<String>,
    /// How long it took to be whole again.
    pub(crate) recovered_after: Duration,
    pub(crate) balancers: u64,
    /// How many spares have taken a seat.
    pub(crate) seated_spares: usize,
}

/// Why a balancer is not there any more.
enum Ending {
    Over(End),
    /// It could not start.
    Failed,
    Whole,
}

pub(crate) fn run(seed: u64, sabotage: Option<Sabotage>, is_traced: bool) -> Outcome {
    let mut chance = Chance::of(seed);
    let faults = if sabotage.is_some() { Faults::default() } else { Faults::drawn(&mut chance) };
    let script = Script::drawn(&mut chance);
    let judge = Judge::new(Rules {
        start_timeout: script.fleet.start_timeout,
        drain_deadline: script.fleet.drain_deadline,
        misses: script.fleet.health.misses,
        rise: script.fleet.health.rise,
    });
    let world = Arc::new(World::new(chance, faults, sabotage, judge));
    world.state().spares = script.fleet.spares as usize;
    if is_traced {
        let mut state = world.state();
        state.trace = Some(Vec::new());
        state.note(|state| format!("{script:?} {:?}", state.faults));
    }
    let violation = tracing::subscriber::with_default(Logs(Arc::clone(&world)), || live(&world, &script));
    let mut state = world.state();
    Outcome {
        violation,
        trace: state.trace.take().unwrap_or_default(),
        recovered_after: state.whole_at.saturating_sub(script.calm_at),
        balancers: state.balancer,
        seated_spares: state.seated_spares.len(),
    }
}

/// One balancer after the other.
fn live(world: &Arc<World>, script: &Script) -> Option<String> {
    loop {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O needs nothing");
        let ending = runtime.block_on(balance(world, script));
        // Everything of the balancer is dropped wherever it waits, as by a kill.
        drop(runtime);
        let pause = match ending {
            Ending::Over(End::Violation(what)) => return Some(what),
            Ending::Whole => return None,
            Ending::Over(End::Crash) => world.state().chance.milliseconds(50..6000),
            Ending::Failed => world.state().chance.milliseconds(300..2000),
        };
        world.balancer_is_gone(pause);
    }
}

async fn balance(world: &Arc<World>, script: &Script) -> Ending {
    world.balancer_starts();
    tokio::spawn(Arc::clone(world).go_on());
    let ending = tokio::select! {
        biased;
        end = world.over() => Ending::Over(end),
        ending = direct(world, script) => ending,
    };
    world.balancer_ends();
    // The last look may have found something.
    world.state().end().map_or(ending, Ending::Over)
}

/// Starts a balancer and everybody who uses it; then makes accidents happen, until it is calm.
async fn direct(world: &Arc<World>, script: &Script) -> Ending {
    let heartbeats = Heartbeats::within_this_runtime(Arc::new(Network(Arc::clone(world))));
    let engine: Arc<dyn Driver> = Arc::new(Engine(Arc::clone(world)));
    let settings = script.settings(Arc::new(Disk(Arc::clone(world))));
    let listener = Arc::clone(world);
    let make_driver = control::driver_maker(move |events| {
        listener.listen(events);
        let engine = Arc::clone(&engine);
        async move { Ok(engine) }
    });
    let control = Control::start(settings, &heartbeats, make_driver);
    let Ok(begun) = control.handle.attempted().await else { return Ending::Failed };
    world.state().judge_beginning(&control);
    tokio::spawn(watch(Arc::clone(world), control.table.clone(), control.handle.clone()));
    if !begun.is_restored {
        tokio::spawn(fill(Arc::clone(world), control.handle.clone(), script.replicas));
    }
    for _ in 0..REQUESTS {
        let (table, suspicions) = (control.table.clone(), control.suspicions.clone());
        tokio::spawn(clients::request(Arc::clone(world), table, suspicions));
    }
    for _ in 0..CALLERS {
        tokio::spawn(clients::edit(Arc::clone(world), control.handle.clone(), script.calm_at));
    }
    while world.state().now() < script.calm_at {
        world.wait(TICK).await;
        let stall = world.state().tick(&control);
        if let Some(stall) = stall {
            world.state().stops(stall);
            tokio::time::advance(stall).await;
        }
        world.accuse(&control);
    }
    world.state().calm();
    if script.rests_first {
        recover(world, script, &control).await;
    }
    if script.retires {
        retire(world, &control).await;
    }
    Ending::Whole
}

/// Fills the fleet, as a balancer does that has no desired state yet. It gives up when that is not possible.
async fn fill(world: Arc<World>, handle: control::Handle, count: u32) {
    let filled = clients::put(&world, &handle, Edit::Fill { count }).await;
    let mut state = world.state();
    if filled.is_err() && !state.is_over() && !state.is_retiring {
        state.crash();
    }
}

/// Looks at each table.
async fn watch(world: Arc<World>, table: fleet::Reader, handle: control::Handle) {
    let mut version = 0;
    loop {
        table.newer_than(version).await;
        version = table.load().version();
        let mut state = world.state();
        state.note(|_| {
            let lives: Vec<String> =
                table.load().replicas().map(|replica| replica.life.to_string()).collect();
            format!("table {version}: {}", lives.join(" "))
        });
        state.judge_table(&table.load(), &handle.view().fleet);
    }
}

/// Without faults everything that should run does, and nothing else; and then nothing moves any more.
async fn recover(world: &Arc<World>, script: &Script, control: &Control) {
    let deadline = world.state().now() + RECOVERY_MAX;
    // Since when it is whole, and what was done until then.
    let mut whole: Option<(Duration, (u64, u64))> = None;
    loop {
        world.wait(TICK).await;
        let mut state = world.state();
        state.judge_table(&control.table.load(), &control.handle.view().fleet);
        let (now, done) = (state.now(), (state.orders, control.table.load().version()));
        let missing = state.why_not_whole(control);
        whole = match (whole, &missing) {
            (_, Some(_)) => None,
            (Some((since, before)), None) if before == done => Some((since, before)),
            (_, None) => Some((now, done)),
        };
        match whole {
            Some((since, _)) if now >= since + script.rest => {
                state.whole_at = since;
                break;
            }
            _ if now > deadline => {
                let why = missing.unwrap_or_else(|| "it does not come to rest".into());
                return state.violate(format!("not whole {RECOVERY_MAX:?} after the last fault: {why}"));
            }
            _ => {}
        }
    }
}

async fn retire(world: &Arc<World>, control: &Control) {
    let disk = {
        let mut state = world.state();
        state.is_retiring = true;
        state.note(|_| "retire".into());
        state.disk.clone()
    };
    let is_in_time = tokio::time::timeout(RECOVERY_MAX, control.handle.retire()).await.is_ok();
    let mut state = world.state();
    // What the engine does of itself, for an order that nobody waits for any more, the next start finds.
    let is_known = |container: &&Container| {
        let is_own = container.ordered_by == state.balancer && container.ticket.is_none();
        is_own || (container.ordered_by != state.balancer && state.judge.knows(container.life))
    };
    let left: Vec<Life> = state.containers.values().filter(is_known).map(|one| one.life).collect();
    if !is_in_time || !left.is_empty() || control.table.load().replicas().next().is_some() {
        state.violate(format!("retired, and {left:?} are left"));
    } else if is_emptied(disk.as_ref(), state.disk.as_ref()) {
        state.violate("retiring changed the desired state");
    }
}

/// Whether the desired state was emptied without a change of it. One that was under way may still be stored.
fn is_emptied(before: Option<&Desired>, after: Option<&Desired>) -> bool {
    let is_empty = |disk: &Desired| disk.replicas.is_empty();
    let is_same = |before: &Desired, after: &Desired| before.generation >= after.generation;
    before
        .zip(after)
        .is_some_and(|(before, after)| !is_empty(before) && is_empty(after) && is_same(before, after))
}

impl Script {
    fn drawn(chance: &mut Chance) -> Self {
        let every = chance.milliseconds(200..800);
        let misses = chance.number(1..4) as u32;
        let retires = chance.happens(300);
        // Who is silent for a start timeout is silent for longer than it takes to notice the others.
        let noticed_after = every * (3 * misses + 1);
        Self {
            fleet: FleetSettings {
                name_prefix: "web".into(),
                replicas_max: 8,
                spares: chance.pick(&[0, 0, 1, 1, 2]).unwrap_or_default(),
                start_timeout: noticed_after + chance.milliseconds(500..5000),
                drain_deadline: chance.milliseconds(1000..8000),
                health: HealthSettings {
                    busy_patience: fleet::HealthSettings::default().busy_patience,
                    misses,
                    rise: chance.number(1..4) as u32,
                    failures: chance.number(0..5) as u32,
                    slow_factor: if chance.happens(500) { 5.0 } else { 0.0 },
                    ejection: chance.milliseconds(500..10_000),
                    have_equal_work: chance.happens(500),
                },
                seat_choice: SeatChoice::Lowest,
                rollout: fleet::RolloutSettings::default(),
                is_owned: true,
            },
            heartbeat: HeartbeatSettings {
                path: "/heartbeat".into(),
                question: control::Question::default(),
                protocol: HeartbeatProtocol::Http1,
                every,
                timeout: every / 2,
            },
            replicas: chance.number(1..6) as u32,
            calm_at: chance.milliseconds(4000..25_000),
            rest: if chance.happens(250) { LONG_REST } else { SHORT_REST },
            rests_first: !retires || chance.happens(500),
            retires,
        }
    }

    fn settings(&self, state: Arc<dyn Store>) -> ReconcilerSettings {
        ReconcilerSettings {
            service: "web".into(),
            fleet: self.fleet.clone(),
            replicas: 0,
            heartbeat: self.heartbeat.clone(),
            placement: Placement::Rendezvous(Rendezvous::default()),
            weights: Vec::new(),
            load_factor: 1.25,
            requests_per_replica: None,
            state: Some(state),
            reserved_names: std::collections::BTreeSet::new(),
            journal: Journal::default(),
        }
    }
}
