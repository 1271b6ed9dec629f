//! Whoever is inside a replica that is given up hears of it, in time to look elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::{Reader, Suspicion, SuspicionKind};
use placement::Key;

use stage::{Scene, Stage, listener};

/// How often somebody dies while we look very closely: not so often that a seat has to wait.
const DEATHS: usize = 24;

/// Three replicas that are asked often and have all the time to start.
async fn of_three() -> Stage {
    let scene = Scene::new().with(|settings| {
        settings.fleet.start_timeout = Duration::from_secs(600);
        settings.heartbeat.every = Duration::from_millis(20);
        settings.heartbeat.timeout = Duration::from_secs(5);
    });
    let stage = scene.set().await;
    stage.fill(3).await;
    stage
}

/// Counts who leaves the table, and how many of those were not told when it was there to be seen.
fn look_closely(table: &Reader, is_over: &AtomicBool) -> (usize, usize) {
    let (mut gone, mut untold) = (0, 0);
    let mut last = Arc::clone(&table.load());
    while !is_over.load(Ordering::Relaxed) {
        let now = table.load();
        if now.version() == last.version() {
            continue;
        }
        for replica in last.replicas().filter(|one| now.replicas().all(|other| other.life != one.life)) {
            gone += 1;
            untold += usize::from(!replica.gate.is_abandoned());
        }
        last = Arc::clone(&now);
    }
    (gone, untold)
}

#[tokio::test]
async fn those_inside_are_told_before_the_table_changes() {
    let stage = of_three().await;
    let (table, is_over) = (stage.control.table.clone(), Arc::new(AtomicBool::new(false)));
    let is_watched = Arc::clone(&is_over);
    let watcher = std::thread::spawn(move || look_closely(&table, &is_watched));
    for number in 0..DEATHS {
        let victim = stage.control.table.load().replicas().nth(number % 3).unwrap().life;
        stage.kill(victim).await;
        stage
            .eventually("another one is there", |stage| {
                let table = stage.control.table.load();
                table.replicas().count() == 3 && table.replicas().all(|replica| replica.life != victim)
            })
            .await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (gone, untold) = watcher.join().unwrap();
    println!("{gone} left the table");
    assert!(gone > 0, "the test saw nothing");
    assert_eq!(untold, 0, "of {gone}");
}

#[tokio::test]
async fn those_inside_hear_of_it_too_when_the_replica_was_out_of_the_table_already() {
    let stage = of_three().await;
    let claim = stage.control.table.load().claim(Key::of(b"x"), &[]).unwrap();
    let suspect = |kind| stage.control.suspicions.send(Suspicion { life: claim.life, kind });
    suspect(SuspicionKind::Failing).await.unwrap();
    let is_in = |stage: &Stage| stage.control.table.load().replicas().any(|one| one.life == claim.life);
    stage.eventually("it is out of the table", |stage| !is_in(stage)).await;
    assert!(!claim.gate.is_abandoned(), "whoever is inside may yet get a good answer");
    let version = stage.control.table.load().version();
    // Its next life never serves, because nothing is accepted there, so that this is no reason for another table.
    let (address, _taken) = listener();
    stage.driver.script().address = address;
    stage.kill(claim.life).await;
    stage.eventually("it is given up", |_| claim.gate.is_abandoned()).await;
    stage
        .eventually("those who wait are woken", |stage| stage.control.table.load().version() > version)
        .await;
}
