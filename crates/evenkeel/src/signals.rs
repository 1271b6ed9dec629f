//! Signals: TERM and INT end the balancer, a second one at once; HUP renews what comes from files.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::entrance::Renewable;

/// The signals that ask the balancer to end, and the one that does not.
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    renewable: Renewable,
    /// The last one that counted as one to end, and when it came.
    told: Option<(SignalKind, Instant)>,
}

/// The same signal so soon once more is no second one: `timeout` signals a process and then its group.
const ONE_SIGNAL: Duration = Duration::from_millis(300);

impl EndSignals {
    /// Takes the signals over from their default, which would end the program on the spot.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            renewable: Renewable::default(),
            told: None,
        })
    }

    /// From now on HUP renews this.
    pub(crate) fn renew_on_hangup(&mut self, renewable: Renewable) {
        self.renewable = renewable;
    }

    /// Waits for one that ends.
    pub(crate) async fn next(&mut self) {
        loop {
            let kind = tokio::select! {
                _ = self.terminate.recv() => SignalKind::terminate(),
                _ = self.interrupt.recv() => SignalKind::interrupt(),
                _ = self.hangup.recv() => {
                    let renewable = self.renewable.clone();
                    // Reading files may take a while, and this thread has replicas to look after.
                    tokio::task::spawn_blocking(move || renewable.renew());
                    continue;
                }
            };
            let now = Instant::now();
            if self.told.is_none_or(|(told, at)| told != kind || now > at + ONE_SIGNAL) {
                self.told = Some((kind, now));
                return;
            }
        }
    }
}
