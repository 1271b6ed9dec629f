//! What the log hears of requests that a replica had when it died or broke off: one of them may be the reason.
//! A replica that dies has many, so that only some of them are told, and how many are not.

use std::cell::Cell;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fleet::{Replica, harmless};
use h1::RequestHead;
use placement::Key;

/// How many are told in how much time, by each worker.
const TOLD_MAX: u32 = 5;
const PERIOD: Duration = Duration::from_secs(1);
/// How often one is named that is lost with one replica after the other.
const ACCUSED_PERIOD: Duration = Duration::from_secs(60);
/// How much is shown of a path.
const PATH_SHOWN_MAX: usize = 200;

/// What a worker has told of late.
#[derive(Debug, Default)]
pub(crate) struct LossLog {
    since: Cell<Option<Instant>>,
    told: Cell<u32>,
    untold: Cell<u64>,
    accused_at: Cell<Option<Instant>>,
    unnamed: Cell<u64>,
}

/// A request that a replica had.
pub(crate) struct Loss<'a> {
    pub(crate) service: &'a str,
    pub(crate) replica: &'a Replica,
    pub(crate) head: &'a RequestHead,
    /// Who has sent it.
    pub(crate) client: IpAddr,
    pub(crate) request_id: Option<&'a [u8]>,
    pub(crate) key: Key,
    /// Whether its connection was kept from an earlier request, and may have ended for that reason.
    pub(crate) was_kept: bool,
}

/// A request that is not tried again, because more than one replica was lost with it.
pub(crate) struct Accused<'a> {
    pub(crate) service: &'a str,
    pub(crate) head: &'a RequestHead,
    /// Who has sent it.
    pub(crate) client: IpAddr,
    pub(crate) request_id: Option<&'a [u8]>,
    /// How many replicas were.
    pub(crate) losses: usize,
}

impl LossLog {
    /// Tells of it, if it is not one of too many.
    pub(crate) fn tell(&self, loss: &Loss<'_>, now: Instant) {
        let Some(untold) = self.turn(now) else { return };
        let method = shown(loss.head.method_name());
        // A query may hold what is nobody's business.
        let path = shown(loss.head.path());
        let request_id = loss.request_id.map(shown).unwrap_or_default();
        let host = loss.head.host().map(shown).unwrap_or_default();
        let Loss { service, replica, key, was_kept, client, .. } = loss;
        let (replica, life) = (&replica.name, replica.life);
        tracing::warn!(
            service, %replica, %life, method, host, path, request_id, %client, key = key.number(), kept_connection = was_kept, untold,
            "a replica died or broke off while it had this request"
        );
    }

    /// Names one that is probably what replicas die of, if none was named of late.
    pub(crate) fn accuse(&self, accused: &Accused<'_>, now: Instant) {
        let is_due =
            self.accused_at.get().is_none_or(|at| now.saturating_duration_since(at) >= ACCUSED_PERIOD);
        if !is_due {
            self.unnamed.set(self.unnamed.get() + 1);
            return;
        }
        self.accused_at.set(Some(now));
        let Accused { service, head, client, losses, .. } = accused;
        let (method, path) = (shown(head.method_name()), shown(head.path()));
        let host = head.host().map(shown).unwrap_or_default();
        let request_id = accused.request_id.map(shown).unwrap_or_default();
        tracing::warn!(
            service, replicas = losses, method, host, path, request_id, %client, unnamed = self.unnamed.take(),
            "a request was lost with one replica after the other, and is probably what they die of"
        );
    }

    /// Whether it is the turn of another one, and how many were not told of since the last.
    fn turn(&self, now: Instant) -> Option<u64> {
        let is_over = self.since.get().is_none_or(|since| now.saturating_duration_since(since) >= PERIOD);
        if is_over {
            self.since.set(Some(now));
            self.told.set(0);
        }
        if self.told.get() >= TOLD_MAX {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.told.set(self.told.get() + 1);
        Some(self.untold.take())
    }
}

/// Bytes of a client, so that they can do no harm to a terminal or a log.
fn shown(bytes: &[u8]) -> String {
    harmless(&String::from_utf8_lossy(&bytes[..bytes.len().min(PATH_SHOWN_MAX)])).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_of_many_are_told_and_the_rest_is_counted() {
        let log = LossLog::default();
        let now = Instant::now();
        let told = (0..1000).filter(|_| log.turn(now).is_some()).count();
        assert_eq!(told, TOLD_MAX as usize);
        assert_eq!(log.turn(now + PERIOD), Some(1000 - u64::from(TOLD_MAX)));
        assert_eq!(log.turn(now + PERIOD), Some(0));
    }

    #[test]
    fn what_clients_write_cannot_be_taken_for_something_else() {
        assert_eq!(shown(b"/a\r\n\x1b[2J\xc2\x9b"), r"/a\r\n\u{1b}[2J\u{9b}");
        assert_eq!(shown(&[b'a'; 5000]).len(), PATH_SHOWN_MAX);
    }
}
