//! The clock of the control plane: monotonic, counted from the start, so that no change of the
//! wall clock is ever noticed.

use fleet::Moment;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Moment {
        self.start.elapsed()
    }

    pub(crate) fn instant(self, moment: Moment) -> Instant {
        self.start + moment
    }
}
