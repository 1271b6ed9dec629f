//! Who goes when, and that the order holds whoever comes and leaves.

use super::*;
use crate::settings::ClientSettings;

fn idle() -> Rc<IdleConnections> {
    let capacity = Capacity::new(&ClientSettings::default(), 1, Arc::default());
    IdleConnections::new(&Deadlines::new(), capacity, 0)
}

fn is_told(place: &Place) -> bool {
    place.poll_told(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn closed_for_room(idle: &IdleConnections) -> u64 {
    let counts = idle.capacity.defences.counts();
    counts.into_iter().find_map(|(kind, count)| (kind == "closed_for_room").then_some(count)).unwrap()
}

/// The numbers in both queues, from front to back and from back to front.
fn order(idle: &IdleConnections) -> Vec<u32> {
    let places = idle.places.borrow();
    let mut all = Vec::new();
    for queue in [&places.new, &places.resting, &places.begun] {
        let follow = |first: u32, step: fn(&Entry) -> u32| {
            let number = |number: u32| Some(number).filter(|number| *number != NONE);
            let next = |one: &u32| number(step(&places.all[*one as usize]));
            std::iter::successors(number(first), next).collect::<Vec<_>>()
        };
        let forwards = follow(queue.first, |entry| entry.next);
        let mut backwards = follow(queue.last, |entry| entry.previous);
        backwards.reverse();
        assert_eq!(forwards, backwards);
        all.extend(forwards);
    }
    all
}

#[test]
fn the_oldest_goes_first_and_who_works_stays() {
    let idle = idle();
    let places: Vec<_> = (0..5).map(|_| idle.arrive()).collect();
    assert_eq!(order(&idle), [0, 1, 2, 3, 4]);
    places[0].work();
    places[3].work();
    places[3].rest();
    places[3].rest();
    assert_eq!(order(&idle), [1, 2, 4, 3]);
    assert!(!idle.tell_oldest(), "who has just come is spared");
    idle.deadlines.pass(SPARED);
    assert!(idle.tell_oldest());
    let told: Vec<bool> = places.iter().map(is_told).collect();
    assert_eq!(told, [false, true, false, false, false]);
    while idle.tell_oldest() {}
    assert!(!is_told(&places[0]) && places[1..].iter().all(is_told));
    assert!(order(&idle).is_empty());
}

#[test]
fn who_was_here_for_two_looks_makes_room_and_who_came_between_them_does_not() {
    let idle = idle();
    let (first, second) = (idle.arrive(), idle.arrive());
    let start = Instant::now();
    let look = |number: u32| idle.places.borrow_mut().look(start + LOOK_EVERY * number);
    look(0);
    look(0);
    assert!(!idle.tell_oldest(), "it was one look, however often there was a reason for it");
    look(1);
    second.work();
    second.rest();
    idle.deadlines.pass(Duration::from_millis(1));
    let third = idle.arrive();
    assert!(idle.tell_oldest() && is_told(&first));
    assert!(!idle.tell_oldest(), "who works on is not older for it");
    look(2);
    look(3);
    assert!(idle.tell_oldest() && is_told(&second) && !is_told(&third));
}

#[test]
fn who_has_something_to_do_need_not_go_and_places_are_used_again() {
    let idle = idle();
    let (first, second) = (idle.arrive(), idle.arrive());
    idle.deadlines.pass(SPARED);
    assert!(idle.tell_oldest() && is_told(&first));
    first.work();
    assert!(!is_told(&first));
    first.rest();
    assert_eq!(order(&idle), [1, 0]);
    drop(second);
    let third = idle.arrive();
    assert_eq!((third.number, order(&idle)), (1, vec![1, 0]));
    assert_eq!(idle.places.borrow().all.len(), 2);
    assert_eq!(closed_for_room(&idle), 0);
    idle.deadlines.pass(SPARED);
    assert!(idle.tell_oldest() && is_told(&third));
    drop(third);
    assert_eq!(closed_for_room(&idle), 1);
}

#[test]
fn half_a_head_does_not_make_young_but_is_not_late() {
    let idle = idle();
    let (first, second) = (idle.arrive(), idle.arrive());
    idle.deadlines.pass(Duration::from_secs(5));
    let third = idle.arrive();
    first.begin();
    assert_eq!(order(&idle), [1, 2, 0]);
    idle.deadlines.pass(Duration::from_secs(6));
    assert!(!idle.tell_late(&ClientTimeouts::default()));
    assert_eq!([&first, &second, &third].map(is_told), [false, true, false]);
    assert!(idle.tell_oldest() && is_told(&first));
    first.begin();
    assert!(is_told(&first));
}

#[tokio::test]
async fn at_the_end_everybody_goes_who_does_nothing() {
    let idle = idle();
    let places: Vec<_> = (0..50).map(|_| idle.arrive()).collect();
    places[7].work();
    idle.close().await;
    assert_eq!(places.iter().filter(|place| !is_told(place)).count(), 1);
    places[7].rest();
    assert!(is_told(&places[7]));
    assert!(is_told(&idle.arrive()));
}

#[test]
fn whoever_is_late_is_told() {
    let idle = idle();
    let timeouts = ClientTimeouts { head: Duration::ZERO, ..ClientTimeouts::default() };
    let places: Vec<_> = (0..20).map(|_| idle.arrive()).collect();
    places[0].work();
    places[0].rest();
    std::thread::sleep(Duration::from_millis(2));
    // The worker's time stands still, so nobody is late before it goes on.
    assert!(!idle.tell_late(&timeouts));
    idle.deadlines.pass(Duration::from_millis(1));
    while idle.tell_late(&timeouts) {}
    assert_eq!(places.iter().filter(|place| is_told(place)).count(), 19);
    idle.deadlines.pass(timeouts.idle);
    assert!(!idle.tell_late(&timeouts) && is_told(&places[0]));
}
