//! From what control shows to the shapes of JSON.

use api::{
    ChoiceShape, CrashLoopShape, ExplanationShape, LastEndShape, ReplicaShape, RolloutShape, ServiceShape,
};
use control::{Beginning, Handle, ServiceView};
use fleet::{Choice, Ranking, ReplicaView, RolloutView};

/// The explanation that a routing table gives. Of limits it knows nothing.
pub fn explanation(key_rule: String, is_random: bool, choices: &[Choice]) -> ExplanationShape {
    let name = |choice: &Choice| choice.replica.as_ref().map(|replica| replica.name.to_string());
    let chosen = choices.iter().find(|choice| choice.ranking == Ranking::Chosen);
    let order = choices.iter().map(|choice| ChoiceShape {
        seat: choice.seat.number(),
        replica: name(choice),
        verdict: choice.ranking.as_str().to_string(),
        in_flight: choice.replica.as_ref().map_or(0, |replica| replica.gate.claims()),
        bound: choice.bound,
    });
    ExplanationShape {
        key_rule,
        is_random,
        replica: chosen.and_then(name),
        order: order.collect(),
        limits: Vec::new(),
        waiting: 0,
        routes: Vec::new(),
        policies: Vec::new(),
        folder: None,
    }
}

/// A service, as its handle shows it now.
pub(crate) fn service(handle: &Handle) -> ServiceShape {
    service_then(handle, &handle.view())
}

/// A service, as it was right after an edit.
pub(crate) fn service_then(handle: &Handle, view: &ServiceView) -> ServiceShape {
    ServiceShape {
        name: handle.service().to_string(),
        generation: view.fleet.generation,
        desired: view.fleet.replicas.len(),
        ready: view.fleet.ready(),
        replicas: view.fleet.replicas.iter().map(|one| replica(one, view)).collect(),
        spares: view.fleet.spares.iter().map(|one| replica(one, view)).collect(),
        others: view.fleet.others.iter().map(|one| replica(one, view)).collect(),
        rollout: view.fleet.rollout.as_ref().map(rollout),
        paused_until: view.paused_until.map(|end| humantime::format_rfc3339_millis(end).to_string()),
        trouble: view.trouble.clone(),
        differing: view.differing.clone(),
        not_started: match &view.beginning {
            Beginning::Begun(_) => None,
            Beginning::Waiting { why } => Some(why.clone().unwrap_or_else(|| "it is being started".into())),
        },
        folder: None,
    }
}

fn rollout(view: &RolloutView) -> RolloutShape {
    let failure = view.course.failure();
    RolloutShape {
        number: view.number,
        from: view.from.to_string(),
        to: view.to.to_string(),
        state: view.course.as_str().to_string(),
        is_under_way: view.course.is_under_way(),
        done: view.done,
        total: view.total,
        reason: failure.map(ToString::to_string),
        last_output: failure.map(|failure| failure.death.last_output().to_vec()).unwrap_or_default(),
    }
}

fn replica(view: &ReplicaView, service: &ServiceView) -> ReplicaShape {
    let crash_loop = view.crash_loop.as_ref().map(|crash_loop| {
        let next_try = crash_loop.next_try.map(|after| service.began_at + after);
        CrashLoopShape {
            failures: crash_loop.failures,
            reason: crash_loop.death.to_string(),
            next_try: next_try.map(|at| humantime::format_rfc3339_millis(at).to_string()),
            last_output: crash_loop.last_output.clone(),
        }
    });
    let whereabouts = service.running.whereabouts(view.life);
    ReplicaShape {
        runs_as: whereabouts.map(|whereabouts| whereabouts.what.clone()),
        since: whereabouts
            .map(|whereabouts| humantime::format_rfc3339_seconds(whereabouts.since).to_string()),
        in_flight: service.running.in_flight(view.life),
        crash_loop,
        name: view.name.to_string(),
        seat: view.seat.number(),
        incarnation: view.life.incarnation,
        life: view.life.to_string(),
        state: view.state.as_str().to_string(),
        release: view.release.map(|release| release.to_string()),
        address: view.address.as_ref().map(ToString::to_string),
        reason: view.reason.clone(),
        last_end: view.last_end.as_ref().map(|end| LastEndShape {
            name: end.name.to_string(),
            reason: end.death.to_string(),
            last_output: end.last_output.clone(),
        }),
    }
}
