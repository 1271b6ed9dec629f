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
mod routing;

mod settings;

mod action;
mod edit;
mod event;

mod desired;
mod progress;
mod rollout;
mod roster;
mod seating;

mod health;
mod observed;
mod outlier;
mod slowness;

mod facts;
mod plan;

mod fleet;

mod amend;
mod crash_loop;
mod rolling;
mod spares;
mod standing;

mod adoption;
mod door;
mod view;

pub use action::{Action, Plan, Step, StopHow};
pub use address::{Address, IllegalAddress, NoConnection};
pub use crash_loop::CrashLoop;
pub use desired::{Assignment, Desired, Transition};
pub use edit::{ChangeId, Deployment, Edit, Outcome, Refusal};
pub use event::{Death, Event, Exit, Found, FoundState, Measured, ProbeResult, Suspicion, SuspicionKind};
pub use fleet::Fleet;
pub use gate::Gate;
pub use health::Sign;
pub use in_full::in_full;
pub use life::{IllegalName, Life, Moment, ReplicaName, SPARE_SEAT_MIN};
pub use observed::{Known, Observed, Phase};
pub use release::Release;
pub use replica::{Claim, Replica};
pub use responses::{Latencies, Responses};
pub use rollout::{Course, RolloutFailure};
pub use roster::Roster;
pub use routing::{Publisher, Reader, routing};
pub use seating::Seating;
pub use settings::{FleetSettings, HealthSettings, RolloutSettings};
pub use standing::Standing;
pub use table::{Choice, Ranking, RoutingTable};
pub use view::{FleetView, ReplicaState, ReplicaView, RolloutView};
