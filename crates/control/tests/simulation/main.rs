//! Deterministic simulation: the real reconciler, fleet, performer and heartbeats, in a world that is
//! slow, fails, forgets and lies, on one thread, by a clock that only we move. A seed is a run: whatever
//! it finds, it finds again.
//!
//! ```text
//! cargo test -p control --test simulation                                  some seeds, the same each time
//! EVENKEEL_SEEDS=100000 cargo test -p control --test simulation             more of them
//! EVENKEEL_SEED=123 cargo test -p control --test simulation -- --nocapture  one, with all that happens in it
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod chance;
mod containers;
mod world;

mod disk;
mod driver;
mod engine;
mod network;

mod accidents;
mod clients;
mod sabotage;

mod evidence;
mod history;
mod judge;
mod logs;
mod run;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use run::{Outcome, run};
use sabotage::Sabotage;

/// How many seeds are run if nobody says otherwise: what takes some seconds.
const SEEDS: u64 = 1500;

/// How many lines before the broken promise are shown.
const LINES_SHOWN: usize = 80;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number, not {text:?}")))
}

/// Runs a seed again, with all that happens in it, and fails with the end of that.
fn fail(seed: u64) -> ! {
    let outcome = run(seed, None, true);
    let skipped = outcome.trace.len().saturating_sub(LINES_SHOWN);
    panic!(
        "seed {seed}: {}\n{}\nall of it: EVENKEEL_SEED={seed} cargo test -p control --test simulation -- --nocapture",
        outcome
            .violation
            .as_deref()
            .unwrap_or("broken at first, and not again: the run is not deterministic"),
        outcome.trace[skipped..].join("\n")
    );
}

#[test]
fn whatever_the_world_does_the_fleet_keeps_its_promises_and_heals() {
    if let Some(seed) = number("EVENKEEL_SEED") {
        let outcome = run(seed, None, true);
        println!("{}", outcome.trace.join("\n"));
        println!(
            "seed {seed}: {} balancers, whole {:?} after the last fault",
            outcome.balancers, outcome.recovered_after
        );
        assert_eq!(outcome.violation, None, "seed {seed}");
        return;
    }
    let first = number("EVENKEEL_SEED_FIRST").unwrap_or(0);
    let count = number("EVENKEEL_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(first), AtomicU64::new(u64::MAX));
    let (slowest, seated) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, None, false)));
                    match outcome {
                        Ok(Outcome { violation: None, recovered_after, seated_spares, .. }) => {
                            seated.fetch_add(seated_spares as u64, Ordering::Relaxed);
                            slowest.fetch_max(recovered_after.as_millis() as u64, Ordering::Relaxed)
                        }
                        _ => failed.fetch_min(seed, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    let failed = failed.into_inner();
    if failed < u64::MAX {
        fail(failed);
    }
    let slowest = Duration::from_millis(slowest.into_inner());
    let seated = seated.into_inner();
    println!(
        "seeds {first} to {}: whole at most {slowest:?} after the last fault, {seated} spares took a seat",
        first + count - 1
    );
    assert!(seated > 0 || count < SEEDS, "no spare ever took a seat");
}

#[test]
fn a_seed_is_a_run() {
    let mut lines = 0;
    for seed in 0..20 {
        let (first, second) = (run(seed, None, true), run(seed, None, true));
        let differing = first.trace.iter().zip(&second.trace).position(|(one, other)| one != other);
        if let Some(at) = differing {
            panic!("seed {seed} differs:\n{}\n{}", first.trace[at], second.trace[at]);
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        lines += first.trace.len();
    }
    assert!(lines > 5_000, "too little happened: {lines}");
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    for (sabotage, expected) in Sabotage::ALL {
        let found = (0..20).find_map(|seed| run(seed, Some(sabotage), false).violation);
        let found = found.unwrap_or_else(|| panic!("nobody noticed {sabotage:?}"));
        assert!(found.contains(expected), "{sabotage:?}: {found}");
    }
}
