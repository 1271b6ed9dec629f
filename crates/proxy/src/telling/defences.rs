//! What strangers tried and was cut short: counted, and told in the log now and then.

use std::net::IpAddr;

use crate::telling::tally::Tally;

/// A kind of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defence {
    /// An HTTP/2 connection of frames that ask for nothing.
    Http2Overhead,
    /// An HTTP/2 connection whose requests are given up as soon as they are made.
    Http2GivenUp,
    /// An idle connection when all were taken.
    ClosedForRoom,
    /// One more connection of a client that has as many as it may.
    RefusedPerClient,
    /// A connection to a listener of the PROXY protocol from somebody whose headers are not believed.
    RefusedProxyProtocol,
    /// Heads on one HTTP/2 connection that together are too large, again and again.
    Http2Heads,
    /// An HTTP/2 connection on which a head was begun and not ended in time.
    Http2SlowHead,
    /// An HTTP/2 connection whose client broke the rules that hold for the connection itself.
    Http2Broken,
    /// A connection that held most when all together held too much.
    Memory,
}

impl Defence {
    const ALL: [Self; 9] = [
        Self::Http2Overhead,
        Self::Http2GivenUp,
        Self::ClosedForRoom,
        Self::RefusedPerClient,
        Self::RefusedProxyProtocol,
        Self::Http2Heads,
        Self::Http2SlowHead,
        Self::Http2Broken,
        Self::Memory,
    ];

    /// Its name in metrics and in the access log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http2Overhead => "http2_overhead",
            Self::Http2GivenUp => "http2_given_up",
            Self::ClosedForRoom => "closed_for_room",
            Self::RefusedPerClient => "refused_per_client",
            Self::RefusedProxyProtocol => "refused_proxy_protocol",
            Self::Http2Heads => "http2_heads",
            Self::Http2SlowHead => "http2_slow_head",
            Self::Http2Broken => "http2_broken",
            Self::Memory => "memory",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Http2Overhead => {
                "an HTTP/2 client sent next to nothing but frames that ask for nothing; hung up on it"
            }
            Self::Http2GivenUp => {
                "an HTTP/2 client gave up its requests as soon as it made them; its connection ends when those \
                 that it waits for are answered"
            }
            Self::ClosedForRoom => {
                "all connections are taken (limits.connections): those that were idle longest are closed to make room"
            }
            Self::RefusedPerClient => {
                "a client has as many connections as it may (limits.connections_per_client): more of them are refused"
            }
            Self::RefusedProxyProtocol => {
                "a connection to a listener of the PROXY protocol came from somebody who is not in its \
                 proxy_protocol_from: refused"
            }
            Self::Http2Heads => {
                "the heads that an HTTP/2 client has under way are too large together, again and again; hung up \
                 on it"
            }
            Self::Http2SlowHead => {
                "an HTTP/2 client began a head and did not end it in time (timeouts.head); hung up on it"
            }
            Self::Http2Broken => "an HTTP/2 client broke the rules of the protocol; hung up on it",
            Self::Memory => {
                "clients together hold as much memory as they may (limits.memory); closed the connection that \
                 held most"
            }
        }
    }
}

/// What all workers have seen of it.
#[derive(Debug, Default)]
pub(crate) struct Defences {
    tally: Tally<{ Defence::ALL.len() }>,
}

impl Defences {
    /// It happened, with this client if one can be named.
    pub(crate) fn tell(&self, defence: Defence, client: Option<IpAddr>) {
        if let Some(times) = self.tally.add(defence as usize) {
            tracing::warn!(client = client.map(tracing::field::display), times, "{}", defence.text());
        }
    }

    /// How often each has happened, by its name.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let count = |defence: Defence| (defence.name(), self.tally.count(defence as usize));
        Defence::ALL.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        for (place, defence) in Defence::ALL.into_iter().enumerate() {
            assert_eq!(defence as usize, place, "{defence:?}");
        }
    }
}
