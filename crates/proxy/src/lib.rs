//! How a request travels: from the listener to a replica and back.
//!
//! One thread per worker, each with its own runtime, listener sockets, upstream connections and
//! counters. Nothing is shared on the way but the routing tables and the gates of replicas. This
//! room cannot change the fleet; all it can do is drop a suspicion into a channel.
//!
//! # Choices
//!
//! - **One timer per worker.** Tasks write down when they want to be woken; `deadlines` looks through the
//!   list ten times a second. A timer per request cost more than reading its head. Pauses of the whole
//!   process do not count, so that nobody is late because we were stopped.
//! - **Memory is borrowed** (`wire::buffers`): a connection holds buffers only while it has something in
//!   them. An idle one costs about 3.4 KiB.
//! - **A body in drops is buffered first** (`travel::buffering`): many slow uploads are our burden and no
//!   replica's. Passed on drop by drop, thousands of them held up everybody else; so did reading them all
//!   whenever they came, and now each of many has its turn once a second.
//! - **Large plain bodies go through a pipe** in the kernel (`splice`), and are not copied to us and back.
//! - **Connections are handed over** to the worker with fewer of them, before anything is read: the kernel
//!   spreads them by chance, which is uneven when they are few.
//! - **A request of which nothing was sent costs no replay budget**: it was a burden to nobody. The budget
//!   (a fifth of the requests, at least ten a second, half a minute's worth saved up) is for requests that a
//!   first replica may have worked on.
//! - **How long a replica bears idle connections is learned** from those that it closes. A request that must
//!   not be done twice goes over one that was idle for a quarter of that at most, or over a new one: whether
//!   it was done when both ends acted at once, nobody can know.
//! - **`Via` is sent to replicas**, as RFC 9110 demands of a gateway, and `TE` is not passed on over HTTP/1:
//!   it is about one connection.

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
pub use clients::tls::TlsServer;
pub use clients::tls::settings::{CertificateFiles, TlsError, TlsSettings, TlsVersion};
pub use respond::response::ResponseStyle;
pub use settings::{
    ClientSettings, ClientTimeouts, ListenerSettings, LocalEndpoints, LocalResponse, Protocol,
    ServiceSettings, ServiceTimeouts,
};
pub use telling::access_log::AccessLog;
pub use telling::access_log::settings::{AccessLogDestination, AccessLogFormat, AccessLogSettings};
pub use telling::counters::{ServiceCounters, Totals};
pub use travel::key::KeyRule;
pub use travel::routes::{RoutesPublisher, RoutesReader, routes};
pub use workers::{ProxyHandle, ProxySettings};
