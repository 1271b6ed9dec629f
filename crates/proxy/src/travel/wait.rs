//! Waiting, bounded in time and number: in line, because a limit keeps a request out, or for a newer routing
//! table, because no replica can take it now. How long, and with which failure it ends, is decided purely;
//! nothing is sent here.

use std::time::Duration;

use fleet::RoutingTable;
use tokio::time::Instant;

use crate::clients::client::Client;
use crate::respond::failure::Failure;
use crate::respond::limit::Limit;
use crate::telling::counters::add_one;
use crate::travel::errand::Errand;
use crate::travel::history::History;

/// How long to wait for news of replicas that failed but are still in the table.
const NEWS_WAIT: Duration = Duration::from_secs(1);

/// How long to wait before replicas are asked again that took too long to accept a connection.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// How long a request waits before the last replica gets it that may be lost with it. Replicas often die together,
/// one a moment after the other: those who do are out of the table by then.
const LAST_TRY_PAUSE: Duration = Duration::from_millis(50);

/// How long it is looked whether other replicas die as well, before a request is taken for the reason.
const OTHERS_WAIT: Duration = Duration::from_millis(200);

/// The waits of one request.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Whether it has waited before its last try.
    has_paused: bool,
    /// When they end, all together, once the first has begun.
    until: Option<Instant>,
}

/// What a wait has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is a newer table.
    News,
    /// Those with full queues may be asked again.
    Pause,
}

/// What is known when a wait begins.
#[derive(Clone, Copy, Debug)]
struct Prospect {
    /// For so long requests are held back on purpose.
    hold: Duration,
    /// Whether a replica that was tried is still in the table,
    is_blamed_left: bool,
    /// and whether it only had a full queue.
    is_full_left: bool,
    last_failure: Option<Failure>,
    /// What is left of the time that the request may take as a whole.
    time_left: Option<Duration>,
}

/// One wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait {
    until: Instant,
    /// What comes then.
    end: Result<Waited, Failure>,
}

impl Waits {
    /// Waits for a table that is newer than this version, which has nobody for the request.
    pub(crate) async fn for_news<C: Client>(
        &mut self,
        errand: &mut Errand<'_, C>,
        history: &History,
        version: u64,
    ) -> Result<Waited, Failure> {
        let service = errand.service;
        let prospect = {
            let table = service.settings.table.load();
            if !table.has_members() {
                return Err(history.last_failure().unwrap_or(Failure::NoReplicas));
            }
            Prospect::of(&table, history, errand.time_left())
        };
        let limits = &service.settings.limits;
        let _place = service.limits.room.enter(limits.queue).ok_or(Failure::RoomFull)?;
        if self.until.is_none() {
            add_one(&service.counters.waits);
        }
        let begun = Instant::now();
        let wait = self.plan(&prospect, begun, limits.queue_timeout);
        let mut changed = std::pin::pin!(service.table_changed.notified());
        changed.as_mut().enable();
        // Between the look at the table and the wait it may have changed.
        if service.settings.table.load().version() > version {
            return Ok(Waited::News);
        }
        let left = std::future::poll_fn(|context| errand.client.poll_left(context));
        let waited = tokio::select! {
            biased;
            () = changed => Ok(Waited::News),
            () = left => Err(Failure::ClientLeft),
            () = tokio::time::sleep_until(wait.until) => wait.end,
        };
        let account = &errand.request.account;
        account.waited.set(account.waited.get() + begun.elapsed());
        waited
    }

    /// Waits for what a limit keeps from the request: until this future has it, and no longer than any wait.
    pub(crate) async fn in_line<C: Client, T>(
        &mut self,
        errand: &mut Errand<'_, C>,
        limit: Limit,
        taken: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let (service, account) = (errand.service, &errand.request.account);
        account.limit.set(Some(limit));
        service.counters.count_limited(limit);
        let limits = &service.settings.limits;
        let _place = service.limits.room.enter(limits.queue).ok_or(Failure::TooMany(limit))?;
        if self.until.is_none() {
            add_one(&service.counters.waits);
        }
        let begun = Instant::now();
        let until = *self.until.get_or_insert(begun + limits.queue_timeout);
        let (until, end) = match errand.time_left().map(|left| begun + left) {
            Some(end) if end <= until => (end, Failure::TookTooLong),
            _ => (until, Failure::TooMany(limit)),
        };
        let left = std::future::poll_fn(|context| errand.client.poll_left(context));
        let waited = tokio::select! {
            biased;
            taken = taken => Ok(taken),
            () = left => Err(Failure::ClientLeft),
            () = tokio::time::sleep_until(until) => Err(end),
        };
        account.waited.set(account.waited.get() + begun.elapsed());
        waited
    }

    /// Whether the wait before the last try is over.
    pub(crate) fn has_paused(&self) -> bool {
        self.has_paused
    }

    /// Waits before the last try.
    pub(crate) async fn pause<C: Client>(&mut self, errand: &mut Errand<'_, C>) -> Result<(), Failure> {
        self.has_paused = true;
        let pause = errand.time_left().map_or(LAST_TRY_PAUSE, |left| left.min(LAST_TRY_PAUSE));
        let begun = Instant::now();
        let left = std::future::poll_fn(|context| errand.client.poll_left(context));
        let waited = tokio::select! {
            biased;
            () = left => Err(Failure::ClientLeft),
            () = tokio::time::sleep(pause) => Ok(()),
        };
        let account = &errand.request.account;
        account.waited.set(account.waited.get() + begun.elapsed());
        waited
    }

    /// Waits for a table of which this is true; whether there was one before it was too late.
    pub(crate) async fn until_seen<C: Client>(
        &mut self,
        errand: &mut Errand<'_, C>,
        is_so: impl Fn(&RoutingTable) -> bool,
    ) -> Result<bool, Failure> {
        let service = errand.service;
        let begun = Instant::now();
        let end = begun + errand.time_left().map_or(OTHERS_WAIT, |left| left.min(OTHERS_WAIT));
        let seen = loop {
            let mut changed = std::pin::pin!(service.table_changed.notified());
            changed.as_mut().enable();
            if is_so(&service.settings.table.load()) {
                break Ok(true);
            }
            let left = std::future::poll_fn(|context| errand.client.poll_left(context));
            tokio::select! {
                biased;
                () = changed => {}
                () = left => break Err(Failure::ClientLeft),
                () = tokio::time::sleep_until(end) => break Ok(false),
            }
        };
        let account = &errand.request.account;
        account.waited.set(account.waited.get() + begun.elapsed());
        seen
    }

    /// How long this wait is, and what comes then; waits have this much time.
    fn plan(&mut self, prospect: &Prospect, now: Instant, time: Duration) -> Wait {
        let patience = now + time + prospect.hold;
        let until = match self.until {
            // Whoever is held back is not to blame for the time that it takes.
            Some(until) if !prospect.hold.is_zero() => until.max(patience),
            Some(until) => until,
            None => patience,
        };
        self.until = Some(until);
        let pause_end = now + prospect.pause(time);
        let is_last = pause_end >= until;
        let until = until.min(pause_end);
        if let Some(end) = prospect.time_left.map(|left| now + left).filter(|end| *end <= until) {
            return Wait { until: end, end: Err(Failure::TookTooLong) };
        }
        let end = match prospect.last_failure {
            _ if prospect.is_full_left && !is_last => Ok(Waited::Pause),
            // Those who failed are still there: it is their failure that counts.
            Some(last) if prospect.is_blamed_left => Err(last),
            _ => Err(Failure::WaitedInVain),
        };
        Wait { until, end }
    }
}

impl Prospect {
    fn of(table: &RoutingTable, history: &History, time_left: Option<Duration>) -> Self {
        let is_left = |life| table.replicas().any(|replica| replica.life == life);
        Self {
            hold: table.hold(),
            is_blamed_left: history.tried().any(is_left),
            is_full_left: history.full().any(is_left),
            last_failure: history.last_failure(),
            time_left,
        }
    }

    /// How long it is before something else is done than to wait.
    fn pause(&self, time: Duration) -> Duration {
        if self.is_full_left {
            FULL_PAUSE
        } else if self.is_blamed_left {
            NEWS_WAIT
        } else {
            time + self.hold
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);
    const NOBODY: Prospect = Prospect {
        hold: Duration::ZERO,
        is_blamed_left: false,
        is_full_left: false,
        last_failure: None,
        time_left: None,
    };
    const BLAMED: Prospect =
        Prospect { is_blamed_left: true, last_failure: Some(Failure::Refused), ..NOBODY };
    const FULL: Prospect =
        Prospect { is_full_left: true, last_failure: Some(Failure::Unreachable), ..BLAMED };
    /// One that failed and is gone from the table.
    const GONE: Prospect = Prospect { is_blamed_left: false, ..BLAMED };
    const HELD: Prospect = Prospect { hold: Duration::from_secs(5), ..NOBODY };

    const fn in_time(prospect: Prospect, millis: u64) -> Prospect {
        Prospect { time_left: Some(Duration::from_millis(millis)), ..prospect }
    }

    #[test]
    fn a_wait_ends_with_the_failure_that_counts() {
        // Waits go on until then, if others came before; this one until then; all in milliseconds from now.
        for (claim, earlier, prospect, until, end) in [
            ("nobody is there, and nobody failed", None, NOBODY, 10_000, Err(Failure::WaitedInVain)),
            ("whoever failed is gone", None, GONE, 10_000, Err(Failure::WaitedInVain)),
            ("whoever failed is still there", None, BLAMED, 1_000, Err(Failure::Refused)),
            ("a full queue is asked again soon", None, FULL, 20, Ok(Waited::Pause)),
            ("waits go on where they were", Some(4_000), NOBODY, 4_000, Err(Failure::WaitedInVain)),
            ("news are not waited for any longer", Some(300), BLAMED, 300, Err(Failure::Refused)),
            ("nor is a full queue", Some(15), FULL, 15, Err(Failure::Unreachable)),
            ("not even when both end at once", Some(20), FULL, 20, Err(Failure::Unreachable)),
            ("waits are over", Some(0), NOBODY, 0, Err(Failure::WaitedInVain)),
            ("who is held back has more patience", None, HELD, 15_000, Err(Failure::WaitedInVain)),
            ("and gets it anew", Some(4_000), HELD, 15_000, Err(Failure::WaitedInVain)),
            ("but loses none", Some(20_000), HELD, 15_000, Err(Failure::WaitedInVain)),
            ("the request's own time is shorter", None, in_time(NOBODY, 70), 70, Err(Failure::TookTooLong)),
            ("or as short", None, in_time(BLAMED, 1_000), 1_000, Err(Failure::TookTooLong)),
            ("or longer", None, in_time(BLAMED, 1_001), 1_000, Err(Failure::Refused)),
            ("a full queue is not asked after it", None, in_time(FULL, 5), 5, Err(Failure::TookTooLong)),
        ] {
            let now = Instant::now();
            let at = |millis| now + Duration::from_millis(millis);
            let mut waits = Waits { until: earlier.map(at), ..Waits::default() };
            let wait = waits.plan(&prospect, now, TIME);
            assert_eq!(wait, Wait { until: at(until), end }, "{claim}");
        }
    }

    #[test]
    fn all_waits_of_a_request_end_together() {
        let now = Instant::now();
        let mut waits = Waits::default();
        waits.plan(&FULL, now, TIME);
        let later = now + Duration::from_secs(9);
        assert_eq!(waits.plan(&NOBODY, later, TIME).until, now + TIME);
    }
}
