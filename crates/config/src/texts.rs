//! A table of strings under names of a form of their own, whose values have another.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::entry::{Entry, Kind};
use crate::form::Form;
use crate::problem::Wrong;
use crate::value::Parsed;

/// Which names such a table may have, and which values.
#[derive(Clone, Copy)]
pub(crate) struct TextTable<K, V> {
    pub(crate) name: fn(&str) -> Parsed<K>,
    pub(crate) value: fn(&str) -> Parsed<V>,
    pub(crate) most: usize,
}

impl<K: Ord + Debug, V: Debug> Form<BTreeMap<K, V>> for TextTable<K, V> {
    fn kind(&self) -> &'static str {
        "table of strings"
    }

    fn limits(&self) -> String {
        format!("at most {}", self.most)
    }

    fn show(&self, value: &BTreeMap<K, V>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<K, V>> {
        let table = entry.inner()?;
        if table.len() > self.most {
            let what = format!("must have at most {} values, not {}", self.most, table.len());
            entry.note(Wrong::new(what));
        }
        let mut pairs = BTreeMap::new();
        for (key, given) in table {
            let name = match (self.name)(key.get_ref()) {
                Ok(name) => name,
                Err(wrong) => {
                    let what = format!("a name in `{}` {}", entry.key, wrong.what);
                    entry.problems.add(Some(&key.span()), Wrong { what, ..wrong });
                    continue;
                }
            };
            let mut inner = entry.named(key, given);
            let read = |text: &str| (self.value)(text);
            let value = inner.value(Kind::Text, |value| read(value.as_str().unwrap_or_default()));
            pairs.extend(value.map(|value| (name, value)));
        }
        Some(pairs)
    }
}
