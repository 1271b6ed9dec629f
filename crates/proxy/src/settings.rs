//! What the program hands to the proxy, and the limits that are not settings.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
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
use crate::documents::folder::Folder;
use crate::policies::Policies;
use crate::policies::error_pages::Pages;
use crate::policies::headers::FieldEdits;
use crate::policies::redirect::HttpsRedirect;
use crate::respond::response::ResponseStyle;
use crate::travel::key::KeyRule;
use crate::travel::path_form::PathForm;
use crate::travel::scope::Scope;
use crate::travel::sticky::Sticky;

/// How long connections are served on after the proxy was told to stop, so that a request that is
/// on its way or in the kernel's hands is answered, and told that the connection ends.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);
/// How much of an unwanted body is read so that its connection can be kept, and for how long.
pub(crate) const DISCARD_BYTES_MAX: u64 = 64 * 1024;
pub(crate) const DISCARD_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a connection that is to close is read on, while its client still sends: without a byte, and in all.
pub(crate) const LINGER_PAUSE: Duration = Duration::from_secs(5);
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
/// How much is read then, and of how many connections of a worker at a time.
pub(crate) const LINGER_BYTES_MAX: u64 = 256 << 20;
pub(crate) const LINGERING_MAX: usize = 256;
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
/// How often one request may be sent anew, whatever the budget.
pub(crate) const REPLAYS_MAX: usize = 16;
/// The most responses before the one that counts, and how large they may be together, in bytes. Who says every
/// second that it is at work can do so for hours; what nobody reads has to lie here.
pub(crate) const INTERIM_MAX: usize = 10_000;
pub(crate) const INTERIM_BYTES_MAX: usize = 1 << 20;
/// How much of one body may have come over HTTP/2 before somebody has used it, in bytes.
pub(crate) const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
/// The same for one connection to a replica: all that the protocol has words for, because whoever does not
/// read a response must not hold up the responses to others. What bounds it are the windows of the streams.
pub(crate) const HTTP2_REPLICA_WINDOW: u32 = (1 << 31) - 1;
/// The same for one connection of a client when there is little memory. Else what all its streams may hold, and
/// that of one more, because whoever is held up must not hold up others.
pub(crate) const HTTP2_CLIENT_WINDOW_SHORT: u32 = 64 << 10;
/// How large the heads of all requests may be that are under way on one connection of a client, in bytes.
pub(crate) const HTTP2_HEADS_MAX: usize = 512 << 10;
/// How many more requests whose heads have no room there a client may make than others.
pub(crate) const HTTP2_HEADLESS_MAX: u32 = 64;
/// How much of one body may lie here before its connection takes it, in bytes.
pub(crate) const HTTP2_SEND_BUFFER: usize = 128 << 10;
/// How many more requests a client may give up at once than it waits for, on one connection.
pub(crate) const HTTP2_GIVEN_UP_MAX: u32 = 200;
/// How many of them may lie here before anybody has looked at them; more heads than that do not come at once.
pub(crate) const HTTP2_PENDING_RESETS_MAX: usize = 256;
/// How soon is at once.
pub(crate) const HTTP2_GIVEN_UP_AGE: Duration = Duration::from_secs(1);
/// The most HTTP/2 connections to one replica that a worker opens.
pub(crate) const HTTP2_CONNECTIONS_MAX: usize = 16;
/// How many streams one of them carries before the next is opened, also if its replica would take more.
pub(crate) const HTTP2_CROWD_MAX: usize = 256;

/// How many threads of a worker wait for disks, where it has files to send; a file that nobody waits for any more
/// may be open in each of them.
pub const FILE_READERS_MAX: usize = 8;

/// One service as the data plane sees it.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Its name, in counters.
    pub name: String,
    /// Which requests it is for.
    pub scope: Scope,
    /// What becomes of paths that can be read in more than one way.
    pub path_form: PathForm,
    /// What its requests are placed by.
    pub key: KeyRule,
    /// How its placement hashes keys.
    pub key_hash: KeyHash,
    /// What keeps its sessions where they are, if they are kept.
    pub sticky: Option<Sticky>,
    /// What our own responses to its requests look like.
    pub style: ResponseStyle,
    /// What its replicas speak.
    pub protocol: Protocol,
    /// How long its replicas may take.
    pub timeouts: ServiceTimeouts,
    /// How many of its requests may be under way, and how many may wait.
    pub limits: RequestLimits,
    /// How many more times a request is sent that a replica had when it failed, and may have worked on.
    pub retries: u32,
    /// What its requests go through beside.
    pub policies: Policies,
    /// The folder that it answers from; then it has no replicas.
    pub files: Option<Arc<Folder>>,
    /// The pages that stand for errors, read from the files that its policies name.
    pub error_pages: Option<Arc<Pages>>,
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

/// How many requests of a service may be under way, and what becomes of those that come then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// At a time. None by default.
    pub requests: Option<usize>,
    /// In one replica at a time. None by default.
    pub requests_per_replica: Option<u64>,
    /// How many may wait, for a limit or for a replica.
    pub queue: usize,
    /// For how long, all waits of a request together.
    pub queue_timeout: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            requests: None,
            requests_per_replica: None,
            queue: 1024,
            queue_timeout: Duration::from_secs(10),
        }
    }
}

/// What clients may do, and who of them is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The limits of request heads.
    pub head: HeadLimits,
    /// The most that a head over HTTP/2 may be once it is decoded, in bytes; 32 are added for each field.
    pub http2_head_max: usize,
    /// The most that all clients together may make us keep, in bytes.
    pub memory_max: u64,
    /// The most requests on one HTTP/1 connection.
    pub requests_max: u64,
    /// The most connections of clients at a time, over all listeners.
    pub connections_max: usize,
    /// The most of them from one address of IPv4, or one network (/64) of IPv6; without it, a quarter of all.
    pub connections_per_client_max: Option<usize>,
    /// The most requests at a time on one HTTP/2 connection.
    pub streams_max: u32,
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
            http2_head_max: 32 << 10,
            memory_max: 256 << 20,
            requests_max: 1000,
            connections_max: 100_000,
            connections_per_client_max: None,
            streams_max: 128,
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
    /// What services call it by; empty if they do not.
    pub name: String,
    /// With TLS, by these certificates.
    pub tls: Option<TlsServer>,
    /// Whether a client without TLS that begins with HTTP/2's preface is spoken to in HTTP/2. With TLS the
    /// handshake alone decides, see [`TlsSettings`](crate::TlsSettings).
    pub is_http2: bool,
    /// Whether every connection begins with a PROXY protocol header (version 1 or 2).
    pub proxy_protocol: bool,
    /// Whose headers are believed; connections from others are closed.
    pub proxy_protocol_from: Vec<IpNet>,
    /// With it, requests are sent to the same place by HTTPS.
    pub redirect: Option<HttpsRedirect>,
    /// What a request gets that nobody is for.
    pub unmatched: Unmatched,
    /// What becomes of the fields of all responses here, after what their services have made of them.
    pub response_headers: Option<FieldEdits>,
    /// The pages that stand for errors of ours that their services have no page for.
    pub error_pages: Option<Arc<Pages>>,
}

/// What a request gets that no service and no redirect is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// 404.
    #[default]
    NotFound,
    /// No response: its connection is closed, or its HTTP/2 stream reset.
    Close,
}

impl ListenerSettings {
    /// Plain HTTP, of both versions.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            name: String::new(),
            tls: None,
            is_http2: true,
            proxy_protocol: false,
            proxy_protocol_from: Vec::new(),
            redirect: None,
            unmatched: Unmatched::default(),
            response_headers: None,
            error_pages: None,
        }
    }
}

/// What all services together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLimits {
    /// The most requests under way.
    pub requests: usize,
    /// The most connections to replicas, idle ones included.
    pub replica_connections: usize,
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self { requests: usize::MAX, replica_connections: usize::MAX }
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

    /// The response. `client` is the other end of the connection, whatever a head says; the body is whole and
    /// of bounded size.
    fn answer(&self, head: Parts, client: IpAddr, body: Bytes) -> LocalResponse;
}
