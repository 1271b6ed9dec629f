//! How a request travels: from the listener to a replica and back.
//!
//! One thread per worker, each with its own runtime, listener socket, upstream connections and
//! counters. Nothing is shared on the way but the routing tables and the gates of replicas. This
//! room cannot change the fleet; all it can do is drop a suspicion into a channel.

mod settings;
mod worker;

mod accept;
mod access_log;
mod attempt;
mod body;
mod budget;
mod forward;
mod key;
mod proxy_protocol;
mod record;
mod respond;
mod room;
mod route;
mod tls;
mod upstream;

pub use accept::{ListenError, Listeners};
pub use access_log::{AccessLog, AccessLogDestination, AccessLogFormat, AccessLogSettings};
pub use key::KeyRule;
pub use record::{ServiceCounters, Totals};
pub use settings::{LocalAnswer, LocalEndpoints, ProxySettings, ServiceSettings};
pub use tls::{CertificateFiles, TlsError, TlsServer, TlsSettings, TlsVersion};
pub use worker::ProxyHandle;
