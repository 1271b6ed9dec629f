//! What should run, what runs, and what to do next.
//!
//! This room is pure: time and random seeds are arguments, nothing here starts, stops or waits for
//! anything. The one exception in spirit is the routing table, whose replicas carry a gate: an
//! atomic that requests pass and that the reconciler closes.

mod address;
mod in_full;
mod life;
mod names;
mod release;

mod gate;
mod replica;
mod responses;
mod table;

mod settings;

mod crash_loop;
mod desired;
mod edit;
mod event;
mod health;
mod observed;
mod outlier;
mod plan;
mod rollout;
mod slowness;
mod spares;

mod adoption;
mod fleet;
mod view;

pub use address::{Address, IllegalAddress, NoConnection};
pub use crash_loop::CrashLoop;
pub use desired::{Assignment, ChangeId, Desired, StoredAssignment};
pub use edit::{Edit, Refusal};
pub use event::{Death, Event, Exit, Found, FoundState, Measured, ProbeResult, Suspicion, SuspicionKind};
pub use fleet::{Fleet, Outcome, Standing};
pub use gate::Gate;
pub use health::Sign;
pub use in_full::in_full;
pub use life::{IllegalName, Life, Moment, ReplicaName};
pub use observed::{Known, Observed, Phase};
pub use plan::{Action, Plan, Step, StopHow, plan};
pub use release::Release;
pub use replica::{Claim, Replica};
pub use responses::{Latencies, Responses};
pub use rollout::{Course, Deployment, RolloutFailure, RolloutSettings};
pub use settings::{FleetSettings, HealthSettings};
pub use spares::SPARE_SEAT_MIN;
pub use table::{Choice, Publisher, Reader, RoutingTable, Verdict, routing};
pub use view::{FleetView, ReplicaState, ReplicaView, RolloutView};
