//! What should run, what runs, and what to do next.
//!
//! This room is pure: time and random seeds are arguments, nothing here starts, stops or waits for
//! anything. The one exception in spirit is the routing table, whose replicas carry a gate: an
//! atomic that requests pass and that the reconciler closes.
//!
//! # Choices
//!
//! - **An addition is pending until its replicas take traffic**, and only then gets a place in the list of
//!   replicas, in the desired state and in the order of changes. So additions start side by side, and what
//!   callers are told still equals a serial order. An edit that is refused while others are pending waits
//!   for them and is tried again.
//! - **Names and draws are functions of a seed** that is drawn once and stored. That keeps planning pure
//!   and repeatable.
//! - **Two signs of illness kill, one ejects.** Signs: refused connection, missed heartbeats, frozen (as the
//!   driver sees it), bad responses, silence for as long as a start may take. Failing and slow responses are
//!   one kind, and never kill alone. When more than half look ill to heartbeats or by their responses,
//!   nobody is ejected: then it is rather us. What the driver has seen frozen is a fact, and one missed
//!   heartbeat confirms it.
//! - **A half-open replica has a closed gate with one admission**, which only a request takes that could go
//!   elsewhere. The others see a closed gate, so it costs them nothing.
//! - **Slow is slower than peers**: both quartiles of the time to the head of a response, three windows in a
//!   row. A mean is moved by one long poll, and a service that is slow as a whole has nobody to eject. One
//!   that never kept up has ten seconds to get warm. Responses of services with keys are also compared with
//!   their own past, because keys may be hot.
//! - **A rollout is part of the desired state**: which release each seat should have is on disk, so a start
//!   in the middle of one goes on with it. How far it has come is not. A release is a hash of all that is
//!   run, for containers with the ID of the image; callers say *that* something is deployed, the operator's
//!   file says *what*.
//! - **A spare's seat is not its life's**: a life keeps the number that it was begun with, which is written
//!   on its container, so an assignment says which seat it is and which life has it. That a spare took a
//!   seat is stored afterwards, and waits for no disk: until then the next start gives an empty seat to a
//!   spare that runs.
//! - **The load bound is looked at anew** before a request goes over it, so that many which come at once
//!   keep it too. It gives way when nothing else is left.

mod address;
mod foreign;
mod in_full;
mod life;
mod names;
mod reserved;
mod release;

mod gate;
mod replica;
mod responses;
mod ranking;
mod preference;
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
mod rollout_steps;
mod spares;
mod standing;

mod adoption;
mod cycle;
mod view;

pub use action::{Action, Plan, Step, StopHow};
pub use address::{Address, IllegalAddress, NoConnection};
pub use crash_loop::CrashLoop;
pub use desired::{Assignment, Desired, Transition};
pub use edit::{ChangeId, Deployment, Edit, Outcome, Refusal};
pub use event::{
    Death, Event, Exit, Found, FoundState, Heard, Measured, ProbeResult, Suspicion, SuspicionKind,
};
pub use fleet::Fleet;
pub use foreign::{FOREIGN_CHARS_MAX, harmless, harmless_json, harmless_lines};
pub use gate::Gate;
pub use health::Sign;
pub use in_full::in_full;
pub use life::{IllegalName, Life, Moment, ReplicaName, SPARE_SEAT_MIN};
pub use observed::{Known, Observed, Phase};
pub use preference::Preference;
pub use ranking::{Choice, Ranking};
pub use release::Release;
pub use replica::{Claim, Replica};
pub use responses::{Latencies, Responses};
pub use rollout::{Course, RolloutFailure};
pub use roster::Roster;
pub use routing::{Publisher, Reader, routing};
pub use seating::Seating;
pub use settings::{FleetSettings, HealthSettings, RolloutSettings};
pub use standing::Standing;
pub use table::RoutingTable;
pub use view::{FleetView, LastEnd, ReplicaState, ReplicaView, RolloutView};
