//! A line of a list of sockets, as the kernel writes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// States of sockets, as the lists have them.
const LISTENING: u8 = 0x0a;
const CLOSED: u8 = 0x07;

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What tells it from every other socket while there is a descriptor of it.
    pub inode: u64,
    /// Whose it is. One that has connected and was not taken up yet has no owner of its own, and shows root.
    pub uid: u32,
}

/// What a line says.
pub(crate) struct Line {
    pub(crate) local: SocketAddr,
    remote: SocketAddr,
    pub(crate) state: State,
    pub(crate) socket: Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Listening,
    Closed,
    /// Or about to be, or no more.
    Connected,
}

impl Line {
    pub(crate) fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, state, _, _, _, uid, _, inode, ..] = fields[..] else { return None };
        let state = match u8::from_str_radix(state, 16).ok()? {
            LISTENING => State::Listening,
            CLOSED => State::Closed,
            _ => State::Connected,
        };
        let socket = Socket { inode: inode.parse().ok()?, uid: uid.parse().ok()? };
        Some(Self { local: address(local)?, remote: address(remote)?, state, socket })
    }

    pub(crate) fn could_take(&self, address: SocketAddr) -> bool {
        let (local, wanted) = (self.local.ip().to_canonical(), address.ip().to_canonical());
        // One on all addresses of IPv6 may take those of IPv4 too; whether it does is not told.
        let is_on_all = local.is_unspecified() && (local.is_ipv6() || wanted.is_ipv4());
        self.local.port() == address.port() && (local == wanted || is_on_all)
    }

    pub(crate) fn is_between(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let is_same = |one: SocketAddr, other: SocketAddr| {
            (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
        };
        is_same(self.local, local) && is_same(self.remote, remote)
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    Some(SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?))
}

/// An address as the kernel writes it: in words of four bytes, each a number of this machine.
fn ip_of(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(digits.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(u32::from_be_bytes(word.to_ne_bytes()))
    };
    match digits.len() {
        8 => Some(Ipv4Addr::from_bits(word(0)?).into()),
        32 => {
            let bits = (0..4).try_fold(0, |bits: u128, at| Some(bits << 32 | u128::from(word(at)?)))?;
            Some(Ipv6Addr::from_bits(bits).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn addresses_are_read_word_by_word() {
        assert_eq!(ip_of("0100007F").unwrap(), Ipv4Addr::LOCALHOST);
        assert_eq!(ip_of("0000000000000000FFFF00000100007F").unwrap().to_canonical(), Ipv4Addr::LOCALHOST);
        assert_eq!((ip_of("7F"), ip_of("0000000x")), (None, None));
    }
}
