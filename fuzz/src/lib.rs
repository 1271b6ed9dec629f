//! What the fuzz targets do with their bytes. Most of it is shared with the tests of the crates.

#[path = "../../crates/h1/tests/differential/chunks.rs"]
mod chunks;
#[path = "../../crates/h1/tests/differential/heads.rs"]
mod heads;
#[path = "../../crates/h1/tests/differential/round_trip.rs"]
mod round_trip;
#[path = "../../crates/h1/tests/differential/rules.rs"]
mod rules;
#[path = "../../crates/h1/tests/differential/tally.rs"]
#[allow(dead_code, reason = "the tests have more classes of differences")]
mod tally;

#[path = "../../crates/proxy/src/clients/proxy_protocol.rs"]
#[allow(dead_code, reason = "what waits for bytes is not fuzzed")]
mod proxy_protocol;

mod bodies;
mod configuration;
mod front;
mod paths;

pub use bodies::{admin_json, contract_body};
pub use configuration::configuration;
pub use front::http2;
pub use paths::path;
use proxy_protocol::Outcome;
use tally::Tally;

/// A name, and what panics when the claim of that name is wrong.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, so that their corpus can be tried without a fuzzer.
pub const TARGETS: &[Target] = &[
    ("request_head", request_head),
    ("response_head", response_head),
    ("body", body),
    ("round_trip", round_trip),
    ("proxy_header", proxy_header),
    ("path", path),
    ("configuration", configuration),
    ("admin_json", admin_json),
    ("contract_body", contract_body),
    ("http2", http2),
];

/// The head of a request, read as httparse reads it or refused for a reason.
pub fn request_head(data: &[u8]) {
    heads::check_request(data, &mut Tally::default());
}

/// The head of an answer, in the same way.
pub fn response_head(data: &[u8]) {
    heads::check_response(data, &mut Tally::default());
}

/// A chunked body behind three bytes that say where it is cut.
pub fn body(data: &[u8]) {
    let Some((distances, input)) = data.split_first_chunk::<3>() else { return };
    let cuts = distances.iter().scan(0, |cut, distance| {
        *cut += usize::from(*distance);
        Some(*cut)
    });
    chunks::check_chunked(input, &cuts.collect::<Vec<_>>(), &mut Tally::default());
}

/// A message that is read, sent on as a proxy would, and read again: an answer if it begins with
/// `HTTP/`, else a request.
pub fn round_trip(data: &[u8]) {
    round_trip::check_round_trip(data, &mut Tally::default());
}

/// A PROXY protocol header: what a beginning says, more bytes never change.
pub fn proxy_header(data: &[u8]) {
    let whole = proxy_protocol::parse(data);
    let first = (0..=data.len())
        .map(|end| proxy_protocol::parse(&data[..end]))
        .find(|said| *said != Ok(Outcome::Incomplete));
    match first {
        None => assert_eq!(whole, Ok(Outcome::Incomplete)),
        Some(Ok(said @ Outcome::Complete { length, .. })) => {
            assert!(length <= data.len());
            assert_eq!(whole, Ok(said));
        }
        Some(Ok(Outcome::Incomplete)) => unreachable!("it was left out"),
        Some(Err(_)) => assert!(whole.is_err()),
    }
}
