//! What of control can be reached by HTTP: the admin API with its metrics page, and the contract's endpoints.
//!
//! Requests come in, edits and questions go to the handles of services, and what those show becomes JSON.
//! Nothing is decided here.

mod listener;
mod server;
mod bodies;
mod happenings;
mod problems;
mod views;
mod metrics;
mod contract;

pub use contract::Contract;
pub use listener::{AdminListener, remove_stale_socket};
pub use metrics::{ServiceTraffic, Traffic, TrafficSource};
pub use server::{Admin, DeployOrder, Deployer, Explainer, ServiceSource, Sources};
pub use views::explanation;
