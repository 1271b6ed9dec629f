//! The token that a command brings to the admin API, and to whom it is shown: what was given for this
//! balancer is brought there, and this account's own only to a balancer of this account, or of root.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use api::TOKEN_FILE;
use files::{Secret, read_secret, state_folder};
use fleet::{Address, in_full};

use crate::error::CommandError;
use crate::listeners;
use crate::options::Target;

/// What a command may bring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    /// For this balancer, by whoever typed the command.
    given: Option<String>,
    /// This account's.
    own: Option<Secret>,
}

impl Token {
    /// What there is for this target.
    pub(crate) fn find(target: &Target) -> Result<Self, CommandError> {
        if let Some(path) = &target.token_file {
            let text = read(path).map_err(|error| {
                CommandError::new(format!("cannot read the token in {}: {error}", path.display()))
            })?;
            return Ok(Self { given: Some(text), own: None });
        }
        if let Some(text) = std::env::var("EVENKEEL_TOKEN").ok().filter(|text| !text.is_empty()) {
            return Ok(Self { given: Some(text), own: None });
        }
        // Who has no folder has no token, and needs none for a socket.
        let Ok(folder) = state_folder() else { return Ok(Self::default()) };
        let own = read_secret(&folder.join(TOKEN_FILE));
        let own =
            own.map_err(|error| CommandError::new(format!("{}; or use --token-file", in_full(&error))))?;
        Ok(Self { given: None, own })
    }

    /// What is brought on a connection from `near` to `far`, two ends of TCP.
    pub(crate) fn for_connection(&self, near: SocketAddr, far: SocketAddr) -> Option<String> {
        let own = || self.own.as_ref().filter(|_| listeners::is_ours(near, far)).map(Secret::digits);
        self.given.clone().or_else(own)
    }

    /// What is brought to an address, by somebody who connects later.
    pub(crate) fn for_address(&self, address: &Address) -> Option<String> {
        let Address::Tcp(address) = address else { return None };
        let own = || self.own.as_ref().filter(|_| listeners::listens_ours(*address)).map(Secret::digits);
        self.given.clone().or_else(own)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let text = fs::read_to_string(path)?;
    let text = text.trim();
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| text.to_owned()).ok_or_else(|| io::Error::other("it holds no token"))
}
