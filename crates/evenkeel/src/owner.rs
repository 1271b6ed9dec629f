//! The owner's lock: two balancers with one owner id would take each other's replicas for their own,
//! so on one host there is only one of them, whatever their users, state directories and drivers are.
//!
//! Two locks, and both are let go by the kernel however their holder ends. The name of an abstract
//! Unix socket is seen by everybody in the same network namespace, whatever they have mounted; a file
//! in `/tmp` by everybody who has the same `/tmp`, whatever their network. Who shares neither, as
//! balancers in containers of their own, is not found out. A balancer that is killed leaves an empty
//! file, which means nothing.

use std::fs::{self, File};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, open};
use rustix::io::Errno;

/// What the names of both locks begin with.
const PREFIX: &str = "evenkeel-owner-";

/// Where everybody may have a file.
const FOLDER: &str = "/tmp";

/// How often it is tried to take a lock whose holder is gone when it is looked at.
const ATTEMPTS_MAX: u32 = 3;

/// Held for as long as this lives.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    _socket: UnixListener,
    file: Option<(PathBuf, File)>,
}

impl Drop for OwnerLock {
    /// Takes the file away while it is locked: whoever has opened it before sees that it is gone.
    fn drop(&mut self) {
        if let Some((path, file)) = &self.file
            && is_at(file, path)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Who holds it, as far as that can be seen.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// This process, if its number is known here.
    Held(Option<i32>),
    Failed(String),
}

/// Takes the lock of an owner, or says who has it and what to do.
pub(crate) fn take(owner: &str) -> Result<OwnerLock, String> {
    let locked = take_name(owner).and_then(|socket| {
        let path = Path::new(FOLDER).join(format!("{PREFIX}{owner}.lock"));
        let file = take_file(&path)?;
        Ok(OwnerLock { _socket: socket, file: file.map(|file| (path, file)) })
    });
    locked.map_err(|refused| match refused {
        Refused::Held(pid) => {
            let pid = pid.map_or_else(|| "in another namespace".to_owned(), |pid| format!("process {pid}"));
            format!(
                "a balancer with the owner \"{owner}\" is running already ({pid}); both would manage the same replicas. \
                 End that one, or give this one another owner: owner = \"…\" in its configuration"
            )
        }
        Refused::Failed(why) => format!("cannot lock the owner \"{owner}\": {why}"),
    })
}

fn take_name(owner: &str) -> Result<UnixListener, Refused> {
    let failed = |error: io::Error| Refused::Failed(error.to_string());
    let name = SocketAddr::from_abstract_name(format!("{PREFIX}{owner}")).map_err(failed)?;
    for _ in 0..ATTEMPTS_MAX {
        match UnixListener::bind_addr(&name) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(failed(error)),
            // The kernel knows who listens, and connects us without its help.
            Err(_) => match UnixStream::connect_addr(&name) {
                Ok(stream) => return Err(Refused::Held(listener_of(&stream))),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                // Somebody has the name, whoever it is.
                Err(_) => return Err(Refused::Held(None)),
            },
        }
    }
    Err(Refused::Held(None))
}

fn listener_of(stream: &UnixStream) -> Option<i32> {
    let credentials = rustix::net::sockopt::socket_peercred(stream).ok()?;
    Some(credentials.pid.as_raw_nonzero().get()).filter(|pid| *pid > 0)
}

/// The lock on a file; nothing where there can be no file, because then nobody else has one either.
fn take_file(path: &Path) -> Result<Option<File>, Refused> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(file) = open_file(path) else {
            tracing::debug!("there is no lock {}", path.display());
            return Ok(None);
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Whoever tidies up `/tmp` may have taken the file away since it was opened.
            Ok(()) if is_at(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Refused::Held(holder_of(&file))),
            Err(error) => return Err(Refused::Failed(io::Error::from(error).to_string())),
        }
    }
    Ok(None)
}

fn open_file(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Everybody must be able to open it. A file of somebody else's in a shared folder must not be
    // opened as if it were to be created: kernels refuse that.
    let readable = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let created = || {
        let file = open(path, flags | OFlags::CREATE | OFlags::EXCL, readable)?;
        // Whatever is masked for this user: a lock that others cannot open holds nobody off.
        fchmod(&file, readable).map(|()| file)
    };
    let opened = open(path, flags, Mode::empty()).or_else(|_| created());
    let file = File::from(opened.or_else(|_| open(path, flags, Mode::empty())).ok()?);
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.st_dev(), ours.st_ino()) == (there.st_dev(), there.st_ino())
}

/// Who holds the lock on a file, as the kernel's list of locks has it.
fn holder_of(file: &File) -> Option<i32> {
    let inode = file.metadata().ok()?.st_ino();
    holder_in(&fs::read_to_string(PathBuf::from("/proc/locks")).ok()?, inode)
}

/// A line of the list: `1: FLOCK  ADVISORY  WRITE 1369 fe:00:753938 0 EOF`.
fn holder_in(locks: &str, inode: u64) -> Option<i32> {
    let holder = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
        let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
        pid.parse().ok().filter(|pid| is_it && *pid > 0)
    };
    locks.lines().find_map(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_pid() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn a_second_lock_of_one_owner_is_refused_with_who_has_the_first_and_goes_with_it() {
        let owner = format!("test-{}", own_pid());
        let first = take(&owner).unwrap();
        let refused = take(&owner).unwrap_err();
        assert!(refused.contains(&format!("(process {})", own_pid())), "{refused}");
        assert!(refused.contains("owner = ") && refused.contains(&owner), "{refused}");
        assert!(take(&format!("{owner}-other")).is_ok());
        drop(first);
        assert!(take(&owner).is_ok());
        assert!(!Path::new(&format!("{FOLDER}/{PREFIX}{owner}.lock")).exists());
    }

    #[test]
    fn the_file_alone_refuses_too_and_tells_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = take_file(&path).unwrap();
        assert!(first.is_some());
        assert_eq!(take_file(&path).unwrap_err(), Refused::Held(Some(own_pid())));
        fs::remove_file(&path).unwrap();
        assert!(take_file(&path).unwrap().is_some(), "one that was taken away holds nobody off");
        assert!(take_file(folder.path()).unwrap().is_none(), "a folder is no lock");
        assert!(take_file(&folder.path().join("no/such")).unwrap().is_none());
    }

    #[test]
    fn the_holder_is_found_in_the_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 fe:00:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 9 fe:00:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 10 fe:00:77 0 EOF\n3: FLOCK  ADVISORY  WRITE 0 fe:00:78 0 EOF\n";
        assert_eq!(holder_in(locks, 77), Some(9));
        assert_eq!((holder_in(locks, 78), holder_in(locks, 79)), (None, None));
    }
}
