//! The walk of A-2: replicas are added and removed by the contract's calls, under a load of its own, and
//! each size is measured.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Counts, ExperimentError, LOAD_MAX, Order, Stage, failures, misses};
use crate::load::{Limits, Load, Pace};
use crate::plan::{Keys, RequestPlan};
use crate::subject::Subject;
use crate::variant::Variant;

/// Requests a second while the fleet changes.
const RATE: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
/// How long that load runs before a change and after it, so that some of it meets the change.
const AROUND: Duration = Duration::from_millis(150);
/// The most connections of that load.
const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(2000).expect("it is not zero");

/// One size of the fleet.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Size {
    pub(super) replicas: usize,
    pub(super) counts: Counts,
    /// What became of the load while the fleet was brought to this size.
    pub(super) scaling: Counts,
    pub(super) scaling_ms: u64,
}

/// Measures every size, from the smallest up.
pub(super) fn walk(
    order: &Order,
    stage: &mut Stage<'_>,
    subject: &Subject,
    keys: Keys,
) -> Result<Vec<Size>, ExperimentError> {
    let mut sizes = Vec::new();
    for replicas in order.replicas.0..=order.replicas.1 {
        let running = Load {
            pace: Pace::Open { rate: RATE, connections_max: CONNECTIONS_MAX },
            limits: Limits { requests: u64::MAX, duration: LOAD_MAX, response: super::RESPONSE_MAX },
            plan: RequestPlan { keys, ..RequestPlan::get("/home") },
            ..order.clients(subject, keys)
        };
        let running = running.start().map_err(ExperimentError::NoLoad)?;
        std::thread::sleep(AROUND);
        let begun = Instant::now();
        let names = subject.scale(replicas)?;
        let scaling_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        std::thread::sleep(AROUND);
        running.stop();
        while !running.has_ended() {
            std::thread::sleep(super::LOOK_EVERY);
            stage.look()?;
        }
        let scaling = Counts::new(&running.wait(), &names);
        let tally = stage.run(order.clients(subject, keys), &format!("{replicas} replicas"))?;
        sizes.push(Size { replicas, counts: Counts::new(&tally, &names), scaling, scaling_ms });
    }
    Ok(sizes)
}

/// What was not as it should be: failures, and, where shares are promised, counts beyond chance.
pub(super) fn misses_of(sizes: &[Size], promised: Option<Variant>) -> Vec<String> {
    let mut found = Vec::new();
    for size in sizes {
        let at = format!("with {} replicas", size.replicas);
        found.extend(failures(&size.counts, &at));
        found.extend(failures(&size.scaling, &format!("while it was scaled to {}", size.replicas)));
        if let Some(variant) = promised {
            let shares = misses(&size.counts, &variant.shares(size.replicas));
            found.extend(shares.into_iter().map(|miss| format!("{at}: {miss}")));
        }
    }
    found
}
