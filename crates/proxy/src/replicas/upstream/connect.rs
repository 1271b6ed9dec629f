//! A connection to a replica comes about, in time, or fails for a reason that has a name.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fleet::NoConnection;
use tokio::net::{TcpStream, UnixStream};

use crate::respond::failure::Failure;

/// How long to wait before a Unix socket is tried again whose queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(1);

/// Over TCP.
pub(super) async fn tcp(address: SocketAddr, timeout: Duration) -> Result<TcpStream, Failure> {
    let stream = in_time(timeout, TcpStream::connect(address)).await?;
    // On a socket that is gone already it does not matter.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Over a Unix socket.
pub(super) async fn unix(path: &Path, timeout: Duration) -> Result<UnixStream, Failure> {
    in_time(timeout, connect_unix(path)).await
}

async fn in_time<S>(
    timeout: Duration,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, Failure> {
    match tokio::time::timeout(timeout, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match NoConnection::of(&error) {
            NoConnection::Refused => Failure::Refused,
            NoConnection::OutOfSockets => Failure::OutOfSockets,
            NoConnection::Unreachable => Failure::Unreachable,
        }),
        Err(_) => Err(Failure::Unreachable),
    }
}

/// Where too many wait to be accepted, a Unix socket turns the next one away; TCP lets them wait.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(QUEUE_PAUSE).await,
            connected => return connected,
        }
    }
}
