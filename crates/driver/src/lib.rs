//! How replicas are started, stopped and listed: as processes, as containers, or not at all.
//!
//! A driver carries out what it is told and reports what it sees. It decides nothing, and it
//! touches only what carries the owner's mark.

mod error;
mod order;
mod releases;

mod driver;

mod environment;
mod known_releases;
mod last_lines;

mod docker;
mod process;
mod scripted;
mod stationary;

pub use docker::{DockerDriver, DockerSettings, end_orphaned_containers};
pub use driver::{Driver, EVENTS_CAPACITY, EventSender};
pub use environment::{ReplicaEnvironment, ServerId};
pub use error::DriverError;
pub use order::StartOrder;
pub use process::{KeepSettings, ProcessDriver, ProcessSettings, end_orphaned, keep};
pub use releases::{Releases, Spec};
pub use scripted::{Script, ScriptedDriver};
pub use stationary::StaticDriver;
