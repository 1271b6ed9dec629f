//! What should run, what runs, and what to do next.
//!
//! This room is pure: time and random seeds are arguments, nothing here starts, stops or waits for
//! anything. The one exception in spirit is the routing table, whose replicas carry a gate: an
//! atomic that requests pass and that the reconciler closes.

mod address;
mod life;
mod names;

mod gate;
mod replica;
mod table;

mod settings;

mod desired;
mod edit;
mod event;
mod observed;
mod plan;

mod fleet;
mod view;

pub use address::{Address, IllegalAddress};
pub use desired::{Berth, ChangeId, Desired, StoredBerth};
pub use edit::{Edit, Refusal};
pub use event::{Death, Event, Exit, Found, FoundState, Pulse, Suspicion};
pub use fleet::{Fleet, Outcome, Standing};
pub use gate::Gate;
pub use life::{IllegalName, Life, Moment, ReplicaName};
pub use observed::{Known, Observed, Phase};
pub use plan::{Action, Plan, StopHow, plan};
pub use replica::{Claim, Replica};
pub use settings::FleetSettings;
pub use table::{Choice, Publisher, Reader, RoutingTable, Verdict, routing};
pub use view::{FleetView, ReplicaState, ReplicaView};
