//! The socket that the admin API is served on.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fleet::Address;
use tokio::net::{TcpListener, UnixListener};

/// A bound admin listener.
#[derive(Debug)]
pub enum AdminListener {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket, at this path.
    Unix(UnixListener, PathBuf),
}

impl AdminListener {
    /// Binds an address. A Unix socket that nobody listens on any more is replaced; a new one may
    /// be used by its owner only.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Address::Unix(path) => {
                remove_stale_socket(path).await?;
                // Nobody can reach it before only its owner may.
                let new_path = path.with_extension("new");
                let _ = std::fs::remove_file(&new_path);
                let listener = UnixListener::bind(&new_path)?;
                std::fs::set_permissions(&new_path, std::fs::Permissions::from_mode(0o600))?;
                std::fs::rename(&new_path, path)?;
                Ok(Self::Unix(listener, path.to_path_buf()))
            }
        }
    }

    /// Where it listens, in words.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".into(), |address| format!("http://{address}"))
            }
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
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
