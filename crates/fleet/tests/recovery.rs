//! What a driver that can work again changes, and what it does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::time::Duration;

use fleet::{
    Action, Address, Desired, Edit, Event, Exit, Fleet, FleetSettings, HealthSettings, Life, Moment,
    ProbeResult, Seating,
};
use placement::{Placement, Rendezvous, Seat};

fn life(incarnation: u64) -> Life {
    Life { seat: Seat::new(1).unwrap(), incarnation }
}

/// A fleet of which one replica is desired, and the time.
fn fleet() -> (Fleet, Moment) {
    let settings = FleetSettings {
        name_prefix: "web".into(),
        replicas_max: 10,
        spares: 0,
        start_timeout: Duration::from_secs(30),
        drain_deadline: Duration::from_secs(30),
        health: HealthSettings::default(),
        seat_choice: placement::SeatChoice::Lowest,
        rollout: fleet::RolloutSettings::default(),
        is_owned: true,
    };
    let seating = Seating::new(Placement::Rendezvous(Rendezvous::default()), Vec::new());
    let mut fleet = Fleet::new(settings, seating, Desired::new(7)).unwrap();
    let now = Duration::from_secs(1);
    fleet.edit(&Edit::Fill { count: 1 }, now).unwrap();
    (fleet, now)
}

/// The same after two lives that ended in the way that `end` says, and never served.
fn failed(end: impl Fn(Life) -> Event) -> (Fleet, Moment) {
    let (mut fleet, now) = fleet();
    for life in [life(1), life(2)] {
        assert_eq!(starts(&mut fleet, now), [life]);
        fail(&mut fleet, &end(life), now);
    }
    (fleet, now)
}

/// A life ends; it is replaced, and what is left of it goes.
fn fail(fleet: &mut Fleet, end: &Event, now: Moment) {
    fleet.observe(end, now);
    for action in fleet.plan(now).actions {
        fleet.accept(&action, now);
    }
    if let Event::StartFailed(life, _) | Event::Exited(life, _) = end {
        fleet.observe(&Event::Stopped(*life), now);
    }
}

/// Carries out what is planned, twice; the lives that were started.
fn starts(fleet: &mut Fleet, now: Moment) -> Vec<Life> {
    let mut lives = Vec::new();
    for _ in 0..2 {
        for action in fleet.plan(now).actions {
            fleet.accept(&action, now);
            if let Action::Start(life, _) = action {
                lives.push(life);
            }
        }
    }
    lives
}

#[test]
fn a_seat_that_could_not_be_started_goes_on_at_once_when_the_driver_can_work_again() {
    let (mut fleet, now) = failed(|life| Event::StartFailed(life, "no engine".into()));
    assert!(starts(&mut fleet, now).is_empty(), "it waits");
    fleet.observe(&Event::Recovered, now);
    assert_eq!(starts(&mut fleet, now).len(), 1);
}

#[test]
fn a_seat_whose_replica_ends_by_itself_goes_on_waiting() {
    let (mut fleet, now) = failed(|life| Event::Exited(life, Exit { code: Some(1), ..Exit::default() }));
    fleet.observe(&Event::Recovered, now);
    assert!(starts(&mut fleet, now).is_empty(), "the driver had no part in it");
}

#[test]
fn lives_that_were_ended_from_outside_are_not_held_against_a_start_that_fails() {
    let (mut fleet, now) = fleet();
    let address = "127.0.0.1:9".parse::<Address>().unwrap();
    for incarnation in 1..=8 {
        assert_eq!(starts(&mut fleet, now), [life(incarnation)]);
        fleet.observe(&Event::Started(life(incarnation), address.clone()), now);
        fleet.observe(&Event::Beat(life(incarnation), ProbeResult::Good), now);
        starts(&mut fleet, now);
        fail(&mut fleet, &Event::Exited(life(incarnation), Exit::default()), now);
    }
    assert_eq!(starts(&mut fleet, now), [life(9)]);
    fail(&mut fleet, &Event::StartFailed(life(9), "now and then".into()), now);
    assert!(starts(&mut fleet, now).is_empty());
    assert_eq!(starts(&mut fleet, now + Duration::from_millis(200)), [life(10)]);
}
