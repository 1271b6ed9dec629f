//! An engine of the test's own is stopped, frozen and started again under load.

use std::time::Instant;

use crate::rig::docker::Yard;
use crate::rig::engine::OwnEngine;
use crate::rig::eventually;
use crate::{Scene, is_whole, names};

/// Fewer than may wait in the time that a restart takes, where nobody can answer meanwhile.
const RATE: u32 = 50;

fn scene(engine: &OwnEngine) -> Scene {
    Scene::at(Yard::at(engine.host()), &engine.host(), RATE, "")
}

#[test]
fn containers_run_on_while_their_engine_is_restarted_and_who_dies_meanwhile_is_replaced() {
    let Some(mut engine) = OwnEngine::up(true) else { return };
    let scene = scene(&engine);
    let before = names(&scene.balancer);
    engine.stop();
    engine.start();
    eventually("it is noticed", || scene.balancer.says(|line| line.contains("Docker is back")).is_some());
    assert_eq!(names(&scene.balancer), before);

    let victim = scene.victim();
    let pid = scene.pid(&victim);
    engine.stop();
    scene.kill_process(&victim, pid);
    engine.start();
    let begun = Instant::now();
    eventually("it is replaced", || is_whole(&scene.balancer, 3));
    println!("replaced {:?} after the engine was back", begun.elapsed());
    let others = names(&scene.balancer).iter().filter(|name| before.contains(name)).count();
    assert_eq!(others, 2, "nobody else was replaced");
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}

#[test]
fn an_engine_that_takes_its_containers_with_it_gets_all_of_them_again() {
    let Some(mut engine) = OwnEngine::up(false) else { return };
    let scene = scene(&engine);
    let victim = scene.victim();
    engine.stop();
    eventually("nobody takes traffic", || scene.balancer.service()["ready"] == 0);
    engine.start();
    let begun = Instant::now();
    eventually("all are there again", || is_whole(&scene.balancer, 3));
    println!("three replicas {:?} after the engine was back", begun.elapsed());
    scene.settle(&victim);
    let tally = scene.end();
    // Who waited for longer than requests may wait was told so; nobody was told anything else.
    let others: Vec<&String> = tally.failures.iter().filter(|failure| !failure.starts_with("503")).collect();
    println!("{} requests waited in vain", tally.failures.len());
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_frozen_engine_delays_only_what_it_is_needed_for() {
    let Some(engine) = OwnEngine::up(false) else { return };
    let scene = scene(&engine);
    let victim = scene.victim();
    let pid = scene.pid(&victim);
    engine.signal("-STOP");
    scene.kill_process(&victim, pid);
    scene.balancer.says(|line| line.contains("Docker is away")).expect("it notices");
    engine.signal("-CONT");
    let begun = Instant::now();
    eventually("it is replaced", || is_whole(&scene.balancer, 3));
    println!("replaced {:?} after the engine went on", begun.elapsed());
    scene.settle(&victim);
    scene.end().assert_nothing_lost();
}
