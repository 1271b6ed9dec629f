//! The tether: a child that must not outlive the balancer is started through here.
//!
//! The kernel is asked to kill this process when its parent ends, and then it becomes the command;
//! the request survives that. Unless it is told otherwise, what it becomes gets no more rights than it has.
//! A balancer that is killed thus leaves none of its replicas behind; what those started themselves the next
//! balancer ends. A replica that may outlive the balancer has a keeper instead, and is tethered to that.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal, setsid};
use rustix::thread::set_no_new_privs;

use crate::cli::TetherOptions;
use crate::{Outcome, descriptors, failed};

/// The words, in front of a command, that tie it to the process whose id stands behind them. It may open so many
/// descriptors, as if the limit had never been raised for us.
pub(crate) fn words(program: &str, descriptors: Option<u64>) -> Vec<String> {
    with_limit(program, "tether", descriptors)
}

/// The words that run a keeper.
pub(crate) fn keeper_words(program: &str, descriptors: Option<u64>) -> Vec<String> {
    with_limit(program, "keep", descriptors)
}

fn with_limit(program: &str, command: &str, descriptors: Option<u64>) -> Vec<String> {
    let mut words = vec![program.to_owned(), command.to_owned()];
    words.extend(descriptors.map(|most| format!("--descriptors={most}")));
    words
}

/// Keeps one replica, and ends with the exit code that it had.
pub(crate) fn keep(descriptors: Option<u64>) -> Outcome {
    let program = std::env::current_exe().map_err(failed)?;
    let code = driver::keep(&words(&program.to_string_lossy(), descriptors))
        .map_err(|error| failed(error.in_full()))?;
    std::process::exit(code.into());
}

/// Becomes the command.
pub(crate) fn run(options: &TetherOptions) -> Outcome {
    let TetherOptions { new_privileges, descriptors, parent, command } = options;
    // A session of its own, so that all that it starts can be told from what others start.
    setsid().map_err(failed)?;
    if let Some(most) = descriptors {
        descriptors::restore_limit(*most);
    }
    if !*new_privileges {
        set_no_new_privs(true).map_err(failed)?;
    }
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    // The parent may have ended before the kernel was asked.
    if getppid().is_none_or(|now| now.as_raw_nonzero().get().cast_unsigned() != *parent) {
        return Err(failed("the balancer ended before its replica began"));
    }
    let (program, arguments) = command.split_first().ok_or_else(|| failed("there is no command to run"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(failed(format!("cannot run '{program}': {error}")))
}
