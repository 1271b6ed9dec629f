//! How a request travels: from the listener to a replica and back.
//!
//! One thread per worker, each with its own runtime, listener sockets, upstream connections and
//! counters. Nothing is shared on the way but the routing tables and the gates of replicas. This
//! room cannot change the fleet; all it can do is drop a suspicion into a channel.

mod settings;
mod service;
mod worker;
mod workers;

// The chapters, in the order in which a request passes.
mod clients;
mod travel;

mod replicas;
mod respond;

mod telling;
mod wire;

pub use clients::listeners::{ListenError, Listeners};
pub use clients::tls::{CertificateFiles, TlsError, TlsServer, TlsSettings, TlsVersion};
pub use respond::response::ResponseStyle;
pub use settings::{
    ClientSettings, ClientTimeouts, ListenerSettings, LocalEndpoints, LocalResponse, Protocol,
    ServiceSettings, ServiceTimeouts,
};
pub use telling::access_log::{AccessLog, AccessLogDestination, AccessLogFormat, AccessLogSettings};
pub use telling::counters::{ServiceCounters, Totals};
pub use travel::key::KeyRule;
pub use travel::routes::{RoutesPublisher, RoutesReader, routes};
pub use workers::{ProxyHandle, ProxySettings};
