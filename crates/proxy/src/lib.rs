//! How a request travels: from the listener to a replica and back.
//!
//! One thread per worker, each with its own runtime, listener sockets, upstream connections and
//! counters. Nothing is shared on the way but the routing tables and the gates of replicas. This
//! room cannot change the fleet; all it can do is drop a suspicion into a channel.

mod settings;
mod worker;

// A connection comes in.
mod accept;
mod origin;
mod proxy_protocol;
mod tls;
mod welcome;

// A request is read and finds its replica.
mod http1;

mod http2;

mod journey;

mod route;

mod key;

mod attempt;

mod budget;
mod caution;
mod room;

mod idle;
mod upstream;

// It goes there, and the answer comes back.
mod exchange;
mod gather;
mod upload;

mod client;
mod forward;
mod pace;
mod peer;
mod splice;

mod respond;

mod access_log;
mod record;
mod verdict;

// What connections are made of.
mod buffer;
mod connection;
mod date;
mod fields;
mod h2_body;
mod watch;
mod wire;

pub use accept::{ListenError, Listeners};
pub use access_log::{AccessLog, AccessLogDestination, AccessLogFormat, AccessLogSettings};
pub use key::KeyRule;
pub use record::{ServiceCounters, Totals};
pub use settings::{
    ClientSettings, ClientTimeouts, ListenerSettings, LocalAnswer, LocalEndpoints, Protocol, ProxySettings,
    ServiceSettings, ServiceTimeouts,
};
pub use tls::{CertificateFiles, TlsError, TlsServer, TlsSettings, TlsVersion};
pub use worker::ProxyHandle;
