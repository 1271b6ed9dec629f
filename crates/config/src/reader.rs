//! Reads one table of a TOML document: keys that it does not have, and values of a wrong type,
//! become problems. What the values mean is not known here.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, Wrong};
use super::suggest;

/// A value of the file, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) key: String,
    pub(crate) key_at: Range<usize>,
    pub(crate) at: Range<usize>,
    pub(crate) value: T,
}

/// A type that a value may have, and how to speak of it.
pub(crate) struct Type<T> {
    is: &'static str,
    are: &'static str,
    help: Option<&'static str>,
    read: fn(&DeValue<'_>) -> Option<T>,
}

pub(crate) const DURATION_HELP: &str = "durations carry units, for example \"500ms\"";
pub(crate) const SIZE_HELP: &str = "sizes carry units, for example \"64MiB\" or \"256MB\"";

pub(crate) const TEXT: Type<String> = Type { is: "a string", are: "strings", help: None, read: text };
pub(crate) const DURATION: Type<String> =
    Type { is: "a duration", are: "durations", help: Some(DURATION_HELP), read: text };
pub(crate) const SIZE: Type<String> = Type { is: "a size", are: "sizes", help: Some(SIZE_HELP), read: text };
pub(crate) const VERSION: Type<String> =
    Type { is: "a string", are: "strings", help: Some("for example \"1.2\", in quotes"), read: text };
pub(crate) const WHOLE: Type<i128> = Type { is: "an integer", are: "integers", help: None, read: whole };
pub(crate) const NUMBER: Type<f64> = Type { is: "a number", are: "numbers", help: None, read: number };
pub(crate) const FLAG: Type<bool> = Type { is: "true or false", are: "booleans", help: None, read: flag };

fn text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn flag(value: &DeValue<'_>) -> Option<bool> {
    value.as_bool()
}

fn whole(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    // What does not fit is above (or, with a sign, below) every limit there is.
    let beyond = if integer.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    Some(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(beyond))
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        other => whole(other).map(|integer| integer as f64),
    }
}

/// A kind of table: how the documents write it, and the keys that it has.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [&'static str],
}

/// One table, and where its problems go.
pub(crate) struct Reader<'d, 'p, 't> {
    table: &'d DeTable<'d>,
    problems: &'p mut Problems<'t>,
}

impl<'d, 'p, 't> Reader<'d, 'p, 't> {
    /// A reader of a table of kind `levels[own]`; unknown keys are noted at once.
    pub(crate) fn new(
        table: &'d DeTable<'d>,
        (levels, own): (&[Level], usize),
        problems: &'p mut Problems<'t>,
    ) -> Self {
        let level = &levels[own];
        for (key, _) in table.iter().filter(|(key, _)| !level.keys.contains(&key.get_ref().as_ref())) {
            let word = key.get_ref().as_ref();
            // A key under the wrong header is as common a slip as a wrong letter.
            let homes = levels.iter().filter(|other| other.keys.contains(&word));
            let homes: Vec<&str> = homes.map(|home| home.title).collect();
            let help = if homes.is_empty() {
                suggest::help(word, level.keys, '`')
            } else {
                format!("`{word}` is a key of {}; this is {}", homes.join(" and "), level.title)
            };
            problems.add(Some(&key.span()), Wrong::new(format!("unknown key `{word}`")).help(help));
        }
        Self { table, problems }
    }

    /// The positions of all keys that are there, known or not, right or wrong.
    pub(crate) fn keys(&self) -> Vec<(String, Range<usize>)> {
        self.table.keys().map(|key| (key.get_ref().clone().into_owned(), key.span())).collect()
    }

    /// A value of a type; nothing if the key is absent, or the type wrong and so noted.
    pub(crate) fn take<T>(&mut self, key: &str, expected: &Type<T>) -> Option<Given<T>> {
        let given = self.find(key)?;
        let found = (expected.read)(given.value.get_ref());
        if found.is_none() {
            let is = article(given.value.get_ref());
            let wrong = Wrong::new(format!("`{key}` must be {}, not {is}", expected.is));
            self.problems.add(Some(&given.at), Wrong { help: expected.help.map(str::to_owned), ..wrong });
        }
        found.map(|value| given.with(value))
    }

    /// A list of values of a type; those of another type are noted and left out.
    pub(crate) fn take_list<T>(
        &mut self,
        key: &str,
        expected: &Type<T>,
        example: &str,
    ) -> Option<Given<Vec<Given<T>>>> {
        let given = self.find(key)?;
        let Some(array) = given.value.get_ref().as_array() else {
            let is = article(given.value.get_ref());
            let wrong = Wrong::new(format!("`{key}` must be an array of {}, not {is}", expected.are));
            self.problems.add(Some(&given.at), wrong.help(format!("for example {example}")));
            return None;
        };
        let mut values = Vec::new();
        for element in array {
            match (expected.read)(element.get_ref()) {
                Some(value) => values.push(Given { at: element.span(), ..given.with(value) }),
                None => {
                    let is = article(element.get_ref());
                    let wrong = Wrong::new(format!("`{key}` must hold {}, not {is}", expected.are));
                    self.problems.add(Some(&element.span()), wrong);
                }
            }
        }
        Some(given.with(values))
    }

    /// A table of strings under names of the operator's choice.
    pub(crate) fn take_pairs(&mut self, key: &str) -> Vec<Given<String>> {
        let Some(table) = self.take_table(key) else { return Vec::new() };
        let names = table.value.keys().map(|key| key.get_ref().as_ref());
        let mut inner = Reader { table: table.value, problems: self.problems };
        names.filter_map(|name| inner.take(name, &TEXT)).collect()
    }

    /// A table within this one.
    pub(crate) fn take_table(&mut self, key: &str) -> Option<Given<&'d DeTable<'d>>> {
        let given = self.find(key)?;
        let table = given.value.get_ref().as_table();
        if table.is_none() {
            let is = article(given.value.get_ref());
            self.problems.add(Some(&given.at), Wrong::new(format!("`{key}` must be a table, not {is}")));
        }
        table.map(|table| given.with(table))
    }

    /// An array of tables, each with the place of its header; if it is there, what is not such a
    /// table is noted, and so is an array that holds none.
    pub(crate) fn take_tables(&mut self, key: &str, help: &str) -> Option<Vec<Given<&'d DeTable<'d>>>> {
        let given = self.find(key)?;
        let mut tables = Vec::new();
        match given.value.get_ref() {
            DeValue::Array(array) => {
                if array.is_empty() {
                    let wrong = Wrong::new(format!("`{key}` must hold at least one table"));
                    self.problems.add(Some(&given.at), wrong.help(help));
                }
                for element in array {
                    match element.get_ref().as_table() {
                        Some(table) => tables.push(Given { at: element.span(), ..given.with(table) }),
                        None => {
                            let wrong = Wrong::new(format!("`{key}` must hold tables")).help(help);
                            self.problems.add(Some(&element.span()), wrong);
                        }
                    }
                }
            }
            other => {
                let wrong = Wrong::new(format!("`{key}` must be an array of tables, not {}", article(other)));
                self.problems.add(Some(&given.key_at), wrong.help(help));
            }
        }
        Some(tables)
    }

    /// A reader of a table within this one.
    pub(crate) fn inner(&mut self, table: &'d DeTable<'d>, level: (&[Level], usize)) -> Reader<'d, '_, 't> {
        Reader::new(table, level, self.problems)
    }

    fn find(&self, key: &str) -> Option<Given<&'d Spanned<DeValue<'d>>>> {
        let (found, value) = self.table.get_key_value(key)?;
        Some(Given { key: key.to_owned(), key_at: found.span(), at: value.span(), value })
    }
}

impl<T> Given<T> {
    fn with<U>(&self, value: U) -> Given<U> {
        Given { key: self.key.clone(), key_at: self.key_at.clone(), at: self.at.clone(), value }
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
