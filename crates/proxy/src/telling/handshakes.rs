//! Connections that came to nothing before their first request: what stood in the way, counted, and told in
//! the log now and then with the words of whoever found it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, Error};

use crate::telling::tally::Tally;

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The client has left in the middle of it.
    Left,
    TooSlow,
    /// What came was no TLS: plain HTTP, as a rule.
    NotTls,
    /// No version, cipher, group or protocol that both know.
    NothingInCommon,
    /// The client does not trust our certificate, or says something else against us.
    Alert,
    /// The client's certificate is missing, or not one that is good here.
    ClientCertificate,
    /// No valid header of the PROXY protocol.
    ProxyHeader,
    Other,
}

impl Obstacle {
    const ALL: [Self; 8] = [
        Self::Left,
        Self::TooSlow,
        Self::NotTls,
        Self::NothingInCommon,
        Self::Alert,
        Self::ClientCertificate,
        Self::ProxyHeader,
        Self::Other,
    ];

    /// Of a TLS handshake that failed with this.
    pub(crate) fn in_tls(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => Self::ClientCertificate,
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::NothingInCommon,
            Some(Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled)) => {
                Self::Left
            }
            Some(Error::AlertReceived(_)) => Self::Alert,
            Some(Error::InvalidMessage(_)) => Self::NotTls,
            Some(_) => Self::Other,
            None => Self::of_stream(error),
        }
    }

    /// Of a PROXY header that could not be read for this reason.
    pub(crate) fn in_proxy_header(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::ProxyHeader,
            _ => Self::of_stream(error),
        }
    }

    fn of_stream(error: &io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            UnexpectedEof | ConnectionReset | BrokenPipe | NotConnected => Self::Left,
            _ => Self::Other,
        }
    }

    /// Its name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::TooSlow => "too_slow",
            Self::NotTls => "not_tls",
            Self::NothingInCommon => "nothing_in_common",
            Self::Alert => "alert",
            Self::ClientCertificate => "client_certificate",
            Self::ProxyHeader => "proxy_header",
            Self::Other => "other",
        }
    }
}

/// What all workers have seen of them.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    tally: Tally<{ Obstacle::ALL.len() }>,
}

impl Handshakes {
    /// A connection of this client came to nothing.
    pub(crate) fn tell(&self, obstacle: Obstacle, client: SocketAddr, error: &dyn fmt::Display) {
        let Some(times) = self.tally.add(obstacle as usize) else { return };
        let (reason, client) = (obstacle.name(), client.ip().to_canonical());
        // Whoever looks whether the port is open leaves, too.
        if obstacle == Obstacle::Left {
            tracing::debug!(%client, reason, %error, times, "a client left during the handshake");
        } else {
            tracing::warn!(%client, reason, %error, times, "a connection came to nothing before its first request");
        }
    }

    /// How many there were, by reason.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let count = |obstacle: Obstacle| (obstacle.name(), self.tally.count(obstacle as usize));
        Obstacle::ALL.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_has_its_place() {
        for (place, obstacle) in Obstacle::ALL.into_iter().enumerate() {
            assert_eq!(obstacle as usize, place, "{obstacle:?}");
        }
    }
}
