//! Chance, all of it from one seed, and which faults a run meets how often.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// Draws. Nothing else in a run is random, so a seed is a run.
#[derive(Debug)]
pub(crate) struct Chance(Rng);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    pub(crate) fn happens(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.0.u32(0..1000) < per_mille
    }

    pub(crate) fn number(&mut self, range: Range<u64>) -> u64 {
        self.0.u64(range)
    }

    pub(crate) fn milliseconds(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.0.u64(range))
    }

    /// One of them, if there is any.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.0.usize(..from.len())].clone())
    }

    /// Whether something that comes once in `mean` comes within a `step`.
    pub(crate) fn comes(&mut self, mean: Duration, step: Duration) -> bool {
        !mean.is_zero() && self.0.f64() * mean.as_secs_f64() < step.as_secs_f64()
    }
}

/// How often what goes wrong: per thousand calls, or once in a time; nothing of what is zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) start_fails: u32,
    /// The start is said to have failed, and what was started runs on.
    pub(crate) start_lies: u32,
    pub(crate) start_slow: u32,
    pub(crate) never_well: u32,
    pub(crate) boot_slow: u32,
    pub(crate) stop_fails: u32,
    pub(crate) stop_slow: u32,
    pub(crate) list_fails: u32,
    pub(crate) list_slow: u32,
    pub(crate) inspect_fails: u32,
    pub(crate) event_lost: u32,
    pub(crate) event_doubled: u32,
    pub(crate) event_late: u32,
    pub(crate) beat_lost: u32,
    pub(crate) beat_late: u32,
    pub(crate) beat_refused: u32,
    /// A question that fails for want of something of our own.
    pub(crate) beat_ours: u32,
    pub(crate) disk_fails: u32,
    pub(crate) disk_slow: u32,
    /// The balancer is killed in the middle of a call.
    pub(crate) crash_in_call: u32,
    pub(crate) crash_every: Duration,
    pub(crate) stall_every: Duration,
    pub(crate) death_every: Duration,
    pub(crate) removal_every: Duration,
    pub(crate) freeze_every: Duration,
    pub(crate) cut_every: Duration,
    pub(crate) illness_every: Duration,
    pub(crate) blackout_every: Duration,
    pub(crate) suspicion_every: Duration,
}

impl Faults {
    /// Each run meets some faults often, some seldom, and some never: what only shows when two of
    /// them meet would drown if all of them always came.
    pub(crate) fn drawn(chance: &mut Chance) -> Self {
        let mut rate = |often: u32| match chance.number(0..4) {
            0 | 1 => 0,
            2 => often / 8 + 1,
            _ => often,
        };
        let mut faults = Self {
            start_fails: rate(400),
            start_lies: rate(300),
            start_slow: rate(300),
            never_well: rate(300),
            boot_slow: rate(400),
            stop_fails: rate(500),
            stop_slow: rate(400),
            list_fails: rate(600),
            list_slow: rate(600),
            inspect_fails: rate(500),
            event_lost: rate(500),
            event_doubled: rate(300),
            event_late: rate(400),
            beat_lost: rate(80),
            beat_late: rate(200),
            beat_refused: rate(40),
            beat_ours: rate(100),
            disk_fails: rate(300),
            disk_slow: rate(300),
            crash_in_call: rate(30),
            ..Self::default()
        };
        let mut every = |seconds: u64| match chance.number(0..4) {
            0 | 1 => Duration::ZERO,
            2 => Duration::from_secs(seconds * 8),
            _ => Duration::from_secs(seconds),
        };
        faults.crash_every = every(8);
        faults.stall_every = every(6);
        faults.death_every = every(3);
        faults.removal_every = every(10);
        faults.freeze_every = every(4);
        faults.cut_every = every(4);
        faults.illness_every = every(4);
        faults.blackout_every = every(15);
        faults.suspicion_every = every(2);
        faults
    }
}
