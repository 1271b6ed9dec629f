//! One value of the document on its way to a setting: where it stands, whether it is of the type that is
//! expected, and where to note that it is not. What values mean is not known here.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::found::Part;
use crate::problem::{Problems, Span, Wrong};

/// A type that a value may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Duration,
    Size,
    Version,
    Whole,
    Number,
    Flag,
}

pub(crate) const DURATION_HELP: &str = "durations carry units, for example \"500ms\"";
pub(crate) const SIZE_HELP: &str = "sizes carry units, for example \"64MiB\" or \"256MB\"";

/// A value that stands under a key, or in an array under it.
pub(crate) struct Entry<'e, 'd, 't> {
    pub(crate) key: Cow<'d, str>,
    pub(crate) key_at: Span,
    pub(crate) value: &'d Spanned<DeValue<'d>>,
    pub(crate) is_element: bool,
    /// Whether it is checked beyond its type.
    pub(crate) is_judged: bool,
    pub(crate) problems: &'e mut Problems<'t>,
    pub(crate) parts: &'e mut Vec<Part>,
}

impl<'d, 't> Entry<'_, 'd, 't> {
    /// The meaning of a value that has the type, and the meaning. What is wrong is noted. A value that is
    /// not judged has no meaning.
    pub(crate) fn value<T>(
        &mut self,
        kind: Kind,
        parse: impl FnOnce(&DeValue<'d>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.value.get_ref();
        if !kind.fits(value) {
            self.refuse_type(kind);
            return None;
        }
        self.parts.push(Part {
            key: self.key.clone().into_owned(),
            key_at: self.key_at.clone(),
            at: self.value.span(),
            text: value.as_str().unwrap_or_default().to_owned(),
        });
        if !self.is_judged {
            return None;
        }
        parse(value).map_err(|wrong| self.note(wrong)).ok()
    }

    /// The values of an array; anything else is noted.
    pub(crate) fn elements(&mut self, are: &str, example: &str) -> Option<&'d DeArray<'d>> {
        let array = self.value.get_ref().as_array();
        if array.is_none() {
            let is = article(self.value.get_ref());
            let wrong = Wrong::new(format!("must be an array of {are}, not {is}"));
            self.note(wrong.help(format!("for example {example}")));
        }
        array
    }

    /// One value of an array.
    pub(crate) fn element(&mut self, value: &'d Spanned<DeValue<'d>>) -> Entry<'_, 'd, 't> {
        Entry {
            key: self.key.clone(),
            key_at: self.key_at.clone(),
            value,
            is_element: true,
            is_judged: self.is_judged,
            problems: self.problems,
            parts: self.parts,
        }
    }

    /// The table that stands here; anything else is noted.
    pub(crate) fn inner(&mut self) -> Option<&'d DeTable<'d>> {
        let table = self.value.get_ref().as_table();
        if table.is_none() {
            let is = article(self.value.get_ref());
            self.note(Wrong::new(format!("must be a table, not {is}")));
        }
        table
    }

    /// One value of such a table, under its own name.
    pub(crate) fn named(
        &mut self,
        name: &'d Spanned<Cow<'d, str>>,
        value: &'d Spanned<DeValue<'d>>,
    ) -> Entry<'_, 'd, 't> {
        Entry {
            key: name.get_ref().clone(),
            key_at: name.span(),
            value,
            is_element: false,
            is_judged: self.is_judged,
            problems: self.problems,
            parts: self.parts,
        }
    }

    /// Notes what is wrong with the value; the words follow the name of its key.
    pub(crate) fn note(&mut self, wrong: Wrong) {
        let what = format!("`{}` {}", self.key, wrong.what);
        self.problems.add(Some(&self.value.span()), Wrong { what, ..wrong });
    }

    fn refuse_type(&mut self, kind: Kind) {
        let is = article(self.value.get_ref());
        if self.is_element {
            self.note(Wrong::new(format!("must hold {}, not {is}", kind.are())));
        } else {
            let wrong = Wrong::new(format!("must be {}, not {is}", kind.is()));
            self.note(Wrong { help: kind.help().map(str::to_owned), ..wrong });
        }
    }
}

impl Kind {
    fn fits(self, value: &DeValue<'_>) -> bool {
        match self {
            Self::Text | Self::Duration | Self::Size | Self::Version => value.as_str().is_some(),
            Self::Whole => value.as_integer().is_some(),
            Self::Number => value.as_integer().is_some() || value.as_float().is_some(),
            Self::Flag => value.as_bool().is_some(),
        }
    }

    fn is(self) -> &'static str {
        match self {
            Self::Text | Self::Version => "a string",
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Whole => "an integer",
            Self::Number => "a number",
            Self::Flag => "true or false",
        }
    }

    /// What several of them are called.
    pub(crate) fn are(self) -> &'static str {
        match self {
            Self::Text | Self::Version => "strings",
            Self::Duration => "durations",
            Self::Size => "sizes",
            Self::Whole => "integers",
            Self::Number => "numbers",
            Self::Flag => "booleans",
        }
    }

    fn help(self) -> Option<&'static str> {
        match self {
            Self::Duration => Some(DURATION_HELP),
            Self::Size => Some(SIZE_HELP),
            Self::Version => Some("for example \"1.2\", in quotes"),
            Self::Text | Self::Whole | Self::Number | Self::Flag => None,
        }
    }
}

/// An integer.
pub(crate) fn whole(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    // What does not fit is above (or, with a sign, below) every limit there is.
    let beyond = if integer.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
    Some(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(beyond))
}

/// A number with or without a fraction.
pub(crate) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        other => whole(other).map(|integer| integer as f64),
    }
}

/// A value by its type, in a sentence.
pub(crate) fn article(value: &DeValue<'_>) -> &'static str {
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
