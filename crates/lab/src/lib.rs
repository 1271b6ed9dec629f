//! Measures balancers, ours and others: a load generator that can be believed, drills against a fleet
//! that runs, and experiments.
//!
//! Everything here is a client. It knows the balancer's HTTP surfaces, and none of its insides.
//!
//! ```no_run
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//!
//! use lab::{Limits, Load, Pace, RequestPlan, Target};
//!
//! let load = Load {
//!     target: Target::new("127.0.0.1:5000".parse().unwrap()),
//!     plan: RequestPlan::get("/home"),
//!     pace: Pace::Closed { clients: NonZeroU32::new(100).unwrap() },
//!     limits: Limits {
//!         requests: 10_000,
//!         duration: Duration::from_secs(60),
//!         answer: Duration::from_secs(10),
//!     },
//!     seed: 1,
//!     check: lab::contract_home(),
//! };
//! let tally = load.start().unwrap().wait();
//! println!("{:?}, {:?}", tally.by_replica(), tally.failures());
//! ```

mod experiment;
mod paper;

mod subject;
mod variant;

mod drill;

mod load;

mod answer;
mod check;
mod connection;
mod plan;
mod schedule;

mod http;

mod tally;

pub use answer::Answer;
pub use check::{Check, contract_home, status};
pub use drill::{Drill, DrillError, Fault, Objective, Period, Report, Times};
pub use experiment::{ExperimentError, Order, Stage, Whom, a1, a2, a3, a4};
pub use http::{CallError, Door, Reply};
pub use load::{Limits, Load, Pace, Progress, REQUESTS_MAX, Running};
pub use paper::{Bar, Chart, Line, Mark, Paper, Section, Setting, Table, WriteError, write};
pub use plan::{Keys, RequestPlan, Target};
pub use subject::{Own, OwnDriver, OwnPlan, Subject, SubjectError};
pub use tally::{Example, Failure, Latencies, Outcome, STEP, Sample, Step, Tally};
pub use variant::Variant;
