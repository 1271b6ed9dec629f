//! The map itself, recorded: keys and their whole orders for each algorithm and several fleets. A
//! change here moves every user's keys. `EVENKEEL_WRITE_GOLDEN=1 cargo test -p placement --test golden`
//! records anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use placement::{
    Classic, ClassicHash, ClassicSettings, MaglevSize, Member, Named, NamedAlgorithm, Placement, Probe,
    Rendezvous, RingLayout, Seat, SeatNames,
};

const KEYS: [&str; 12] =
    ["", "/", "/home", "alice", "bob", "132574", "237891", "10.0.0.7", "ü", "key-1", "key-2", "key-3"];

/// Seats and weights.
type Fleet = &'static [(u32, u32)];

const THREE: Fleet = &[(1, 1), (2, 1), (3, 1)];
const EVEN: Fleet = &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)];
const UNEVEN: Fleet = &[(1, 1), (2, 2), (3, 5), (4, 1)];
const EXTREME: Fleet = &[(1, 65_536), (900, 1), (4_294_967_295, 100)];

/// Compares with the file of this name, which holds one block for each placement.
fn check(name: &str, cases: &[(&str, Placement, Fleet)]) {
    let mut text = String::new();
    for (title, empty, fleet) in cases {
        let mut placement = empty.clone();
        for (seat, weight) in *fleet {
            placement.insert(Member { seat: Seat::new(*seat).unwrap(), weight: *weight }).unwrap();
        }
        let members: Vec<String> = fleet.iter().map(|(seat, weight)| format!("{seat}={weight}")).collect();
        writeln!(text, "# {title}: {}", members.join(",")).unwrap();
        for key in KEYS {
            let order = placement.order(placement.key_hash().key(key.as_bytes()));
            let seats: Vec<String> = order.map(|seat| seat.to_string()).collect();
            writeln!(text, "{key:?} {}", seats.join(" ")).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if env::var_os("EVENKEEL_WRITE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "{name} moved keys");
}

fn addresses() -> SeatNames {
    SeatNames::new((1..=5).map(|last| format!("10.0.0.{last}:5000")).collect()).unwrap()
}

fn named(algorithm: NamedAlgorithm, names: SeatNames) -> Placement {
    Placement::Named(Named::new(algorithm, names))
}

#[test]
fn rendezvous_keeps_its_map() {
    let empty = || Placement::Rendezvous(Rendezvous::default());
    let cases = [("even", empty(), EVEN), ("uneven", empty(), UNEVEN), ("extreme", empty(), EXTREME)];
    check("rendezvous", &cases);
}

#[test]
fn classic_keeps_its_map() {
    let empty = |hash, probe| {
        Placement::Classic(Classic::new(ClassicSettings { hash, probe, ..ClassicSettings::default() }))
    };
    let cases = [
        ("quadratic linear", empty(ClassicHash::Quadratic, Probe::Linear), THREE),
        ("quadratic quadratic", empty(ClassicHash::Quadratic, Probe::Quadratic), EVEN),
        ("splitmix linear", empty(ClassicHash::Splitmix, Probe::Linear), EVEN),
        ("xxh3 linear", empty(ClassicHash::Xxh3, Probe::Linear), EVEN),
    ];
    check("classic", &cases);
}

#[test]
fn rings_keep_their_maps() {
    let ring = |layout, names| named(NamedAlgorithm::Ring(layout), names);
    let cases = [
        ("nginx, seats", ring(RingLayout::Nginx, SeatNames::default()), EVEN),
        ("nginx, addresses", ring(RingLayout::Nginx, addresses()), UNEVEN),
        ("ketama, seats", ring(RingLayout::Ketama, SeatNames::default()), EVEN),
        ("ketama, addresses", ring(RingLayout::Ketama, addresses()), UNEVEN),
    ];
    check("ring", &cases);
}

#[test]
fn maglev_keeps_its_map() {
    let maglev = |size, names| named(NamedAlgorithm::Maglev(MaglevSize::new(size).unwrap()), names);
    let cases = [
        ("65537 slots, seats", maglev(65_537, SeatNames::default()), EVEN),
        ("65537 slots, addresses", maglev(65_537, addresses()), UNEVEN),
        ("7 slots, addresses", maglev(7, addresses()), EVEN),
        ("1009 slots, extreme", maglev(1009, SeatNames::default()), EXTREME),
    ];
    check("maglev", &cases);
}
