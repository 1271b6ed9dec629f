//! What stood where in a file: for the checks that compare several keys, and have to say where. It knows
//! the places of values, and what they mean not at all.

use std::collections::BTreeMap;

use crate::only::Only;
use crate::problem::Span;

/// One table of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Where its header is.
    pub(crate) at: Span,
    keys: BTreeMap<String, Spot>,
}

/// One key of the file, with a right value or a wrong one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spot {
    pub(crate) key_at: Span,
    /// The values under it that are of the right type: one, or those of an array or a table.
    pub(crate) parts: Vec<Part>,
    /// The tables under it.
    pub(crate) tables: Vec<Found>,
    /// Where the value is, all of it.
    pub(crate) at: Span,
    pub(crate) is_array: bool,
    /// Who has the key, if not every service.
    pub(crate) only: Option<Only>,
    /// Whether nothing was wrong with it by itself.
    pub(crate) is_sound: bool,
}

/// A value of the right type.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) key: String,
    pub(crate) key_at: Span,
    pub(crate) at: Span,
    /// What is written there, if it is a string.
    pub(crate) text: String,
}

impl Found {
    /// A table with its header here.
    pub(crate) fn at(at: Span) -> Self {
        Self { at, keys: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, key: &str, spot: Spot) {
        self.keys.insert(key.to_owned(), spot);
    }

    /// The keys that are there, right or wrong, by their names.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &Spot)> {
        self.keys.iter().map(|(key, spot)| (key.as_str(), spot))
    }

    /// Whether a key is there, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Where a key is.
    pub(crate) fn key_at(&self, key: &str) -> Option<&Span> {
        self.keys.get(key).map(|spot| &spot.key_at)
    }

    /// Where the value of a key is.
    pub(crate) fn value_at(&self, key: &str) -> Option<&Span> {
        self.keys.get(key).map(|spot| &spot.at)
    }

    /// Where the array of a key is, if it is one.
    pub(crate) fn array_at(&self, key: &str) -> Option<&Span> {
        self.keys.get(key).filter(|spot| spot.is_array).map(|spot| &spot.at)
    }

    /// Whether a key is absent, or right by itself.
    pub(crate) fn is_sound(&self, key: &str) -> bool {
        self.keys.get(key).is_none_or(|spot| spot.is_sound)
    }

    /// The values of the right type under a key.
    pub(crate) fn parts(&self, key: &str) -> &[Part] {
        self.keys.get(key).map_or(&[], |spot| &spot.parts)
    }

    /// The string under a key.
    pub(crate) fn text(&self, key: &str) -> Option<&Part> {
        self.parts(key).first()
    }

    /// The tables under a key.
    pub(crate) fn tables(&self, key: &str) -> &[Found] {
        self.keys.get(key).map_or(&[], |spot| &spot.tables)
    }

    /// The table under a key, if it is there.
    pub(crate) fn table(&self, key: &str) -> Option<&Found> {
        self.tables(key).first()
    }
}
