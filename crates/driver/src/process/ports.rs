//! Loopback ports for replicas.

use std::net::{Ipv4Addr, SocketAddr};

use fleet::Address;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::DriverError;

/// Below the range that Linux gives to outgoing connections, so that none of those can sit on a
/// port between the moment it is picked and the moment the replica binds it.
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// How many ports are tried before giving up.
const ATTEMPTS_MAX: usize = 1000;

/// A port that nobody has now and that is not among `taken`.
fn pick(taken: &[u16]) -> Option<u16> {
    let ports = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(ATTEMPTS_MAX);
    ports.into_iter().find(|port| !taken.contains(port) && is_free(*port))
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
pub(super) fn free<'a>(addresses: impl Iterator<Item = &'a Address>) -> Result<Address, DriverError> {
    let port_of = |address: &Address| match address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    };
    let taken: Vec<u16> = addresses.filter_map(port_of).collect();
    let port = pick(&taken).ok_or_else(|| DriverError::new("no free loopback port was found"))?;
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
        assert!(pick(&[]).is_some());
    }
}
