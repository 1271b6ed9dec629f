//! What the program hands to the proxy, and the limits that are not settings yet.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fleet::{Reader, Suspicion};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use placement::KeyHash;
use tokio::sync::mpsc;

use crate::KeyRule;

/// How long connecting to a replica may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a replica may take to begin its answer.
pub(crate) const RESPONSE_HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take for a request head, idle time before it included.
pub(crate) const CLIENT_HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long connections are served on after the proxy was told to stop, so that a request that is
/// on its way or in the kernel's hands is answered, and told that the connection ends.
pub(crate) const STOP_GRACE: Duration = Duration::from_millis(500);
/// How long a client may take for a body that we must have whole.
pub(crate) const WHOLE_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest request head.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers in a head.
pub(crate) const HEADERS_MAX: usize = 100;
/// How much of an unwanted answer is read so that its connection can be kept, and for how long.
pub(crate) const DISCARD_BYTES_MAX: usize = 64 * 1024;
pub(crate) const DISCARD_TIMEOUT: Duration = Duration::from_millis(100);
/// The largest request body that is kept so that it can be sent again.
pub(crate) const REPLAY_BODY_MAX: u64 = 64 * 1024;
/// The largest body of a request to the balancer itself.
pub(crate) const LOCAL_BODY_MAX: usize = 64 * 1024;
/// The most idle connections to one replica that a worker keeps.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 1024;
/// The most requests of a service that wait for a replica.
pub(crate) const WAITING_MAX: usize = 1024;
/// How long a request may wait for a replica, all its waits together.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often one request may be sent anew, whatever the budget.
pub(crate) const REPLAYS_MAX: usize = 16;

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
    /// Whether our own answers have the shape of the original contract.
    pub is_contract: bool,
    /// Its routing table.
    pub table: Reader,
    /// Where suspicions go; one that finds it full is dropped.
    pub suspicions: mpsc::Sender<Suspicion>,
}

/// What the proxy is started with.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Who is routed to.
    pub services: Vec<ServiceSettings>,
    /// Requests that are answered here.
    pub local: Option<Arc<dyn LocalEndpoints>>,
    /// How long requests may go on after the proxy was told to stop.
    pub drain_deadline: Duration,
}

/// An answer of the balancer's own, whole.
pub type LocalAnswer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// Requests on the public listener that the balancer answers itself.
pub trait LocalEndpoints: fmt::Debug + Send + Sync {
    /// Whether this request is one of them.
    fn serves(&self, method: &Method, path: &str) -> bool;

    /// The answer; the body is whole and of bounded size.
    fn answer(&self, head: Parts, body: Bytes) -> LocalAnswer;
}
