//! The idle connections to one replica, and how long it bears with them.
//!
//! A replica may close an idle connection at the very moment when a request is sent on it. Nobody can
//! tell then whether the request was done, so one that must not be done twice fails. Nothing helps but
//! distance: how long the replica bears with idle connections is learned from those that it closes, and
//! such a request goes only over one that was idle for a part of that time, or over a new one.

use std::task::Context;
use std::time::{Duration, Instant};

use crate::replicas::sockets::Socket;
use crate::settings::{IDLE_CONNECTION_AGE_MAX, IDLE_CONNECTIONS_MAX};
use crate::wire::connection::Connection;

/// The part of the time that is trusted.
const TRUSTED_PART: u32 = 4;
/// A replica that bears with less than this is not trusted at all.
const TRUSTED_LEAST: Duration = Duration::from_millis(10);
/// What was learned is forgotten slowly, a little with each look: behind a fixed address there may be
/// another program by now. With a look each second it doubles in three quarters of a minute.
const FORGOTTEN_PART: u32 = 64;
const FORGOTTEN_LEAST: Duration = Duration::from_micros(50);

/// Idle connections, the one that was used last at the end.
#[derive(Default)]
pub(crate) struct Idle {
    connections: Vec<Kept>,
    patience: Patience,
}

struct Kept {
    connection: Connection,
    socket: Socket,
    since: Instant,
}

/// A connection that was idle.
pub(crate) struct Taken {
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
    pub(crate) idle_for: Duration,
}

/// After how long a replica closed an idle connection, at the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Patience(Option<Duration>);

impl Idle {
    /// Keeps a connection for later.
    pub(crate) fn put(&mut self, connection: Connection, socket: Socket) {
        if self.connections.len() < IDLE_CONNECTIONS_MAX {
            self.connections.push(Kept { connection, socket, since: Instant::now() });
        }
    }

    /// Since when the one that was used longest ago is idle.
    pub(crate) fn longest(&self) -> Option<Instant> {
        self.connections.first().map(|kept| kept.since)
    }

    /// Closes that one.
    pub(crate) fn close_longest(&mut self) {
        if !self.connections.is_empty() {
            self.connections.remove(0);
        }
    }

    /// The connection that was used last, if one is usable, and for how long it was idle. `is_careful` is
    /// for requests that must not be sent twice: it also asks the kernel instead of relying on what was
    /// heard from it last.
    pub(crate) fn take(&mut self, context: &mut Context<'_>, is_careful: bool) -> Option<Taken> {
        while let Some(Kept { mut connection, socket, since }) = self.connections.pop() {
            let idle_for = since.elapsed();
            if !is_open(&mut connection, context) || (is_careful && !connection.wire.is_silent()) {
                self.patience.learn(idle_for);
            } else if is_careful && !self.patience.covers(idle_for) {
                // The others have been idle even longer. Somebody less careful may use them.
                self.connections.push(Kept { connection, socket, since });
                return None;
            } else {
                return Some(Taken { connection, socket, idle_for });
            }
        }
        None
    }

    /// One that had been idle for so long broke when it was used.
    pub(crate) fn broke_after(&mut self, idle_for: Duration) {
        self.patience.learn(idle_for);
    }

    /// Drops those that the replica has closed, and those that a rush has left behind.
    pub(crate) fn look(&mut self, context: &mut Context<'_>) {
        self.patience.forget();
        self.connections.retain_mut(|kept| {
            let is_open = is_open(&mut kept.connection, context);
            if !is_open {
                self.patience.learn(kept.since.elapsed());
            }
            is_open && kept.since.elapsed() < IDLE_CONNECTION_AGE_MAX
        });
    }
}

/// Whether a connection may carry a request, as far as was heard of it.
fn is_open(connection: &mut Connection, context: &mut Context<'_>) -> bool {
    connection.poll_hung_up(context).is_pending() && connection.input.is_empty()
}

impl Patience {
    fn learn(&mut self, idle_for: Duration) {
        self.0 = Some(self.0.map_or(idle_for, |known| known.min(idle_for)));
    }

    fn forget(&mut self) {
        self.0 = self.0.map(|known| known + (known / FORGOTTEN_PART).max(FORGOTTEN_LEAST));
    }

    fn covers(self, idle_for: Duration) -> bool {
        self.0.is_none_or(|known| known >= TRUSTED_LEAST && idle_for < known / TRUSTED_PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_shortest_time_is_trusted_and_grows_again() {
        let [short, long] = [Duration::from_millis(40), Duration::from_secs(5)];
        let mut patience = Patience::default();
        assert!(patience.covers(long), "nothing is known against it");
        patience.learn(long);
        assert!(patience.covers(Duration::from_secs(1)) && !patience.covers(Duration::from_secs(2)));
        patience.learn(short);
        patience.learn(long);
        assert!(patience.covers(short / 5) && !patience.covers(short / 4));
        patience.learn(TRUSTED_LEAST / 2);
        assert!(!patience.covers(Duration::ZERO));
        let looks = (0..).take_while(|_| {
            patience.forget();
            !patience.covers(long / 5)
        });
        assert!((60..600).contains(&looks.count()), "it takes minutes");
    }
}
