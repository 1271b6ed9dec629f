//! The first moments of a client connection: whose it is, whether it is encrypted, and which protocol is
//! spoken on it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::clients::http1;
use crate::clients::http2;
use crate::clients::origin::{self, Origin};
use crate::clients::proxy_protocol;
use crate::clients::queue::Accepted;
use crate::clients::tls;
use crate::settings::ListenerSettings;
use crate::wire::connection::Connection;
use crate::wire::stream::Wire;
use crate::worker::Worker;

/// Serves a connection from its first byte to its end.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: TcpStream, accepted: Accepted) {
    let Accepted { peer, listener, admission } = accepted;
    // Without it small responses wait for acknowledgements; that it fails on a dead socket is fine.
    let _ = stream.set_nodelay(true);
    let (wire, address) = if listener.tls.is_none() && !listener.proxy_protocol {
        (Wire::Tcp(stream), peer)
    } else {
        // In a box: every connection would otherwise carry the room that this needs, to its end.
        let shaken = Box::pin(shake(stream, peer, &listener));
        match tokio::time::timeout(worker.clients.timeouts.head, shaken).await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "a connection did not come about"),
            Err(_) => return tracing::debug!(%peer, "a connection did not come about in time"),
        }
    };
    let is_trusted = origin::is_trusted(address.ip(), &worker.clients.trusted_proxies);
    let origin = Origin::new(address, matches!(wire, Wire::Tls(_)), is_trusted);
    let is_http2 = matches!(&wire, Wire::Tls(stream) if tls::is_http2(stream));
    let connection = Connection::new(wire, &worker.buffers);
    let http2 = if is_http2 { Some(connection) } else { http1::serve(worker, connection, &origin).await };
    if let Some(connection) = http2 {
        Box::pin(http2::serve(worker, connection, origin)).await;
    }
    drop(admission);
}

/// What a listener asks for before the first request.
async fn shake(
    stream: TcpStream,
    peer: SocketAddr,
    listener: &ListenerSettings,
) -> io::Result<(Wire, SocketAddr)> {
    let mut address = peer;
    if listener.proxy_protocol
        && let Some(source) = proxy_protocol::read_source(&stream).await?
    {
        address = source;
    }
    Ok(match &listener.tls {
        Some(server) => (Wire::Tls(Box::new(server.accept(stream).await?)), address),
        None => (Wire::Tcp(stream), address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<'a, F>(_: impl Fn(&'a Rc<Worker>, TcpStream, Accepted) -> F) -> usize {
        size_of::<F>()
    }

    /// What is seldom needed belongs into a box: ten thousand idle connections carry the room for it.
    #[test]
    fn a_connection_takes_little_memory() {
        let size = size_of_future(serve);
        assert!(size < 3200, "{size} bytes");
    }
}
