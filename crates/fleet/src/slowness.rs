//! Who is slow: how long a replica's responses take, compared with those of its peers at the same time.
//!
//! What is compared are the lower and the upper quartile, and both must be too high. A mean would be
//! moved by a few long polls; and where quick and slow endpoints are mixed, one quartile may lie now
//! among these and now among those, but hardly both of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outlier::Excess;
use crate::{HealthSettings, Latencies, Life, Measured, Moment};

/// How long a window is if there are enough responses, and at most.
const WINDOW_MIN: Duration = Duration::from_millis(400);
const WINDOW_MAX: Duration = Duration::from_secs(5);

/// How many responses a replica must have given in a window for them to be compared.
const ANSWERS_MIN: u32 = 12;

/// In how many windows in a row a replica must be slow.
const STRIKES_MAX: u32 = 3;

/// For how long a replica may be slow that has not yet kept up with its peers: its caches are cold.
const WARM_AFTER: Duration = Duration::from_secs(10);

/// In how many windows a replica has to keep up with its peers before it counts as warm.
const WARM_WINDOWS: u32 = 2;

/// What is quicker than this beyond its peers is never slow: there the machine's own noise is at work.
const EXCESS_MIN: Duration = Duration::from_millis(1);

/// Who gives so many times as many responses as its peers takes longer because it has more to do. That
/// is the load bound's affair.
const HOT_FACTOR: u32 = 2;

/// How much a window counts in what is usual, as a part.
const USUAL_PARTS: u32 = 16;

/// The lower and the upper quartile of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quartiles {
    low: Duration,
    high: Duration,
}

/// The window that goes on, and what the last one showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    begun_at: Moment,
    window: BTreeMap<Life, Measured>,
    last: Vec<(Life, Quartiles)>,
}

/// What a window showed of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    quartiles: Quartiles,
    is_hot: bool,
    excess: Option<Excess>,
}

/// How slow a replica was until now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    strikes: u32,
    /// In how many windows it kept up, as far as anybody wants to know.
    kept_up: u32,
    usual: Option<Quartiles>,
}

impl Comparison {
    /// Takes in what was measured of a replica that is trusted.
    pub(crate) fn add(&mut self, measured: &Measured) {
        let entry = self.window.entry(measured.life);
        entry
            .and_modify(|known| known.latencies.merge(&measured.latencies))
            .or_insert_with(|| measured.clone());
    }

    /// What the window showed, if it is over: when everybody who answers at all has done so often
    /// enough, or after some seconds.
    pub(crate) fn close(&mut self, factor: f64, now: Moment) -> Vec<(Life, Finding)> {
        let age = now.saturating_sub(self.begun_at);
        let is_enough = |measured: &Measured| measured.latencies.count() >= ANSWERS_MIN;
        if age < WINDOW_MIN || (age < WINDOW_MAX && !self.window.values().all(is_enough)) {
            return Vec::new();
        }
        self.begun_at = now;
        let window = std::mem::take(&mut self.window);
        let heard: Vec<&Measured> = window.values().filter(|measured| is_enough(measured)).collect();
        if heard.is_empty() {
            return Vec::new();
        }
        self.last = heard.iter().map(|one| (one.life, Quartiles::of(&one.latencies))).collect();
        let finding = |measured: &&Measured| {
            let rate = |one: &Measured| one.latencies.count() / one.weight.max(1);
            let peers = heard.iter().filter(|peer| peer.life != measured.life);
            let peers_rate = upper_median(peers.map(|peer| rate(peer)).collect());
            let quartiles = Quartiles::of(&measured.latencies);
            let finding = Finding {
                quartiles,
                is_hot: peers_rate.is_some_and(|peers_rate| rate(measured) > HOT_FACTOR * peers_rate),
                excess: self.compare(measured.life, quartiles, factor),
            };
            (measured.life, finding)
        };
        heard.iter().map(finding).collect()
    }

    /// By how much these responses are slower than those of its peers in the last window, if it is
    /// too much.
    pub(crate) fn excess(&self, life: Life, responses: &Latencies, factor: f64) -> Option<Excess> {
        self.compare(life, Quartiles::of(responses), factor)
    }

    fn compare(&self, life: Life, own: Quartiles, factor: f64) -> Option<Excess> {
        let peers = || self.last.iter().filter(|(peer, _)| *peer != life);
        let peers = Quartiles {
            low: upper_median(peers().map(|(_, quartiles)| quartiles.low).collect())?,
            high: upper_median(peers().map(|(_, quartiles)| quartiles.high).collect())?,
        };
        own.exceed(peers, factor).then_some(Excess { own: own.low, peers: peers.low })
    }
}

impl Pace {
    /// Takes in what a window showed of a replica that has served for so long; says by how much it is
    /// too slow, if that is certain now.
    pub(crate) fn learn(
        &mut self,
        finding: Finding,
        served: Duration,
        settings: &HealthSettings,
    ) -> Option<Excess> {
        if finding.is_hot {
            return None;
        }
        if finding.excess.is_none() {
            self.kept_up = WARM_WINDOWS.min(self.kept_up + 1);
        } else if self.kept_up < WARM_WINDOWS && served < WARM_AFTER {
            return None;
        }
        let is_unusual = settings.have_equal_work
            || self.usual.is_some_and(|usual| finding.quartiles.exceed(usual, settings.slow_factor));
        let excess = finding.excess.filter(|_| is_unusual);
        if excess.is_none() {
            self.strikes = 0;
            self.usual = Some(finding.quartiles.mixed_into(self.usual));
            return None;
        }
        self.strikes += 1;
        excess.filter(|_| self.strikes >= STRIKES_MAX)
    }

    /// Forgets what was, for a new beginning.
    pub(crate) fn begin_anew(&mut self) {
        self.strikes = 0;
    }
}

impl Quartiles {
    fn of(latencies: &Latencies) -> Self {
        Self { low: latencies.quantile(1, 4), high: latencies.quantile(3, 4) }
    }

    /// Whether both are more than `factor` times those of `others`. A factor of 0 is never exceeded.
    fn exceed(self, others: Self, factor: f64) -> bool {
        factor > 0.0
            && self.low > others.low.mul_f64(factor)
            && self.high > others.high.mul_f64(factor)
            && self.low - others.low > EXCESS_MIN
    }

    fn mixed_into(self, usual: Option<Self>) -> Self {
        let Some(usual) = usual else { return self };
        let mix = |usual: Duration, own: Duration| (usual * (USUAL_PARTS - 1) + own) / USUAL_PARTS;
        Self { low: mix(usual.low, self.low), high: mix(usual.high, self.high) }
    }
}

/// The one in the middle, or the upper of the two; none of none.
fn upper_median<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
