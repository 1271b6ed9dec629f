//! What the program hands to the proxy, and the limits that are not settings.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use fleet::{Reader, Suspicion};
use h1::HeadLimits;
use http::request::Parts;
use http::{Method, Response};
use ipnet::IpNet;
use placement::KeyHash;
use tokio::sync::mpsc;

use crate::clients::tls::TlsServer;
use crate::respond::response::ResponseStyle;
use crate::travel::key::KeyRule;

/// How long connections are served on after the proxy was told to stop, so that a request that is
/// on its way or in the kernel's hands is answered, and told that the connection ends.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);
/// How much of an unwanted body is read so that its connection can be kept, and for how long.
pub(crate) const DISCARD_BYTES_MAX: u64 = 64 * 1024;
pub(crate) const DISCARD_TIMEOUT: Duration = Duration::from_millis(100);
/// The largest body of a request to the balancer itself.
pub(crate) const LOCAL_BODY_MAX: usize = 64 * 1024;
/// The longest response of a replica that is not trusted that is read whole before it is passed on.
pub(crate) const HELD_RESPONSE_MAX: u64 = 64 * 1024;
/// How much of a body of known length is waited for before a replica is bothered with the request.
pub(crate) const BUFFERED_BODY: usize = 8 * 1024;
/// How long it is waited for, because a response may come early,
pub(crate) const BUFFER_PATIENCE: Duration = Duration::from_millis(100);
/// unless more than this many requests of a worker are waited for: then for as long as it takes.
pub(crate) const BUFFERED_FEW: usize = 64;
/// Each of more than those is looked at once in this many ticks.
pub(crate) const BUFFERED_TURNS: u32 = 10;
/// The most idle connections to one replica that a worker keeps.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 1024;
/// How long a connection to a replica is kept that nobody needs.
pub(crate) const IDLE_CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
/// How often idle connections to replicas are looked at.
pub(crate) const POOL_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The most requests of a service that wait for a replica.
pub(crate) const WAITING_MAX: usize = 1024;
/// How long a request may wait for a replica, all its waits together.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often one request may be sent anew, whatever the budget.
pub(crate) const REPLAYS_MAX: usize = 16;
/// The most responses before the one that counts.
pub(crate) const INTERIM_MAX: usize = 16;
/// The most streams at a time on one HTTP/2 connection of a client.
pub(crate) const HTTP2_STREAMS_MAX: u32 = 128;
/// How much of one body may have come over HTTP/2 before somebody has used it, in bytes.
pub(crate) const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
/// The same for all bodies on one connection of a client. A few that are held up leave room for others.
pub(crate) const HTTP2_CLIENT_WINDOW: u32 = 4 << 20;
/// The same for one connection to a replica: all that the protocol has words for, because whoever does not
/// read a response must not hold up the responses to others. What bounds it are the windows of the streams.
pub(crate) const HTTP2_REPLICA_WINDOW: u32 = (1 << 31) - 1;
/// How much of one body may lie here before its connection takes it, in bytes.
pub(crate) const HTTP2_SEND_BUFFER: usize = 128 << 10;
/// How many more requests a client may give up at once than it waits for, on one connection.
pub(crate) const HTTP2_GIVEN_UP_MAX: u32 = 200;
/// How soon is at once.
pub(crate) const HTTP2_GIVEN_UP_AGE: Duration = Duration::from_secs(1);
/// The most HTTP/2 connections to one replica that a worker opens.
pub(crate) const HTTP2_CONNECTIONS_MAX: usize = 16;
/// How many streams one of them carries before the next is opened, also if its replica would take more.
pub(crate) const HTTP2_CROWD_MAX: usize = 256;

/// One service as the data plane sees it.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Its name, in counters.
    pub name: String,
    /// `*`, a host name in lower case, or `*.` and the rest of one.
    pub host: String,
    /// The path prefix, beginning with a slash.
    pub path: String,
    /// What its requests are placed by.
    pub key: KeyRule,
    /// How its placement hashes keys.
    pub key_hash: KeyHash,
    /// What our own responses to its requests look like.
    pub style: ResponseStyle,
    /// What its replicas speak.
    pub protocol: Protocol,
    /// How long its replicas may take.
    pub timeouts: ServiceTimeouts,
    /// Its routing table.
    pub table: Reader,
    /// Where suspicions go; one that finds it full is dropped.
    pub suspicions: mpsc::Sender<Suspicion>,
}

/// What replicas speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte on.
    H2c,
}

/// How long the replicas of a service may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTimeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// To begin a response, from the last byte of the request on; each attempt anew.
    pub response: Duration,
    /// To send the next bytes of a response that has begun.
    pub idle: Duration,
    /// For a request as a whole, from its head to the last byte of its response. None by default.
    pub request: Option<Duration>,
    /// For the next bytes, in either direction, after a change of protocol (WebSocket).
    pub upgrade_idle: Duration,
}

impl Default for ServiceTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(250),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            request: None,
            upgrade_idle: Duration::from_secs(3600),
        }
    }
}

/// What clients may do, and who of them is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The limits of request heads.
    pub head: HeadLimits,
    /// The most requests on one HTTP/1 connection.
    pub requests_max: u64,
    /// The most connections of clients at a time, over all listeners.
    pub connections_max: usize,
    /// The largest body of an idempotent request that is kept so that it can be sent again, in bytes.
    pub replay_body_max: u64,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether each request gets an `X-Request-Id`, unless it brings one.
    pub has_request_ids: bool,
}

/// How long clients may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a head, from its first byte on, and for a TLS handshake.
    pub head: Duration,
    /// For the next request on a connection.
    pub idle: Duration,
    /// For the first bytes of a body before its rate counts.
    pub body_grace: Duration,
    /// The least rate of a body that we wait for, in bytes per second.
    pub body_rate_min: u64,
    /// For taking any byte of a response.
    pub write: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            requests_max: 1000,
            connections_max: 100_000,
            replay_body_max: 64 << 10,
            timeouts: ClientTimeouts::default(),
            trusted_proxies: Vec::new(),
            has_request_ids: true,
        }
    }
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_grace: Duration::from_secs(5),
            body_rate_min: 500,
            write: Duration::from_secs(30),
        }
    }
}

/// An address that clients connect to, and how they speak there.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Where.
    pub address: SocketAddr,
    /// With TLS, by these certificates.
    pub tls: Option<TlsServer>,
    /// Whether every connection begins with a PROXY protocol header (version 1 or 2).
    pub proxy_protocol: bool,
}

impl ListenerSettings {
    /// Plain HTTP, nothing else.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, proxy_protocol: false }
    }
}

/// A response of the balancer's own, whole.
pub type LocalResponse = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// Requests on the public listener that the balancer answers itself.
pub trait LocalEndpoints: fmt::Debug + Send + Sync {
    /// Whether this request is one of them.
    fn serves(&self, method: &Method, path: &str) -> bool;

    /// What our own responses look like where such a request fails.
    fn style(&self) -> ResponseStyle;

    /// The response; the body is whole and of bounded size.
    fn answer(&self, head: Parts, body: Bytes) -> LocalResponse;
}
