//! How replicas are started, stopped and listed: as processes, as containers, or not at all.
//!
//! A driver carries out what it is told and reports what it sees. It decides nothing, and it
//! touches only what carries the owner's mark.
//!
//! # Choices
//!
//! - **The tether**: a child process is started through `evenkeel tether`, which asks the kernel to kill it
//!   when the balancer ends, and then becomes the command. The same could be done before `exec` in the
//!   child, but only with `unsafe` code.
//! - **Processes are begun on a thread of their own**: to begin one takes milliseconds, in which the
//!   reconciler would decide nothing, and the tether is to a thread.
//! - **The keeper**: a process that is to outlive the balancer is started through `evenkeel keep`, which
//!   writes down who it is, says so, and runs the command only when the balancer answers. So a balancer that
//!   dies at any moment leaves either a record or nothing. Processes are known again by process id, start
//!   time and boot, and held by a pidfd before they are looked at; one that carries our token in its
//!   environment without a record is ended.
//! - **An engine that is away is waited for**: it is asked once a second, what was begun is begun again when
//!   it is back, and everything is listed then. Deaths are seen through the kernel meanwhile.
//! - **Sockets of replicas** are in a folder with a name drawn anew each time, because one that is known
//!   beforehand could be taken in a shared `/tmp`. It is locked while its balancer lives; so the next one
//!   knows what a killed one left, and removes nothing else.
//! - **Docker**: the client library leaves the API version out of its requests, so the driver negotiates and
//!   writes it itself. Exits are seen through a pidfd on the container's process where that is visible
//!   (milliseconds), and through the engine's events everywhere (some fifty milliseconds).

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
