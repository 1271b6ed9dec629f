//! What the admin API says and hears: its routes, the shapes of its JSON, and how it says no. For the server
//! and for clients of it.
//!
//! Plain values, of which serde reads and writes the shapes. Nothing here serves, calls or decides anything.

mod token;
mod endpoint;
mod route;
mod shapes;
mod problem;

pub use endpoint::{Body, Endpoint, Method, Role};
pub use problem::Problem;
pub use route::{Call, Route, Unknown};
pub use shapes::{
    ChoiceShape, CrashLoopShape, DeployShape, DeployedShape, EditShape, EventShape, ExplainShape,
    ExplanationShape, LastEndShape, LimitShape, OutputKind, OutputShape, PauseShape, PolicyShape,
    ReplicaShape, RolloutShape, RouteShape, ScaleShape, ServiceShape,
};
pub use token::TOKEN_FILE;
