//! The control plane: it owns the fleets, watches their hearts, keeps what should run, and takes edits.
//!
//! One reconciler for each service: observe, plan, perform, publish. Heartbeats have a thread of
//! their own. Nothing in this room is on the way of a request.

mod ejections;
mod view;

mod handle;

mod happening;
mod journal;

mod store;
mod stored_file;
mod state_dir;

mod clock;

mod heartbeat;
mod perform;
mod reconciler;
mod registry;

pub use ejections::Ejections;
pub use handle::{Deploy, EditError, Handle};
pub use happening::{Departure, Happening, PauseEnd, Record, Subject};
pub use heartbeat::{HeartbeatProtocol, HeartbeatSettings, Heartbeats, Prober};
pub use journal::Journal;
pub use reconciler::{Control, PAUSE_MAX, ReconcilerSettings, StartError};
pub use registry::{Entries, Entry, Registry, ServiceTaken};
pub use state_dir::StateDir;
pub use store::{Revision, Store, StoreError, Stored};
pub use view::ServiceView;
