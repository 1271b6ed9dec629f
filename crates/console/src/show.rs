//! The commands that show a running balancer: `status` and `ps`.

use std::cmp::Ordering;
use std::time::{Duration, Instant, SystemTime};

use api::{ReplicaShape, ServiceShape};
use fleet::SPARE_SEAT_MIN;

use crate::client::Client;
use crate::error::CommandError;
use crate::options::{Column, Target};
use crate::say::{json, say, table};

/// How often a balancer is asked that is waited for.
const ASK_EVERY: Duration = Duration::from_millis(100);

type Outcome = Result<(), CommandError>;

/// `evenkeel status`
pub(crate) fn status(client: &Client, target: &Target) -> Outcome {
    show_status(&chosen(client, target)?, target)
}

/// `evenkeel status --wait`: asks until every replica takes traffic, or the time is over. A balancer that does
/// not answer yet may be about to.
pub(crate) fn status_when_whole(
    make_client: impl Fn() -> Result<Client, CommandError>,
    target: &Target,
    timeout: Duration,
) -> Outcome {
    let end = Instant::now() + timeout;
    loop {
        let services = make_client().and_then(|client| chosen(&client, target));
        let is_over = Instant::now() >= end;
        match services {
            Ok(services) if services.iter().all(is_whole) => return show_status(&services, target),
            Ok(services) if is_over => {
                show_status(&services, target)?;
                let names = named(&services, |service| !is_whole(service));
                return Err(CommandError::new(format!("not whole within {timeout:?}: {names}")));
            }
            Err(error) if is_over => return Err(error),
            Ok(_) | Err(_) => std::thread::sleep(ASK_EVERY),
        }
    }
}

/// The error says which services serve nobody.
fn show_status(services: &[ServiceShape], target: &Target) -> Outcome {
    if target.json {
        json(&services)?;
    } else {
        let rows = services.iter().map(|service| {
            let desired = match &service.not_started {
                Some(_) => "?".to_owned(),
                None => service.desired.to_string(),
            };
            let ready = format!("{}/{desired}", service.ready);
            let ready = if service.folder.is_some() { "-".to_owned() } else { ready };
            [service.name.clone(), ready, state_of(service), service.generation.to_string()]
        });
        table(["SERVICE", "READY", "STATE", "GENERATION"], &rows.collect::<Vec<_>>());
        for service in services {
            say_troubles(service);
        }
    }
    let serves_nobody =
        |service: &ServiceShape| service.not_started.is_some() || (service.ready == 0 && service.desired > 0);
    match named(services, serves_nobody) {
        names if names.is_empty() => Ok(()),
        names => Err(CommandError::new(format!("no replica takes traffic of {names}"))),
    }
}

/// What is wrong with a service, in its own words.
fn say_troubles(service: &ServiceShape) {
    let name = &service.name;
    if let Some(trouble) = &service.trouble {
        say(format_args!("{name}: {trouble}"));
    }
    if let Some(why) = &service.not_started {
        say(format_args!("{name}: not started: {why}"));
    }
    if !service.differing.is_empty() {
        let keys = service.differing.join(", ");
        say(format_args!(
            "{name}: the configuration says something else than what runs: {keys}; `evenkeel deploy` rolls it out"
        ));
    }
    for replica in service.replicas.iter().filter(|replica| replica.state != "ready") {
        if let Some(reason) = &replica.reason {
            say(format_args!("{name}: {} is {}: {reason}", replica.name, replica.state));
        }
    }
}

fn is_whole(service: &ServiceShape) -> bool {
    service.not_started.is_none() && service.ready == service.desired
}

/// The names of those that are meant, with commas.
fn named(services: &[ServiceShape], is_meant: impl Fn(&ServiceShape) -> bool) -> String {
    let meant = services.iter().filter(|service| is_meant(service));
    meant.map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// `evenkeel ps`
pub(crate) fn ps(client: &Client, verbose: bool, sort: Option<Column>, target: &Target) -> Outcome {
    let services = chosen(client, target)?;
    if target.json {
        return json(&services);
    }
    let mut all: Vec<(&str, &ReplicaShape)> = Vec::new();
    for service in &services {
        all.extend(everybody(service).map(|replica| (service.name.as_str(), replica)));
    }
    if let Some(column) = sort {
        // Among themselves those that are alike stay as they were.
        all.sort_by(|(_, one), (_, other)| compare(column, one, other));
    }
    if verbose {
        let rows: Vec<_> = all.iter().map(|(service, replica)| long_row(service, replica)).collect();
        table(LONG_HEAD, &rows);
    } else {
        let rows: Vec<_> = all.iter().map(|(service, replica)| row(service, replica)).collect();
        table(["SERVICE", "SEAT", "LIFE", "NAME", "STATE", "ADDRESS", "REASON"], &rows);
    }
    for service in &services {
        if let Some(why) = &service.not_started {
            say(format_args!("{}: not started: {why}", service.name));
        }
    }
    for service in &services {
        if let Some(folder) = &service.folder {
            say(format_args!("{}: files of {folder}, no replicas", service.name));
        }
    }
    for (_, replica) in all.iter().filter(|_| verbose) {
        say_crash_loop(replica);
    }
    Ok(())
}

const LONG_HEAD: [&str; 11] =
    ["SERVICE", "SEAT", "LIFE", "NAME", "STATE", "AGE", "INSIDE", "RELEASE", "RUNS AS", "ADDRESS", "REASON"];

fn compare(column: Column, one: &ReplicaShape, other: &ReplicaShape) -> Ordering {
    match column {
        Column::Seat => one.seat.cmp(&other.seat),
        Column::Name => one.name.cmp(&other.name),
        Column::State => one.state.cmp(&other.state),
        // What does not run has no age, and is last.
        Column::Age => other.since.cmp(&one.since),
        Column::Inside => other.in_flight.cmp(&one.in_flight),
        Column::Release => one.release.cmp(&other.release),
    }
}

/// How long ago that was, in one or two units.
fn age(since: &str) -> Option<String> {
    let since = humantime::parse_rfc3339(since).ok()?;
    let seconds = SystemTime::now().duration_since(since).unwrap_or_default().as_secs();
    Some(match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes}m"),
        (days, hours, ..) => format!("{days}d{hours}h"),
    })
}

/// All replicas of a service, with those that have no seat.
pub(crate) fn everybody(service: &ServiceShape) -> impl Iterator<Item = &ReplicaShape> {
    service.replicas.iter().chain(&service.spares).chain(&service.others)
}

/// The seat of a replica, unless it is one that only spares have.
pub(crate) fn seat_of(seat: u32) -> String {
    if seat >= SPARE_SEAT_MIN { "-".into() } else { seat.to_string() }
}

/// The number of a life of its seat; all of it, if it was begun elsewhere.
pub(crate) fn life_of(seat: Option<u32>, life: String) -> String {
    let own = seat.filter(|seat| *seat < SPARE_SEAT_MIN).map(|seat| format!("{seat}."));
    own.and_then(|own| life.strip_prefix(&own).map(str::to_owned)).unwrap_or(life)
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
    if let (Some(folder), None) = (&service.folder, &service.not_started) {
        return format!("files of {folder}");
    }
    let whole = match (&service.not_started, is_whole(service)) {
        (Some(_), _) => "not started",
        (None, true) => "whole",
        (None, false) => "not whole",
    };
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

/// The services that a command is about.
pub(crate) fn chosen(client: &Client, target: &Target) -> Result<Vec<ServiceShape>, CommandError> {
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

fn long_row(service: &str, replica: &ReplicaShape) -> [String; 11] {
    let [service, seat, life, name, state, address, reason] = row(service, replica);
    let dash = || "-".to_string();
    let age = replica.since.as_deref().and_then(age).unwrap_or_else(dash);
    let inside = replica.in_flight.map_or_else(dash, |inside| inside.to_string());
    let release = replica.release.clone().unwrap_or_else(dash);
    let runs_as = replica.runs_as.clone().unwrap_or_else(dash);
    [service, seat, life, name, state, age, inside, release, runs_as, address, reason]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_the_units_that_matter() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (61, "1m1s"), (7_260, "2h1m"), (180_000, "2d2h")] {
            let since = humantime::format_rfc3339_millis(SystemTime::now() - Duration::from_secs(seconds));
            assert_eq!(age(&since.to_string()).as_deref(), Some(shown));
        }
        assert_eq!(age("yesterday"), None);
    }
}
