//! Words for the user. That nobody listens any more, as when a pager was closed, is no reason to stop.
//!
//! Whatever is said may hold words of replicas, images and clients. None of it is an order to the terminal.

use std::fmt;
use std::io::Write;
use std::ops::ControlFlow;

use fleet::{harmless, harmless_json, harmless_lines};
use serde::Serialize;

use crate::error::CommandError;

/// A line on standard output.
pub fn say(words: fmt::Arguments<'_>) {
    let words = words.to_string();
    let _ = writeln!(std::io::stdout().lock(), "{}", harmless_lines(&words));
}

/// A line on standard output, of something that goes on. It breaks when nobody listens any more.
pub(crate) fn say_on(words: fmt::Arguments<'_>) -> ControlFlow<()> {
    let words = words.to_string();
    match writeln!(std::io::stdout().lock(), "{}", harmless_lines(&words)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// JSON for programs, on one line.
pub(crate) fn json_line(shown: &impl Serialize) -> Result<String, CommandError> {
    let text = serde_json::to_string(shown).map_err(CommandError::new)?;
    Ok(harmless_json(&text).into_owned())
}

/// A line on standard error.
pub fn complain(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless_lines(words));
}

/// JSON for programs, on several lines.
pub(crate) fn json(shown: &impl Serialize) -> Result<(), CommandError> {
    say(format_args!("{}", harmless_json(&serde_json::to_string_pretty(shown).map_err(CommandError::new)?)));
    Ok(())
}

/// Columns as wide as what is in them; the last is left as it is.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let rows: Vec<_> =
        rows.iter().map(|row| row.each_ref().map(|cell| harmless(cell).into_owned())).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N - 1).map(width).collect();
    for row in std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned()) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            match widths.get(column) {
                Some(width) => line.push_str(&format!("{cell:<width$}  ")),
                None => line.push_str(cell),
            }
        }
        say(format_args!("{}", line.trim_end()));
    }
}
