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
//!   them. What serves requests is made when something has come and goes a tenth of a second after the last
//!   one (`clients::handshake`), so that an idle connection is a socket and little else: about 0.7 KiB,
//!   and some 4 with TLS, which is carried without the buffers that the usual interface of rustls keeps
//!   (`wire::tls_stream`).
//! - **Whoever is idle longest makes room** (`clients::idle`). A list in the order of becoming idle, per
//!   worker, costs the same for each request however long it is; nobody has a timer for being idle.
//! - **The allocator is asked** how much all clients make us keep (`memory`), which is why it is jemalloc:
//!   it knows for each thread, for nothing, and gives memory back to the system after a flood. What is
//!   added up by hand would leave out what libraries hold.
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
//! - **A request is under way only with a place** (`travel::limits`), and there are no more places than sockets
//!   for replicas: what floods us waits in line, and the line costs no descriptor. Half of the places are divided
//!   among the services beforehand. To take them back from a service that hangs, when others ask, would be too
//!   late: its requests do not end.
//! - **Whoever was in a replica that was lost is kept apart from the others of whom that is true**: one of them
//!   may be the reason, and is sent only once more, and the rest shall not be lost with it a second time.
//! - **`Via` is sent to replicas**, as RFC 9110 demands of a gateway, and `TE` is not passed on over HTTP/1:
//!   it is about one connection.

mod settings;
mod stamp;
mod service;
mod memory;
mod worker;
mod workers;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

// The chapters, in the order in which a request passes.
mod clients;
mod travel;
mod policies;
mod documents;
mod replicas;
mod respond;
mod telling;
mod wire;

pub use clients::listeners::{ListenError, Listeners};
pub use clients::tls::TlsServer;
pub use clients::tls::settings::{CertificateFiles, TlsError, TlsSettings, TlsVersion};
pub use documents::folder::Folder;
pub use documents::open::check_folder;
pub use policies::basic_auth::BasicAuth;
pub use policies::basic_auth::passwords::{PasswordFileError, check_password_file};
pub use policies::canary::{Canary, Sign};
pub use policies::certificate::CertificatePart;
pub use policies::compression::CompressionSettings;
pub use policies::compression::coding::Coding;
pub use policies::error_pages::{ErrorPages, PageError, Pages, Statuses};
pub use policies::forward_auth::ForwardAuth;
pub use policies::headers::{Direction, FieldEdits, FixedField};
pub use policies::mark::Mark;
pub use policies::mirror::Mirror;
pub use policies::networks::Networks;
pub use policies::protection::{Location, Protection};
pub use policies::rate::{RateKey, RateLimit, RatePeriod};
pub use policies::redirect::{HttpsRedirect, Redirect};
pub use policies::rewrite::PathRewrite;
pub use policies::{Policies, PolicyTold};
pub use respond::limit::Limit;
pub use respond::response::ResponseStyle;
pub use settings::{
    ClientSettings, ClientTimeouts, FILE_READERS_MAX, ListenerSettings, LocalEndpoints, LocalResponse,
    Protocol, RequestLimits, ServiceSettings, ServiceTimeouts, SharedLimits, Unmatched,
};
pub use telling::access_log::AccessLog;
pub use telling::access_log::settings::{AccessLogDestination, AccessLogFormat, AccessLogSettings};
pub use telling::counters::{MemoryUse, ServiceCounters, Totals};
pub use travel::key::KeyRule;
pub use travel::path_form::PathForm;
pub use travel::routes::explained::RouteNote;
pub use travel::routes::rules::RouteVerdict;
pub use travel::routes::{Destinations, RoutesPublisher, RoutesReader, routes};
pub use travel::scope::{PathPattern, Scope};
pub use travel::sticky::seal::STICKY_SECRET_BYTES;
pub use travel::sticky::{SameSite, Session, Sticky, StickyCookie};
pub use wire::places::Usage;
pub use workers::{ProxyHandle, ProxySettings};
