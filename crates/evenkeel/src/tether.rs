//! The tether: a child that must not outlive the balancer is started through here.
//!
//! The kernel is asked to kill this process when its parent ends, and then it becomes the command;
//! the request survives that. A balancer that is killed thus leaves none of its replicas behind,
//! though what those started themselves may go on.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::{Outcome, failed};

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
