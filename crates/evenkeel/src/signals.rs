//! Signals: TERM and INT end the balancer, a second one at once; HUP does not.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask the balancer to end.
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl EndSignals {
    /// Takes the signals over from their default, which would end the program on the spot.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: this version cannot reload its configuration");
                }
            }
        }
    }
}
