//! Responses in fewer bytes: the keys of that.

use proxy::{Coding, CompressionSettings};

use crate::form::{Choice, List, Size, Text};
use crate::keys::{Key, Keys, Table};
use crate::web;

const TYPES_MAX: usize = 100;
const MIN_BYTES_LIMITS: std::ops::RangeInclusive<u64> = 1..=(1 << 30);

/// What is compressed, and how. No algorithm is no compression.
pub(crate) fn compression(keys: &mut impl Keys, it: &mut Option<CompressionSettings>) {
    let it = it.get_or_insert_default();
    let says = "responses in fewer bytes, for clients that read them";
    keys.table(Table::new("compression", "[service.compression]", says), |keys| {
        let each = Choice::between(["br", "gzip"], Coding::ALL);
        let example = "algorithms = [\"br\", \"gzip\"]";
        keys.key(
            Key::new(
                "algorithms",
                List { each, example, most: Some(Coding::ALL.len()) },
                "in which codings; of those that a client likes as much, the first; none is no compression",
            ),
            &mut it.codings,
        );
        let (each, example) = (Text::of("string", web::media_type), "types = [\"text/*\", \"+json\"]");
        keys.key(
            Key::new(
                "types",
                List { each, example, most: Some(TYPES_MAX) },
                "of which media types: `text/html`, `text/*`, or a suffix such as `+json`",
            ),
            &mut it.types,
        );
        let says = "responses that are known to be shorter are sent as they are";
        keys.key(Key::new("min_size", Size(MIN_BYTES_LIMITS), says), &mut it.min_bytes);
    });
}
