//! A lookup allocates nothing, counted by an allocator. A test binary of its own, because that
//! allocator takes the place of the usual one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::hint::black_box;

use placement::{
    Classic, ClassicHash, ClassicSettings, KeyHash, MaglevSize, Member, Named, NamedAlgorithm, Placement,
    Rendezvous, RingLayout, Seat, SeatNames,
};

fn filled(mut placement: Placement, weights: &[u32]) -> Placement {
    for (index, weight) in weights.iter().enumerate() {
        placement.insert(Member { seat: Seat::at_index(index), weight: *weight }).unwrap();
    }
    placement
}

#[test]
fn a_lookup_and_the_whole_order_allocate_nothing() {
    let named = |algorithm| Placement::Named(Named::new(algorithm, SeatNames::default()));
    let classic = |hash| Placement::Classic(Classic::new(ClassicSettings { hash, ..Default::default() }));
    let placements = [
        filled(Placement::Rendezvous(Rendezvous::default()), &[1; 10]),
        filled(Placement::Rendezvous(Rendezvous::default()), &[1, 2, 3, 1, 5]),
        filled(classic(ClassicHash::Quadratic), &[1; 10]),
        filled(classic(ClassicHash::Xxh3), &[1; 10]),
        filled(named(NamedAlgorithm::Ring(RingLayout::Nginx)), &[1, 2, 3, 1, 5]),
        filled(named(NamedAlgorithm::Ring(RingLayout::Ketama)), &[1, 2, 3, 1, 5]),
        filled(named(NamedAlgorithm::Maglev(MaglevSize::default())), &[1, 2, 3, 1, 5]),
    ];
    let keys: Vec<String> =
        (0..100).map(|number| format!("/a/rather/long/path/{number}?with=more")).collect();
    for placement in &placements {
        let info = allocation_counter::measure(|| {
            for key in &keys {
                let key = placement.key_hash().key(key.as_bytes());
                black_box(placement.order(key).next());
                black_box(placement.order(key).last());
            }
        });
        assert_eq!(info.count_total, 0, "{:?}", placement.key_hash());
    }
    for hash in [KeyHash::Xxh3, KeyHash::RequestId, KeyHash::Crc32, KeyHash::Md5, KeyHash::Xxh64] {
        let info = allocation_counter::measure(|| {
            black_box(hash.key(black_box(b"/home")));
        });
        assert_eq!(info.count_total, 0, "{hash:?}");
    }
    // The counter does count.
    assert!(allocation_counter::measure(|| drop(black_box(vec![1_u8]))).count_total > 0);
}
