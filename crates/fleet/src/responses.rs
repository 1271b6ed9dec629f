//! What a replica's responses tell: how many failed in a row, and how long they took. Those on the way
//! of requests note it here, in atomics; the control side takes it out. Nothing is judged here.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The shortest time that is told from shorter ones: 16 µs, as a power of two.
const OCTAVE_MIN: u32 = 4;
/// The longest time that is told from longer ones is above 2^25 µs, half a minute.
const OCTAVES: usize = 22;
/// Into how many steps each doubling is divided.
const STEPS: usize = 4;
const BUCKETS: usize = OCTAVES * STEPS;

/// What is noted on the way of requests.
#[derive(Debug)]
pub struct Responses {
    /// How many failures in a row are worth a word; 0 means that they do not count.
    failures_max: u32,
    /// Failures since the last good response.
    failures: AtomicU32,
    latencies: [AtomicU32; BUCKETS],
}

impl Default for Responses {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Responses {
    /// Nothing noted yet. So many failures in a row are worth a word; 0 means that none are.
    pub fn new(failures_max: u32) -> Self {
        Self { failures_max, failures: AtomicU32::new(0), latencies: [const { AtomicU32::new(0) }; BUCKETS] }
    }

    /// Notes a good response. When all is well, which is nearly always, that is a look and no more.
    pub fn note_success(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failed response, and says whether the reconciler should hear of it: at the limit, and
    /// then each time that the count has doubled, because the first word may have been lost.
    #[must_use]
    pub fn note_failure(&self) -> bool {
        if self.failures_max == 0 {
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures.is_multiple_of(self.failures_max) && (failures / self.failures_max).is_power_of_two()
    }

    /// Whether the last response failed.
    pub fn have_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) != 0
    }

    /// Whether so many responses in a row have failed that the next one is likely to.
    pub fn are_failing(&self) -> bool {
        self.failures_max > 0 && self.failures.load(Ordering::Relaxed) >= self.failures_max
    }

    /// Whether failed responses are counted at all.
    pub fn are_counted(&self) -> bool {
        self.failures_max > 0
    }

    /// Notes how long it took from the request to the head of a good response.
    pub fn note_latency(&self, latency: Duration) {
        self.latencies[bucket_of(latency)].fetch_add(1, Ordering::Relaxed);
    }

    /// What was noted since the last time, if anything was.
    pub fn take_latencies(&self) -> Option<Latencies> {
        let mut taken = Latencies::default();
        for (count, bucket) in taken.counts.iter_mut().zip(&self.latencies) {
            if bucket.load(Ordering::Relaxed) != 0 {
                *count = bucket.swap(0, Ordering::Relaxed);
            }
        }
        (taken.count() > 0).then_some(taken)
    }
}

/// How long some responses took, as a histogram whose steps are a fifth apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    counts: [u32; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

impl Latencies {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.counts[bucket_of(latency)] += 1;
    }

    /// Adds all of `others`.
    pub fn merge(&mut self, others: &Self) {
        for (count, other) in self.counts.iter_mut().zip(&others.counts) {
            *count = count.saturating_add(*other);
        }
    }

    /// The latency that `parts` of `whole` do not exceed, to a fifth; zero if there are none.
    pub fn quantile(&self, parts: u32, whole: u32) -> Duration {
        let rank = u64::from(self.count()) * u64::from(parts) / u64::from(whole);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen > rank
        });
        reached.map_or(Duration::ZERO, start_of)
    }
}

fn bucket_of(latency: Duration) -> usize {
    let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX).max(1 << OCTAVE_MIN);
    let octave = micros.ilog2();
    let step = (micros >> (octave - STEPS.ilog2())) as usize % STEPS;
    ((octave - OCTAVE_MIN) as usize * STEPS + step).min(BUCKETS - 1)
}

/// The shortest latency of a bucket.
fn start_of(bucket: usize) -> Duration {
    let octave = OCTAVE_MIN + (bucket / STEPS) as u32;
    Duration::from_micros((((STEPS + bucket % STEPS) as u64) << octave) / STEPS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_told_to_a_fourth_and_the_order_is_kept() {
        let mut before = Duration::ZERO;
        for micros in (16..1000).chain((1000..60_000_000).step_by(9973)) {
            let latency = Duration::from_micros(micros);
            let start = start_of(bucket_of(latency));
            assert!(start <= latency && latency <= start * 5 / 4, "{latency:?} is told as {start:?}");
            assert!(before <= start);
            before = start;
        }
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_noted_since_the_last_time() {
        let responses = Responses::new(3);
        assert_eq!(responses.take_latencies(), None);
        for millis in 1..=100 {
            responses.note_latency(Duration::from_millis(millis));
        }
        let taken = responses.take_latencies().unwrap();
        assert_eq!(taken.count(), 100);
        for (parts, exact) in [(1, 26), (2, 51), (3, 76)] {
            let told = taken.quantile(parts, 4).as_micros() as f64 / 1000.0;
            assert!(told <= f64::from(exact) && told > f64::from(exact) * 0.8, "{parts}/4: {told} ms");
        }
        assert_eq!(responses.take_latencies(), None);
    }

    #[test]
    fn the_word_goes_out_at_the_limit_and_at_each_doubling_until_an_answer_is_good() {
        let responses = Responses::new(3);
        let told =
            |responses: &Responses| -> Vec<u32> { (1..=50).filter(|_| responses.note_failure()).collect() };
        assert_eq!(told(&responses), [3, 6, 12, 24, 48]);
        assert!(responses.are_failing());
        responses.note_success();
        assert!(!responses.are_failing());
        assert_eq!(told(&responses), [3, 6, 12, 24, 48]);
        assert_eq!(told(&Responses::new(0)), [] as [u32; 0]);
    }
}
