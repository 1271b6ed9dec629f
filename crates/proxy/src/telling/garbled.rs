//! What the log hears of answers of replicas that are no valid HTTP: who answered, and which rule it broke, once
//! a minute for each replica.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleet::{Life, Replica};
use h1::BadHead;

/// How often each replica is told of.
const TELLING_INTERVAL: Duration = Duration::from_secs(60);
/// Of how many replicas it is remembered that they were.
const REMEMBERED_MAX: usize = 64;

/// The rule that an answer breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenRule {
    Head(BadHead),
    Body,
    /// It changes to a protocol that nobody asked for, or before the request has ended.
    Protocol,
    /// More answers before the one that counts than anybody needs.
    Interims,
    /// What HTTP/2's library would not take.
    Http2,
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(fault) => fault.fmt(f),
            Self::Body => f.write_str("its body is not framed as its head says"),
            Self::Protocol => f.write_str("it changes to a protocol that nobody asked for"),
            Self::Interims => f.write_str("it sends interim answers (1xx) without end"),
            Self::Http2 => f.write_str("it is no valid HTTP/2"),
        }
    }
}

/// What all workers have told of late.
#[derive(Debug, Default)]
pub(crate) struct GarbledLog {
    told: Mutex<Vec<Told>>,
}

#[derive(Debug)]
struct Told {
    service: String,
    life: Life,
    when: Instant,
    /// How many answers were not told of since.
    untold: u64,
}

impl GarbledLog {
    /// A replica of this service has answered so.
    pub(crate) fn tell(&self, service: &str, replica: &Replica, rule: BrokenRule) {
        let Some(untold) = self.turn(service, replica.life, Instant::now()) else { return };
        let (replica, life) = (&replica.name, replica.life);
        tracing::warn!(service, %replica, %life, %rule, untold, "a replica's answer was not valid HTTP");
    }

    /// Whether it is the turn of this one, and how many were not told of since the last.
    fn turn(&self, service: &str, life: Life, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |told: &Told| now.saturating_duration_since(told.when) >= TELLING_INTERVAL;
        if let Some(own) = told.iter_mut().find(|told| told.life == life && told.service == service) {
            if !is_over(own) {
                own.untold += 1;
                return None;
            }
            own.when = now;
            return Some(std::mem::take(&mut own.untold));
        }
        if told.len() >= REMEMBERED_MAX {
            told.retain(|told| !is_over(told));
        }
        if told.len() >= REMEMBERED_MAX {
            return None;
        }
        told.push(Told { service: service.to_owned(), life, when: now, untold: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placement::Seat;

    #[test]
    fn each_replica_is_told_of_once_a_minute() {
        let (log, now) = (GarbledLog::default(), Instant::now());
        let turn = |service, incarnation, now| {
            log.turn(service, Life { seat: Seat::new(1).unwrap(), incarnation }, now)
        };
        assert_eq!([(); 3].map(|()| turn("a", 1, now)), [Some(0), None, None]);
        assert_eq!((turn("a", 2, now), turn("b", 1, now)), (Some(0), Some(0)));
        let later = now + TELLING_INTERVAL;
        assert_eq!(turn("a", 1, later), Some(2));
        let many = (2..1000).filter(|incarnation| turn("c", *incarnation, later).is_some());
        assert!(many.count() < REMEMBERED_MAX);
    }
}
