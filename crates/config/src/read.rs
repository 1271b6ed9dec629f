//! Reads a file: walks over its tables by the declared keys, fills in what it finds, and notes keys that
//! are none and values that are wrong. What must fit together is not checked here.

use std::fmt::Debug;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::describe::{Level as Described, Row, describe};
use crate::entry::{Entry, article};
use crate::form::Form;
use crate::found::{Found, Spot};
use crate::keys::{Key, Keys, Level, Table};
use crate::only::Only;
use crate::problem::{Problems, Wrong};
use crate::suggest;
use crate::told::suspects;

/// How the top of a file is called.
pub(crate) const TOP: &str = "the top of the file";

/// What is called otherwise in the files of Docker Compose, and how it is called here.
const OF_COMPOSE: [(&str, &str); 11] = [
    ("cap_add", "capabilities"),
    ("environment", "env"),
    ("expose", "port"),
    ("grace_period", "stop_timeout"),
    ("healthcheck", "heartbeat"),
    ("logging", "log_driver"),
    ("mem_limit", "memory"),
    ("no_new_privileges", "new_privileges"),
    ("pull_policy", "pull"),
    ("security_opt", "new_privileges"),
    ("stop_grace_period", "stop_timeout"),
];

/// Fills in what a text says, and returns what stood where; nothing if the text is no TOML.
pub(crate) fn read<L: Level>(
    text: &str,
    title: &'static str,
    it: &mut L,
    problems: &mut Problems<'_>,
) -> Option<Found> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.add(error.span().as_ref(), Wrong::new(one_line(error.message())));
    }
    // Where the syntax is broken, what was recovered is a guess that misleads.
    if !errors.is_empty() {
        suspects(text).into_iter().for_each(|suspect| problems.hide(suspect));
        return None;
    }
    let mut reader = Reader {
        levels: &|| describe::<L>(title),
        table: document.get_ref(),
        asked: Vec::new(),
        problems,
        found: Found::default(),
    };
    it.walk(&mut reader);
    reader.refuse_unknown(title);
    Some(reader.found)
}

/// One table of the document, and where its problems go.
struct Reader<'r, 'd, 't> {
    /// All kinds of tables. They are wanted only when something is wrong.
    levels: &'r dyn Fn() -> Vec<Described>,
    table: &'d DeTable<'d>,
    /// The keys that the table may have, as far as it has been walked over.
    asked: Vec<&'static str>,
    problems: &'r mut Problems<'t>,
    found: Found,
}

impl<'d> Keys for Reader<'_, 'd, '_> {
    fn key<T: Debug, F: Form<T>>(&mut self, key: Key<F>, it: &mut T) {
        self.asked.push(key.name);
        let Some((name, value)) = self.table.get_key_value(key.name) else { return };
        let is_judged = key.about.is_always_judged || key.about.only.is_none_or(|only| self.is_chosen(only));
        let before = self.problems.count();
        let mut parts = Vec::new();
        let given = key.form.read(&mut Entry {
            key: key.name.into(),
            key_at: name.span(),
            value,
            is_element: false,
            is_judged,
            problems: self.problems,
            parts: &mut parts,
        });
        if let Some(given) = given {
            *it = given;
        }
        let is_sound = self.problems.count() == before;
        let is_array = value.get_ref().is_array();
        let (key_at, at) = (name.span(), value.span());
        let spot = Spot { key_at, at, parts, tables: Vec::new(), is_array, only: key.about.only, is_sound };
        self.found.add(key.name, spot);
    }

    fn table(&mut self, table: Table, walk: impl FnOnce(&mut Self)) {
        let Some(inner) = self.only_table(&table) else { return };
        let found = self.within(&table, inner, walk);
        self.found_tables(&table, vec![found]);
    }

    fn optional<L: Level>(&mut self, table: Table, it: &mut Option<L>) {
        let Some(inner) = self.only_table(&table) else { return };
        let mut level = L::blank();
        let found = self.within(&table, inner, |reader| level.walk(reader));
        *it = Some(level);
        self.found_tables(&table, vec![found]);
    }

    fn tables<L: Level>(&mut self, table: Table, example: &'static str, it: &mut Vec<L>) {
        self.asked.push(table.name);
        let Some((_, value)) = self.table.get_key_value(table.name) else { return };
        let mut all = Vec::new();
        for element in self.array_of_tables(&table, example, value) {
            let mut level = L::blank();
            all.push(self.within(&table, element, |reader| level.walk(reader)));
            it.push(level);
        }
        self.found_tables(&table, all);
    }

    fn is_sound(&self, name: &str) -> bool {
        self.found.is_sound(name)
    }
}

/// A table of the document with its place.
type Placed<'d> = Spanned<&'d DeTable<'d>>;

impl<'d> Reader<'_, 'd, '_> {
    /// Whether the table is one of those that have a key. What makes the choice is walked over before it.
    fn is_chosen(&self, only: Only) -> bool {
        let key = only.chosen_by();
        let chosen = self.found.text(key).map_or(only.default_choice(), |part| part.text.as_str());
        self.found.is_sound(key) && only.owners().contains(&chosen)
    }

    /// The table under a key; anything else is noted.
    fn only_table(&mut self, table: &Table) -> Option<Placed<'d>> {
        self.asked.push(table.name);
        let (key, value) = self.table.get_key_value(table.name)?;
        let found = value.get_ref().as_table();
        if found.is_none() {
            let is = article(value.get_ref());
            let wrong = Wrong::new(format!("`{}` must be a table, not {is}", table.name));
            self.problems.add(Some(&value.span()), wrong);
            let spot = Spot { key_at: key.span(), at: value.span(), ..Spot::default() };
            self.found.add(table.name, spot);
        }
        found.map(|found| Spanned::new(value.span(), found))
    }

    /// The tables of an array. What is not such a table is noted, and so is an array that holds none.
    fn array_of_tables(
        &mut self,
        table: &Table,
        example: &str,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Vec<Placed<'d>> {
        let name = table.name;
        let DeValue::Array(array) = value.get_ref() else {
            let what = format!("`{name}` must be an array of tables, not {}", article(value.get_ref()));
            let at = self.table.get_key_value(name).map(|(key, _)| key.span());
            self.problems.add(at.as_ref(), Wrong::new(what).help(example));
            return Vec::new();
        };
        if array.is_empty() {
            let wrong = Wrong::new(format!("`{name}` must hold at least one table"));
            self.problems.add(Some(&value.span()), wrong.help(example));
        }
        let mut tables = Vec::new();
        for element in array {
            match element.get_ref().as_table() {
                Some(inner) => tables.push(Spanned::new(element.span(), inner)),
                None => {
                    let wrong = Wrong::new(format!("`{name}` must hold tables")).help(example);
                    self.problems.add(Some(&element.span()), wrong);
                }
            }
        }
        tables
    }

    /// Walks over a table within this one, and returns what stood there.
    fn within(&mut self, table: &Table, inner: Placed<'d>, walk: impl FnOnce(&mut Self)) -> Found {
        let outer_found = std::mem::replace(&mut self.found, Found::at(inner.span()));
        let outer = std::mem::replace(&mut self.table, inner.into_inner());
        let outer_asked = std::mem::take(&mut self.asked);
        walk(self);
        self.refuse_unknown(table.title);
        self.asked = outer_asked;
        self.table = outer;
        std::mem::replace(&mut self.found, outer_found)
    }

    fn found_tables(&mut self, table: &Table, tables: Vec<Found>) {
        let Some((key, value)) = self.table.get_key_value(table.name) else { return };
        let (key_at, at) = (key.span(), value.span());
        let spot = Spot { key_at, at, tables, is_sound: true, ..Spot::default() };
        self.found.add(table.name, spot);
    }

    /// Notes the keys that a table of this kind does not have.
    fn refuse_unknown(&mut self, title: &str) {
        let is_unknown = |word: &str| !self.asked.contains(&word);
        let keys: Vec<_> = self.table.iter().filter(|(key, _)| is_unknown(key.get_ref())).collect();
        if keys.is_empty() {
            return;
        }
        let levels = (self.levels)();
        let Some(level) = levels.iter().find(|level| level.title == title) else { return };
        for (key, value) in keys {
            // It may be a misspelt `env`, or what belongs into one.
            let is_variable = !key.get_ref().contains(|c: char| c.is_ascii_lowercase());
            if value.get_ref().is_table() || is_variable {
                hide(value, self.problems);
            }
            self.problems.add(Some(&key.span()), unknown(key.get_ref(), level, &levels));
        }
    }
}

/// Covers a value, or those of a table.
fn hide(value: &Spanned<DeValue<'_>>, problems: &mut Problems<'_>) {
    match value.get_ref().as_table() {
        Some(table) => table.values().for_each(|inner| hide(inner, problems)),
        None => problems.hide(value.span()),
    }
}

fn unknown(word: &str, level: &Described, levels: &[Described]) -> Wrong {
    if let Some(row) = level.rows.iter().find(|row| row.formerly == Some(word)) {
        let what = format!("`{word}` is called `{}` now", row.name);
        return Wrong::new(what).help(format!("write {}", row.written()));
    }
    let elsewhere = OF_COMPOSE.iter().find(|(theirs, ours)| *theirs == word && level.row(ours).is_some());
    if let Some((_, ours)) = elsewhere {
        return Wrong::new(format!("unknown key `{word}`")).help(format!("it is called `{ours}` here"));
    }
    // A key under the wrong header is as common a slip as a wrong letter.
    let homes: Vec<&str> =
        levels.iter().filter(|other| other.row(word).is_some()).map(|home| home.title).collect();
    let help = if homes.is_empty() {
        let known: Vec<&str> = level.rows.iter().map(|row| row.name).collect();
        suggest::help(word, &known, '`')
    } else {
        format!("`{word}` is a key of {}; this is {}{}", homes.join(" and "), level.title, told(&level.rows))
    };
    Wrong::new(format!("unknown key `{word}`")).help(help)
}

/// The keys of a table that has few of them.
fn told(rows: &[Row]) -> String {
    const TOLD_MAX: usize = 5;
    let names: Vec<String> = rows.iter().map(|row| format!("`{}`", row.name)).collect();
    if names.len() > TOLD_MAX { String::new() } else { format!(", which has {}", names.join(", ")) }
}

/// The parser's message, which may have several lines, as one.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
