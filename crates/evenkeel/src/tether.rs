//! The tether: a child that must not outlive the balancer is started through here.
//!
//! The kernel is asked to kill this process when its parent ends, and then it becomes the command;
//! the request survives that. A balancer that is killed thus leaves none of its replicas behind,
//! though what those started themselves may go on. A replica that may outlive the balancer has a
//! keeper instead, and is tethered to that.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::{Outcome, failed};

/// The words, in front of a command, that tie it to the process whose id stands behind them.
pub(crate) fn words(program: &str) -> [String; 2] {
    [program, "tether"].map(str::to_owned)
}

/// Keeps one replica, and ends with the exit code that it had.
pub(crate) fn keep() -> Outcome {
    let program = std::env::current_exe().map_err(failed)?;
    let code = driver::keep(&words(&program.to_string_lossy())).map_err(|error| failed(error.in_full()))?;
    std::process::exit(code.into());
}

/// Becomes the command.
pub(crate) fn run(parent: u32, command: &[String]) -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    // The parent may have ended before the kernel was asked.
    if getppid().is_none_or(|now| now.as_raw_nonzero().get().cast_unsigned() != parent) {
        return Err(failed("the balancer ended before its replica began"));
    }
    let (program, arguments) = command.split_first().ok_or_else(|| failed("there is no command to run"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(failed(format!("cannot run '{program}': {error}")))
}
