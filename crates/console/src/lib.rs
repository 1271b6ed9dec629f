//! The command line's side of a running balancer: what can be typed, a client of the admin API, and words
//! for people.
//!
//! Everything is asked of the balancer. This room knows the admin API, and none of the balancer's insides.

mod options;
mod error;
mod say;
mod listeners;
mod token;
mod client;
mod show;
mod events;
mod logs;
mod change;
mod deploy;
mod explain;

use fleet::Address;

pub use error::CommandError;
pub use options::{Column, Command, EditOptions, ExplainOptions, Target};
pub use say::{complain, say, table};

use client::Client;
use token::Token;

/// The token that whoever calls the admin API of this target brings there, if there is one. An address that
/// another account listens at is told none.
pub fn token(target: &Target, admin: &Address) -> Result<Option<String>, CommandError> {
    Ok(Token::find(target)?.for_address(admin))
}

/// Does what a command says, with the balancer whose admin API is at this address, and prints what came of it.
pub fn run(command: Command, admin: Address) -> Result<(), CommandError> {
    if let Command::Status { wait: true, timeout, target } = &command {
        let make_client = || Client::new(admin.clone(), target);
        return show::status_when_whole(make_client, target, *timeout);
    }
    let client = Client::new(admin, command.target())?;
    match command {
        Command::Status { target, .. } => show::status(&client, &target),
        Command::Ps { verbose, sort, target } => show::ps(&client, verbose, sort, &target),
        Command::Logs { name, follow, target } => logs::show(&client, &logs::Wanted { name, follow, target }),
        Command::Events { follow, replica, target } => {
            events::show(&client, &events::Wanted { follow, replica, target })
        }
        Command::Add(edit) => change::add(&client, edit),
        Command::Rm(edit) => change::rm(&client, edit),
        Command::Scale { replicas, target } => change::scale(&client, replicas, &target),
        Command::Deploy { force, target } => deploy::run(&client, force, &target),
        Command::Pause { length, target } => change::pause(&client, length, &target),
        Command::Resume(target) => change::resume(&client, &target),
        Command::Explain(options) => explain::run(&client, &options),
    }
}
