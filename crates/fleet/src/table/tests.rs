//! Who gets a claim, and what is told of that.

use super::*;
use crate::ReplicaName;
use placement::{Member, Rendezvous};

fn replica(seat: u32) -> Arc<Replica> {
    Arc::new(Replica {
        seat: Seat::new(seat).unwrap(),
        life: Life { seat: Seat::new(seat).unwrap(), incarnation: 1 },
        name: ReplicaName::parse(&format!("server_{seat}")).unwrap(),
        address: "127.0.0.1:1".parse().unwrap(),
        weight: 1,
        gate: crate::Gate::default(),
        responses: crate::Responses::default(),
    })
}

fn table(members: u32, replicas: &[Arc<Replica>], load_factor: f64) -> RoutingTable {
    let mut placement = Placement::Rendezvous(Rendezvous::default());
    for seat in 1..=members {
        placement.insert(Member::new(Seat::new(seat).unwrap())).unwrap();
    }
    RoutingTable::new(1, placement, replicas, load_factor)
}

#[test]
fn a_claim_goes_to_the_next_when_the_first_is_closed_tried_or_missing() {
    let replicas = [replica(1), replica(2), replica(3)];
    let whole = table(3, &replicas, 0.0);
    for number in 0..200 {
        let key = Key::of(&[number]);
        let first = whole.claim(key, &[]).unwrap().life;
        let second = whole.claim(key, &[first]).unwrap().life;
        assert_ne!(first, second);
        let others: Vec<_> = replicas.iter().filter(|replica| replica.life != first).cloned().collect();
        assert_eq!(table(3, &others, 0.0).claim(key, &[]).unwrap().life, second);
        let gate = &replicas[first.seat.index()].gate;
        gate.close();
        assert_eq!(whole.claim(key, &[]).unwrap().life, second);
        gate.open();
    }
}

#[test]
fn a_hot_key_stays_under_the_bound_and_spills_in_order() {
    let replicas = [replica(1), replica(2), replica(3), replica(4)];
    let table = table(4, &replicas, 1.25);
    let key = Key::of(b"hot");
    let order: Vec<Seat> = table.placement.order(key).collect();
    let mut claims = Vec::new();
    for _ in 0..200u32 {
        let bound = table.load_bound().of(&replicas[0]);
        let claim = table.claim(key, &[]).unwrap();
        assert!(claim.gate.claims() <= bound);
        let full_before = order.iter().take_while(|seat| **seat != claim.life.seat);
        for seat in full_before {
            assert!(replicas[seat.index()].gate.claims() >= bound, "passed over without need");
        }
        claims.push(claim);
    }
    assert!(claims[..4].iter().all(|claim| claim.life.seat == order[0]), "the floor holds");
    drop(claims);
    assert!(replicas.iter().all(|replica| replica.gate.claims() == 0));
}

#[test]
fn nobody_goes_over_the_bound_however_many_come_at_once() {
    const THREADS: u64 = 16;
    let replicas = [replica(1), replica(2), replica(3)];
    let table = table(3, &replicas, 1.25);
    let highest = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let claim = table.claim(Key::of(b"hot"), &[]).unwrap();
                    highest.fetch_max(claim.gate.claims(), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    // With all of them inside: ceil(1.25 · 16 / 3).
    let highest = highest.into_inner();
    assert!(highest <= 7, "{highest} requests at once of {THREADS} on one of three");
    assert!(replicas.iter().all(|replica| replica.gate.claims() == 0));
}

#[test]
fn a_half_open_replica_is_tried_with_its_own_keys_and_the_others_do_not_notice() {
    let replicas = [replica(1), replica(2), replica(3)];
    let tried = &replicas[1];
    assert!(table(3, &replicas, 1.25).claim_half_open(Key::of(b"x")).is_none());
    tried.gate.restrict();
    let table = table(3, &replicas, 1.25);
    let is_own = |key: Key| table.placement.order(key).next() == Some(tried.life.seat);
    let keys = || (0..50u32).map(|number| Key::of(&number.to_le_bytes()));
    let own = keys().find(|key| is_own(*key)).unwrap();
    assert!(table.claim_half_open(own).is_none(), "nothing was admitted");
    tried.gate.admit_one();
    for key in keys() {
        assert_ne!(table.claim(key, &[]).unwrap().life, tried.life);
        if !is_own(key) {
            assert!(table.claim_half_open(key).is_none());
        }
    }
    let claim = table.claim_half_open(own).unwrap();
    assert!(claim.is_half_open() && claim.life == tried.life);
    assert!(table.claim_half_open(own).is_none(), "one at a time");
}

#[test]
fn a_session_is_at_its_seat_or_at_the_next_of_its_key_and_comes_back() {
    let replicas = [replica(1), replica(2), replica(3)];
    let whole = table(3, &replicas, 1.25);
    for number in 0..60 {
        let seat = replicas[usize::from(number % 3)].seat;
        let preference = Preference { seat: Some(seat), key: Key::of(&[number]) };
        let is_at = |table: &RoutingTable| table.claim(preference, &[]).unwrap().seat;
        assert_eq!(is_at(&whole), seat);
        let told: Vec<Seat> = whole.explain(preference).iter().map(|choice| choice.seat).collect();
        let others = whole.placement.order(preference.key).filter(|other| *other != seat);
        assert_eq!(told, [seat].into_iter().chain(others).collect::<Vec<_>>(), "each seat once");
        let left: Vec<_> = replicas.iter().filter(|one| one.seat != seat).cloned().collect();
        assert_eq!(is_at(&table(3, &left, 1.25)), told[1], "dead, and somebody is to come");
        replicas[seat.index()].gate.close();
        assert_eq!(is_at(&whole), told[1]);
        replicas[seat.index()].gate.open();
    }
    let gone = Preference { seat: Seat::new(9), key: Key::of(b"x") };
    assert!(!whole.has_seat(Seat::new(9).unwrap()) && whole.has_seat(Seat::new(3).unwrap()));
    assert_eq!(whole.claim(gone, &[]).unwrap().seat, whole.claim(gone.key, &[]).unwrap().seat);
}

#[test]
fn of_two_keys_the_one_with_less_to_do_counts() {
    let replicas = [replica(1), replica(2)];
    let table = table(2, &replicas, 0.0);
    let first = |key: Key| table.placement.order(key).next().unwrap().index();
    let keys = || (0..50u32).map(|number| Key::of(&number.to_le_bytes()));
    let own = [0, 1].map(|index| keys().find(|key| first(*key) == index).unwrap());
    assert_eq!(table.lighter(own), own[0], "all the same");
    let _claim = replicas[0].claim(9).unwrap();
    assert_eq!(table.lighter(own), own[1]);
    replicas[1].gate.close();
    assert_eq!(table.lighter([own[1], own[0]]), own[0]);
}

#[test]
fn an_explanation_says_what_a_claim_then_does() {
    let replicas = [replica(1), replica(2), replica(4)];
    let table = table(5, &replicas, 1.25);
    let mut claims = Vec::new();
    for number in 0..300u32 {
        let key = Key::of(&(number % 7).to_le_bytes());
        let told = table.explain(key);
        assert_eq!(told.len(), 5, "every seat is told of");
        let chosen = told.iter().find(|choice| choice.ranking == Ranking::Chosen).unwrap();
        let claim = table.claim(key, &[]).unwrap();
        assert_eq!(chosen.seat, claim.life.seat);
        if number % 3 > 0 {
            claims.push(claim);
        }
    }
}

#[test]
fn those_who_may_have_killed_a_replica_go_each_to_another_one() {
    let replicas = [replica(1), replica(2), replica(3), replica(4)];
    let table = table(4, &replicas, 1.25);
    let key = Key::of(b"x");
    let order: Vec<Seat> = table.placement.order(key).collect();
    let lost = replicas[order[0].index()].life;
    let claims: Vec<_> = (0..6).map(|_| table.claim_apart(key, &[lost]).unwrap()).collect();
    let seats: Vec<Seat> = claims.iter().map(|claim| claim.life.seat).collect();
    assert_eq!(seats, [order[1], order[2], order[3], order[1], order[2], order[3]]);
    replicas[order[1].index()].gate.close();
    assert_eq!(table.claim_apart(key, &[lost]).unwrap().life.seat, order[2], "closed is closed");
    drop(claims);
    assert!(replicas.iter().all(|replica| replica.gate.suspects() == 0 && replica.gate.claims() == 0));
    assert!(table.claim_apart(key, &replicas.each_ref().map(|replica| replica.life)).is_none());
}

#[test]
fn nobody_gets_more_requests_than_it_may_and_its_keys_go_to_the_next_in_their_order() {
    let replicas = [replica(1), replica(2), replica(3)];
    let mut table = table(3, &replicas, 0.0);
    assert!(!table.is_full(&[]), "there is no limit");
    table.requests_max = 2;
    let key = Key::of(b"x");
    let order: Vec<Seat> = table.placement.order(key).collect();
    let claims: Vec<_> = std::iter::from_fn(|| table.claim(key, &[])).collect();
    let seats: Vec<Seat> = claims.iter().map(|claim| claim.life.seat).collect();
    assert_eq!(seats, [order[0], order[0], order[1], order[1], order[2], order[2]]);
    assert!(table.is_full(&[]));
    assert!(table.explain(key).iter().all(|choice| choice.ranking == Ranking::Full));
    let tried: Vec<Life> = replicas.iter().map(|replica| replica.life).collect();
    assert!(!table.is_full(&tried), "nobody is left to be tried");
    drop(claims);
    assert!(!table.is_full(&[]));
    replicas.iter().for_each(|replica| replica.gate.close());
    assert!(!table.is_full(&[]), "closed is not full");
}

#[test]
fn the_bound_gives_way_rather_than_turn_a_request_away() {
    let only = [replica(1)];
    let table = table(3, &only, 1.25);
    let claims: Vec<_> = (0..50).map(|_| table.claim(Key::of(b"x"), &[]).unwrap()).collect();
    assert_eq!(only[0].gate.claims(), claims.len() as u64);
}
