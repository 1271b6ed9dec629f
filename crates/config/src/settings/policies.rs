//! What the requests of a service go through beside: each policy has its keys in a file of its own, and its turn here.

use proxy::{Direction, Policies};

use super::{certificate, compression, error_pages, headers, rewrite};
use crate::keys::{Keys, Table};

/// The keys of all of them.
pub(super) fn keys(keys: &mut impl Keys, it: &mut Policies) {
    certificate::certificate(keys, it);
    rewrite::keys(keys, it);
    let says = "headers that replicas get, or do not";
    let table = Table::new("request_headers", "[service.request_headers]", says);
    headers::edits(keys, table, Direction::Request, &mut it.request_headers);
    let says = "headers that clients get, or do not";
    let table = Table::new("response_headers", "[service.response_headers]", says);
    headers::edits(keys, table, Direction::Response, &mut it.response_headers);
    compression::compression(keys, &mut it.compression);
    error_pages::of_service(keys, &mut it.error_pages);
}
