//! The commands that show a running balancer: `status`, `ps` and `events`.

use api::{EventShape, ReplicaShape, Route, ServiceShape};
use fleet::SPARE_SEAT_MIN;

use crate::client::Client;
use crate::error::CommandError;
use crate::options::Target;
use crate::say::{json, say, table};

type Outcome = Result<(), CommandError>;

/// `evenkeel status`
pub(crate) fn status(client: &Client, target: &Target) -> Outcome {
    let services = chosen(client, target)?;
    if target.json {
        return json(&services);
    }
    let rows = services.iter().map(|service| {
        [
            service.name.clone(),
            format!("{}/{}", service.ready, service.desired),
            state_of(service),
            service.generation.to_string(),
        ]
    });
    table(["SERVICE", "READY", "STATE", "GENERATION"], &rows.collect::<Vec<_>>());
    for service in &services {
        if let Some(trouble) = &service.trouble {
            say(format_args!("{}: {trouble}", service.name));
        }
    }
    Ok(())
}

/// `evenkeel ps`
pub(crate) fn ps(client: &Client, verbose: bool, target: &Target) -> Outcome {
    let services = chosen(client, target)?;
    if target.json {
        return json(&services);
    }
    let mut rows = Vec::new();
    for service in &services {
        for replica in everybody(service) {
            rows.push(row(&service.name, replica));
        }
    }
    table(["SERVICE", "SEAT", "LIFE", "NAME", "STATE", "ADDRESS", "REASON"], &rows);
    for replica in services.iter().flat_map(everybody).filter(|_| verbose) {
        say_crash_loop(replica);
    }
    Ok(())
}

fn everybody(service: &ServiceShape) -> impl Iterator<Item = &ReplicaShape> {
    service.replicas.iter().chain(&service.spares).chain(&service.others)
}

/// The seat of a replica, unless it is one that only spares have.
fn seat_of(seat: u32) -> String {
    if seat >= SPARE_SEAT_MIN { "-".into() } else { seat.to_string() }
}

/// The number of a life of its seat; all of it, if it was begun elsewhere.
fn life_of(seat: Option<u32>, life: String) -> String {
    let own = seat.filter(|seat| *seat < SPARE_SEAT_MIN).map(|seat| format!("{seat}."));
    own.and_then(|own| life.strip_prefix(&own).map(str::to_owned)).unwrap_or(life)
}

/// `evenkeel events`
pub(crate) fn events(client: &Client, target: &Target) -> Outcome {
    let mut events: Vec<EventShape> = client.get(Route::Events)?;
    events.retain(|event| target.service.as_ref().is_none_or(|service| event.service == *service));
    if target.json {
        return json(&events);
    }
    let rows = events.into_iter().map(|event| {
        let dash = || "-".to_string();
        [
            event.at,
            event.service,
            event.seat.map_or_else(dash, seat_of),
            event.life.map_or_else(dash, |life| life_of(event.seat, life)),
            event.replica.unwrap_or_else(dash),
            event.event,
            event.reason.unwrap_or_else(dash),
        ]
    });
    let head = ["TIME", "SERVICE", "SEAT", "LIFE", "NAME", "EVENT", "REASON"];
    table(head, &rows.collect::<Vec<_>>());
    Ok(())
}

/// What there is to say of a seat whose lives keep failing.
fn say_crash_loop(replica: &ReplicaShape) {
    let Some(crash_loop) = &replica.crash_loop else { return };
    let next_try = crash_loop.next_try.as_ref().map(|at| format!("; the next try is at {at}"));
    let who = match replica.seat {
        SPARE_SEAT_MIN.. => format!("spare {}", replica.name),
        seat => format!("{} of seat {seat}", replica.name),
    };
    say(format_args!("\n{who}: {} failures in a row{}", crash_loop.failures, next_try.unwrap_or_default()));
    for line in &crash_loop.last_output {
        say(format_args!("  | {line}"));
    }
}

/// What there is to say of a service in few words.
fn state_of(service: &ServiceShape) -> String {
    let whole = if service.ready == service.desired { "whole" } else { "not whole" };
    let all = service.replicas.iter().chain(&service.others);
    let crash_looping = all.filter(|replica| replica.state == "crash-looping").count();
    let crash_loops = (crash_looping > 0).then(|| format!(", {crash_looping} crash-looping"));
    let rollout = service.rollout.as_ref().filter(|rollout| rollout.is_under_way);
    let rollout = rollout.map(|rollout| format!(", {} {}/{}", rollout.state, rollout.done, rollout.total));
    let pause = service.paused_until.as_ref().map(|end| format!(", paused until {end}"));
    let ready = service.spares.iter().filter(|spare| spare.state == "spare").count();
    let spares = service.spares.len();
    let spares = (spares > 0).then(|| format!(", {ready} of {spares} spares ready"));
    [Some(whole.to_string()), spares, crash_loops, rollout, pause].into_iter().flatten().collect()
}

fn chosen(client: &Client, target: &Target) -> Result<Vec<ServiceShape>, CommandError> {
    let mut services = client.services()?;
    if let Some(name) = &target.service {
        services.retain(|service| service.name == *name);
        if services.is_empty() {
            return Err(CommandError::new(format!("there is no service '{name}'")));
        }
    }
    Ok(services)
}

fn row(service: &str, replica: &ReplicaShape) -> [String; 7] {
    [
        service.into(),
        seat_of(replica.seat),
        life_of(Some(replica.seat), replica.life.clone()),
        replica.name.clone(),
        replica.state.clone(),
        replica.address.clone().unwrap_or_else(|| "-".into()),
        replica.reason.clone().unwrap_or_else(|| "-".into()),
    ]
}
