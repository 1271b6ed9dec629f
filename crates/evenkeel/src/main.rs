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

mod deploy;
mod explain;

mod place;

mod drill;
mod laboratory;

use std::process::ExitCode;

use clap::Parser;
use fleet::Address;

use cli::{Cli, Command};
use fleet::in_full;
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
        Command::Running(command) => running(command),
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

/// A command to a running balancer.
fn running(command: console::Command) -> Outcome {
    let admin = &command.target().admin;
    let address = match config::admin_address(admin) {
        Ok(config::AdminAddress::Tcp(address)) => Address::Tcp(address),
        Ok(config::AdminAddress::Unix(path)) => Address::Unix(path.into()),
        Err(error) => return Err(failed(format!("--admin {admin}: {error}"))),
    };
    console::run(command, address).map_err(failed)
}

/// A failure with its text; `error: ` is put in front.
fn failed(text: impl std::fmt::Display) -> (Stopped, String) {
    (Stopped::Failed, format!("error: {text}"))
}
