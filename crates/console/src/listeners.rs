//! Whether the other end of a connection on this machine is ours. Any account may take a port that nobody
//! has; it must not be told what is for us.

use std::io;
use std::net::SocketAddr;

use rustix::process::geteuid;
use sockets::Socket;

/// Whether the other end of a connection is a socket of this account or of root, and so is everybody who
/// listens there. A connection that nobody has taken up yet has no owner of its own in the list, hence both.
pub(crate) fn is_ours(near: SocketAddr, far: SocketAddr) -> bool {
    // The list shows the connection from the other end.
    belongs(sockets::connected(far, near), geteuid().as_raw()) && listens_here(far)
}

/// Whether those who listen at an address of this machine's own loopback are this account or root.
pub(crate) fn listens_ours(address: SocketAddr) -> bool {
    address.ip().is_loopback() && listens_here(address)
}

fn listens_here(address: SocketAddr) -> bool {
    belongs(sockets::listeners(address), geteuid().as_raw())
}

/// Whether there is somebody, and everybody is of this account or of root. Of whom nothing is known is not ours.
fn belongs(found: io::Result<Vec<Socket>>, uid: u32) -> bool {
    let is_trusted = |socket: &Socket| socket.uid == uid || socket.uid == 0;
    found.is_ok_and(|found| !found.is_empty() && found.iter().all(is_trusted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_another_account_is_enough_to_distrust_all() {
        let found = |uids: &[u32]| Ok(uids.iter().map(|uid| Socket { inode: 1, uid: *uid }).collect());
        for (uids, expected) in [
            (&[1000][..], true),
            (&[0], true),
            (&[1000, 0], true),
            (&[1001], false),
            (&[1000, 1001], false),
            (&[], false),
        ] {
            assert_eq!(belongs(found(uids), 1000), expected, "{uids:?}");
        }
        assert!(!belongs(Err(io::ErrorKind::PermissionDenied.into()), 1000));
    }

    #[test]
    fn the_kernels_own_list_shows_a_listener_of_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let far = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(far).unwrap();
        assert!(is_ours(stream.local_addr().unwrap(), far) && listens_ours(far));
        drop(listener);
        assert!(!listens_ours(far));
    }
}
