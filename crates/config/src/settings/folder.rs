//! Files that a service answers with: the keys of that.

use proxy::{Coding, Folder};

use crate::form::{Choice, Flag, List, Maybe, Text};
use crate::keys::{Key, Keys, Told};
use crate::only::OF_FILES;
use crate::texts::TextTable;
use crate::{fields, filed, value};

/// Each is a look at the disk for a file that is not there.
const TRIES_MAX: usize = 8;
const TABLE_MAX: usize = 100;

/// Which folder, which files of it, and what is said of them.
pub(super) fn keys(keys: &mut impl Keys, it: &mut Folder) {
    keys.key(
        Key::new("root", Text { kind: "directory", ..Text::path(value::directory) }, "")
            .only(OF_FILES)
            .default(Told::Instead("required")),
        &mut it.root,
    );
    let (each, example) = (Text::of("string", filed::file_name), "index = [\"index.html\"]");
    keys.key(
        Key::new("index", List { each, example, most: Some(TRIES_MAX) }, "").only(OF_FILES),
        &mut it.index,
    );
    let (each, example) = (Text::of("string", filed::file_name), "suffixes = [\".html\"]");
    keys.key(
        Key::new("suffixes", List { each, example, most: Some(TRIES_MAX) }, "").only(OF_FILES),
        &mut it.suffixes,
    );
    keys.key(
        Key::new("fallback", Maybe(Text::of("string", filed::file_path)), "")
            .only(OF_FILES)
            .default(Told::Instead("none: 404")),
        &mut it.fallback,
    );
    keys.key(Key::new("hidden_files", Flag, "").only(OF_FILES), &mut it.has_hidden);
    let each = Choice::between(["br", "gzip"], Coding::ALL);
    let example = "precompressed = [\"br\", \"gzip\"]";
    keys.key(
        Key::new("precompressed", List { each, example, most: Some(Coding::ALL.len()) }, "").only(OF_FILES),
        &mut it.precompressed,
    );
    said(keys, it);
}

/// What browsers hear of a file.
fn said(keys: &mut impl Keys, it: &mut Folder) {
    keys.key(
        Key::new(
            "charset",
            Text {
                kind: "string",
                parse: filed::charset,
                show: |charset: &Option<String>| charset.clone().unwrap_or_default(),
            },
            "",
        )
        .only(OF_FILES),
        &mut it.charset,
    );
    let types = TextTable { name: filed::ending, value: filed::content_type, most: TABLE_MAX };
    keys.key(Key::new("content_types", types, "").only(OF_FILES), &mut it.content_types);
    keys.key(
        Key::new("cache_control", Maybe(Text::of("string", fields::plain_value)), "")
            .only(OF_FILES)
            .default(Told::Instead("none")),
        &mut it.cache_control,
    );
    let values = TextTable { name: filed::path_or_ending, value: fields::plain_value, most: TABLE_MAX };
    keys.key(Key::new("cache_control_of", values, "").only(OF_FILES), &mut it.cache_control_of);
}
