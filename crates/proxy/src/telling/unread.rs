//! What the log hears of files that are there and cannot be read. Whoever asks for one again and again must not
//! fill the log: one line in a while, with how many were not told.

use std::cell::Cell;
use std::fmt::Display;
use std::time::{Duration, Instant};

use fleet::harmless;

/// How much time is between two lines of a worker.
const PERIOD: Duration = Duration::from_secs(10);

/// What a worker has told of late.
#[derive(Debug, Default)]
pub(crate) struct UnreadLog {
    since: Cell<Option<Instant>>,
    untold: Cell<u64>,
}

/// A file that cannot be read.
pub(crate) struct Unread<'a> {
    pub(crate) service: &'a str,
    /// As it was asked for.
    pub(crate) path: &'a [u8],
    pub(crate) why: &'a dyn Display,
}

impl UnreadLog {
    /// Tells of one, if its turn has come.
    pub(crate) fn tell(&self, unread: &Unread<'_>, now: Instant) {
        let is_due = self.since.get().is_none_or(|since| now.saturating_duration_since(since) >= PERIOD);
        if !is_due {
            self.untold.set(self.untold.get() + 1);
            return;
        }
        self.since.set(Some(now));
        let Unread { service, path, why } = unread;
        let (path, untold) = (String::from_utf8_lossy(path), self.untold.take());
        tracing::warn!(service, path = %harmless(&path), untold, "a file cannot be read: {why}");
    }
}
