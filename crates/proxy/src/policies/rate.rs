//! How often requests may come: a bucket for each client (or whatever else is counted), which empties with each
//! request and fills again evenly. It is the generic cell rate algorithm: of a bucket is kept, as a single
//! number, when it will be full. In a time `t` no bucket lets more pass than `rate × t + burst`, whoever many
//! threads ask. Nothing waits here: a request passes or gets 429.

mod buckets;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use h1::RequestHead;
use http::HeaderName;

use crate::clients::origin::Household;
use crate::policies::mark::Mark;
use crate::policies::refusal::{AnswerField, PolicyAnswer};
use crate::travel::key::KeyRule;
use buckets::Buckets;

/// A bucket that would take longer to fill holds what fills it in this time, in nanoseconds: more than a hundred
/// years, so that no sum of a time and of this overflows.
const DEPTH_MAX: u64 = u64::MAX / 4;

/// How often requests may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many in each time of this length, at least 1.
    pub requests: u32,
    /// The length.
    pub per: RatePeriod,
    /// So many at once after a pause, at least 1.
    pub burst: u32,
    /// What is counted by itself.
    pub by: RateKey,
}

/// The time that a rate is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePeriod {
    /// 1 s
    Second,
    /// 60 s
    Minute,
    /// 3600 s
    Hour,
    /// 24 hours
    Day,
}

/// Which requests have a bucket together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// Those of one client: of an IPv4 address, or of an IPv6 network (/64).
    Client,
    /// Those with one value of this header. Those without it are counted by their clients.
    Header(HeaderName),
    /// Those with one key of the service. Those without it are counted by their clients.
    Key,
    /// All.
    Service,
}

/// A limit with its buckets, for all workers.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    pub(crate) limit: RateLimit,
    pace: Pace,
    buckets: Buckets,
    begun: Instant,
}

/// Whose a request is, as far as a limit must know it.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) client: IpAddr,
    /// What the service places its requests by.
    pub(crate) rule: &'a KeyRule,
}

/// What a bucket is found by.
#[derive(Hash)]
enum BucketKey<'a> {
    Client(Household),
    Value(&'a [u8]),
    All,
}

/// How fast a bucket fills, and how much it holds, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between one request and the next.
    interval: u64,
    /// From empty to full, no more than [`DEPTH_MAX`].
    depth: u64,
}

/// A bucket that has nothing for a request, and will have in this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Empty {
    wait: Duration,
}

impl RatePeriod {
    /// In seconds.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
        }
    }

    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl RateLimiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self { pace: Pace::of(&limit), limit, buckets: Buckets::default(), begun: Instant::now() }
    }

    /// Takes a place for a request that comes now, or says what it gets instead. `name` is what the limit is
    /// called in fields.
    pub(crate) fn refuse(&self, asking: Asking<'_>, name: &str) -> Option<PolicyAnswer> {
        // The worker's own time is exact to a tenth of a second only, in which a bucket may fill several times.
        let empty = self.take(asking, Instant::now()).err()?;
        Some(self.answer(empty, name))
    }

    fn take(&self, asking: Asking<'_>, now: Instant) -> Result<(), Empty> {
        let by_client = BucketKey::Client(Household::of(asking.client));
        let rule_value;
        let key = match &self.limit.by {
            RateKey::Client => by_client,
            RateKey::Service => BucketKey::All,
            RateKey::Header(name) => {
                let value = asking.head.fields().all_named(name.as_str().as_bytes()).next();
                value.filter(|value| !value.is_empty()).map_or(by_client, BucketKey::Value)
            }
            RateKey::Key => {
                rule_value = asking.rule.value(asking.head, asking.client);
                let value = rule_value.as_deref().filter(|value| !value.is_empty());
                value.map_or(by_client, BucketKey::Value)
            }
        };
        let now = now.saturating_duration_since(self.begun).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.buckets.with(&key, |full_at| {
            *full_at = self.pace.take(*full_at, now)?;
            Ok(())
        })
    }

    /// The fields are those of draft-ietf-httpapi-ratelimit-headers-11. Times are told in whole seconds, so that
    /// nobody who comes back then comes too early.
    fn answer(&self, empty: Empty, name: &str) -> PolicyAnswer {
        let seconds = empty.wait.as_secs() + u64::from(empty.wait.subsec_nanos() > 0);
        let (requests, window) = (self.limit.requests, self.limit.per.seconds());
        let field = |name, value: String| AnswerField { name, value: value.into_bytes() };
        PolicyAnswer {
            mark: Mark::RateLimited,
            status: 429,
            text: Some(format!("requests come faster than they may; try again in {seconds} s").into()),
            fields: vec![
                field("retry-after", seconds.to_string()),
                field("ratelimit-policy", format!("\"{name}\";q={requests};w={window}")),
                field("ratelimit", format!("\"{name}\";r=0;t={seconds}")),
            ],
        }
    }
}

impl Pace {
    fn of(limit: &RateLimit) -> Self {
        let period = u64::from(limit.per.seconds()) * 1_000_000_000;
        // Rounded so that it is never faster than it may be.
        let interval = period.div_ceil(u64::from(limit.requests.max(1)));
        let depth = interval.saturating_mul(u64::from(limit.burst.max(1)));
        Self { interval, depth: depth.min(DEPTH_MAX) }
    }

    /// When a bucket that would be full at a time will be after a request now.
    fn take(self, full_at: u64, now: u64) -> Result<u64, Empty> {
        let after = full_at.max(now).saturating_add(self.interval);
        let excess = after.saturating_sub(now).saturating_sub(self.depth);
        if excess == 0 { Ok(after) } else { Err(Empty { wait: Duration::from_nanos(excess) }) }
    }
}

/// What is set, in words.
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, per, burst, by } = self;
        write!(f, "{requests} in a {}, {burst} at once, for each {by}", per.name())
    }
}

impl fmt::Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Header(name) => write!(f, "value of {name}"),
            Self::Key => f.write_str("key"),
            Self::Service => f.write_str("service"),
        }
    }
}

#[cfg(test)]
mod tests;
