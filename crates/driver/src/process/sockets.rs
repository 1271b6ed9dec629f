//! A private folder for the sockets of replicas: made under a name that was free, locked for as long
//! as the balancer lives, and removed with it. What a balancer that was killed has left, the next
//! one removes; a folder that somebody holds, or that holds anything but sockets, is never touched.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fleet::{Address, Life};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use crate::DriverError;

/// What the names of our folders begin with.
const PREFIX: &str = "evenkeel-sock-";
const RANDOM_LENGTH: usize = 6;

/// How many names are tried before giving up.
const ATTEMPTS_MAX: usize = 100;

/// How many entries of the folder above are looked at in search of what a killed balancer left.
const ENTRIES_MAX: usize = 10_000;

/// Room for the socket of the last life of the highest seat.
const SOCKET_BYTES_MAX: usize = "/4294967295.18446744073709551615.sock".len();

/// A folder that nobody else may enter.
#[derive(Debug)]
pub(super) struct SocketFolder {
    path: PathBuf,
    /// Says to other balancers that this one is alive.
    _lock: File,
}

impl SocketFolder {
    /// A new folder in the run folder of this account.
    pub(super) fn create() -> Result<Self, DriverError> {
        let failed = |error: &dyn std::error::Error| {
            DriverError::new(format!("there is no place for sockets of replicas: {}", fleet::in_full(error)))
        };
        let run = files::run_folder().map_err(|error| failed(&error))?;
        files::ensure_own_folder(&run).map_err(|error| failed(&error))?;
        Self::create_in(&run)
    }

    fn create_in(base: &Path) -> Result<Self, DriverError> {
        let failed = |error| {
            let what = format!("cannot make a folder for sockets in '{}'", base.display());
            DriverError::caused(what, error)
        };
        check_length(base)?;
        sweep(base);
        for _ in 0..ATTEMPTS_MAX {
            let random = std::iter::repeat_with(fastrand::alphanumeric).take(RANDOM_LENGTH);
            let path = base.join(random.fold(PREFIX.to_owned(), |name, letter| name + &letter.to_string()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            }
            // Before it was locked, another balancer may have taken it for a leftover.
            if let Some(lock) = lock(&path).map_err(failed)? {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Where a life is to listen; nothing is there yet.
    pub(super) fn address(&self, life: Life) -> Result<Address, DriverError> {
        address(&self.path.join(format!("{life}.sock")))
    }

    /// Removes the folder and all that replicas have put there.
    pub(super) fn remove(&self) -> Result<(), DriverError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("cannot remove the folder of sockets '{}'", self.path.display());
                Err(DriverError::caused(what, error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        // An orderly end has done this already, and said what was in the way.
        let _ = self.remove();
    }
}

/// The address of a socket at a path where nothing is any more.
pub(super) fn address(path: &Path) -> Result<Address, DriverError> {
    // A program that finds its socket in place would say that it is in use.
    remove(path).map_err(|error| {
        DriverError::caused(format!("cannot remove the old socket '{}'", path.display()), error)
    })?;
    Address::unix(path).map_err(|error| DriverError::caused("no socket can be made", error))
}

/// Refuses a folder of kept processes whose path leaves no room for sockets in it.
pub(super) fn check_kept(folder: &Path) -> Result<(), DriverError> {
    let room = Address::UNIX_PATH_BYTES_MAX - SOCKET_BYTES_MAX;
    let length = folder.as_os_str().len();
    if length <= room {
        return Ok(());
    }
    let folder = folder.display();
    Err(DriverError::new(format!(
        "'{folder}' is too long for sockets of replicas that are kept: it has {length} bytes and may have {room}; set a shorter state_dir"
    )))
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn check_length(base: &Path) -> Result<(), DriverError> {
    let room = Address::UNIX_PATH_BYTES_MAX - SOCKET_BYTES_MAX - PREFIX.len() - RANDOM_LENGTH - "/".len();
    let length = base.as_os_str().len();
    if length <= room {
        return Ok(());
    }
    let base = base.display();
    Err(DriverError::new(format!(
        "'{base}' is too long for a folder of sockets: it has {length} bytes and may have {room}; set XDG_RUNTIME_DIR to a shorter one"
    )))
}

/// The lock of a folder; nothing if somebody else has it, or if the folder is gone.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match open(path, flags, Mode::empty()) {
        Ok(folder) => File::from(folder),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let (locked, Ok(there)) = (folder.metadata()?, fs::symlink_metadata(path)) else { return Ok(None) };
    let is_same = (locked.dev(), locked.ino()) == (there.dev(), there.ino());
    let is_ours = locked.uid() == rustix::process::geteuid().as_raw();
    Ok((is_same && is_ours).then_some(folder))
}

/// Removes the folders that killed balancers left. What cannot be removed stays: it is in nobody's
/// way.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().take(ENTRIES_MAX).flatten() {
        let is_named_so = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_named_so && let Ok(Some(_lock)) = lock(&entry.path()) {
            remove_sockets(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn remove_sockets(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use placement::Seat;

    use super::*;

    fn path_of(folder: &SocketFolder) -> PathBuf {
        match folder.address(Life { seat: Seat::at_index(0), incarnation: 4 }).unwrap() {
            Address::Unix(path) => path.to_path_buf(),
            Address::Tcp(address) => panic!("{address} is no socket"),
        }
    }

    #[test]
    fn a_folder_is_for_its_owner_only_and_goes_with_the_balancer() {
        let base = tempfile::tempdir().unwrap();
        let folder = SocketFolder::create_in(base.path()).unwrap();
        let socket = path_of(&folder);
        assert!(socket.ends_with("1.4.sock"));
        assert_eq!(fs::metadata(&folder.path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(UnixListener::bind(&socket).unwrap());
        assert_eq!((path_of(&folder), socket.exists()), (socket.clone(), false), "the old one is removed");
        fs::write(folder.path.join("1.4.sock.lock"), "").unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_balancer_left_is_removed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let alive = SocketFolder::create_in(base.path()).unwrap();
        let [left, precious, other] =
            ["evenkeel-sock-left", "evenkeel-sock-data", "other"].map(|name| base.path().join(name));
        for folder in [&left, &precious, &other] {
            fs::create_dir(folder).unwrap();
        }
        drop(UnixListener::bind(left.join("1.1.sock")).unwrap());
        fs::write(precious.join("file"), "").unwrap();
        let _next = SocketFolder::create_in(base.path()).unwrap();
        let is_there = [&alive.path, &precious.join("file"), &other, &left].map(|path| path.exists());
        assert_eq!(is_there, [true, true, true, false]);
    }

    #[test]
    fn a_path_that_sockets_cannot_have_is_refused_before_anything_starts() {
        let base = PathBuf::from(format!("/{}", "a".repeat(60)));
        let error = SocketFolder::create_in(&base).unwrap_err().in_full();
        assert!(error.contains("it has 61 bytes and may have 49; set XDG_RUNTIME_DIR"), "{error}");
    }
}
