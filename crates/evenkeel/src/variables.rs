//! Variables of ours in the environment. One that is empty is none: files of variables, and Compose, can say
//! nothing else where nothing is meant.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How their names begin.
const PREFIX: &[u8] = b"EVENKEEL_";

/// Becomes this program again without those that are empty, if there are any. Returns only if there are none, or
/// with what prevented it: a program cannot safely change its own environment.
pub(crate) fn begin_without_empty_ones() -> Option<io::Error> {
    let empty =
        env::vars_os().filter(|(name, value)| name.as_bytes().starts_with(PREFIX) && value.is_empty());
    let empty: Vec<OsString> = empty.map(|(name, _)| name).collect();
    if empty.is_empty() {
        return None;
    }
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return Some(error),
    };
    let mut words = env::args_os();
    let mut again = Command::new(program);
    again.arg0(words.next().unwrap_or_default()).args(words);
    for name in empty {
        again.env_remove(name);
    }
    Some(again.exec())
}
