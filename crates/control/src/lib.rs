//! The control plane: it owns the fleets, watches their hearts, keeps what should run, and takes edits.
//!
//! One reconciler for each service: observe, plan, perform, publish. Heartbeats have a thread of
//! their own. Nothing in this room is on the way of a request.
//!
//! # Choices
//!
//! - **A replica that is given up is abandoned before the table changes, one that gives way is closed
//!   after**: requests inside look when the table changes, and not again; and no key is without a replica.
//! - **Time in which we were stopped does not count**, for replicas as little as for clients: neither
//!   silence nor a start nor a drain ages while the balancer is paused.
//! - **A pause is of the table, not of the desired state**, and ends by itself: nobody can forget it.
//! - **The simulation** (`tests/simulation`) runs the real reconciler and fleet in paused time, against an
//!   engine, a network, a disk and a clock that lie; hence probes and the store stand behind traits.

// What others see of a service, and what they may ask of it.
mod beginning;
mod ejections;
mod view;
mod handle;
mod registry;

// What has happened.
mod happening;
mod journal;

// Where what should run is kept.
mod store;
mod stored_file;
mod state_dir;

// The loop, what it does, and what it asks.
mod clock;
mod reconciler;
mod perform;
mod heartbeat;

pub use beginning::{Beginning, Begun};
pub use ejections::Ejections;
pub use handle::{Deploy, EditError, Handle};
pub use happening::{Departure, Happening, PauseEnd, Record, Subject};
pub use heartbeat::{HeartbeatProtocol, HeartbeatSettings, Heartbeats, Probed, Prober, Question};
pub use journal::Journal;
pub use reconciler::{Control, MakeDriver, PAUSE_MAX, ReconcilerSettings, driver_maker};
pub use registry::{Entries, Entry, Registry, ServiceTaken};
pub use state_dir::StateDir;
pub use store::{Recipes, Revision, Store, StoreError, Stored};
pub use view::{Running, ServiceView};
