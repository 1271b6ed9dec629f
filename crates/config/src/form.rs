//! The forms that values have: which type of TOML they are of, which limits they have, how they are read,
//! and how they are written in the documentation. Each is a part of the declaration of a key.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::entry::{Entry, Kind, number, whole};
use crate::problem::Wrong;
use crate::{suggest, value};

/// How a value of type `T` stands in a file.
pub(crate) trait Form<T> {
    /// Its type, as the documentation calls it.
    fn kind(&self) -> &'static str;

    /// Its limits, as the documentation tells them; empty if there are none to be told.
    fn limits(&self) -> String;

    /// A value as it would stand in a file.
    fn show(&self, value: &T) -> String;

    /// The value that was given; nothing if it is wrong, which is noted.
    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<T>;
}

/// An integer.
#[derive(Clone, Debug)]
pub(crate) struct Whole(pub(crate) RangeInclusive<u32>);

/// A number with a fraction.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) limits: RangeInclusive<f64>,
    /// For those that may also be 0, which turns something off: what to say of a wrong one.
    pub(crate) or_zero: Option<&'static str>,
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag;

/// A duration with its unit.
#[derive(Clone, Debug)]
pub(crate) struct Time(pub(crate) RangeInclusive<Duration>);

/// A duration, of which the shortest, 0, stands for none.
#[derive(Clone, Debug)]
pub(crate) struct TimeOrNone(pub(crate) Time);

/// A size with its unit, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Size(pub(crate) RangeInclusive<u64>);

/// A string with a form of its own.
#[derive(Clone, Copy)]
pub(crate) struct Text<T> {
    pub(crate) kind: &'static str,
    pub(crate) parse: fn(&str) -> Result<T, Wrong>,
    pub(crate) show: fn(&T) -> String,
}

/// One of several words.
#[derive(Clone, Debug)]
pub(crate) struct Choice<T> {
    kind: Kind,
    names: Vec<&'static str>,
    meanings: Vec<T>,
}

/// An array of values of one form.
#[derive(Clone, Debug)]
pub(crate) struct List<F> {
    pub(crate) each: F,
    /// For those who have written something else.
    pub(crate) example: &'static str,
    /// The most values, if there is not a check that says more of too many.
    pub(crate) most: Option<usize>,
}

/// A value that may be left out, and then means nothing.
#[derive(Clone, Debug)]
pub(crate) struct Maybe<F>(pub(crate) F);

/// A table of strings under names of the operator's choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named;

impl<T: TryFrom<u32> + Display> Form<T> for Whole {
    fn kind(&self) -> &'static str {
        "integer"
    }

    fn limits(&self) -> String {
        format!("{}–{}", self.0.start(), self.0.end())
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<T> {
        entry.value(Kind::Whole, |value| {
            let given = whole(value);
            let fitting = given.and_then(|given| u32::try_from(given).ok()).filter(|it| self.0.contains(it));
            let shown = given.filter(|given| i64::try_from(*given).is_ok());
            let is = shown.map(|given| format!(", not {given}")).unwrap_or_default();
            let fitting = fitting.and_then(|it| T::try_from(it).ok());
            fitting.ok_or_else(|| out_of_range(self.0.start(), self.0.end(), &is))
        })
    }
}

impl Form<f64> for Number {
    fn kind(&self) -> &'static str {
        "number"
    }

    fn limits(&self) -> String {
        let or_zero = if self.or_zero.is_some() { "0, or " } else { "" };
        format!("{or_zero}{}–{}", self.limits.start(), self.limits.end())
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<f64> {
        entry.value(Kind::Number, |value| {
            let given = number(value).unwrap_or(f64::NAN);
            // Written so that NaN, which compares as false with everything, is refused.
            if self.limits.contains(&given) || (self.or_zero.is_some() && given == 0.0) {
                return Ok(given);
            }
            let is = format!(", not {given}");
            let (start, end) = (self.limits.start(), self.limits.end());
            Err(match self.or_zero {
                Some(help) => Wrong::new(format!("must be 0, or from {start} to {end}{is}")).help(help),
                None => out_of_range(start, end, &is),
            })
        })
    }
}

impl Form<bool> for Flag {
    fn kind(&self) -> &'static str {
        "boolean"
    }

    fn limits(&self) -> String {
        String::new()
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<bool> {
        entry.value(Kind::Flag, |value| Ok(value.as_bool().unwrap_or_default()))
    }
}

impl Form<Duration> for Time {
    fn kind(&self) -> &'static str {
        "duration"
    }

    fn limits(&self) -> String {
        format!("{} – {}", value::shown_duration(*self.0.start()), value::shown_duration(*self.0.end()))
    }

    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", value::shown_duration(*value))
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Duration> {
        entry.value(Kind::Duration, |value| {
            let text = value.as_str().unwrap_or_default();
            let given = value::duration(text)?;
            let [start, end] = [*self.0.start(), *self.0.end()].map(humantime::format_duration);
            let is_within = self.0.contains(&given);
            is_within.then_some(given).ok_or_else(|| out_of_range(&start, &end, &format!(", not {text:?}")))
        })
    }
}

impl Form<Option<Duration>> for TimeOrNone {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn limits(&self) -> String {
        self.0.limits()
    }

    fn show(&self, value: &Option<Duration>) -> String {
        self.0.show(&value.unwrap_or_default())
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Option<Duration>> {
        self.0.read(entry).map(|given| Some(given).filter(|given| !given.is_zero()))
    }
}

impl<T: TryFrom<u64> + TryInto<u64> + Copy> Form<T> for Size {
    fn kind(&self) -> &'static str {
        "size"
    }

    fn limits(&self) -> String {
        format!("{} – {}", value::shown_size(*self.0.start()), value::shown_size(*self.0.end()))
    }

    fn show(&self, value: &T) -> String {
        format!("\"{}\"", value::shown_size((*value).try_into().unwrap_or(u64::MAX)))
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<T> {
        entry.value(Kind::Size, |value| {
            let text = value.as_str().unwrap_or_default();
            let given = value::size(text)?;
            let [start, end] = [*self.0.start(), *self.0.end()].map(value::shown_size);
            let fitting = Some(given).filter(|given| self.0.contains(given));
            let fitting = fitting.and_then(|given| T::try_from(given).ok());
            fitting.ok_or_else(|| out_of_range(&start, &end, &format!(", not {text:?}")))
        })
    }
}

impl<T: ToString> Text<T> {
    /// A string that is written as what it means is shown.
    pub(crate) fn of(kind: &'static str, parse: fn(&str) -> Result<T, Wrong>) -> Self {
        Self { kind, parse, show: T::to_string }
    }
}

impl Text<PathBuf> {
    /// A file or a directory.
    pub(crate) fn path(parse: fn(&str) -> Result<PathBuf, Wrong>) -> Self {
        Self { kind: "file", parse, show: |path| path.display().to_string() }
    }
}

impl<T> Form<T> for Text<T> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn limits(&self) -> String {
        String::new()
    }

    fn show(&self, value: &T) -> String {
        format!("{:?}", (self.show)(value))
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<T> {
        entry.value(Kind::Text, |value| (self.parse)(value.as_str().unwrap_or_default()))
    }
}

impl<T: Clone> Choice<T> {
    /// The words that somebody else keeps.
    pub(crate) fn of(names: &[&'static str], from_name: fn(&str) -> Option<T>) -> Self {
        let known = names.iter().filter_map(|name| Some((*name, from_name(name)?)));
        let (names, meanings) = known.unzip();
        Self { kind: Kind::Text, names, meanings }
    }

    /// These words with these meanings.
    pub(crate) fn between<const N: usize>(names: [&'static str; N], meanings: [T; N]) -> Self {
        Self { kind: Kind::Text, names: names.to_vec(), meanings: Vec::from(meanings) }
    }

    /// Words that look like numbers, and are written in quotes all the same.
    pub(crate) fn of_versions(self) -> Self {
        Self { kind: Kind::Version, ..self }
    }
}

impl<T: Clone + PartialEq> Form<T> for Choice<T> {
    fn kind(&self) -> &'static str {
        "string"
    }

    fn limits(&self) -> String {
        let words: Vec<String> = self.names.iter().map(|name| format!("`\"{name}\"`")).collect();
        words.join(", ")
    }

    fn show(&self, value: &T) -> String {
        let at = self.meanings.iter().position(|meaning| meaning == value);
        at.map(|at| format!("\"{}\"", self.names[at])).unwrap_or_default()
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<T> {
        entry.value(self.kind, |value| {
            let text = value.as_str().unwrap_or_default();
            let at = self.names.iter().position(|name| *name == text);
            let wrong =
                || Wrong::new(format!("cannot be {text:?}")).help(suggest::help(text, &self.names, '"'));
            at.map(|at| self.meanings[at].clone()).ok_or_else(wrong)
        })
    }
}

impl<T, F: Form<T>> Form<Vec<T>> for List<F> {
    fn kind(&self) -> &'static str {
        match self.each.kind() {
            "integer" => "array of integers",
            _ => "array of strings",
        }
    }

    fn limits(&self) -> String {
        let each =
            Some(self.each.limits()).filter(|each| !each.is_empty()).map(|each| format!("each {each}"));
        let most = self.most.map(|most| format!("at most {most}"));
        each.into_iter().chain(most).collect::<Vec<_>>().join(", ")
    }

    fn show(&self, value: &Vec<T>) -> String {
        let values: Vec<String> = value.iter().map(|value| self.each.show(value)).collect();
        format!("[{}]", values.join(", "))
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Vec<T>> {
        let are = match self.each.kind() {
            "integer" => Kind::Whole.are(),
            _ => Kind::Text.are(),
        };
        let elements = entry.elements(are, self.example)?;
        let most = self.most.unwrap_or(usize::MAX);
        let mut listed = Vec::new();
        for element in elements {
            // Behind the end, a wrong value is not worth a problem of its own.
            let is_judged = entry.is_judged && entry.parts.len() < most;
            let mut element = Entry { is_judged, ..entry.element(element) };
            listed.extend(self.each.read(&mut element));
        }
        let length = entry.parts.len();
        if entry.is_judged && length > most {
            entry.note(Wrong::new(format!("must list at most {most}, not {length}")));
        }
        Some(listed)
    }
}

impl<T, F: Form<T>> Form<Option<T>> for Maybe<F> {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn limits(&self) -> String {
        self.0.limits()
    }

    fn show(&self, value: &Option<T>) -> String {
        value.as_ref().map_or_else(|| "none".to_owned(), |value| self.0.show(value))
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Option<T>> {
        self.0.read(entry).map(Some)
    }
}

impl Form<BTreeMap<String, String>> for Named {
    fn kind(&self) -> &'static str {
        "table of strings"
    }

    fn limits(&self) -> String {
        String::new()
    }

    fn show(&self, value: &BTreeMap<String, String>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<String, String>> {
        let table = entry.inner()?;
        let mut pairs = BTreeMap::new();
        for (name, value) in table {
            // Who reads of a mistake beside it must not read a password.
            entry.problems.hide(value.span());
            let text = entry
                .named(name, value)
                .value(Kind::Text, |value| Ok(value.as_str().unwrap_or_default().to_owned()));
            pairs.extend(text.map(|text| (name.get_ref().clone().into_owned(), text)));
        }
        Some(pairs)
    }
}

fn out_of_range(start: &dyn Display, end: &dyn Display, is: &str) -> Wrong {
    Wrong::new(format!("must be from {start} to {end}{is}"))
}
