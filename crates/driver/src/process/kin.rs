//! Which processes are a replica's own, and which of them holds a socket.
//!
//! Its own are those of its process group, and whatever descends from it: nobody can become either
//! without having been started by it. A daemon that leaves both is not the replica any more; it would
//! not end with it either.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;

use rustix::process::Pid;

use super::identity::Stat;

/// A descriptor of some process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) pid: Pid,
    pub(super) number: i32,
}

/// Who a replica's own are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kin {
    /// The replica, or its keeper.
    root: Pid,
}

impl Kin {
    /// Those of a process that leads its group or its session.
    pub(super) fn of(root: Pid) -> Self {
        Self { root }
    }

    /// All of them that are there now.
    pub(super) fn members(self) -> Vec<Pid> {
        let stats: HashMap<Pid, Stat> = processes().filter_map(|pid| Some((pid, Stat::of(pid)?))).collect();
        let is_in = |pid: Pid| {
            stats.get(&pid).is_some_and(|stat| {
                let root = self.root.as_raw_nonzero().get();
                pid == self.root || stat.group() == root || stat.session() == root
            })
        };
        let descends = |pid: Pid| {
            let parent = |pid: &Pid| stats.get(pid).and_then(|stat| Pid::from_raw(stat.parent()));
            // A chain of parents is no longer than there are processes.
            std::iter::successors(Some(pid), parent).take(stats.len()).any(is_in)
        };
        stats.keys().copied().filter(|pid| descends(*pid)).collect()
    }
}

/// Every process that can be seen.
pub(super) fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// The descriptor by which a process holds a socket, if it does. The error is that it does not let us look.
pub(super) fn holds(pid: Pid, inode: u64) -> io::Result<Option<Descriptor>> {
    let folder = format!("/proc/{pid}/fd");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        // It has ended meanwhile, and holds nothing.
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let wanted = link_to(inode);
    for entry in entries {
        let Ok(entry) = entry else { return Ok(None) };
        if fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == OsStr::new(&wanted)) {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            return Ok(number.map(|number| Descriptor { pid, number }));
        }
    }
    Ok(None)
}

/// Whether a descriptor is still of this socket.
pub(super) fn is_of(descriptor: Descriptor, inode: u64) -> bool {
    let link = fs::read_link(format!("/proc/{}/fd/{}", descriptor.pid, descriptor.number));
    link.is_ok_and(|link| link.as_os_str() == OsStr::new(&link_to(inode)))
}

/// Some process that holds a socket, as far as we may look.
pub(super) fn holder(inode: u64) -> Option<Pid> {
    processes().find(|pid| holds(*pid, inode).is_ok_and(|held| held.is_some()))
}

/// The account of a process, which everybody may know.
pub(super) fn account(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // The second is the one that counts for what it makes.
    line.split_whitespace().nth(1)?.parse().ok()
}

fn link_to(inode: u64) -> String {
    format!("socket:[{inode}]")
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::os::linux::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_group_and_all_descendants_are_a_replicas_own_and_nobody_else_is() {
        // A child in the group, one with a group of its own, and an orphan that stayed in the group.
        let script = "sleep 60 & setsid sleep 61 & sh -c 'sleep 62 & echo $!'; echo ready; wait";
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let orphan: i32 = lines.next().unwrap().parse().unwrap();
        assert_eq!(lines.next().as_deref(), Some("ready"));
        let members = Kin::of(Pid::from_child(&child)).members();
        assert!(members.contains(&Pid::from_raw(orphan).unwrap()));
        assert_eq!(members.len(), 4, "{members:?}");
        assert!(!members.contains(&rustix::process::getpid()));
        for pid in members {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_socket_is_found_with_who_holds_it() {
        let own = rustix::process::getpid();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = fs::File::from(listener.as_fd().try_clone_to_owned().unwrap());
        let inode = socket.metadata().unwrap().st_ino();
        let held = holds(own, inode).unwrap().unwrap();
        assert!(is_of(held, inode) && !is_of(held, inode + 1));
        assert_eq!(holder(inode), Some(own));
        assert_eq!(holds(own, u64::MAX).unwrap(), None);
        assert_eq!(account(own), Some(rustix::process::geteuid().as_raw()));
    }
}
