//! Opening what lies below a folder, and nothing that does not: the kernel resolves the path, and ends it where it
//! would leave the folder. What is no plain file is not opened at all: the mere opening of a device or a pipe may
//! do something.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

/// How often a path is resolved anew because somebody has moved a folder meanwhile.
const MOVED_MAX: u32 = 8;

/// Whether what is asked for may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Only what the system has in memory; for the thread that others' requests are on.
    Never,
    May,
}

/// What there is at a place.
pub(crate) enum Thing {
    File,
    Folder,
    /// A device, a pipe, a socket: nothing for clients.
    Other,
}

/// A folder, as it is now.
pub(crate) struct Root {
    descriptor: OwnedFd,
    waiting: Waiting,
}

/// A file that can be read.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) facts: Facts,
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// In bytes.
    pub(crate) size: u64,
    /// When its content was changed last, as is said of it: in nanoseconds since 1970.
    pub(crate) modified: i128,
    /// When anything of it was changed last, which nobody can set. In the same unit.
    pub(crate) changed: i128,
}

impl Root {
    /// Finds the folder.
    pub(crate) fn open(path: &Path, waiting: Waiting) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = openat2(CWD, path, flags, Mode::empty(), waiting.flags())?;
        Ok(Self { descriptor, waiting })
    }

    /// What there is at a path below it.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Thing, Errno> {
        let found = self.open_below(path, OFlags::PATH)?;
        Ok(match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::RegularFile => Thing::File,
            FileType::Directory => Thing::Folder,
            _ => Thing::Other,
        })
    }

    /// Opens the plain file at a path below it.
    pub(crate) fn read(&self, path: &[u8]) -> Result<Opened, Errno> {
        // Whatever has taken its place meanwhile must not hold us up.
        let found = self.open_below(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::NOENT);
        }
        Ok(Opened { file: File::from(found), facts: Facts::of(&stat) })
    }

    fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve = self.waiting.flags() | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..MOVED_MAX {
            opened = openat2(&self.descriptor, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
            // Where nothing is waited for, this says that it would have to be.
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) || self.waiting == Waiting::Never {
                break;
            }
        }
        opened
    }
}

impl Waiting {
    fn flags(self) -> ResolveFlags {
        match self {
            Self::Never => ResolveFlags::CACHED,
            Self::May => ResolveFlags::empty(),
        }
    }
}

impl Facts {
    #[allow(clippy::unnecessary_cast, reason = "the types differ between machines")]
    fn of(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: stat.st_size as u64,
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// Whether files can be served from this folder on this machine.
pub fn check_folder(path: &Path) -> io::Result<()> {
    // In words that fit whatever is wrong with it; `openat2` may be what is missing.
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let tried = Root::open(path, Waiting::May).and_then(|root| root.look(b""));
    match tried {
        Err(Errno::NOSYS | Errno::PERM) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this system does not have `openat2`, which keeps requests inside of the folder: it takes Linux 5.6, and a \
             container engine whose seccomp profile knows it",
        )),
        tried => tried.map(drop).map_err(io::Error::from),
    }
}
