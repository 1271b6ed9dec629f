//! Where the folders of this account are.

use std::env;
use std::path::PathBuf;

use rustix::process::geteuid;

/// What our folders are called.
const NAME: &str = "evenkeel";

/// There is no folder that is this account's for certain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this account has no folder for {purpose}: neither {variable} nor HOME is set to an absolute path; set one of them{or_key}"
)]
pub struct NoFolder {
    purpose: &'static str,
    variable: &'static str,
    or_key: &'static str,
}

/// Where what must outlast a restart is kept: `/var/lib/evenkeel` for root, and `evenkeel` in the account's
/// state folder (`XDG_STATE_HOME`, or else `HOME/.local/state`) for everybody else. It need not exist.
pub fn state_folder() -> Result<PathBuf, NoFolder> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib").join(NAME));
    }
    let missing = NoFolder {
        purpose: "what is kept over a restart",
        variable: "XDG_STATE_HOME",
        or_key: ", or give the configuration a state_dir",
    };
    state_home().map(|folder| folder.join(NAME)).ok_or(missing)
}

/// Where what ends with the machine is kept, as sockets and locks: `/run/evenkeel` for root, and `evenkeel`
/// in `XDG_RUNTIME_DIR` for everybody else, or without that `run` in the state folder. It need not exist.
pub fn run_folder() -> Result<PathBuf, NoFolder> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/run").join(NAME));
    }
    let missing = NoFolder { purpose: "sockets and locks", variable: "XDG_RUNTIME_DIR", or_key: "" };
    let run_home = absolute("XDG_RUNTIME_DIR").map(|folder| folder.join(NAME));
    run_home.or_else(|| Some(state_home()?.join(NAME).join("run"))).ok_or(missing)
}

fn state_home() -> Option<PathBuf> {
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

/// A relative path would depend on where the program was started.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
