//! The configuration: a file in, validated settings out, or everything that is wrong with it.
//!
//! Three steps, each with its own types: the file's shape, the check of what it means, and the
//! settings. Nothing here starts anything, looks at the environment, or knows the command line.
//!
//! # Choices
//!
//! - **Bounded load is off under `classic`** unless asked for: it would bend the shares that the formulas
//!   promise.

mod problem;
mod suggest;

mod reader;

mod file;

mod value;

mod check;

mod settings;

use std::fs;
use std::io::{self, Read};
use std::path::Path;

pub use problem::ConfigError;
pub use settings::{
    AdminAddress, Algorithm, CONNECTIONS_MAX, DriverChoice, Heartbeat, KeyRule, ListenerSettings, OnExit,
    Responses, ServerId, ServiceSettings, Settings,
};

use problem::{Problems, Wrong};

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
    let settings = file::File::read(text, &mut problems).map(|file| check::check(&file, &mut problems));
    problems.finish(file_name)?;
    Ok(settings.expect("text that is no TOML has left a problem"))
}

/// The admin address that a text names, as in a file and on the command line.
pub fn admin_address(text: &str) -> Result<AdminAddress, String> {
    value::admin_address(text).map_err(|wrong| wrong.in_one_line())
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
