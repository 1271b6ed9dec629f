//! A paper: what experiments found, as text, tables and pictures, and the files that it becomes.
//!
//! Everything in it is computed from the data that it carries.

#[cfg(feature = "drawing")]
mod canvas;
#[cfg(not(feature = "drawing"))]
#[path = "paper/blank.rs"]
mod canvas;
mod chart;
mod files;
mod page;

pub use chart::{Axes, Bar, Chart, Line, Mark};
pub use files::{WriteError, write};

use serde::Serialize;
use serde_json::Value;

/// What one experiment found.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// A short name for files: `a1`.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What the figures show, in sentences.
    pub text: Vec<String>,
    /// What was expected and did not come true; empty if all did.
    pub misses: Vec<String>,
    /// Its tables.
    pub tables: Vec<Table>,
    /// Its pictures; they are made of what is in the tables.
    #[serde(skip)]
    pub charts: Vec<Chart>,
    /// All that was measured.
    pub data: Value,
}

/// Figures in rows.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// A short name for files: `a1-classic`.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The names of its columns.
    pub head: Vec<String>,
    /// Its rows; each has as many cells as the head.
    pub rows: Vec<Vec<String>>,
}

/// What all experiments of a paper have in common.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// The command that was typed.
    pub command: String,
    /// The seed.
    pub seed: u64,
    /// Versions, the machine and the like, by name.
    pub facts: Vec<(String, String)>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Paper {
    /// How it came to be.
    pub setting: Setting,
    /// What was found.
    pub sections: Vec<Section>,
}

impl Table {
    /// An empty one.
    pub fn new(id: &str, title: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { id: id.into(), title: title.into(), head, rows: Vec::new() }
    }

    /// As comma-separated values, RFC 4180.
    pub fn csv(&self) -> String {
        let mut text = String::new();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
            text += &cells.join(",");
            text += "\r\n";
        }
        text
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_and_quotes_are_quoted() {
        let mut table = Table::new("t", "T", &["name", "count"]);
        table.rows.push(vec!["classic, xxh3".into(), "1".into()]);
        table.rows.push(vec!["a \"b\"".into(), "2".into()]);
        assert_eq!(table.csv(), "name,count\r\n\"classic, xxh3\",1\r\n\"a \"\"b\"\"\",2\r\n");
    }
}
