//! The tables of what containers have beside, and what is told in more than one type: labels, limits of the kernel,
//! secrets, processors for graphics.

use std::collections::BTreeMap;

use driver::{Gpus, Ulimit};

use super::is_plain_name;
use crate::entry::{Entry, Kind, whole};
use crate::form::Form;
use crate::problem::Wrong;
use crate::suggest;
use crate::value::{Parsed, must_be};

const TABLE_MAX: usize = 256;
const SECRETS_MAX: usize = 64;
const GPUS_MAX: usize = 256;
/// What the kernel limits, as the engine calls it.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A table of strings whose names are judged. Its values may be secrets.
#[derive(Clone, Copy)]
pub(crate) struct StringTable {
    pub(crate) name: fn(&str) -> Parsed<()>,
    pub(crate) value: fn(&str) -> Parsed<()>,
}

impl Form<BTreeMap<String, String>> for StringTable {
    fn kind(&self) -> &'static str {
        "table of strings"
    }

    fn limits(&self) -> String {
        format!("at most {TABLE_MAX}")
    }

    fn show(&self, value: &BTreeMap<String, String>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<String, String>> {
        let table = entry.inner()?;
        refuse_more(entry, table.len(), TABLE_MAX);
        let mut pairs = BTreeMap::new();
        for (name, given) in table {
            // Who reads of a mistake beside it must not read a password.
            entry.problems.hide(given.span());
            if let Err(wrong) = (self.name)(name.get_ref()) {
                let what = format!("`{}` {}", entry.key, wrong.what);
                entry.problems.add(Some(&name.span()), Wrong { what, ..wrong });
                continue;
            }
            let read = |text: &str| (self.value)(text).map(|()| text.to_owned());
            let mut inner = entry.named(name, given);
            let text = inner.value(Kind::Text, |value| read(value.as_str().unwrap_or_default()));
            pairs.extend(text.map(|text| (name.get_ref().clone().into_owned(), text)));
        }
        Some(pairs)
    }
}

fn refuse_more(entry: &mut Entry<'_, '_, '_>, length: usize, most: usize) {
    if length > most {
        entry.note(Wrong::new(format!("must have at most {most} entries, not {length}")));
    }
}

/// A table of limits of the kernel: each a number, or a string with the soft and the hard one.
#[derive(Clone, Copy)]
pub(crate) struct Ulimits;

impl Form<BTreeMap<String, Ulimit>> for Ulimits {
    fn kind(&self) -> &'static str {
        "table of integers and strings"
    }

    fn limits(&self) -> String {
        "each from -1 (none)".to_owned()
    }

    fn show(&self, value: &BTreeMap<String, Ulimit>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<String, Ulimit>> {
        let table = entry.inner()?;
        let mut limits = BTreeMap::new();
        for (name, given) in table {
            let word = name.get_ref().as_ref();
            if !ULIMITS.contains(&word) {
                let wrong = Wrong::new(format!("`{}` has no `{word}`", entry.key))
                    .help(suggest::help(word, &ULIMITS, '`'));
                entry.problems.add(Some(&name.span()), wrong);
                continue;
            }
            let is_text = given.get_ref().is_str();
            let mut inner = entry.named(name, given);
            let limit = match is_text {
                true => inner.value(Kind::Text, |value| ulimit(value.as_str().unwrap_or_default())),
                false => inner.value(Kind::Whole, |value| {
                    let both = whole(value).and_then(|one| i64::try_from(one).ok()).filter(|one| *one >= -1);
                    both.map(|both| Ulimit { soft: both, hard: both }).ok_or_else(wrong_ulimit)
                }),
            };
            limits.extend(limit.map(|limit| (word.to_owned(), limit)));
        }
        Some(limits)
    }
}

fn wrong_ulimit() -> Wrong {
    let wrong =
        Wrong::new("must be a number from -1, which is none, or two of them, the first not above the second");
    wrong.help("for example nofile = 65536 or nofile = \"1024:65536\"")
}

pub(super) fn ulimit(text: &str) -> Parsed<Ulimit> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let number =
        |text: &str| text.trim().parse().ok().filter(|number| *number >= -1_i64).ok_or_else(wrong_ulimit);
    let limit = Ulimit { soft: number(soft)?, hard: number(hard)? };
    let is_in_order = limit.hard == -1 || (limit.soft != -1 && limit.soft <= limit.hard);
    if is_in_order { Ok(limit) } else { Err(wrong_ulimit()) }
}

/// A table of files under the names that their contents have inside.
#[derive(Clone, Copy)]
pub(crate) struct Secrets;

impl Form<BTreeMap<String, String>> for Secrets {
    fn kind(&self) -> &'static str {
        "table of files"
    }

    fn limits(&self) -> String {
        format!("at most {SECRETS_MAX}, each at most 500 KiB")
    }

    fn show(&self, value: &BTreeMap<String, String>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<String, String>> {
        let table = entry.inner()?;
        refuse_more(entry, table.len(), SECRETS_MAX);
        let mut secrets = BTreeMap::new();
        for (name, given) in table {
            // Whoever takes the value for the secret itself must not read it in an error.
            entry.problems.hide(given.span());
            let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            let word = name.get_ref().as_ref();
            if word.is_empty() || word.len() > 64 || word.starts_with('.') || !word.chars().all(is_legal) {
                let wrong = must_be("named by 1 to 64 characters of A-Z, a-z, 0-9 and \"_.-\"", word);
                let what = format!("`{}` {}", entry.key, wrong.what);
                entry.problems.add(Some(&name.span()), Wrong { what, ..wrong });
                continue;
            }
            let path = |text: &str| match text.is_empty() || text.contains('\0') {
                true => Err(Wrong::new("must be the path of a file")),
                false => Ok(text.to_owned()),
            };
            let mut inner = entry.named(name, given);
            let path = inner.value(Kind::Text, |value| path(value.as_str().unwrap_or_default()));
            secrets.extend(path.map(|path| (word.to_owned(), path)));
        }
        Some(secrets)
    }
}

/// Processors for graphics: `"all"`, a number, or an array of their names.
#[derive(Clone, Copy)]
pub(crate) struct Graphics;

impl Form<Option<Gpus>> for Graphics {
    fn kind(&self) -> &'static str {
        "`\"all\"`, integer or array of strings"
    }

    fn limits(&self) -> String {
        String::new()
    }

    fn show(&self, value: &Option<Gpus>) -> String {
        match value {
            None => "none".to_owned(),
            Some(Gpus::All) => "\"all\"".to_owned(),
            Some(Gpus::Count(count)) => count.to_string(),
            Some(Gpus::Named(names)) => format!("{names:?}"),
        }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Option<Gpus>> {
        let wrong = || {
            let help = "for example gpus = \"all\", gpus = 1 or gpus = [\"GPU-3a23c669\"]";
            Wrong::new(format!("must be \"all\", a number from 1 to {GPUS_MAX}, or the names of processors"))
                .help(help)
        };
        let value = entry.value.get_ref();
        if value.is_str() {
            let all = |text: &str| if text == "all" { Ok(Gpus::All) } else { Err(wrong()) };
            return entry.value(Kind::Text, |value| all(value.as_str().unwrap_or_default())).map(Some);
        }
        if value.is_integer() {
            let fits = |count: &u32| (1..=GPUS_MAX).contains(&(*count as usize));
            let count = |given: Option<i128>| given.and_then(|it| u32::try_from(it).ok()).filter(fits);
            return entry
                .value(Kind::Whole, |value| count(whole(value)).map(Gpus::Count).ok_or_else(wrong))
                .map(Some);
        }
        let elements = entry.elements("strings", "gpus = [\"GPU-3a23c669\"]")?;
        let mut names = Vec::new();
        for element in elements {
            let name = |text: &str| if is_plain_name(text) { Ok(text.to_owned()) } else { Err(wrong()) };
            let mut element = entry.element(element);
            names.extend(element.value(Kind::Text, |value| name(value.as_str().unwrap_or_default())));
        }
        if elements.is_empty() || elements.len() > GPUS_MAX {
            entry.note(wrong());
        }
        Some(Some(Gpus::Named(names)))
    }
}
