//! How a replica's responses are taken: it is trusted, or an outlier that is not asked for a while, or
//! half-open. Half-open, it gets a few requests with pauses between them, each of which could go elsewhere
//! if it fails. Bad responses alone never end a replica.

use std::fmt;
use std::time::Duration;

use crate::{HealthSettings, Latencies, Moment};

/// The longest time for which a replica is not asked, however often that was in vain.
const EJECTION_MAX: Duration = Duration::from_secs(300);

/// How long a replica has to be trusted before what was earlier is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The time from one request to a half-open replica to the next.
const HALF_OPEN_PAUSE: Duration = Duration::from_millis(500);

/// After how many good responses a half-open replica is trusted again.
const HALF_OPEN_RESPONSES: u32 = 5;

/// How many requests are admitted to a half-open replica. If too few come that could go elsewhere, nobody will
/// ever know, and the replica gets the benefit of the doubt.
const HALF_OPEN_ADMISSIONS_MAX: u32 = 60;

/// What one can say against responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Too many in a row failed.
    Failing,
    /// They take far longer than those of its peers.
    Slow(Excess),
}

/// How long responses take that take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) own: Duration,
    pub(crate) peers: Duration,
}

/// What is thought of the responses of one life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlier {
    state: State,
    /// How often it was not asked for a while, the last times in a row.
    ejections: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Trusted { since: Moment },
    Out { complaint: Complaint, since: Moment },
    HalfOpen(Box<HalfOpen>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HalfOpen {
    complaint: Complaint,
    admissions: u32,
    next_at: Moment,
    responses: Latencies,
}

impl Default for State {
    fn default() -> Self {
        Self::Trusted { since: Moment::ZERO }
    }
}

impl Outlier {
    /// What speaks against it now, half-open or not.
    pub(crate) fn complaint(&self) -> Option<Complaint> {
        match &self.state {
            State::Trusted { .. } => None,
            State::Out { complaint, .. } => Some(*complaint),
            State::HalfOpen(half_open) => Some(half_open.complaint),
        }
    }

    /// Whether a request may be admitted now and then.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.state, State::HalfOpen(_))
    }

    /// Whether a complaint would tell anything new.
    pub(crate) fn can_be_complained_of(&self) -> bool {
        !matches!(self.state, State::Out { .. })
    }

    /// Takes in that responses are bad. What was asked before it was put out tells nothing new.
    pub(crate) fn complain(&mut self, complaint: Complaint, now: Moment) {
        match self.state {
            State::Out { .. } => return,
            State::Trusted { since } if now.saturating_sub(since) > FORGOTTEN_AFTER => self.ejections = 0,
            State::Trusted { .. } | State::HalfOpen(_) => {}
        }
        self.ejections = self.ejections.saturating_add(1);
        self.state = State::Out { complaint, since: now };
    }

    /// When the next request may be admitted. `random` spreads the first ones, so that those who
    /// failed together do not come back together.
    pub(crate) fn next_admission(&self, settings: &HealthSettings, random: u64) -> Option<Moment> {
        match &self.state {
            State::Trusted { .. } => None,
            State::Out { since, .. } => {
                let doubled = settings.ejection.saturating_mul(1 << self.ejections.saturating_sub(1).min(16));
                let time = doubled.min(EJECTION_MAX.max(settings.ejection));
                Some(*since + time + time / 4 * (random % 1000) as u32 / 1000)
            }
            State::HalfOpen(half_open) => Some(half_open.next_at),
        }
    }

    /// Notes that a request is admitted now.
    pub(crate) fn admit(&mut self, now: Moment) {
        match &mut self.state {
            State::Trusted { .. } => {}
            State::Out { complaint, .. } => {
                self.state = State::HalfOpen(Box::new(HalfOpen {
                    complaint: *complaint,
                    admissions: 1,
                    next_at: now + HALF_OPEN_PAUSE,
                    responses: Latencies::default(),
                }));
            }
            State::HalfOpen(half_open) if half_open.admissions < HALF_OPEN_ADMISSIONS_MAX => {
                half_open.admissions += 1;
                half_open.next_at = now + HALF_OPEN_PAUSE;
            }
            State::HalfOpen(_) => self.state = State::Trusted { since: now },
        }
    }

    /// Takes in good responses. When there are enough of them to judge by, `excess` says whether they
    /// were too slow.
    pub(crate) fn take_in(
        &mut self,
        responses: &Latencies,
        excess: impl FnOnce(&Latencies) -> Option<Excess>,
        now: Moment,
    ) {
        let State::HalfOpen(half_open) = &mut self.state else { return };
        half_open.responses.merge(responses);
        if half_open.responses.count() < HALF_OPEN_RESPONSES {
            return;
        }
        match excess(&half_open.responses) {
            Some(excess) => self.complain(Complaint::Slow(excess), now),
            None => self.state = State::Trusted { since: now },
        }
    }

    /// What speaks against it, in words.
    pub(crate) fn in_words(&self) -> Option<String> {
        match &self.state {
            State::Trusted { .. } => None,
            State::Out { complaint, .. } => Some(complaint.to_string()),
            State::HalfOpen(half_open) => {
                let (complaint, good) = (half_open.complaint, half_open.responses.count());
                Some(format!("{complaint}; half-open, {good} of {HALF_OPEN_RESPONSES} answers good"))
            }
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing => f.write_str("answers failed in a row"),
            Self::Slow(Excess { own, peers }) => {
                write!(f, "answers take {own:.1?}, those of its peers {peers:.1?}")
            }
        }
    }
}
