//! The configuration: a file in, validated settings out, or everything that is wrong with it.
//!
//! Every key is declared once, in `settings`, next to the field that it fills: its name, its form, its
//! limits, when a change of it has an effect, and what the documentation says of it. Reading a file, the
//! list of legal keys, the tables of `docs/configuration.md` and the comparison of two configurations
//! are walks over these declarations. What must fit together is checked afterwards.
//!
//! Nothing here starts anything, looks at the environment, or knows the command line.
//!
//! # Choices
//!
//! - **Bounded load is off under `classic`** unless asked for: it would bend the shares that the formulas
//!   promise.

mod told;
mod problem;
mod suggest;

mod found;
mod entry;
mod source;
mod value;
mod words;
mod capability;
mod container;
mod form;
mod web;
mod filed;
mod fields;
mod statuses;
mod texts;
mod only;
mod keys;

mod settings;

mod describe;
mod document;
mod read;
mod changes;

mod check;

use std::fs;
use std::io::{self, Read};
use std::path::Path;

pub use changes::Change;
pub use document::{Section, documentation};
pub use keys::Effect;
pub use problem::ConfigError;
pub use settings::{
    Algorithm, CONNECTIONS_MAX, DriverChoice, Heartbeat, ListenerSettings, OnExit, Rights, ServiceSettings,
    Settings, StickySettings,
};
pub use source::ContractSource;
pub use statuses::StatusRange;

use fleet::Address;
use proxy::KeyRule;

use keys::Level;
use problem::{Problems, Wrong};
use read::TOP;
use settings::{FileKeys, RedirectKeys, ServiceKeys};

/// A larger file is not a configuration, but somebody's mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The settings that a file asks for, or all of its problems. Relative paths in it begin at its folder.
pub fn read(path: &Path) -> Result<Settings, ConfigError> {
    let file_name = path.display().to_string();
    let bytes = read_bytes(path)
        .map_err(|error| ConfigError::of_no_place(&format!("{file_name} cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("{file_name} is larger than {FILE_BYTES_MAX} bytes");
        return Err(ConfigError::of_no_place(&what));
    }
    let text = String::from_utf8_lossy(&bytes);
    if let Err(error) = str::from_utf8(&bytes) {
        let mut problems = Problems::of(&text);
        let at = error.valid_up_to()..error.valid_up_to() + 1;
        problems.add(Some(&at), Wrong::new("the file is not UTF-8 text"));
        problems.finish(&file_name)?;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, &file_name).map(|settings| settings.in_folder(folder))
}

/// The settings that a text asks for, or all of its problems, which are shown under the file's name.
pub fn parse(text: &str, file_name: &str) -> Result<Settings, ConfigError> {
    let mut problems = Problems::of(text);
    let mut keys = FileKeys::blank();
    let found = read::read(text, TOP, &mut keys, &mut problems);
    let settings = found.map(|found| check::check(keys, &found, &mut problems));
    problems.finish(file_name)?;
    Ok(settings.expect("text that is no TOML has left a problem"))
}

/// The keys of a service whose values differ, in the order of the documentation.
pub fn changes(old: &ServiceSettings, new: &ServiceSettings) -> Vec<Change> {
    changes::differences(&mut ServiceKeys::of(old), &mut ServiceKeys::of(new))
}

/// The names of the keys outside of services whose values differ, in the order of the documentation.
pub fn changes_outside_of_services(old: &Settings, new: &Settings) -> Vec<String> {
    let keys = |settings: &Settings| FileKeys {
        settings: Settings { services: Vec::new(), ..settings.clone() },
        request_line_max: Some(settings.clients.head.request_line_max),
        services: Vec::new(),
        redirects: settings.redirects.iter().map(RedirectKeys::of).collect(),
    };
    // A table that is gone has keys in the old one alone.
    let came = changes::differences(&mut keys(old), &mut keys(new));
    let went = changes::differences(&mut keys(new), &mut keys(old));
    let mut names: Vec<String> = came.into_iter().map(|change| change.key).collect();
    names.extend(
        went.into_iter().map(|change| change.key).filter(|key| !names.contains(key)).collect::<Vec<_>>(),
    );
    names
}

/// A key rule as it is written in a file.
pub fn key_rule_in_words(rule: &KeyRule) -> String {
    value::shown_key_rule(rule)
}

/// The admin address that a text names, as in a file and on the command line.
pub fn admin_address(text: &str) -> Result<Address, String> {
    value::admin_address(text).map_err(|wrong| wrong.in_one_line())
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
