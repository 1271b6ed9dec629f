//! Describes the keys: which there are at each level, and what the documentation says of each. It reads
//! no file.

use std::fmt::Debug;

use crate::form::Form;
use crate::keys::{About, Effect, Key, Keys, Level as Walked, Table, Told};
use crate::only::Only;

/// A kind of table, and the keys that it has.
#[derive(Clone, Debug)]
pub(crate) struct Level {
    /// How the documents write it.
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// A key, in the words of the documentation.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// For tables: how the documents write it.
    pub(crate) title: Option<&'static str>,
    pub(crate) kind: &'static str,
    pub(crate) default: String,
    pub(crate) limits: String,
    pub(crate) effect: Effect,
    pub(crate) says: &'static str,
    pub(crate) only: Option<Only>,
    pub(crate) formerly: Option<&'static str>,
}

/// All kinds of tables that are at or below one.
pub(crate) fn describe<L: Walked>(title: &'static str) -> Vec<Level> {
    let mut describer = Describer { done: Vec::new(), open: Level { title, rows: Vec::new() } };
    L::blank().walk(&mut describer);
    let Describer { mut done, open } = describer;
    done.push(open);
    // The top first; services before what is less often written by hand.
    done.reverse();
    done.sort_by_key(|level| {
        (level.title != title, !level.title.trim_start_matches('[').starts_with("service"))
    });
    done
}

struct Describer {
    done: Vec<Level>,
    open: Level,
}

impl Keys for Describer {
    fn key<T: Debug, F: Form<T>>(&mut self, key: Key<F>, it: &mut T) {
        let form = &key.form;
        let default = told(key.about.default, || code(&form.show(it)));
        let limits = told(key.about.limits, || form.limits());
        let kind = key.about.kind.unwrap_or(form.kind());
        self.open.rows.push(Row { kind, default, limits, ..Row::of(key.name, None, &key.about) });
    }

    fn table(&mut self, table: Table, walk: impl FnOnce(&mut Self)) {
        self.open.rows.push(Row::of(table.name, Some(table.title), &table.about));
        let inner = Level { title: table.title, rows: Vec::new() };
        let outer = std::mem::replace(&mut self.open, inner);
        walk(self);
        let inner = std::mem::replace(&mut self.open, outer);
        self.done.push(inner);
    }

    fn optional<L: Walked>(&mut self, table: Table, _it: &mut Option<L>) {
        self.table(table, |describer| L::blank().walk(describer));
    }

    fn tables<L: Walked>(&mut self, table: Table, _example: &'static str, _it: &mut Vec<L>) {
        self.table(table, |describer| L::blank().walk(describer));
    }
}

impl Level {
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Row {
    fn of(name: &'static str, title: Option<&'static str>, about: &About) -> Self {
        Self {
            name,
            title,
            kind: about.kind.unwrap_or_default(),
            default: told(about.default, String::new),
            limits: told(about.limits, String::new),
            effect: about.effect,
            says: about.says,
            only: about.only,
            formerly: about.formerly,
        }
    }

    /// How it is written: a key by its name, a table by its header.
    pub(crate) fn written(&self) -> &'static str {
        self.title.filter(|title| title.starts_with('[')).unwrap_or(self.name)
    }
}

fn told(told: Told, code: impl FnOnce() -> String) -> String {
    match told {
        Told::AsIs => code(),
        Told::And(more) => {
            let code = code();
            if code.is_empty() { more.to_owned() } else { format!("{code}; {more}") }
        }
        Told::Instead(says) => says.to_owned(),
    }
}

/// A value as the documentation writes it: numbers and plain words as they are.
fn code(value: &str) -> String {
    let is_plain = value.parse::<f64>().is_ok() || ["none", "empty", ""].contains(&value);
    if is_plain { value.to_owned() } else { format!("`{value}`") }
}
