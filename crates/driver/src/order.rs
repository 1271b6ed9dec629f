//! The order to start a replica: which one, and where it is told to listen.

use fleet::{Address, Life, Release, ReplicaName};

use crate::words::{WordPart, word_parts};

/// Which replica to start.
#[derive(Clone, Debug)]
pub struct StartOrder {
    /// Which life of which seat it will be.
    pub life: Life,
    /// What it will be called.
    pub name: ReplicaName,
    /// What it will run; what the driver was made with, unless it is told.
    pub release: Release,
}

impl StartOrder {
    /// A word of a command with its placeholders filled in: `{name}`, `{seat}`, and where to listen.
    pub(crate) fn fill_in(&self, word: &str, endpoint: &Endpoint) -> String {
        let part = |part: WordPart<'_>| match part {
            WordPart::Text(text) => text.to_owned(),
            WordPart::Placeholder("name") => self.name.to_string(),
            WordPart::Placeholder("seat") => self.life.seat.to_string(),
            WordPart::Placeholder(other) => endpoint.fill_in(other),
        };
        word_parts(word).into_iter().map(part).collect()
    }
}

/// Where a replica is told to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// On this TCP port, `{port}` in its command and `PORT` in its environment.
    Port(u16),
    /// On a Unix socket at this path, `{socket}` in its command and `SOCKET` in its environment.
    Socket(String),
}

impl Endpoint {
    /// How a replica is told to be reachable at an address.
    pub(crate) fn of(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => Self::Port(address.port()),
            Address::Unix(path) => Self::Socket(path.display().to_string()),
        }
    }

    /// What a placeholder of this name stands for; itself, if for nothing.
    fn fill_in(&self, name: &str) -> String {
        match (self, name) {
            (Self::Port(port), "port") => port.to_string(),
            (Self::Socket(path), "socket") => path.clone(),
            _ => format!("{{{name}}}"),
        }
    }

    /// The variable of its environment that says so.
    pub(crate) fn variable(&self) -> (String, String) {
        match self {
            Self::Port(port) => ("PORT".into(), port.to_string()),
            Self::Socket(path) => ("SOCKET".into(), path.clone()),
        }
    }
}
