//! The control plane: it owns the fleets, watches their hearts, keeps the wish, and takes edits.
//!
//! One reconciler for each service: observe, plan, perform, publish. Heartbeats have a thread of
//! their own. Nothing in this room is on the way of a request.

mod clock;
mod journal;
mod view;
mod wish;

mod heartbeat;
mod perform;
mod reconciler;

mod admin;
mod contract;
mod metrics;
mod shapes;

pub use admin::{Admin, AdminAddress, AdminListener, Deployer, Explainer, remove_stale_socket};
pub use contract::Contract;
pub use heartbeat::{HeartbeatProtocol, HeartbeatSettings, Heartbeats, Prober};
pub use journal::Journal;
pub use metrics::{ServiceTraffic, Traffic, TrafficSource};
pub use reconciler::{Control, EditError, Handle, PAUSE_MAX, ReconcilerSettings, StartError};
pub use shapes::{
    ChoiceShape, CrashLoopShape, DeployShape, DeployedShape, EditShape, EventShape, ExplainShape,
    ExplanationShape, PauseShape, ReplicaShape, RolloutShape, ScaleShape, ServiceShape,
};
pub use view::ServiceView;
pub use wish::{StateDir, WishError, WishStore};
