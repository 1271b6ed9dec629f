//! Which processes listen on an address, as the kernel of this host knows it: address → socket → processes.
//!
//! Reads only.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use fleet::Address;

/// How the kernel writes the state of a TCP socket that listens.
const TCP_LISTEN: &str = "0A";
/// Bit in the flags of a Unix socket that listens.
const UNIX_LISTENS: u32 = 0x0001_0000;

/// The processes that hold the listening socket at this address. Those of other users are visible to
/// root only.
pub(super) fn holders(address: &Address) -> Vec<i32> {
    let read = |name: &str| fs::read_to_string(Path::new("/proc/net").join(name)).unwrap_or_default();
    let inodes = match address {
        Address::Tcp(address) => tcp_inodes(&[read("tcp"), read("tcp6")], *address),
        Address::Unix(path) => unix_inodes(&read("unix"), &path.to_string_lossy()),
    };
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if links.is_empty() { Vec::new() } else { holders_of(&links) }
}

fn holders_of(links: &[String]) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let descriptors = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        if targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str())) {
            found.push(pid);
        }
    }
    found
}

/// Sockets that listen exactly there; if there are none, on that port of every address.
fn tcp_inodes(tables: &[String], wanted: SocketAddr) -> Vec<u64> {
    let rows = || tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(tcp_row);
    let exact: Vec<u64> =
        rows().filter(|(address, _)| is_same(*address, wanted)).map(|(_, inode)| inode).collect();
    if !exact.is_empty() {
        return exact;
    }
    let is_any = |address: &SocketAddr| {
        address.ip().to_canonical().is_unspecified() && address.port() == wanted.port()
    };
    rows().filter(|(address, _)| is_any(address)).map(|(_, inode)| inode).collect()
}

fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// Address and inode, if the row is about a socket that listens.
fn tcp_row(row: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = row.split_ascii_whitespace().collect();
    let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != TCP_LISTEN {
        return None;
    }
    let (ip, port) = address.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(ip_of(ip)?, port), inode.parse().ok()?))
}

/// The kernel writes an address as words of 32 bits, each in the machine's own order of bytes.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = hex.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    if hex.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for index in 0..4 {
        bytes[index * 4..index * 4 + 4].copy_from_slice(&word(index)?);
    }
    Some(Ipv6Addr::from(bytes).into())
}

fn unix_inodes(table: &str, path: &str) -> Vec<u64> {
    let row = |row: &str| {
        let mut fields = row.split_ascii_whitespace();
        let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        let inode = fields.nth(2)?.parse().ok()?;
        // A path may have blanks in it.
        let found = row.split_once(&format!(" {inode} "))?.1.trim_start();
        (flags & UNIX_LISTENS != 0 && found == path).then_some(inode)
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn we_find_ourselves_behind_what_we_listen_on() {
        let me = i32::try_from(std::process::id()).unwrap();
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let ip = if address.starts_with('[') { "[::1]" } else { "127.0.0.1" };
            let found: Address = format!("{ip}:{port}").parse().unwrap();
            assert!(holders(&found).contains(&me), "{address}");
            drop(listener);
            assert!(!holders(&found).contains(&me), "{address}, when it is closed");
        }
        let folder = std::env::temp_dir().join(format!("lab sockets {me}"));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let address = Address::unix(&path).unwrap();
        assert!(holders(&address).contains(&me));
        drop(listener);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0
   1: 0100007F:1388 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0
   2: 00000000:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0\n";
        let find = |address: &str| tcp_inodes(&[table.to_owned()], address.parse().unwrap());
        // The bytes of an address are in the machine's order; this table is from a little-endian one.
        if cfg!(target_endian = "little") {
            assert_eq!(find("127.0.0.1:5000"), [111], "the one that listens, not the connection");
            assert_eq!(find("10.0.0.1:5001"), [333], "on every address");
            assert_eq!(find("10.0.0.1:5000"), [0; 0]);
        }
    }
}
