//! Evenkeel: an HTTP load balancer that owns its replicas. This is the program: command line,
//! configuration and wiring; what it does is done in the rooms below.
//!
//! # Choices
//!
//! - **One balancer for each owner**: an abstract socket, and a lock file for those in another network
//!   namespace. Two containers that share neither are not told apart.
//! - **`explain` asks the table that requests go by**, inside the running balancer; `place` and `simulate`
//!   use the same crate without one.

mod cli;

mod variables;
mod log;
mod say;
mod stopped;

mod descriptors;
mod memory;
mod folders;
mod named;
mod pages;
mod entrance;
mod neighbours;
mod owner;
mod orphans;
mod settings;
mod signals;
mod state;
mod moved;
mod token;
mod contradictions;
mod passwords;
mod spellings;
mod warnings;
mod identity;
mod services;
mod up;
mod down;
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

use cli::{Cli, Command};
pub(crate) use say::say;
pub(crate) use stopped::{Outcome, Stopped, failed};

// It says what each thread has, and gives memory back to the system after a flood: see `proxy`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Some(failure) = variables::begin_without_empty_ones() {
        say::complain(&format!("error: cannot begin again without empty variables: {failure}"));
        return ExitCode::FAILURE;
    }
    let outcome = match Cli::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Down(options) => down::run(&options),
        Command::Replica { listen } => replica::run(listen.as_ref()),
        Command::Validate { config } => up::validate(&config),
        Command::Running(command) => running(command),
        Command::Place(options) => place::place(&options),
        Command::Simulate(options) => place::simulate(&options),
        Command::Drill(options) => drill::run(&options),
        Command::Lab(options) => laboratory::run(&options),
        Command::Tether(options) => tether::run(&options),
        Command::Keep { descriptors } => tether::keep(descriptors),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => {
            say::complain(stopped.to_string().trim_end());
            ExitCode::from(stopped.exit_code())
        }
    }
}

/// A command to a running balancer.
fn running(command: console::Command) -> Outcome {
    let admin = &command.target().admin;
    let address =
        config::admin_address(admin).map_err(|error| failed(format!("--admin {admin}: {error}")))?;
    console::run(command, address).map_err(failed)
}
