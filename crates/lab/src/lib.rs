//! Measures balancers, ours and others: a load generator that can be believed, drills against a fleet
//! that runs, and experiments.
//!
//! Everything here is a client. It knows the balancer's HTTP surfaces, and none of its insides.
//!
//! ```
//! # use std::io::{Read, Write};
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//!
//! use lab::{Limits, Load, Pace, RequestPlan, Target};
//!
//! // Somebody who gives every client one response and closes.
//! let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
//! let address = listener.local_addr().unwrap();
//! std::thread::spawn(move || {
//!     for mut stream in listener.incoming().flatten() {
//!         let _ = stream.read(&mut [0; 1024]);
//!         let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
//!     }
//! });
//!
//! let load = Load {
//!     target: Target::new(address),
//!     plan: RequestPlan::get("/home"),
//!     pace: Pace::Closed { clients: NonZeroU32::new(2).unwrap() },
//!     limits: Limits {
//!         requests: 20,
//!         duration: Duration::from_secs(60),
//!         response: Duration::from_secs(10),
//!     },
//!     seed: 1,
//!     check: lab::status(204),
//! };
//! let tally = load.start().unwrap().wait();
//! assert_eq!((tally.requests(), tally.answered(), tally.failed()), (20, 20, 0));
//! ```

mod experiment;
mod paper;

mod subject;
mod variant;

mod drill;

mod load;

mod response;
mod check;
mod connection;
mod plan;
mod schedule;

mod http;

mod tally;

pub use check::{Check, contract_home, status};
pub use drill::{Drill, DrillError, Fault, Objective, Period, Report, Times};
pub use experiment::{ExperimentError, Order, Stage, Whom, a1, a2, a3, a4};
pub use http::{AdminApi, Call, CallError, Reply};
pub use load::{Limits, Load, Pace, Progress, REQUESTS_MAX, Running};
pub use paper::{Axes, Bar, Chart, Line, Mark, Paper, Section, Setting, Table, WriteError, write};
pub use plan::{Keys, RequestPlan, Target};
pub use response::Response;
pub use subject::{Own, OwnDriver, OwnPlan, Subject, SubjectError};
pub use tally::{Example, Latencies, Loss, Outcome, STEP, Sample, Step, Tally};
pub use variant::Variant;
