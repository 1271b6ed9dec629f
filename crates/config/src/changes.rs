//! What differs between two configurations: each key by its name, and when its new value has an effect.
//! What is to be done about it is for others to say.

use std::fmt::Debug;

use crate::form::Form;
use crate::keys::{Effect, Key, Keys, Level, Table};

/// A key whose value is another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name, with the tables that it is in: `drain.deadline`.
    pub key: String,
    /// When the new value has an effect.
    pub effect: Effect,
}

/// The keys that differ, in the order of the documentation.
pub(crate) fn differences<L: Level>(old: &mut L, new: &mut L) -> Vec<Change> {
    let [mut before, mut after] = [Values::default(), Values::default()];
    old.walk(&mut before);
    new.walk(&mut after);
    let of_old = |key: &str| before.all.iter().find(|value| value.change.key == key);
    let is_new = |value: &&Value| of_old(&value.change.key).is_none_or(|old| old.shown != value.shown);
    after.all.iter().filter(is_new).map(|value| value.change.clone()).collect()
}

/// The values of a configuration, as they are compared.
#[derive(Default)]
struct Values {
    /// The tables that the keys are in, each followed by a dot.
    prefix: String,
    all: Vec<Value>,
}

struct Value {
    change: Change,
    shown: String,
}

impl Values {
    fn within(&mut self, name: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.prefix.len();
        self.prefix = format!("{}{name}.", self.prefix);
        walk(self);
        self.prefix.truncate(length);
    }
}

impl Keys for Values {
    fn key<T: Debug, F: Form<T>>(&mut self, key: Key<F>, it: &mut T) {
        let change = Change { key: format!("{}{}", self.prefix, key.name), effect: key.about.effect };
        self.all.push(Value { change, shown: format!("{it:?}") });
    }

    fn table(&mut self, table: Table, walk: impl FnOnce(&mut Self)) {
        self.within(table.name, walk);
    }

    fn optional<L: Level>(&mut self, table: Table, it: &mut Option<L>) {
        if let Some(level) = it {
            self.within(table.name, |values| level.walk(values));
        }
    }

    fn tables<L: Level>(&mut self, table: Table, _example: &'static str, it: &mut Vec<L>) {
        for (index, level) in it.iter_mut().enumerate() {
            self.within(&format!("{}.{}", table.name, index + 1), |values| level.walk(values));
        }
    }
}
