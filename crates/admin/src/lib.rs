//! What of control can be reached by HTTP: the admin API with its metrics page, and the contract's endpoints.
//!
//! Requests come in, edits and questions go to the handles of services, and what those show becomes JSON.
//! Nothing is decided here.

mod server;

mod metrics;
mod views;

mod contract;

pub use contract::Contract;
pub use metrics::{ServiceTraffic, Traffic, TrafficSource};
pub use server::{Admin, AdminAddress, AdminListener, Deployer, Explainer, remove_stale_socket};
pub use views::explanation;
