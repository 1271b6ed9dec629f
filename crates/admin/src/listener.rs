//! The socket that the admin API is served on.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fleet::Address;
use tokio::net::{TcpListener, UnixListener};

/// A bound admin listener.
#[derive(Debug)]
pub enum AdminListener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket, at this path.
    Unix(UnixListener, SocketFile),
}

/// The file of a socket, which goes with its listener.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// By what it is told from one that somebody else has put there since.
    inode: Option<u64>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

impl AdminListener {
    /// Binds an address. A Unix socket that nobody listens on any more is replaced; a new one may
    /// be used by its owner only.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Address::Unix(path) => {
                remove_stale_socket(path).await?;
                let listener = bind_for_owner(path)?;
                Ok(Self::Unix(listener, SocketFile { path: path.to_path_buf(), inode: inode(path) }))
            }
        }
    }

    /// Where it listens, in words.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".into(), |address| format!("http://{address}"))
            }
            Self::Unix(_, file) => format!("unix:{}", file.path.display()),
        }
    }
}

/// Binds a socket that nobody but its owner can reach at any moment: it is made in a folder that is for him alone,
/// and is put into its place when it is his alone by itself, too.
fn bind_for_owner(path: &Path) -> io::Result<UnixListener> {
    // What the system takes for the path of a socket is short, so these names are; and nobody could connect to one
    // whose own is too long.
    std::os::unix::net::SocketAddr::from_pathname(path)?;
    let folder = path.with_file_name(format!(".{:06x}", fastrand::u32(..1 << 24)));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let new_path = folder.join("s");
    let bound = UnixListener::bind(&new_path).and_then(|listener| {
        std::fs::set_permissions(&new_path, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new_path, path)?;
        Ok(listener)
    });
    // Nothing else is in it, whatever came of that.
    let _ = std::fs::remove_file(&new_path);
    let _ = std::fs::remove_dir(&folder);
    bound
}

/// Makes room where somebody who was killed left a Unix socket, and only there: a socket that is in
/// use stays, and so does any other file. The error says that the place is taken.
pub async fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let in_use = || Err(io::Error::new(io::ErrorKind::AddrInUse, "it is in use"));
    if !meta.file_type().is_socket() {
        return in_use();
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => in_use(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_nothing_else_is_left_or_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("admin.sock"), folder.path().join("precious"));
        std::fs::write(&precious, "").unwrap();
        std::fs::set_permissions(&precious, std::fs::Permissions::from_mode(0o644)).unwrap();
        // Where the socket was made before, somebody has a link.
        symlink(&precious, folder.path().join("admin.new")).unwrap();
        let listener = AdminListener::bind(&Address::Unix(path.as_path().into())).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&precious)), (0o600, 0o644));
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["admin.new", "admin.sock", "precious"]);
        tokio::net::UnixStream::connect(&path).await.unwrap();
        drop(listener);
        assert_eq!(names(), ["admin.new", "precious"]);
    }

    #[tokio::test]
    async fn where_no_socket_can_be_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(200));
        AdminListener::bind(&Address::Unix(path.as_path().into())).await.unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
