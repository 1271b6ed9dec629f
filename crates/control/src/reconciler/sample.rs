//! The sample of answers: takes from the replicas what was noted on the way of requests, to be handed to
//! the fleet as a fact.

use std::sync::Arc;

use fleet::{Event, Measured, Replica};

/// What these replicas answered since they were asked last. Those who gave no answer are told of as
/// well, by their absence.
pub(super) fn sample<'a>(replicas: impl Iterator<Item = &'a Arc<Replica>>) -> Event {
    let measured = replicas.filter_map(|replica| {
        let latencies = replica.responses.take_latencies()?;
        Some(Measured { life: replica.life, weight: replica.weight, latencies })
    });
    Event::Measured(measured.collect())
}
