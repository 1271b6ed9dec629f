//! Who listens on a TCP port of this machine, and who is connected, as the kernel lists it: `/proc/net/tcp` and
//! `tcp6` of this network namespace. Whose those sockets should be is not judged here.
//!
//! Any account may take a port that nobody has. So whoever is about to say something secret to a port looks
//! first whose socket it is.

mod line;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;

pub use line::Socket;
use line::{Line, State};

/// The kernel's lists.
const LISTS: [&str; 2] = ["net/tcp", "net/tcp6"];
/// Ourselves, in the kernel's lists of processes.
const OURSELVES: &str = "self";

/// Every socket that could be given a connection to this address, also one that listens on all addresses
/// and one that shares the port (`SO_REUSEPORT`).
pub fn listeners(address: SocketAddr) -> io::Result<Vec<Socket>> {
    collect(OURSELVES, |list, found| read_listeners(list, address, found))
}

/// Every socket that listens, and where.
pub fn all_listeners() -> io::Result<Vec<(SocketAddr, Socket)>> {
    all_listeners_beside(OURSELVES)
}

/// The same in the network namespace of a process, as a container has one of its own.
pub fn all_listeners_of(process: u32) -> io::Result<Vec<(SocketAddr, Socket)>> {
    all_listeners_beside(&process.to_string())
}

fn all_listeners_beside(process: &str) -> io::Result<Vec<(SocketAddr, Socket)>> {
    collect(process, |list, found| {
        for line in list.lines().skip(1) {
            let Some(line) = Line::read(&line?) else { continue };
            match line.state {
                State::Listening => found.push((line.local, line.socket)),
                State::Closed => {}
                State::Connected => break,
            }
        }
        Ok(())
    })
}

/// The sockets that are connected from one address to another.
pub fn connected(from: SocketAddr, to: SocketAddr) -> io::Result<Vec<Socket>> {
    collect(OURSELVES, |list, found| read_connected(list, from, to, found))
}

fn collect<T>(
    process: &str,
    read: impl Fn(BufReader<File>, &mut Vec<T>) -> io::Result<()>,
) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for list in LISTS {
        match File::open(format!("/proc/{process}/{list}")) {
            Ok(list) => read(BufReader::new(list), &mut found)?,
            // There is no second one where IPv6 is off; nobody listens without the first.
            Err(error) if error.kind() == io::ErrorKind::NotFound && list != LISTS[0] => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The lists begin with those that listen, so no more is read of them, however many connections there are.
fn read_listeners(list: impl BufRead, address: SocketAddr, found: &mut Vec<Socket>) -> io::Result<()> {
    for line in list.lines().skip(1) {
        let Some(line) = Line::read(&line?) else { continue };
        match line.state {
            State::Listening if line.could_take(address) => found.push(line.socket),
            // One that has just been closed may stand among them.
            State::Listening | State::Closed => {}
            State::Connected => break,
        }
    }
    Ok(())
}

fn read_connected(
    list: impl BufRead,
    from: SocketAddr,
    to: SocketAddr,
    found: &mut Vec<Socket>,
) -> io::Result<()> {
    for line in list.lines().skip(1) {
        let Some(line) = Line::read(&line?) else { continue };
        if line.state != State::Listening && line.is_between(from, to) {
            found.push(line.socket);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::linux::fs::MetadataExt;

    use super::*;

    fn own(socket: &impl AsFd) -> Socket {
        let descriptor: OwnedFd = socket.as_fd().try_clone_to_owned().unwrap();
        let inode = File::from(descriptor).metadata().unwrap().st_ino();
        Socket { inode, uid: rustix::process::geteuid().as_raw() }
    }

    #[test]
    fn a_listener_is_found_by_every_address_at_which_it_takes_connections() {
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            let port = listener.local_addr().unwrap().port();
            let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            assert_eq!(listeners(here).unwrap(), [own(&listener)], "{at}");
            let at_its_own = (listener.local_addr().unwrap(), own(&listener));
            assert!(all_listeners().unwrap().contains(&at_its_own), "{at}");
            assert!(all_listeners_of(std::process::id()).unwrap().contains(&at_its_own), "{at}");
            let elsewhere = listeners(SocketAddr::from(([127, 0, 0, 9], port))).unwrap();
            assert_eq!(elsewhere.is_empty(), at.starts_with("127"), "{at}");
        }
    }

    #[test]
    fn connections_are_not_listeners_and_a_port_is_free_again_when_its_listener_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let near = client.local_addr().unwrap();
        let (served, _) = listener.accept().unwrap();
        assert_eq!(listeners(address).unwrap(), [own(&listener)]);
        assert_eq!(connected(near, address).unwrap(), [own(&client)]);
        assert_eq!(connected(address, near).unwrap(), [own(&served)]);
        drop(listener);
        assert_eq!(listeners(address).unwrap(), []);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_lines_are_read_and_others_passed_over() {
        let lines = "  sl  local_address rem_address   st ...\n\
            0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 77 1 0\n\
            nonsense\n\
            1: 00000000:1F41 00000000:0000 07 00000000:00000000 00:00000000 00000000  1001        0 78 1 0\n\
            2: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 79 1 0\n\
            3: 0100007F:1F41 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 80 1 0\n\
            4: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 81 1 0\n";
        let (here, there) = ("127.0.0.1:8001".parse().unwrap(), "127.0.0.1:39321".parse().unwrap());
        let mut found = Vec::new();
        read_listeners(lines.as_bytes(), here, &mut found).unwrap();
        assert_eq!(found, [Socket { inode: 77, uid: 1001 }, Socket { inode: 79, uid: 0 }]);
        found.clear();
        read_connected(lines.as_bytes(), here, there, &mut found).unwrap();
        assert_eq!(found, [Socket { inode: 80, uid: 0 }]);
    }
}
