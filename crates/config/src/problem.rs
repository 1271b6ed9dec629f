//! What is wrong with a configuration, and how it is shown: file, line and column, the line
//! itself, and what to do about it. Nothing is judged here.

use std::fmt::{self, Write};
use std::ops::Range;

use crate::told::{covered, without_values};

/// A part of the file's text, in bytes.
pub(crate) type Span = Range<usize>;

/// More problems than these are counted, but not shown.
const SHOWN_MAX: usize = 100;
/// More problems than these are not told to whoever is not at this machine.
const TOLD_MAX: usize = 10;
/// More characters of a message, or of a help, than these are not shown.
const MESSAGE_SHOWN_MAX: usize = 600;
/// More characters of a line than these are not shown.
const LINE_SHOWN_MAX: usize = 160;

/// Why there are no settings. Its text is complete: all problems, each with its place and help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    text: String,
    /// The same without lines of the file and without values, in one line.
    told: String,
    count: usize,
}

impl ConfigError {
    /// An error that concerns no place in a file.
    pub(crate) fn of_no_place(what: &str) -> Self {
        Self { text: format!("error: {what}"), told: what.to_owned(), count: 1 }
    }

    /// What may leave this machine, and stand in a log: the places, and what is wrong there, in one line. No
    /// line of the file and no value is in it, for they may be secrets.
    pub fn without_values(&self) -> &str {
        &self.told
    }

    /// How many problems there are; at least one.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with a value, before it is known where the value stands.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    /// What is wrong and what would be right, for a place that has no lines.
    pub(crate) fn in_one_line(self) -> String {
        match self.help {
            Some(help) => format!("{}; {help}", self.what),
            None => self.what,
        }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// The problems found so far in one file.
#[derive(Debug)]
pub(crate) struct Problems<'t> {
    text: &'t str,
    found: Vec<(Option<Span>, Wrong)>,
    /// Where values stand that are not shown.
    hidden: Vec<Span>,
}

impl<'t> Problems<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self { text, found: Vec::new(), hidden: Vec::new() }
    }

    /// Never shows what stands here.
    pub(crate) fn hide(&mut self, at: Span) {
        self.hidden.push(at);
    }

    /// Notes a problem; without a span it concerns the whole file.
    pub(crate) fn add(&mut self, at: Option<&Span>, wrong: Wrong) {
        self.found.push((at.cloned(), wrong));
    }

    /// How many there are so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// The number of the line that a span begins on, from 1.
    pub(crate) fn line_number(&self, at: &Span) -> usize {
        Place::find(self.text, at.start).number
    }

    /// The error to be shown, if there is any problem.
    pub(crate) fn finish(mut self, file_name: &str) -> Result<(), ConfigError> {
        // In the order of the file, whatever the order in which it was checked; what concerns
        // the whole file comes last.
        self.found.sort_by_key(|(at, _)| at.as_ref().map_or(usize::MAX, |at| at.start));
        let count = self.found.len();
        let shown = self.found.iter().take(SHOWN_MAX);
        let mut parts: Vec<String> =
            shown.map(|(at, wrong)| self.render(file_name, at.as_ref(), wrong)).collect();
        if count > SHOWN_MAX {
            parts.push(format!("and {} more problems", count - SHOWN_MAX));
        }
        if count == 0 {
            return Ok(());
        }
        let told = self.found.iter().take(TOLD_MAX);
        let mut told: Vec<String> =
            told.map(|(at, wrong)| self.tell(file_name, at.as_ref(), wrong)).collect();
        if count > TOLD_MAX {
            told.push(format!("and {} more", count - TOLD_MAX));
        }
        Err(ConfigError { text: parts.join("\n\n"), told: told.join("; "), count })
    }

    /// A problem in one line, for whoever must not see the file.
    fn tell(&self, file_name: &str, at: Option<&Span>, wrong: &Wrong) -> String {
        let what = shown(&without_values(&wrong.what), MESSAGE_SHOWN_MAX);
        let place = at.map(|at| Place::find(self.text, at.start));
        let place = place.map(|place| format!(":{}:{}", place.number, place.column)).unwrap_or_default();
        // Help that quotes would quote values.
        let help = wrong.help.as_ref().filter(|help| !help.contains('"'));
        let help = help.map(|help| format!(" ({})", shown(help, MESSAGE_SHOWN_MAX))).unwrap_or_default();
        format!("{file_name}{place}: {what}{help}")
    }

    fn render(&self, file_name: &str, at: Option<&Span>, wrong: &Wrong) -> String {
        let mut text = format!("error: {}\n", shown(&wrong.what, MESSAGE_SHOWN_MAX));
        let margin = match at {
            None => {
                text += &format!(" --> {file_name}");
                1
            }
            Some(at) => self.render_place(&mut text, file_name, at),
        };
        if let Some(help) = &wrong.help {
            text += &format!("\n{:margin$} = help: {}", "", shown(help, MESSAGE_SHOWN_MAX));
        }
        text
    }

    /// Appends the place and its line; returns the width of the line number.
    fn render_place(&self, text: &mut String, file_name: &str, at: &Span) -> usize {
        let place = Place::find(self.text, at.start);
        let (number, column) = (place.number, place.column);
        let margin = number.to_string().len();
        let line = shown(&covered(place.line, place.start, &self.hidden), LINE_SHOWN_MAX);
        write!(text, "{:margin$}--> {file_name}:{number}:{column}\n{:margin$} |\n{number} | {line}", "", "")
            .expect("a string takes all that is written");
        let before: String = line.chars().take(column - 1).collect();
        if column <= LINE_SHOWN_MAX {
            let marked = self.text.get(at.clone()).unwrap_or_default();
            let length = marked.lines().next().unwrap_or_default().chars().count();
            let room = (LINE_SHOWN_MAX + 1 - column).min(length.max(1));
            // A tab stays a tab, so that the marks stand below what they mark.
            let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            *text += &format!("\n{:margin$} | {indent}{}", "", "^".repeat(room));
        }
        margin
    }
}

/// The beginning of a text. Keys and values stand in messages as well, and neither a control
/// character in a file nor a megabyte on one line must reach the terminal.
fn shown(text: &str, chars_max: usize) -> String {
    let is_harmless = |character: &char| !character.is_control() || *character == '\t';
    let harmless = |character| if is_harmless(&character) { character } else { char::REPLACEMENT_CHARACTER };
    text.chars().take(chars_max).map(harmless).collect()
}

/// A line, and a column in it; both are counted from 1, columns in characters.
struct Place<'t> {
    number: usize,
    column: usize,
    /// Where the line begins.
    start: usize,
    line: &'t str,
}

impl<'t> Place<'t> {
    fn find(text: &'t str, offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset);
        let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            number: text[..start].matches('\n').count() + 1,
            column: text[start..offset].chars().count() + 1,
            start,
            line: text[start..].lines().next().unwrap_or_default(),
        }
    }
}
