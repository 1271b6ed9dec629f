//! What came of a load: one sample per request, and every figure computed from them.
//!
//! Nothing is added up beforehand, so that any period can be looked at afterwards: before, during and
//! after a fault.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The most failures that are kept in words.
const EXAMPLES_MAX: usize = 20;
/// The longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(3600);
/// One step of a timeline.
pub const STEP: Duration = Duration::from_millis(100);
/// The most steps that a timeline has: an hour.
const STEPS_MAX: usize = 36_000;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nobody listens there.
    Refused,
    /// The host cannot be reached.
    Unreachable,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the response was whole.
    Closed,
    /// The response was not whole in time.
    Timeout,
    /// The response has another status than it should have.
    BadStatus,
    /// The response has another body than it should have.
    BadBody,
    /// What came is no response, or that to another request.
    Garbled,
    /// It could not be sent: all connections that the load may have were taken, or the system has no
    /// more for us. The fault is not the other end's alone.
    NotSent,
    /// The load was ended at once before it was answered.
    Abandoned,
}

impl Loss {
    /// In words, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed without an answer",
            Self::Timeout => "no answer in time",
            Self::BadStatus => "bad status",
            Self::BadBody => "bad body",
            Self::Garbled => "garbled",
            Self::NotSent => "not sent",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered rightly, by this one of the tally's replicas.
    Answered(u16),
    /// It was not.
    Failed(Loss),
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was meant to begin, in microseconds since the load began.
    pub at_us: u64,
    /// From then to the end of the response or the failure, in microseconds.
    pub latency_us: u32,
    /// What came of it.
    pub outcome: Outcome,
}

impl Sample {
    fn end_us(&self) -> u64 {
        self.at_us + u64::from(self.latency_us)
    }
}

/// A failure in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The request's `X-Request-Id`.
    pub request: String,
    /// When it was meant to begin, in milliseconds since the load began.
    pub at_ms: u64,
    /// How it failed.
    pub failure: Loss,
    /// More about it: what the system says, or how a response begins.
    pub detail: String,
}

/// All that came of a load.
#[derive(Clone, Debug)]
pub struct Tally {
    /// When the load began; the samples' times count from here.
    pub begun: Instant,
    /// The same moment by the system's clock.
    pub begun_at: SystemTime,
    /// How long it took, up to the last response.
    pub elapsed: Duration,
    /// Every request, in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Who answered, in the order of their first responses. An empty name stands for nobody knows who.
    pub replicas: Vec<String>,
    /// The first failures, in words.
    pub examples: Vec<Example>,
    /// Connections on which more came than was asked for.
    pub unasked_answers: u64,
    /// How far behind its schedule an open load was at most when it sent something: what the
    /// generator, and nobody else, has added to a latency.
    pub lag_max: Duration,
    numbers: HashMap<String, u16>,
}

/// Latencies of right responses, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// How many there are.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// Nine of ten took no longer.
    pub p90_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// 999 of 1000 took no longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// A tenth of a second of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When it begins, in milliseconds since the load began.
    pub at_ms: u64,
    /// Requests that were meant to begin in it.
    pub sent: u64,
    /// Right responses that came in it, by replica, in the order of the tally's replicas.
    pub answered: Vec<u64>,
    /// Requests that failed in it.
    pub failed: u64,
    /// The longest latency, in microseconds, of those that were meant to begin in it.
    pub latency_max_us: u64,
}

impl Tally {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            begun_at: SystemTime::now(),
            elapsed: Duration::ZERO,
            samples: Vec::new(),
            replicas: Vec::new(),
            examples: Vec::new(),
            unasked_answers: 0,
            lag_max: Duration::ZERO,
            numbers: HashMap::new(),
        }
    }

    pub(crate) fn record(&mut self, at: Duration, latency: Duration, outcome: Outcome) {
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        self.samples.push(Sample { at_us, latency_us, outcome });
    }

    pub(crate) fn replica_number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // Beyond so many names the last one stands for all others: a bound, not a case.
        let number = u16::try_from(self.replicas.len()).unwrap_or(u16::MAX);
        if number < u16::MAX {
            self.replicas.push(name.to_owned());
            self.numbers.insert(name.to_owned(), number);
        }
        number.min(u16::MAX - 1)
    }

    pub(crate) fn explain(&mut self, example: impl FnOnce() -> Example) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }

    /// How many requests there were, those that could not be sent included.
    pub fn requests(&self) -> u64 {
        self.samples.len() as u64
    }

    /// How many were answered rightly.
    pub fn answered(&self) -> u64 {
        self.by_replica().values().sum()
    }

    /// How many failed, however.
    pub fn failed(&self) -> u64 {
        self.failures().values().sum()
    }

    /// Right responses by who gave them.
    pub fn by_replica(&self) -> BTreeMap<&str, u64> {
        let mut counts = vec![0; self.replicas.len()];
        for sample in &self.samples {
            if let Outcome::Answered(replica) = sample.outcome {
                counts[usize::from(replica)] += 1;
            }
        }
        self.replicas.iter().map(String::as_str).zip(counts).collect()
    }

    /// Failures by kind; kinds without one are left out.
    pub fn failures(&self) -> BTreeMap<Loss, u64> {
        self.failures_within(&(Duration::ZERO..Duration::MAX))
    }

    /// Failures by kind among the requests that were meant to begin in a period.
    pub fn failures_within(&self, period: &Range<Duration>) -> BTreeMap<Loss, u64> {
        let mut failures = BTreeMap::new();
        for sample in self.within(period) {
            if let Outcome::Failed(failure) = sample.outcome {
                *failures.entry(failure).or_default() += 1;
            }
        }
        failures
    }

    /// Right responses a second, over the whole load.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Latencies of all right responses.
    pub fn latencies(&self) -> Latencies {
        self.latencies_within(&(Duration::ZERO..Duration::MAX))
    }

    /// Latencies of the right responses to requests that were meant to begin in a period.
    pub fn latencies_within(&self, period: &Range<Duration>) -> Latencies {
        let samples = self.within(period).filter(|sample| matches!(sample.outcome, Outcome::Answered(_)));
        latencies_of(samples.map(|sample| u64::from(sample.latency_us)))
    }

    fn within(&self, period: &Range<Duration>) -> impl Iterator<Item = &Sample> {
        let period = period.clone();
        self.samples.iter().filter(move |sample| period.contains(&Duration::from_micros(sample.at_us)))
    }

    /// The load in steps of [`STEP`], from its begin to its last response. What lies behind the most
    /// steps there may be is in the last one.
    pub fn timeline(&self) -> Vec<Step> {
        let place = |us: u64| usize::try_from(u128::from(us) / STEP.as_micros()).unwrap_or(usize::MAX);
        let last = self.samples.iter().map(|sample| place(sample.end_us())).max().unwrap_or(0);
        let count = (last + 1).min(STEPS_MAX);
        let step = |index: usize| Step {
            at_ms: index as u64 * STEP.as_millis() as u64,
            answered: vec![0; self.replicas.len()],
            ..Step::default()
        };
        let mut steps: Vec<Step> = (0..count).map(step).collect();
        for sample in &self.samples {
            let begin = &mut steps[place(sample.at_us).min(count - 1)];
            begin.sent += 1;
            begin.latency_max_us = begin.latency_max_us.max(sample.latency_us.into());
            let end = &mut steps[place(sample.end_us()).min(count - 1)];
            match sample.outcome {
                Outcome::Answered(replica) => end.answered[usize::from(replica)] += 1,
                Outcome::Failed(_) => end.failed += 1,
            }
        }
        steps
    }
}

/// By an HDR histogram: to three digits, as other tools give them.
fn latencies_of(values: impl Iterator<Item = u64>) -> Latencies {
    let limit = LATENCY_MAX.as_micros() as u64;
    let mut histogram =
        Histogram::<u64>::new_with_bounds(1, limit, 3).expect("one to an hour is a range it takes");
    for value in values {
        histogram.saturating_record(value);
    }
    if histogram.is_empty() {
        return Latencies::default();
    }
    Latencies {
        count: histogram.len(),
        p50_us: histogram.value_at_quantile(0.5),
        p90_us: histogram.value_at_quantile(0.9),
        p99_us: histogram.value_at_quantile(0.99),
        p999_us: histogram.value_at_quantile(0.999),
        max_us: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn tally(samples: &[(u64, u64, Result<&str, Loss>)]) -> Tally {
        let mut tally = Tally::new(Instant::now());
        for (at, latency, outcome) in samples {
            let outcome = match outcome {
                Ok(name) => Outcome::Answered(tally.replica_number(name)),
                Err(failure) => Outcome::Failed(*failure),
            };
            tally.record(MS(*at), MS(*latency), outcome);
        }
        tally
    }

    #[test]
    fn everything_is_counted_by_who_answered_and_how_it_failed() {
        let tally = tally(&[
            (0, 1, Ok("a")),
            (10, 1, Ok("b")),
            (20, 1, Ok("a")),
            (30, 1, Err(Loss::Reset)),
            (40, 1, Err(Loss::Reset)),
        ]);
        assert_eq!(tally.by_replica(), BTreeMap::from([("a", 2), ("b", 1)]));
        assert_eq!(tally.failures(), BTreeMap::from([(Loss::Reset, 2)]));
        assert_eq!((tally.requests(), tally.answered(), tally.failed()), (5, 3, 2));
        assert_eq!(tally.failures_within(&(MS(0)..MS(40))), BTreeMap::from([(Loss::Reset, 1)]));
    }

    #[test]
    fn a_period_has_the_latencies_of_what_began_in_it() {
        let samples: Vec<_> = (0..100).map(|at| (at * 10, if at < 50 { 1 } else { 100 }, Ok("a"))).collect();
        let tally = tally(&samples);
        assert_eq!(tally.latencies_within(&(MS(0)..MS(500))).max_us, 1000);
        let late = tally.latencies_within(&(MS(500)..MS(1000)));
        assert_eq!(late.count, 50);
        assert!((99_900..100_100).contains(&late.p50_us), "three digits are right: {late:?}");
        assert_eq!(tally.latencies_within(&(MS(5000)..MS(6000))), Latencies::default());
    }

    #[test]
    fn the_timeline_has_the_begin_in_one_step_and_the_end_in_another() {
        let timeline =
            tally(&[(50, 200, Ok("a")), (120, 1, Ok("b")), (130, 5, Err(Loss::Closed))]).timeline();
        let shown: Vec<_> = timeline
            .iter()
            .map(|step| (step.at_ms, step.sent, step.answered.as_slice(), step.failed, step.latency_max_us))
            .collect();
        assert_eq!(
            shown,
            [
                (0, 1, [0, 0].as_slice(), 0, 200_000),
                (100, 2, [0, 1].as_slice(), 1, 5000),
                (200, 0, [1, 0].as_slice(), 0, 0)
            ]
        );
    }
}
