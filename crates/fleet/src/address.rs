//! Where somebody listens, how that is written, and what it means that nobody can be reached there.
//! Nothing here connects to anything.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// What stands in front of the path of a Unix socket.
const UNIX_PREFIX: &str = "unix:";

/// Where a replica, the admin API or a balancer listens. Cheap to clone.
///
/// Its text form is one that it can be read from again:
///
/// ```
/// # use fleet::Address;
/// for text in ["127.0.0.1:9001", "unix:/run/app.sock"] {
///     assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// On a TCP port.
    Tcp(SocketAddr),
    /// On a Unix socket; [`Address::unix`] checks its path.
    Unix(Arc<Path>),
}

impl Address {
    /// The longest path of a Unix socket: the kernel's `sun_path` has room for it and a final zero.
    pub const UNIX_PATH_BYTES_MAX: usize = 107;

    /// A Unix socket at a path of 1 to [`Self::UNIX_PATH_BYTES_MAX`] bytes, which must be text
    /// without control characters so that it can be written down in one line.
    pub fn unix(path: &Path) -> Result<Self, IllegalAddress> {
        let is_legal = |text: &str| {
            (1..=Self::UNIX_PATH_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
        };
        if path.to_str().is_some_and(is_legal) {
            Ok(Self::Unix(path.into()))
        } else {
            Err(IllegalAddress(format!("{UNIX_PREFIX}{}", path.display())))
        }
    }

    /// Where HTTP is spoken, as people write it: `http://127.0.0.1:5001`, or `unix:` and the path.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for Address {
    type Err = IllegalAddress;

    fn from_str(text: &str) -> Result<Self, IllegalAddress> {
        match text.strip_prefix(UNIX_PREFIX) {
            Some(path) => Self::unix(Path::new(path)),
            None => text.parse().map(Self::Tcp).map_err(|_| IllegalAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

/// Why no connection to an address came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoConnection {
    /// Nobody listens there.
    Refused,
    /// We have no descriptor or no port left for one, which says nothing about the other side.
    OutOfSockets,
    /// Nobody knows.
    Unreachable,
}

impl NoConnection {
    /// What the system's error says.
    pub fn of(error: &io::Error) -> Self {
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        match error.kind() {
            // Nobody listens either where a socket has been removed.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Self::Refused,
            io::ErrorKind::AddrNotAvailable => Self::OutOfSockets,
            _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => Self::OutOfSockets,
            _ => Self::Unreachable,
        }
    }
}

/// A text or a path at which nobody can listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an IP address and a port nor \"unix:\" and a path of 1 to {max} bytes without control characters",
    max = Address::UNIX_PATH_BYTES_MAX
)]
pub struct IllegalAddress(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_what_it_is_written_as() {
        let longest = format!("unix:/{}", "a".repeat(106));
        for text in ["127.0.0.1:9001", "[::1]:80", "unix:/run/app.sock", "unix:app.sock", &longest] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(matches!(address, Address::Unix(_)), text.starts_with("unix:"));
        }
    }

    #[test]
    fn what_no_socket_can_have_as_its_path_is_no_address() {
        let too_long = format!("unix:/{}", "a".repeat(107));
        for text in ["", "unix:", "127.0.0.1", "localhost:80", "/run/app.sock", "unix:/a\0b", "unix:/a\nb"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        let error = too_long.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("a path of 1 to 107 bytes"), "{error}");
    }

    #[test]
    fn an_address_where_http_is_spoken_is_written_as_people_write_it() {
        for (text, url) in [("[::1]:80", "http://[::1]:80"), ("unix:/run/app.sock", "unix:/run/app.sock")] {
            assert_eq!(text.parse::<Address>().unwrap().url(), url);
        }
    }

    #[test]
    fn want_of_sockets_is_ours_and_a_refusal_is_not() {
        for (code, expected) in [
            (2, NoConnection::Refused),
            (23, NoConnection::OutOfSockets),
            (24, NoConnection::OutOfSockets),
            (99, NoConnection::OutOfSockets),
            (110, NoConnection::Unreachable),
            (111, NoConnection::Refused),
        ] {
            assert_eq!(NoConnection::of(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
