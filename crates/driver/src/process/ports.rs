//! Loopback ports for replicas.

use std::net::{Ipv4Addr, TcpListener};

/// Below the range that Linux gives to outgoing connections, so that none of those can sit on a
/// port between the moment it is picked and the moment the replica binds it.
const PORTS: std::ops::Range<u16> = 20_000..32_768;

/// How many ports are tried before giving up.
const ATTEMPTS_MAX: usize = 1000;

/// A port that nobody listens on now and that is not among `taken`.
pub(super) fn pick(taken: &[u16]) -> Option<u16> {
    let is_free =
        |port: &u16| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(PORTS)).take(ATTEMPTS_MAX).find(is_free)
}
