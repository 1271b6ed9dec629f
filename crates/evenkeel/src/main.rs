//! Evenkeel: an HTTP load balancer that owns its replicas. This is the program: command line,
//! configuration and wiring; what it does is done in the rooms below.

mod cli;

mod say;

mod descriptors;
mod entrance;
mod owner;
mod signals;
mod state;
mod up;
mod wiring;

mod replica;
mod tether;

mod client;
mod commands;
mod deploy;
mod explain;

mod place;

mod drill;
mod laboratory;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
pub(crate) use say::say;

/// Exit codes: what kept the program from doing its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// It failed.
    Failed = 1,
    /// What was typed makes no sense; clap ends the program with the same code.
    WrongUsage = 2,
    /// The configuration is wrong.
    BadConfiguration = 78,
}

/// A failure that has been told to the user already, or that carries what to tell.
type Outcome = Result<(), (Stopped, String)>;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Replica { listen } => replica::run(&listen),
        Command::Validate { config } => up::validate(&config),
        Command::Status(target) => commands::status(&target),
        Command::Ps { verbose, target } => commands::ps(verbose, &target),
        Command::Events(target) => commands::events(&target),
        Command::Add(edit) => commands::add(edit),
        Command::Rm(edit) => commands::rm(edit),
        Command::Scale { replicas, target } => commands::scale(replicas, &target),
        Command::Deploy { force, target } => deploy::run(force, &target),
        Command::Pause { length, target } => commands::pause(length, &target),
        Command::Resume(target) => commands::resume(&target),
        Command::Explain(options) => explain::run(&options),
        Command::Place(options) => place::place(&options),
        Command::Simulate(options) => place::simulate(&options),
        Command::Drill(options) => drill::run(&options),
        Command::Lab(options) => laboratory::run(&options),
        Command::Tether { parent, command } => tether::run(parent, &command),
        Command::Keep => tether::keep(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((stopped, text)) => {
            say::complain(text.trim_end());
            ExitCode::from(stopped as u8)
        }
    }
}

/// A failure with its text; `error: ` is put in front.
fn failed(text: impl std::fmt::Display) -> (Stopped, String) {
    (Stopped::Failed, format!("error: {text}"))
}

/// An error and all its causes, in one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
