//! Loopback ports for replicas.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use fleet::Address;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::DriverError;

/// Ports, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// At least one is in it.
    pub first: u16,
    /// Not below the first.
    pub last: u16,
}

impl Default for PortRange {
    /// Below the range that Linux gives to outgoing connections, so that none of those can sit on a
    /// port between the moment it is picked and the moment the replica binds it.
    fn default() -> Self {
        Self { first: 20_000, last: 32_767 }
    }
}

impl PortRange {
    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::from(self.last.saturating_sub(self.first)) + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// How many ports are tried before giving up.
const ATTEMPTS_MAX: usize = 1000;

/// A port that nobody has now and that is not among `taken`.
fn pick(range: PortRange, taken: &[u16]) -> Option<u16> {
    let anywhere = std::iter::repeat_with(|| fastrand::u16(range.first..=range.last)).take(ATTEMPTS_MAX);
    // Where few are free, chance may not find them.
    let few = (range.first..=range.last).take(ATTEMPTS_MAX);
    anywhere.chain(few).find(|port| !taken.contains(port) && is_free(*port))
}

/// Whether nobody has a port, not even one that is bound to it and does not listen yet, as a server that boots.
/// Those who let others have the address at the same time (`SO_REUSEADDR`), as most do, would not hinder us if
/// we said the same.
fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    socket.is_ok_and(|socket| bind(&socket, &address).is_ok())
}

/// A loopback address that nobody has, and none of these.
pub(super) fn free<'a>(
    range: PortRange,
    addresses: impl Iterator<Item = &'a Address>,
) -> Result<Address, DriverError> {
    let port_of = |address: &Address| match address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    };
    let taken: Vec<u16> = addresses.filter_map(port_of).collect();
    let none = || DriverError::new(format!("no free loopback port was found in {range} (ports)"));
    let port = pick(range, &taken).ok_or_else(none)?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::getsockname;
    use rustix::net::sockopt::set_socket_reuseaddr;

    use super::*;

    #[test]
    fn a_port_is_not_free_that_somebody_listens_on_or_is_about_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);

        let booting =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        set_socket_reuseaddr(&booting, true).unwrap();
        bind(&booting, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).unwrap();
        let port = SocketAddr::try_from(getsockname(&booting).unwrap()).unwrap().port();
        assert!(!is_free(port), "it is bound, and does not listen yet");
        drop(booting);
        assert!(pick(PortRange::default(), &[]).is_some());
    }

    #[test]
    fn the_last_free_one_of_a_range_is_found_and_then_there_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = listener.local_addr().unwrap().port();
        let one = PortRange { first: held, last: held };
        assert_eq!((pick(one, &[]), one.count(), one.to_string()), (None, 1, format!("{held}-{held}")));
        let range = PortRange { first: 20_000, last: 20_999 };
        let taken: Vec<u16> = (20_000..=20_999).collect();
        assert_eq!(pick(range, &taken), None);
        let port = pick(range, &[]).unwrap();
        let others: Vec<u16> = taken.into_iter().filter(|other| *other != port).collect();
        assert_eq!(pick(range, &others), Some(port));
    }
}
