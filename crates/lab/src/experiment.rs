//! The experiments, and what they have in common: a subject, a load, and what is expected.

mod a1;
mod a2;
mod a3;
mod a4;

mod scaled;
mod surface;

pub use a1::a1;
pub use a2::a2;
pub use a3::a3;
pub use a4::a4;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::check;
use crate::drill::DrillError;
use crate::load::{Limits, Load, Pace};
use crate::plan::{Keys, RequestPlan, Target};
use crate::subject::{OwnDriver, OwnPlan, Subject, SubjectError};
use crate::tally::{Latencies, Tally};
use crate::variant::Variant;

/// How many standard deviations a count may be off. By chance alone, one in 16 000 is further away.
const SIGMAS: f64 = 4.0;
/// A bound on the load bends shares when a machine is busy; whoever measures placement goes without.
const UNBOUND: &str = "load_factor = 0\n";
/// How long a request may take.
const RESPONSE_MAX: Duration = Duration::from_secs(20);
/// How long one load may take.
const LOAD_MAX: Duration = Duration::from_secs(120);
/// How often progress is shown and interruption looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Whom to measure.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Balancers of our own, started by this program.
    Own(PathBuf, OwnDriver),
    /// One that runs.
    Running(Target),
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whom to measure.
    pub whom: Whom,
    /// How many requests each measurement has.
    pub requests: u64,
    /// How many clients ask at a time.
    pub concurrency: NonZeroU32,
    /// The smallest and the largest number of replicas of A-2.
    pub replicas: (usize, usize),
    /// What keys are drawn from.
    pub seed: u64,
}

/// Where experiments are carried out: how they speak, and whether they shall end.
pub struct Stage<'a> {
    /// Set when somebody interrupts.
    pub is_interrupted: &'a AtomicBool,
    /// Gets the lines that are for people.
    pub say: &'a mut dyn FnMut(&str),
}

/// Why an experiment has no result.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// There is nobody to measure.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The load could not be started.
    #[error("the load cannot be started")]
    NoLoad(#[source] std::io::Error),
    /// A replica could not be killed.
    #[error(transparent)]
    Drill(#[from] DrillError),
    /// Somebody has interrupted it.
    #[error("interrupted")]
    Interrupted,
}

/// What one load has shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Counts {
    /// By replica, in the order in which the subject shows them; others behind.
    pub(crate) by_replica: Vec<(String, u64)>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<(String, u64)>,
    pub(crate) rate: f64,
    pub(crate) latencies: Latencies,
}

impl Order {
    /// Somebody to measure, with this many replicas, placed so. One that runs already places as it does.
    fn subject(&self, replicas: usize, variant: Variant, more: &str) -> Result<Subject, ExperimentError> {
        Ok(match &self.whom {
            Whom::Own(program, driver) => {
                let (program, driver, more) = (program.clone(), *driver, more.to_owned());
                OwnPlan { program, driver, replicas, variant, more }.start()?
            }
            Whom::Running(target) => {
                let subject = Subject::running(target.clone())?;
                subject.scale(replicas)?;
                subject
            }
        })
    }

    fn is_own(&self) -> bool {
        matches!(self.whom, Whom::Own(..))
    }

    /// The clients of the original: each waits for its response before it asks again.
    fn clients(&self, subject: &Subject, keys: Keys) -> Load {
        Load {
            target: subject.target.clone(),
            plan: RequestPlan { keys, ..RequestPlan::get("/home") },
            pace: Pace::Closed { clients: self.concurrency },
            limits: Limits { requests: self.requests, duration: LOAD_MAX, response: RESPONSE_MAX },
            seed: self.seed,
            check: check::contract_home(),
        }
    }
}

impl Stage<'_> {
    /// Carries out a load to its end, with its progress said when it takes long.
    fn run(&mut self, load: Load, what: &str) -> Result<Tally, ExperimentError> {
        let requests = load.limits.requests;
        let running = load.start().map_err(ExperimentError::NoLoad)?;
        let mut said = running.begun();
        while !running.has_ended() {
            std::thread::sleep(LOOK_EVERY);
            self.look()?;
            if said.elapsed() >= SAY_EVERY {
                said = std::time::Instant::now();
                let progress = running.progress();
                (self.say)(&format!("    {what}: {} of {requests} answered", progress.answered()));
            }
        }
        Ok(running.wait())
    }

    fn look(&self) -> Result<(), ExperimentError> {
        if self.is_interrupted.load(Ordering::Relaxed) { Err(ExperimentError::Interrupted) } else { Ok(()) }
    }
}

impl Counts {
    /// The tally by these replicas. One that is shown by its number is known as that.
    fn new(tally: &Tally, names: &[String]) -> Self {
        let mut left = tally.by_replica();
        let mut by_replica = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let number = (index + 1).to_string();
            let count = left.remove(name.as_str()).or_else(|| left.remove(number.as_str()));
            by_replica.push((name.clone(), count.unwrap_or(0)));
        }
        by_replica.extend(left.into_iter().map(|(name, count)| (name.to_owned(), count)));
        let failures = tally.failures();
        Self {
            by_replica,
            answered: tally.answered(),
            failed: tally.failed(),
            failures: failures.iter().map(|(failure, count)| (failure.as_str().to_owned(), *count)).collect(),
            rate: tally.rate(),
            latencies: tally.latencies(),
        }
    }

    fn values(&self) -> Vec<f64> {
        self.by_replica.iter().map(|(_, count)| *count as f64).collect()
    }

    fn mean(&self) -> f64 {
        self.values().iter().sum::<f64>() / self.by_replica.len().max(1) as f64
    }

    /// The standard deviation of the load: of all replicas, not of a sample of them.
    fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.values().iter().map(|value| (value - mean).powi(2)).sum();
        (squares / self.by_replica.len().max(1) as f64).sqrt()
    }

    fn largest_over_mean(&self) -> f64 {
        self.values().into_iter().fold(0.0, f64::max) / self.mean().max(f64::MIN_POSITIVE)
    }

    fn data(&self) -> Value {
        json!(self)
    }
}

/// What is expected of a count, and how far to either side chance may go.
fn expectation(requests: u64, share: f64) -> (f64, f64) {
    let requests = requests as f64;
    (requests * share, SIGMAS * (requests * share * (1.0 - share)).sqrt())
}

/// Counts that chance alone does not explain, in words.
fn misses(counts: &Counts, shares: &[f64]) -> Vec<String> {
    let mut misses = Vec::new();
    if counts.by_replica.len() != shares.len() {
        misses.push(format!("{} replicas answered, there are {}", counts.by_replica.len(), shares.len()));
    }
    for ((name, count), share) in counts.by_replica.iter().zip(shares) {
        let (expected, band) = expectation(counts.answered, *share);
        if (*count as f64 - expected).abs() > band {
            misses.push(format!("{name} answered {count}, expected were {expected:.1} ± {band:.1}"));
        }
    }
    misses
}

/// Failures, in words; nothing if there are none.
fn failures(counts: &Counts, when: &str) -> Option<String> {
    (counts.failed > 0).then(|| {
        let kinds: Vec<String> =
            counts.failures.iter().map(|(failure, count)| format!("{count} {failure}")).collect();
        format!("{} requests failed {when}: {}", counts.failed, kinds.join(", "))
    })
}

fn milliseconds(us: u64) -> String {
    format!("{:.2}", us as f64 / 1000.0)
}
