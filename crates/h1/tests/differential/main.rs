//! h1 next to other readers: where they differ, the difference has a name and a reason.
//!
//! Every input follows from the seed that is printed with it. What differs and is in no
//! [`Class`](tally::Class) fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod chunks;
mod exchanges;
mod grammar;
mod heads;
mod round_trip;
mod rules;
mod tally;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fastrand::Rng;
use tally::{Class, Tally};

const SEED: u64 = 0x6531;
const ROUNDS: u64 = 60_000;

/// Gives the check so many inputs, every second one with bytes changed.
fn for_seeds(rounds: u64, make: fn(&mut Rng) -> Vec<u8>, mut check: impl FnMut(&[u8], &mut Rng)) {
    for round in 0..rounds {
        let mut random = Rng::with_seed(SEED + round);
        let mut bytes = make(&mut random);
        if round % 2 == 1 {
            grammar::mutate(&mut random, &mut bytes);
        }
        let checked = catch_unwind(AssertUnwindSafe(|| check(&bytes, &mut random)));
        checked.unwrap_or_else(|panic| {
            eprintln!("seed {}", SEED + round);
            resume_unwind(panic)
        });
    }
}

/// Gives the check all texts up to this length over an alphabet, between a beginning and an end.
fn for_all_short([before, alphabet, behind]: [&[u8]; 3], length_max: u32, mut check: impl FnMut(&[u8])) {
    for length in 0..=length_max {
        for number in 0..alphabet.len().pow(length) {
            let letter = |place| alphabet[number / alphabet.len().pow(place) % alphabet.len()];
            let middle: Vec<u8> = (0..length).map(letter).collect();
            check(&[before, &middle, behind].concat());
        }
    }
}

#[test]
fn requests_are_read_as_httparse_reads_them_or_refused_for_a_reason() {
    let mut tally = Tally::default();
    for_seeds(ROUNDS, grammar::request, |bytes, _| heads::check_request(bytes, &mut tally));
    tally.assert_occurred(&[
        Class::BareLineFeed,
        Class::EmptyLines,
        Class::Target,
        Class::Host,
        Class::HostDisagrees,
        Class::ContentLength,
        Class::TwoLengths,
        Class::CodingInHttp10,
        Class::Coding,
        Class::Expectation,
        Class::Limit,
        Class::HeldBack,
    ]);
}

#[test]
fn answers_are_read_as_httparse_reads_them_or_refused_for_a_reason() {
    let mut tally = Tally::default();
    for_seeds(ROUNDS, grammar::response, |bytes, _| heads::check_response(bytes, &mut tally));
    tally.assert_occurred(&[
        Class::BareLineFeed,
        Class::EmptyLines,
        Class::ContentLength,
        Class::TwoLengths,
        Class::CodingInHttp10,
        Class::Coding,
        Class::Limit,
        Class::HeldBack,
        Class::StatusOutOfRange,
        Class::ReasonLeftOut,
    ]);
}

#[test]
fn all_short_heads() {
    let (mut requests, mut responses) = (Tally::default(), Tally::default());
    let lines: [[&[u8]; 3]; 5] = [
        [b"", b"\r\nG /", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"],
        [b"G", b" \t/\r\n*?\x80", b" HTTP/1.1\r\nHost: h\r\n\r\n"],
        [b"GET / HTTP/1.", b"10 \r\n\tH", b"\r\nHost: h\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nHost: h", b"\r\n: \ta\0\x80", b"\r\n\r\n"],
        [b"GET http://h HTTP/1.1\r\nHost:", b"h:[]1%,\t", b"\r\n\r\n"],
    ];
    for parts in lines {
        for_all_short(parts, 5, |bytes| heads::check_request(bytes, &mut requests));
    }
    let lines: [[&[u8]; 3]; 3] = [
        [b"", b"\r\nH 2", b"HTTP/1.1 200 OK\r\n\r\n"],
        [b"HTTP/1.1", b" 20\t\r\na\x80", b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length:", b"10 \t,\r\n+", b"\r\n\r\n"],
    ];
    for parts in lines {
        for_all_short(parts, 5, |bytes| heads::check_response(bytes, &mut responses));
    }
    println!("{requests:#?} {responses:#?}");
    assert!(requests.accepted > 300 && responses.accepted > 300);
}

#[test]
fn chunked_bodies_are_read_as_a_plain_decoder_reads_them_however_they_are_cut() {
    let mut tally = Tally::default();
    for_seeds(ROUNDS, grammar::chunked, |bytes, random| {
        let mut cuts: Vec<usize> = (0..random.usize(..6)).map(|_| random.usize(..=bytes.len())).collect();
        cuts.sort_unstable();
        chunks::check_chunked(bytes, &cuts, &mut tally);
    });
    tally.assert_occurred(&[]);
    assert!(tally.accepted > 1000 && tally.unfinished > 1000, "{tally:?}");
}

#[test]
fn all_short_chunked_bodies() {
    let mut tally = Tally::default();
    for parts in [
        [&b""[..], b"01\r\n;a ", b""],
        [b"2", b"0;\r\naF", b"\r\n\r\n"],
        [b"0\r\n", b"\r\n:a \t_", b"\r\n\r\n"],
    ] {
        for_all_short(parts, 6, |bytes| chunks::check_chunked(bytes, &[bytes.len() / 2], &mut tally));
    }
    tally.assert_occurred(&[]);
}

/// A message of the grammar with a body that fits more often than not.
fn message(random: &mut Rng) -> Vec<u8> {
    let mut bytes = if random.bool() { grammar::request(random) } else { grammar::response(random) };
    match random.u8(..3) {
        0 => bytes.extend(grammar::chunked(random)),
        1 => bytes.extend_from_slice(b"hello"),
        _ => {}
    }
    bytes
}

#[test]
fn what_is_sent_on_is_what_was_read() {
    let mut tally = Tally::default();
    for_seeds(ROUNDS, message, |bytes, _| round_trip::check_round_trip(bytes, &mut tally));
    tally.assert_occurred(&[]);
    assert!(tally.accepted > 10_000, "{tally:?}");
}

/// A few requests in a row, with bodies that fit more often than not.
fn connection(random: &mut Rng) -> Vec<u8> {
    (0..random.usize(1..4)).flat_map(|_| request_with_body(random)).collect()
}

fn request_with_body(random: &mut Rng) -> Vec<u8> {
    let begin = "POST /a HTTP/1.1\r\nHost: h\r\n";
    let length = random.usize(..9);
    match random.u8(..6) {
        0 => grammar::request(random),
        1 | 2 => {
            format!("{begin}Content-Length: {length}\r\n\r\n{}", &"\r\nhello"[..length.min(7)]).into_bytes()
        }
        _ => {
            let mut bytes = format!("{begin}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            bytes.extend(grammar::chunked(random));
            bytes
        }
    }
}

#[test]
fn connections_are_read_as_hyper_reads_them_or_ended_for_a_reason() {
    let mut tally = Tally::default();
    for_seeds(ROUNDS / 4, connection, |bytes, _| exchanges::check_connection(bytes, &mut tally));
    tally.assert_occurred(&[
        Class::Limit,
        Class::RefusedHead,
        Class::NoUri,
        Class::SpaceAfterSize,
        Class::ControlInExtension,
        Class::LongSize,
        Class::SwallowedByTrailers,
    ]);
}

fn answers(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.u8(..5) == 0 {
        bytes.extend(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
    }
    if random.bool() {
        bytes.extend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        bytes.extend(grammar::chunked(random));
    } else {
        bytes.extend(message(random));
    }
    bytes
}

#[test]
fn answers_are_read_as_hyper_reads_them_or_refused_for_a_reason() {
    let mut tally = Tally::default();
    for_seeds(ROUNDS / 4, answers, |bytes, random| {
        exchanges::check_answer(bytes, random.u8(..4) == 0, &mut tally);
    });
    tally.assert_occurred(&[
        Class::Limit,
        Class::RefusedHead,
        Class::SpaceAfterSize,
        Class::ControlInExtension,
        Class::LongSize,
        Class::SwallowedByTrailers,
    ]);
}
