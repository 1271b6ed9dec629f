//! The clock of the control plane: monotonic, counted from the start, so that no change of the
//! wall clock is ever noticed. Time in which the whole process was stopped does not count: nobody
//! else is late because we were.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::Moment;
use tokio::time::Instant;

/// The reconciler reads the clock twice a second at the least. If it was not read for so long, nothing
/// of ours was running.
const GAP_MAX: Duration = Duration::from_secs(2);
/// What a longer gap counts for.
const GAP_COUNTED: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    hands: Arc<Mutex<Hands>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hands {
    /// When it was last read, stops included.
    read_at: Duration,
    /// How long it was stopped, all in all.
    stopped: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), hands: Arc::default() }
    }

    pub(crate) fn now(&self) -> Moment {
        // Read under the lock: whoever read it earlier must not be the later one to write.
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        hands.read(self.start.elapsed())
    }

    /// When a moment will have come, if the clock is not stopped again.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        let hands = *self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        self.start + moment + hands.stopped
    }
}

impl Hands {
    fn read(&mut self, elapsed: Duration) -> Moment {
        let gap = elapsed.saturating_sub(self.read_at);
        if gap > GAP_MAX {
            self.stopped += gap - GAP_COUNTED;
        }
        self.read_at = self.read_at.max(elapsed);
        self.read_at - self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_counts_for_a_moment_and_time_never_goes_back() {
        let mut hands = Hands::default();
        let mut last = Moment::ZERO;
        // Milliseconds by an ordinary clock, and by this one.
        let readings =
            [(500, 500), (1000, 1000), (31_000, 1500), (31_500, 2000), (33_500, 4000), (33_400, 4000)];
        for (real, told) in readings {
            let now = hands.read(Duration::from_millis(real));
            assert_eq!(now, Duration::from_millis(told), "at {real} ms");
            assert!(now >= last);
            last = now;
        }
    }
}
