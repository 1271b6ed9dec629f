//! `evenkeel deploy`: begins a rollout and tells how it goes on.

use std::time::Duration;

use api::{DeployShape, DeployedShape, EventShape, RolloutShape, Route, ServiceShape};
use fleet::SPARE_SEAT_MIN;

use crate::client::Client;
use crate::error::CommandError;
use crate::options::Target;
use crate::say::{json, say};

/// How often the balancer is asked how the rollout goes on.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// `evenkeel deploy`
pub(crate) fn run(client: &Client, force: bool, target: &Target) -> Result<(), CommandError> {
    let name = client.service_name(target)?;
    let mut told = events(client, &name)?;
    let deployed: DeployedShape = client.call(Route::Deploy, &name, &DeployShape { force })?;
    let rollout = deployed.service.rollout.as_ref().filter(|_| deployed.has_begun);
    let Some(begun) = rollout else {
        if target.json {
            json(&deployed)?;
        }
        let reason = deployed.reason.unwrap_or_default();
        if !target.json {
            say(format_args!("{name}: {reason} (--force replaces every replica by the same)"));
        }
        return match deployed.notes.as_slice() {
            [] => Ok(()),
            notes => Err(CommandError::new(notes.join("\n"))),
        };
    };
    let number = begun.number;
    if !target.json {
        deployed.notes.iter().for_each(|note| say(format_args!("{note}")));
        say(format_args!(
            "{name}: replicas have their turn one after the other, {} of {}",
            begun.total, deployed.service.desired
        ));
    }
    loop {
        std::thread::sleep(ASK_EVERY);
        let service: ServiceShape = client.call(Route::Service, &name, &())?;
        if !target.json {
            told = tell_news(client, &name, &told)?;
        }
        match service.rollout {
            Some(rollout) if rollout.number == number && rollout.is_under_way => {}
            Some(rollout) if rollout.number == number => return end(target, &name, &rollout),
            _ => return Err(CommandError::new("another rollout has begun meanwhile; see `evenkeel status`")),
        }
    }
}

fn end(target: &Target, name: &str, rollout: &RolloutShape) -> Result<(), CommandError> {
    if target.json {
        json(rollout)?;
    }
    let Some(reason) = &rollout.reason else {
        if !target.json {
            let were = if rollout.done == 1 { "replica was" } else { "replicas were" };
            say(format_args!("{name}: done, {} {were} replaced", rollout.done));
        }
        return Ok(());
    };
    let mut text = match rollout.state.as_str() {
        "rolled back" => format!("rolled back, every replica runs what it ran before: {reason}"),
        _ => format!("given up, replicas keep what they run now: {reason}"),
    };
    for line in &rollout.last_output {
        text = text + "\n  | " + line;
    }
    Err(CommandError::new(text))
}

fn events(client: &Client, name: &str) -> Result<Vec<EventShape>, CommandError> {
    let mut events: Vec<EventShape> = client.get(Route::Events)?;
    events.retain(|event| event.service == name);
    Ok(events)
}

/// Says what has happened since the events that were told already; returns all of them.
fn tell_news(client: &Client, name: &str, told: &[EventShape]) -> Result<Vec<EventShape>, CommandError> {
    let now = events(client, name)?;
    let known = told.last().and_then(|last| now.iter().rposition(|event| event == last));
    for event in now.iter().skip(known.map_or(0, |at| at + 1)) {
        let who = event.seat.zip(event.replica.as_ref());
        let who = who.map(|(seat, replica)| match seat {
            SPARE_SEAT_MIN.. => format!("spare {replica} "),
            _ => format!("seat {seat}: {replica} "),
        });
        let who = who.unwrap_or_default();
        let reason = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        say(format_args!("  {who}{}{reason}", event.event));
    }
    Ok(now)
}
