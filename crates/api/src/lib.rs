//! What the admin API says and hears: the shapes of its JSON, for the server and for clients of it.
//!
//! Plain values that serde reads and writes. Nothing here serves, calls or decides anything.

mod shapes;

pub use shapes::{
    ChoiceShape, CrashLoopShape, DeployShape, DeployedShape, EditShape, EventShape, ExplainShape,
    ExplanationShape, PauseShape, ReplicaShape, RolloutShape, ScaleShape, ServiceShape,
};
