//! Words for the user. That nobody listens any more, as when a pager was closed, is no reason to stop.

use std::fmt;
use std::io::Write;

use serde::Serialize;

use crate::error::CommandError;

/// A line on standard output.
pub fn say(words: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{words}");
}

/// A line on standard error.
pub fn complain(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}

/// JSON for programs, on several lines.
pub(crate) fn json(shown: &impl Serialize) -> Result<(), CommandError> {
    say(format_args!("{}", serde_json::to_string_pretty(shown).map_err(CommandError::new)?));
    Ok(())
}

/// Columns as wide as what is in them; the last is left as it is.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
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
