//! Signals: TERM and INT end the balancer, a second one at once; HUP renews what comes from files.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::entrance::Renewable;

/// The signals that ask the balancer to end, and the one that does not.
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    renewable: Renewable,
}

impl EndSignals {
    /// Takes the signals over from their default, which would end the program on the spot.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            renewable: Renewable::default(),
        })
    }

    /// From now on HUP renews this.
    pub(crate) fn renew_on_hangup(&mut self, renewable: Renewable) {
        self.renewable = renewable;
    }

    /// Waits for one that ends.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    let renewable = self.renewable.clone();
                    // Reading files may take a while, and this thread has replicas to look after.
                    tokio::task::spawn_blocking(move || renewable.renew());
                }
            }
        }
    }
}
