//! The owner's lock: two balancers with one owner id would take each other's replicas for their own,
//! so on one host there is only one of them, whatever their state directories and drivers are.
//!
//! Two locks, and both are let go by the kernel however their holder ends. The name of an abstract
//! Unix socket is seen by everybody in the same network namespace, whatever they have mounted; a file
//! in our run folder by every balancer of this account that has the same folder, whatever its network. Who
//! shares neither, as balancers in containers of their own, is not found out. A balancer that is killed
//! leaves an empty file, which means nothing.
//!
//! A name can be taken by any account, and be meant to keep us out. So a holder counts only if it is of our
//! own account, or root; the kernel tells. Root keeps users out: what root's balancer runs (containers of the
//! engine that both reach) is not for a user's balancer to take over. A user does not keep root out, nor another
//! user: whoever that is, its processes are its own, and containers are known by a secret in a state
//! directory that is not shared. We say who it is, and go on with the file alone.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::fs::MetadataExt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use files::NotOurs;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Uid, geteuid};

/// What the names of both locks begin with.
const PREFIX: &str = "evenkeel-owner-";

/// How often it is tried to take a lock whose holder is gone when it is looked at.
const ATTEMPTS_MAX: u32 = 3;

/// Held for as long as this lives.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    /// Nothing where somebody else has the name who does not count.
    _name: Option<UnixListener>,
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

/// Why it is not to be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This process holds it, if its number is known here.
    Held(Option<i32>),
    /// It cannot be taken, for this reason.
    Failed(String),
}

/// Who listens at a name.
#[derive(Clone, Copy, Debug)]
struct Holder {
    pid: Option<i32>,
    uid: Uid,
}

/// Takes the lock of an owner, or says who has it and what to do.
pub(crate) fn take(owner: &str) -> Result<OwnerLock, String> {
    attempt(owner).map_err(|refused| match refused {
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

/// Takes the lock of an owner, or says who has it.
pub(crate) fn attempt(owner: &str) -> Result<OwnerLock, Refused> {
    folder().and_then(|folder| take_in(folder.as_deref(), owner))
}

/// Whether a balancer of this owner can be seen to run. Nothing is locked by that.
pub(crate) fn is_held(owner: &str) -> bool {
    holder_at(&format!("{PREFIX}{owner}")).is_some()
}

/// Where the file is; nothing where nobody can write, because then nobody else has one either.
fn folder() -> Result<Option<PathBuf>, Refused> {
    let folder = files::run_folder().map_err(|error| Refused::Failed(error.to_string()))?;
    match files::ensure_own_folder(&folder) {
        Ok(()) => Ok(Some(folder)),
        Err(error @ NotOurs::Unusable { .. }) => {
            tracing::debug!("there is no lock in a file: {}", fleet::in_full(&error));
            Ok(None)
        }
        Err(error) => Err(Refused::Failed(error.to_string())),
    }
}

fn take_in(folder: Option<&Path>, owner: &str) -> Result<OwnerLock, Refused> {
    let name = take_name(owner)?;
    let path = folder.map(|folder| folder.join(format!("{PREFIX}{owner}.lock")));
    let file = path.map(|path| Ok((take_file(&path)?, path))).transpose()?;
    if name.is_none() && file.is_none() {
        let what = "its name is held by another account, and there is no folder for a lock file";
        return Err(Refused::Failed(what.to_owned()));
    }
    Ok(OwnerLock { _name: name, file: file.map(|(file, path)| (path, file)) })
}

/// The name; nothing if somebody has it who does not count.
fn take_name(owner: &str) -> Result<Option<UnixListener>, Refused> {
    let failed = |error: io::Error| Refused::Failed(error.to_string());
    let text = format!("{PREFIX}{owner}");
    let name = SocketAddr::from_abstract_name(&text).map_err(failed)?;
    let mut holder = None;
    for _ in 0..ATTEMPTS_MAX {
        match UnixListener::bind_addr(&name) {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(failed(error)),
            Err(_) => holder = holder_at(&text),
        }
        if holder.is_some() {
            break;
        }
    }
    let whose = match holder {
        Some(Holder { pid, uid }) if uid.is_root() || uid == geteuid() => return Err(Refused::Held(pid)),
        Some(Holder { pid, uid }) => {
            let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            format!("account {uid}{pid}")
        }
        // No balancer holds a name without listening, or lets its queue fill up.
        None => "somebody who does not say who it is".to_owned(),
    };
    tracing::warn!(
        "the name of the owner \"{owner}\" is held by {whose}, which is no reason not to start; a lock in our run folder stands in for it"
    );
    Ok(None)
}

/// Who listens at an abstract name. The kernel connects us without their help, and knows; we do not wait for
/// it where their queue is full.
fn holder_at(name: &str) -> Option<Holder> {
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).ok()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(socket.as_fd(), &address).ok()?;
    let credentials = rustix::net::sockopt::socket_peercred(&socket).ok()?;
    let pid = Some(credentials.pid.as_raw_nonzero().get()).filter(|pid| *pid > 0);
    Some(Holder { pid, uid: credentials.uid })
}

/// The lock on a file in a folder of ours.
fn take_file(path: &Path) -> Result<File, Refused> {
    let failed = |error: Errno| Refused::Failed(format!("{}: {}", path.display(), io::Error::from(error)));
    for _ in 0..ATTEMPTS_MAX {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Whoever has let go of it has taken the file away since it was opened.
            Ok(()) if is_at(&file, path) => return Ok(file),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Refused::Held(holder_of(&file))),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(Refused::Failed(format!("{} does not stay where it is", path.display())))
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.st_dev(), ours.st_ino()) == (there.st_dev(), there.st_ino())
}

/// How often the list of locks is read for somebody who should be in it.
const LOOKS: usize = 5;

/// Who holds the lock on a file, as the kernel's list of locks has it.
fn holder_of(file: &File) -> Option<i32> {
    let inode = file.metadata().ok()?.st_ino();
    // The list is handed out in pieces, and may change between two of them: a line can be passed over.
    let look = |_| holder_in(&fs::read_to_string(PathBuf::from("/proc/locks")).ok()?, inode);
    (0..LOOKS).find_map(look)
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
        let folder = tempfile::tempdir().unwrap();
        let owner = format!("test-{}", own_pid());
        let first = take_in(Some(folder.path()), &owner).unwrap();
        assert_eq!(take_in(None, &owner).unwrap_err(), Refused::Held(Some(own_pid())));
        assert!(take_in(Some(folder.path()), &format!("{owner}-other")).is_ok());
        drop(first);
        assert!(take_in(Some(folder.path()), &owner).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_alone_refuses_too_and_tells_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _first = take_file(&path).unwrap();
        assert_eq!(take_file(&path).unwrap_err(), Refused::Held(Some(own_pid())));
        fs::remove_file(&path).unwrap();
        assert!(take_file(&path).is_ok(), "one that was taken away holds nobody off");
        assert!(take_file(folder.path()).is_err(), "a folder is no lock");
        let victim = folder.path().join("victim");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(take_file(&link).is_err() && !victim.exists(), "a link is not followed");
    }

    #[test]
    fn a_name_whose_holder_does_not_listen_is_no_reason_not_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let owner = format!("test-silent-{}", own_pid());
        let silent =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let name = SocketAddrUnix::new_abstract_name(format!("{PREFIX}{owner}").as_bytes()).unwrap();
        rustix::net::bind(&silent, &name).unwrap();
        let first = take_in(Some(folder.path()), &owner).unwrap();
        assert!(first._name.is_none());
        assert_eq!(take_in(Some(folder.path()), &owner).unwrap_err(), Refused::Held(Some(own_pid())));
        assert!(take_in(None, &owner).is_err(), "without any lock there is none");
    }

    #[test]
    fn the_holder_is_found_in_the_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 fe:00:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 9 fe:00:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 10 fe:00:77 0 EOF\n3: FLOCK  ADVISORY  WRITE 0 fe:00:78 0 EOF\n";
        assert_eq!(holder_in(locks, 77), Some(9));
        assert_eq!((holder_in(locks, 78), holder_in(locks, 79)), (None, None));
    }
}
