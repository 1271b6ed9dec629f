//! Rings against those who made them first: the `pingora-ketama` crate, and libketama's own tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::fmt::Write;
use std::net::SocketAddr;

use md5::{Digest, Md5};
use pingora_ketama::{Bucket, Continuum};
use placement::{Key, KeyHash, NamedMember, Ring, RingLayout};

/// Compares the whole order of every key with what Pingora's iterator meets, point by point.
fn check_against_pingora(addresses: &[(&str, u32)], keys: u32) {
    let parsed: Vec<(SocketAddr, u32)> =
        addresses.iter().map(|(address, weight)| (address.parse().unwrap(), *weight)).collect();
    let buckets: Vec<Bucket> =
        parsed.iter().map(|(address, weight)| Bucket::new(*address, *weight)).collect();
    let continuum = Continuum::new(&buckets);
    // Pingora hashes the bare address and the port; nginx what the configuration says, so an IPv6
    // address goes without its brackets to get the same points.
    let member = |(address, weight): &(SocketAddr, u32)| {
        NamedMember::new(format!("{}:{}", address.ip(), address.port()), *weight)
    };
    let members: Vec<NamedMember> = parsed.iter().map(member).collect();
    let ring = Ring::new(RingLayout::Nginx, &members).unwrap();
    for number in 0..keys {
        let key = format!("/key/{number}");
        let mut expected: Vec<usize> = Vec::new();
        for address in continuum.node_iter(key.as_bytes()) {
            let position = parsed.iter().position(|(other, _)| other == address).unwrap();
            if !expected.contains(&position) {
                expected.push(position);
            }
            if expected.len() == parsed.len() {
                break;
            }
        }
        let order: Vec<usize> = ring.order(KeyHash::Crc32.key(key.as_bytes())).collect();
        assert_eq!(order, expected, "{key} over {addresses:?}");
    }
}

#[test]
fn the_nginx_ring_is_pingoras_to_the_last_key_and_the_last_member() {
    check_against_pingora(&[("127.0.0.1:80", 1)], 100);
    check_against_pingora(&[("127.0.0.1:7777", 1), ("127.0.0.1:7778", 1)], 20_000);
    check_against_pingora(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.3:8080", 3)], 20_000);
    check_against_pingora(&[("10.1.2.3:80", 20), ("10.1.2.4:80", 1), ("[2001:db8::7]:443", 7)], 20_000);
    let many: Vec<String> = (1..=50).map(|last| format!("192.168.7.{last}:5000")).collect();
    let weighted = many.iter().enumerate().map(|(at, address)| (address.as_str(), at as u32 % 4 + 1));
    check_against_pingora(&weighted.collect::<Vec<_>>(), 1_000);
}

#[test]
fn pingoras_sample_of_an_nginx_is_matched() {
    let members = ["127.0.0.1:7777", "127.0.0.1:7778"].map(|name| NamedMember::new(name, 1));
    let ring = Ring::new(RingLayout::Nginx, &members).unwrap();
    for (key, expected) in [("/some/path", 1), ("/some/longer/path", 0), ("/sad/zaidoon", 1)] {
        assert_eq!(ring.order(KeyHash::Crc32.key(key.as_bytes())).next(), Some(expected), "{key}");
    }
}

fn ketama(servers: &[(&str, u32)]) -> (Ring, Vec<(u32, usize)>) {
    let members: Vec<NamedMember> =
        servers.iter().map(|(name, weight)| NamedMember::new(*name, *weight)).collect();
    let ring = Ring::new(RingLayout::Ketama, &members).unwrap();
    let points = ring.points().collect();
    (ring, points)
}

/// The key's hash, and the point and the server that it belongs to.
fn lookup(ring: &Ring, points: &[(u32, usize)], key: Key) -> (u64, u32, usize) {
    let at = points.partition_point(|(point, _)| u64::from(*point) < key.number());
    let (point, owner) = points[at % points.len()];
    assert_eq!(ring.order(key).next(), Some(owner));
    (key.number(), point, owner)
}

#[test]
fn the_ketama_ring_passes_libketamas_python_test() {
    let (ring, points) = ketama(&[("127.0.0.1:11211", 600), ("127.0.0.1:11212", 400)]);
    assert_eq!(points.len(), 160 * 2);
    let found = lookup(&ring, &points, KeyHash::Md5.key(b"test"));
    assert_eq!(found, (3_446_378_249, 3_454_255_383, 0));
}

/// libketama's `ketama_test` prints hash, point and server of a million keys under its
/// `ketama.servers`, and its `test.sh` asks for this MD5 of what is printed.
#[test]
fn a_million_keys_lie_where_libketamas_test_script_wants_them() {
    let servers = [
        ("10.0.1.1:11211", 600),
        ("10.0.1.2:11211", 300),
        ("10.0.1.3:11211", 200),
        ("10.0.1.4:11211", 350),
        ("10.0.1.5:11211", 1000),
        ("10.0.1.6:11211", 800),
        ("10.0.1.7:11211", 950),
        ("10.0.1.8:11211", 100),
    ];
    let (ring, points) = ketama(&servers);
    let mut printed = Md5::new();
    // It begins with an empty error message.
    printed.update(b"\n");
    let mut line = String::new();
    for number in 0..1_000_000 {
        let (hash, point, owner) = lookup(&ring, &points, KeyHash::Md5.key(number.to_string().as_bytes()));
        line.clear();
        writeln!(line, "{hash} {point} {}", servers[owner].0).unwrap();
        printed.update(&line);
    }
    let digest = printed.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert_eq!(digest, "5672b131391f5aa2b280936aec1eea74");
}
