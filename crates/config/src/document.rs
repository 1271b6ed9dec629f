//! The tables of `docs/configuration.md`, as the declarations of the keys have them. The rest of that
//! page is written by hand.

use crate::describe::{Row, describe};
use crate::keys::Effect;
use crate::only::{AlgorithmKind, DriverKind};
use crate::read::TOP;
use crate::settings::FileKeys;

/// One table of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The line that it is the first, or the only, table of keys under.
    pub heading: &'static str,
    /// Its lines, each with its end.
    pub table: String,
}

/// Headings of the documentation, and the kinds of tables that they are about.
const SECTIONS: &[(&str, &str)] = &[
    ("## The top of the file", TOP),
    ("## `[[listener]]`", "[[listener]]"),
    ("### `[listener.tls]`", "[listener.tls]"),
    ("### `[listener.response_headers]`", "[listener.response_headers]"),
    ("## `[limits]`", "[limits]"),
    ("## `[timeouts]`", "[timeouts]"),
    ("## `[access_log]`", "[access_log]"),
    ("## `[[redirect]]`", "[[redirect]]"),
    ("## `[[service]]`", "[[service]]"),
    ("### `[service.heartbeat]`", "[service.heartbeat]"),
    ("### `[service.responses]`", "[service.responses]"),
    ("### `[service.deploy]`", "[service.deploy]"),
    ("### `[service.drain]`", "[service.drain]"),
    ("### `[service.timeouts]`", "[service.timeouts]"),
    ("### `[service.limits]`", "[service.limits]"),
    ("### `[service.rate_limit]`", "[service.rate_limit]"),
    ("### `[service.forward_auth]`", "[service.forward_auth]"),
    ("### `[[service.location]]`", "[[service.location]]"),
    ("### `[service.request_headers]`", "[service.request_headers]"),
    ("### `[service.response_headers]`", "[service.response_headers]"),
    ("### `[service.compression]`", "[service.compression]"),
    ("### `[service.canary]`", "[service.canary]"),
    ("### `[service.mirror]`", "[service.mirror]"),
];

/// All tables of keys.
pub fn documentation() -> Vec<Section> {
    let levels = describe::<FileKeys>(TOP);
    let mut sections = Vec::new();
    for &(heading, title) in SECTIONS {
        let level = levels.iter().find(|level| level.title == title);
        sections.extend(level.map(|level| Section { heading, table: plain(title, &level.rows) }));
    }
    let services = levels.iter().filter(|level| level.title == "[[service]]");
    let rows: Vec<&Row> = services.flat_map(|level| &level.rows).collect();
    let drivers = DriverKind::ALL.map(DriverKind::name);
    sections.push(Section { heading: "## Drivers", table: by_owner(&rows, "driver", &drivers) });
    let algorithms = AlgorithmKind::ALL.map(AlgorithmKind::name);
    sections.push(Section { heading: "## Placement", table: by_owner(&rows, "algorithm", &algorithms) });
    sections
}

/// A table with a line for each key that has a meaning of its own.
fn plain(title: &str, rows: &[Row]) -> String {
    // What is said outside of services has an effect at a restart, without exception.
    let has_effects = title.contains("service");
    let mut heads = vec!["key", "type", "default", "limits"];
    heads.extend(has_effects.then_some("in effect"));
    heads.push("meaning");
    let mut table = line(&heads) + &rule(heads.len());
    for row in rows.iter().filter(|row| !row.says.is_empty()) {
        let name = format!("`{}`", row.written());
        let mut cells = vec![name.as_str(), row.kind, &row.default, &row.limits];
        cells.extend(has_effects.then(|| when(row.effect)));
        cells.push(row.says);
        table += &line(&cells);
    }
    table
}

/// A table that says who has which of the keys that not every service has.
fn by_owner(rows: &[&Row], chosen_by: &str, choices: &[&str]) -> String {
    let heads = [&["key"], choices, &["type", "default", "limits", "in effect"]].concat();
    let mut table = line(&heads) + &rule(heads.len());
    for row in rows {
        let Some(only) = row.only.filter(|only| only.chosen_by() == chosen_by) else { continue };
        if !row.says.is_empty() {
            continue;
        }
        let name = format!("`{}`", row.name);
        let owners = only.owners();
        let has = |choice: &&str| if owners.contains(choice) { "yes" } else { "" };
        let mut cells = vec![name.as_str()];
        cells.extend(choices.iter().map(has));
        cells.extend([row.kind, &row.default, &row.limits, when(row.effect)]);
        table += &line(&cells);
    }
    table
}

/// A line of a table; an empty cell is a single space wide.
fn line(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") });
    format!("|{}\n", cells.collect::<String>())
}

/// The line below the heads of a table.
fn rule(columns: usize) -> String {
    format!("|{}\n", "---|".repeat(columns))
}

fn when(effect: Effect) -> &'static str {
    match effect {
        Effect::Beginning => "first start",
        Effect::Deploy => "`deploy`",
        Effect::Restart => "restart",
    }
}
