//! The replay budget: at most a fifth of the requests, and at least ten a second, may be sent to a
//! second replica after a first one may have worked on them.
//!
//! Without it, replicas that are slow because they are overloaded would be given even more to do.
//! A request of which nothing was sent is no burden to anybody and costs nothing here. A bucket of
//! tokens, as in Finagle's retry budget: each request puts in a fifth of a token, time puts in ten
//! a second, a replay takes one out. What is saved up is bounded by half a minute's worth, enough
//! for what a replica holds when it freezes.

use std::time::{Duration, Instant};

const TOKENS_PER_REQUEST: f64 = 0.2;
const TOKENS_PER_SECOND: f64 = 10.0;
const SAVED_UP_MAX: Duration = Duration::from_secs(30);

/// The budget of one service in one worker.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: f64,
    /// Requests of the last half minute or so.
    recent: f64,
    since: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        let tokens = TOKENS_PER_SECOND * SAVED_UP_MAX.as_secs_f64();
        Self { tokens, recent: 0.0, since: Instant::now() }
    }
}

impl Budget {
    /// A request has arrived.
    pub(crate) fn deposit(&mut self) {
        self.tokens += TOKENS_PER_REQUEST;
        self.recent += 1.0;
    }

    /// Whether a request may be sent anew now; if so, it is paid for.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        let window = SAVED_UP_MAX.as_secs_f64();
        // What was seen fades with the window, so that an old rush pays for no later one.
        self.recent *= (1.0 - passed / window).max(0.0);
        let most = TOKENS_PER_SECOND * window + TOKENS_PER_REQUEST * self.recent;
        self.tokens = (self.tokens + TOKENS_PER_SECOND * passed).min(most);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_failures_ends_at_a_fifth_of_the_requests_and_a_floor() {
        let mut budget = Budget::default();
        for _ in 0..10_000 {
            budget.deposit();
        }
        let now = Instant::now();
        let replays = (0..10_000).filter(|_| budget.withdraw(now)).count();
        assert!((2290..=2350).contains(&replays), "{replays}");
        let later = now + Duration::from_secs(1);
        let replays = (0..100).filter(|_| budget.withdraw(later)).count();
        assert!((9..=11).contains(&replays), "ten a second stay: {replays}");
    }

    #[test]
    fn an_old_rush_does_not_pay_for_a_later_one() {
        let mut budget = Budget::default();
        for _ in 0..100_000 {
            budget.deposit();
        }
        let start = Instant::now();
        assert!(budget.withdraw(start));
        let later = start + Duration::from_secs(60);
        assert!(budget.withdraw(later));
        let replays = (0..10_000).filter(|_| budget.withdraw(later)).count();
        assert!(replays <= 301, "{replays}");
    }
}
