//! What of control can be reached by HTTP: the admin API with its metrics page, and the contract's endpoints.
//!
//! Requests come in, edits and questions go to the handles of services, and what those show becomes JSON.
//! Nothing is decided here but who may ask.
//!
//! # Choices
//!
//! - **On TCP a token, also on loopback**: every account of the host reaches that, and every page in its
//!   browsers. On a Unix socket the kernel says who asks, and there the account is enough.
//! - **`/livez` and `/readyz` want no token**: whoever watches a process should hold nothing that can change
//!   it. They tell one bit each.
//! - **What proxies say of a client closes the contract and never opens it.** A proxy on this machine makes
//!   everybody look local, so a request that was forwarded counts by the strangest address that is named.

mod listener;
mod server;
mod connections;
mod access;
mod bodies;
mod happenings;
mod endings;
mod output;
mod problems;
mod views;
mod metrics;
mod contract;
mod strangers;

pub use access::Access;
pub use bodies::{addition, parse_json, pause_length, removal};
pub use contract::{Contract, Verb, contract_edit};
pub use listener::{AdminListener, remove_stale_socket};
pub use metrics::{PolicyCount, ServiceTraffic, Traffic, TrafficSource};
pub use server::{Admin, DeployOrder, Deployer, Explainer, FolderSource, ServiceSource, Sources};
pub use views::explanation;
