//! Header fields that are set, added or removed: the keys of that, for requests and for responses.

use proxy::{Direction, FieldEdits};

use crate::fields::{FIELDS_MAX, FieldTable, request_field, response_field};
use crate::form::{List, Text};
use crate::keys::{Key, Keys, Table};

/// The keys of one such table.
pub(crate) fn edits(keys: &mut impl Keys, table: Table, direction: Direction, it: &mut Option<FieldEdits>) {
    let it = it.get_or_insert_default();
    keys.table(table, |keys| {
        keys.key(
            Key::new(
                "set",
                FieldTable { direction, are_added: false },
                "headers with these values, for example `{ \"X-Frame-Options\" = \"DENY\" }`, and no others of their names",
            ),
            &mut it.set,
        );
        keys.key(
            Key::new("add", FieldTable { direction, are_added: true }, "headers beside those that are there"),
            &mut it.add,
        );
        let parse = match direction {
            Direction::Request => request_field,
            Direction::Response => response_field,
        };
        let (each, example) = (Text::of("string", parse), "remove = [\"Server\"]");
        keys.key(
            Key::new(
                "remove",
                List { each, example, most: Some(FIELDS_MAX) },
                "headers that do not pass; removed before others are set and added",
            ),
            &mut it.remove,
        );
    });
}
