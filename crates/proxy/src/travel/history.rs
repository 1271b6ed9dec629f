//! What became of a request so far: its attempts, all of which failed, in order. Whatever depends on
//! earlier attempts is asked of this one list; nothing is decided here.

use fleet::Life;

use crate::respond::failure::Failure;

/// How often the same replica is asked that does not look at the request.
const UNSENT_MAX: usize = 4;

/// An attempt that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whom it was made with.
    pub(crate) life: Life,
    pub(crate) failure: Failure,
    /// Whether its connection had carried other requests before. Such a one may break without the
    /// replica being at fault.
    pub(crate) was_worn: bool,
}

/// The attempts of one request. Takes no memory before one has failed.
#[derive(Debug, Default)]
pub(crate) struct History {
    attempts: Vec<Attempt>,
    /// How many attempts there were when those with full queues were last to be asked again.
    reconsidered: usize,
}

impl History {
    /// One more attempt has failed.
    pub(crate) fn add(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    /// From here on those who did not accept a connection in time may be asked again.
    pub(crate) fn reconsider_full_ones(&mut self) {
        self.reconsidered = self.attempts.len();
    }

    /// How the last attempt failed.
    pub(crate) fn last_failure(&self) -> Option<Failure> {
        self.attempts.last().map(|attempt| attempt.failure)
    }

    /// Whether this is the first attempt.
    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// How many attempts there were.
    pub(crate) fn len(&self) -> usize {
        self.attempts.len()
    }

    /// How many of them got no connection in time.
    pub(crate) fn unreached(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.failure == Failure::Unreachable).count()
    }

    /// How many replicas had it, and were lost with it. Whether it was done, nobody knows, nor whether it was
    /// the reason. Nobody dies twice: one that is on its way out may still take a new connection, and drop it.
    pub(crate) fn losses(&self) -> usize {
        let mut lost = Vec::new();
        for attempt in self.attempts.iter().filter(|attempt| attempt.failure.is_loss()) {
            if !lost.contains(&attempt.life) {
                lost.push(attempt.life);
            }
        }
        lost.len()
    }

    /// Whether it was this one that was lost with it.
    pub(crate) fn has_lost(&self, life: Life) -> bool {
        self.attempts.iter().any(|attempt| attempt.failure.is_loss() && attempt.life == life)
    }

    /// Whether a connection broke after something was sent on it.
    pub(crate) fn has_broken(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.failure == Failure::Broken)
    }

    /// Whom not to ask now.
    pub(crate) fn tried(&self) -> impl Iterator<Item = Life> {
        let tried = self.attempts.iter().enumerate().filter(|(index, attempt)| {
            attempt.speaks_against_another() && !(attempt.is_full() && *index < self.reconsidered)
        });
        tried.map(|(_, attempt)| attempt.life)
    }

    /// Those among them who did not accept a connection in time, or did not look at the request. If nobody else
    /// is there, they are asked again: more may have come at once than their queue holds, and nothing was done
    /// yet.
    pub(crate) fn full(&self) -> impl Iterator<Item = Life> {
        let since = self.attempts[self.reconsidered..].iter();
        let full = since.filter(|attempt| attempt.is_full() && !self.never_looks(attempt.life));
        full.map(|attempt| attempt.life)
    }

    /// Whether this one has not looked at the request again and again.
    fn never_looks(&self, life: Life) -> bool {
        let unsent = |attempt: &&Attempt| attempt.failure == Failure::Unsent && attempt.life == life;
        self.attempts.iter().filter(unsent).count() >= UNSENT_MAX
    }
}

impl Attempt {
    /// Whether another one with the same replica would likely end in the same way. A connection that was
    /// kept may break without the replica being at fault.
    fn speaks_against_another(&self) -> bool {
        !self.was_worn || matches!(self.failure, Failure::Distrusted | Failure::CutOff)
    }

    fn is_full(&self) -> bool {
        matches!(self.failure, Failure::Unreachable | Failure::Unsent)
    }
}

#[cfg(test)]
mod tests {
    use placement::Seat;

    use super::*;

    fn attempt(seat: u32, failure: Failure, was_worn: bool) -> Attempt {
        let seat = Seat::new(seat).unwrap();
        Attempt { life: Life { seat, incarnation: 1 }, failure, was_worn }
    }

    fn history(attempts: &[Attempt]) -> History {
        History { attempts: attempts.to_vec(), reconsidered: 0 }
    }

    fn seats(lives: impl Iterator<Item = Life>) -> Vec<u32> {
        lives.map(|life| life.seat.number()).collect()
    }

    #[test]
    fn a_request_that_has_not_failed_takes_no_memory() {
        let history = History::default();
        assert_eq!(history.attempts.capacity(), 0);
        assert_eq!(history.tried().collect::<Vec<_>>().capacity(), 0);
    }

    #[test]
    fn whoever_failed_is_not_asked_again_unless_it_was_only_a_worn_connection() {
        let history = history(&[
            attempt(1, Failure::Refused, false),
            attempt(2, Failure::Broken, true),
            attempt(3, Failure::Distrusted, true),
            attempt(4, Failure::Unreachable, false),
        ]);
        assert_eq!(seats(history.tried()), [1, 3, 4]);
        assert_eq!(seats(history.full()), [4]);
        assert!(history.has_broken());
        assert_eq!(history.last_failure(), Some(Failure::Unreachable));
    }

    #[test]
    fn full_ones_are_asked_again_and_may_be_full_again() {
        let mut history =
            history(&[attempt(1, Failure::Unreachable, false), attempt(2, Failure::Refused, false)]);
        history.reconsider_full_ones();
        assert_eq!(seats(history.tried()), [2], "who refused stays out");
        assert_eq!(seats(history.full()), [0; 0]);
        history.add(attempt(1, Failure::Unreachable, false));
        assert_eq!(seats(history.tried()), [2, 1]);
        assert_eq!(seats(history.full()), [1]);
        assert_eq!(history.unreached(), 2);
    }

    #[test]
    fn every_replica_counts_that_was_lost_with_it_and_none_twice() {
        let history = history(&[
            attempt(1, Failure::Broken, true),
            attempt(1, Failure::Refused, false),
            attempt(2, Failure::Abandoned, false),
            attempt(2, Failure::Unsent, true),
            attempt(1, Failure::Broken, false),
            attempt(3, Failure::CutOff, false),
        ]);
        assert_eq!((history.losses(), history.len()), (3, 6));
    }
}
