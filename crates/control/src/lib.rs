//! The control plane: it owns the fleets, watches their hearts, keeps the wish, and takes edits.
//!
//! One reconciler for each service: observe, plan, perform, publish. Heartbeats have a thread of
//! their own. Nothing in this room is on the way of a request.

mod clock;
mod ejections;
mod journal;
mod view;
mod wish;

mod heartbeat;
mod perform;
mod reconciler;

pub use ejections::Ejections;
pub use heartbeat::{HeartbeatProtocol, HeartbeatSettings, Heartbeats, Prober};
pub use journal::Journal;
pub use reconciler::{Control, EditError, Handle, PAUSE_MAX, ReconcilerSettings, StartError};
pub use view::ServiceView;
pub use wish::{StateDir, WishError, WishStore};
