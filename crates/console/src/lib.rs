//! The command line's side of a running balancer: what can be typed, a client of the admin API, and words
//! for people.
//!
//! Everything is asked of the balancer. This room knows the admin API, and none of the balancer's insides.

mod options;
mod error;
mod say;
mod client;
mod show;
mod change;
mod deploy;
mod explain;

use fleet::Address;

pub use error::CommandError;
pub use options::{Command, EditOptions, ExplainOptions, Target};
pub use say::{complain, say, table};

use client::Client;

/// Does what a command says, with the balancer whose admin API is at this address, and prints what came of it.
pub fn run(command: Command, admin: Address) -> Result<(), CommandError> {
    let client = Client::new(admin, command.target());
    match command {
        Command::Status(target) => show::status(&client, &target),
        Command::Ps { verbose, target } => show::ps(&client, verbose, &target),
        Command::Events(target) => show::events(&client, &target),
        Command::Add(edit) => change::add(&client, edit),
        Command::Rm(edit) => change::rm(&client, edit),
        Command::Scale { replicas, target } => change::scale(&client, replicas, &target),
        Command::Deploy { force, target } => deploy::run(&client, force, &target),
        Command::Pause { length, target } => change::pause(&client, length, &target),
        Command::Resume(target) => change::resume(&client, &target),
        Command::Explain(options) => explain::run(&client, &options),
    }
}
