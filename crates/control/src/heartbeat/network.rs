//! One probe over the network: the question "are you well?" to one replica, and what its answer says.
//! When to ask and what to make of silence is the caller's.

use std::io;

use bytes::Bytes;
use fleet::{Address, NoConnection, ProbeResult};
use futures_util::future::{BoxFuture, FutureExt};
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::http2;
use super::prober::{HeartbeatProtocol, HeartbeatSettings, Prober};

/// What a replica behind a Unix socket is called, which has no host and no port.
const HOST_OF_SOCKETS: &str = "localhost";

/// Probes over a new connection each time: that it can be made is part of the answer.
pub(super) struct Network;

impl Prober for Network {
    fn probe<'a>(
        &'a self,
        address: &'a Address,
        settings: &'a HeartbeatSettings,
    ) -> BoxFuture<'a, Option<ProbeResult>> {
        async move {
            match address {
                Address::Tcp(address) => match TcpStream::connect(address).await {
                    Ok(stream) => Some(probe_over(stream, &address.to_string(), settings).await),
                    Err(error) => without_connection(&error),
                },
                Address::Unix(path) => match UnixStream::connect(path).await {
                    Ok(stream) => Some(probe_over(stream, HOST_OF_SOCKETS, settings).await),
                    Err(error) => without_connection(&error),
                },
            }
        }
        .boxed()
    }
}

async fn probe_over<S>(stream: S, host: &str, settings: &HeartbeatSettings) -> ProbeResult
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if settings.protocol == HeartbeatProtocol::H2c {
        return http2::probe(stream, host, &settings.path).await;
    }
    let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
        return ProbeResult::Missed;
    };
    let request = Request::get(&settings.path)
        .header(HOST, host)
        .header(CONNECTION, "close")
        .header(USER_AGENT, "evenkeel-heartbeat")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return ProbeResult::Missed };
    // The connection is driven beside the request; whatever came of it, it ends here.
    let driven = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    driven.abort();
    match answer {
        Ok(answer) if answer.status().is_success() => ProbeResult::Good,
        Ok(_) => ProbeResult::Unwell,
        Err(_) => ProbeResult::Missed,
    }
}

/// What it says about a replica that no connection could be made.
fn without_connection(error: &io::Error) -> Option<ProbeResult> {
    match NoConnection::of(error) {
        NoConnection::Refused => Some(ProbeResult::Refused),
        NoConnection::OutOfSockets => None,
        NoConnection::Unreachable => Some(ProbeResult::Missed),
    }
}
