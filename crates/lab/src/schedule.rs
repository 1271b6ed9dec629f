//! Waiting for a moment to well below a millisecond, which the runtime's own timers round up to. An
//! open load that waited by those would find its own rounding in every latency.

use std::io;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Moments nearer than this have come: the wait itself takes as long.
const NEAR: Duration = Duration::from_micros(20);

/// The safe constructor is deprecated for kinds of owners that may swap their descriptor; an owned
/// descriptor that nobody else can reach does not.
#[expect(deprecated, reason = "the replacement is unsafe, and its promise is kept by the type")]
fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

/// A timer of the kernel.
#[derive(Debug)]
pub(crate) struct Schedule {
    timer: AsyncFd<OwnedFd>,
}

impl Schedule {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { timer: register(timerfd_create(TimerfdClockId::Monotonic, flags)?)? })
    }

    /// Waits until then. May be given up and begun again.
    pub(crate) async fn until(&self, moment: Instant) {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left < NEAR {
                return;
            }
            if self.wait(left).await.is_err() {
                // A timer that was made can be set. If one day it cannot, a coarse wait is a wait.
                tokio::time::sleep(left).await;
            }
        }
    }

    async fn wait(&self, left: Duration) -> io::Result<()> {
        self.set(left)?;
        let mut ready = self.timer.readable().await?;
        // Setting the timer anew takes back what it had to say, so there is nothing to read.
        ready.clear_ready();
        Ok(())
    }

    fn set(&self, left: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let value = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
        let once = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}
