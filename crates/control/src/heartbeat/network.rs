//! One probe over the network: the question "are you well?" to one replica, and what its answer says.
//! When to ask and what to make of silence is the caller's.

use std::io;

use fleet::{Address, NoConnection, ProbeResult};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::prober::{HeartbeatProtocol, HeartbeatSettings, Probed, Prober};
use super::{http1, http2};

/// What a replica behind a Unix socket is called, which has no host and no port.
const HOST_OF_SOCKETS: &str = "localhost";

/// Probes over a new connection each time: that it can be made is part of the answer.
pub(super) struct Network;

impl Prober for Network {
    fn probe<'a>(
        &'a self,
        address: &'a Address,
        settings: &'a HeartbeatSettings,
    ) -> BoxFuture<'a, Option<Probed>> {
        async move {
            match &settings.place(address) {
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

async fn probe_over<S>(stream: S, host: &str, settings: &HeartbeatSettings) -> Probed
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if settings.protocol == HeartbeatProtocol::H2c {
        return http2::probe(stream, host, settings).await;
    }
    match http1::ask(stream, host, settings).await {
        Ok(answer) => settings.question.judge(answer.status(), answer.headers()),
        Err(error) => Probed::not_understood(&error),
    }
}

/// What it says about a replica that no connection could be made.
fn without_connection(error: &io::Error) -> Option<Probed> {
    match NoConnection::of(error) {
        NoConnection::Refused => Some(ProbeResult::Refused.into()),
        NoConnection::OutOfSockets => None,
        NoConnection::Unreachable => {
            Some(Probed::new(ProbeResult::Missed, format!("no connection: {error}")))
        }
    }
}
