//! How a life is: a small state machine over several signs of illness.
//!
//! Any sign may take a replica out of the table. Only a death, or two signs of different kinds, may end
//! it; failing and slow are one kind, bad responses. Heartbeats and responses are *soft*: they may be bad
//! because of us, of the machine, or of something that all replicas depend on. What is decided on
//! these signs is decided in the plan.

use std::time::Duration;

use crate::outlier::{Complaint, Outlier};
use crate::slowness::Pace;
use crate::{FleetSettings, HealthSettings, Moment, ProbeResult};

/// How many times as many missed heartbeats it takes when the replica answers requests all the while:
/// then it is rather the network that loses some.
const EXCUSES: u32 = 2;

/// What a replica is taken out of the table for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A connection was refused.
    Refused,
    /// The driver found it paused, or stopped by a signal.
    Frozen,
    /// It missed heartbeats.
    Silent,
    /// Its responses failed.
    Failing,
    /// Its responses take far longer than those of its peers.
    Slow,
}

impl Sign {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Refused, Self::Frozen, Self::Silent, Self::Failing, Self::Slow];

    /// One word, as shown to people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Frozen => "frozen",
            Self::Silent => "silent",
            Self::Failing => "failing",
            Self::Slow => "slow",
        }
    }
}

/// Signs of illness of one life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    pub(crate) is_refusing: bool,
    pub(crate) is_frozen: bool,
    /// Whether there were requests inside when the last heartbeat was missed.
    pub(crate) is_at_work: bool,
    beats: Beats,
    pub(crate) outlier: Outlier,
    pub(crate) pace: Pace,
}

/// How its heartbeats are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Beats {
    /// In a row, until good ones end it.
    misses: u32,
    /// So many of them do not count, because requests were answered meanwhile.
    excused: u32,
    /// In a row, after too many misses.
    goods: u32,
    /// Whether there were too many misses, and too few good ones since.
    is_silent: bool,
    /// Whether one was answered, but badly: no network does that.
    is_unwell: bool,
    /// Since when none was good.
    since: Option<Moment>,
    /// Whether the driver was asked about it already.
    was_inspected: bool,
}

impl Signs {
    /// Whether nothing speaks against it.
    pub(crate) fn are_none(&self) -> bool {
        self.first().is_none()
    }

    /// The gravest one.
    pub(crate) fn first(&self) -> Option<Sign> {
        if self.is_refusing {
            Some(Sign::Refused)
        } else if self.is_frozen {
            Some(Sign::Frozen)
        } else if self.beats.is_silent {
            Some(Sign::Silent)
        } else {
            self.outlier.complaint().map(|complaint| match complaint {
                Complaint::Failing => Sign::Failing,
                Complaint::Slow(_) => Sign::Slow,
            })
        }
    }

    /// Whether all that speaks against it may be our own fault, or that of something common to all.
    pub(crate) fn are_soft(&self) -> bool {
        matches!(self.first(), Some(Sign::Silent | Sign::Failing | Sign::Slow))
    }

    /// Whether its heartbeats, or connections to it, say anything against it.
    pub(crate) fn is_beating_badly(&self) -> bool {
        self.is_refusing || self.is_frozen || self.beats != Beats::default()
    }

    /// Whether nothing but its responses speaks against it.
    pub(crate) fn are_of_responses_only(&self) -> bool {
        matches!(self.first(), Some(Sign::Failing | Sign::Slow))
    }

    /// Whether the driver should be asked whether it is frozen.
    pub(crate) fn call_for_a_look(&self) -> bool {
        self.beats.is_silent && !self.beats.was_inspected
    }

    /// Notes that the driver is asked.
    pub(crate) fn note_look(&mut self) {
        self.beats.was_inspected = true;
    }

    /// Since when no heartbeat was good, if the last one was not.
    pub(crate) fn silent_since(&self) -> Option<Moment> {
        self.beats.since
    }

    /// A heartbeat of a replica that has not served yet. Who is frozen will not come up; who is merely
    /// not up yet is given time.
    pub(crate) fn beat_while_booting(&mut self) {
        if self.is_frozen {
            self.beats.misses += 1;
        }
    }

    /// A heartbeat of a replica that serves.
    pub(crate) fn beat(&mut self, probe_result: ProbeResult, settings: &HealthSettings, now: Moment) {
        if probe_result == ProbeResult::Good {
            (self.is_refusing, self.is_frozen) = (false, false);
            return self.beats.good(settings);
        }
        self.is_refusing |= probe_result == ProbeResult::Refused;
        self.beats.is_unwell |= probe_result == ProbeResult::Unwell;
        self.beats.missed(settings, now);
    }

    /// It gives good responses to requests.
    pub(crate) fn vouch(&mut self, settings: &HealthSettings) {
        let beats = &mut self.beats;
        if !beats.is_silent && !beats.is_unwell {
            beats.excused = beats.misses.min(settings.misses.saturating_mul(EXCUSES));
        }
    }

    /// The signs of different kinds, in words.
    pub(crate) fn in_words(&self, settings: &FleetSettings, heard: Option<&str>, now: Moment) -> Vec<String> {
        let mut words = Vec::new();
        if self.is_refusing {
            words.push("connection refused".to_string());
        }
        if self.is_frozen {
            words.push("frozen".to_string());
        }
        let Beats { misses, goods, is_silent, is_unwell, .. } = self.beats;
        // Beside what the driver has seen, one miss is confirmation enough.
        if is_silent || (self.is_frozen && misses > 0) {
            let what = if is_unwell { "answered badly or missed" } else { "missed" };
            let rising = if goods > 0 {
                format!(", then {goods} of {} good", settings.health.rise)
            } else {
                String::new()
            };
            let last = heard.map(|heard| format!(" ({heard})")).unwrap_or_default();
            words.push(format!("heartbeats {what}: {misses}{rising}{last}"));
        }
        let limit = self.silence_max(settings);
        if is_silent && self.silence(now) >= limit {
            let what = if self.is_at_work { "a response" } else { "a start" };
            words.push(format!("silent for as long as {what} may take, {limit:?}"));
        }
        words.extend(self.outlier.in_words());
        words
    }

    /// For how long it may be silent before that is a second sign. Who works on a request may have no time for
    /// heartbeats, and its request has the time that the operator gave it.
    pub(crate) fn silence_max(&self, settings: &FleetSettings) -> Duration {
        let FleetSettings { start_timeout, health, .. } = settings;
        if self.is_at_work { health.busy_patience.max(*start_timeout) } else { *start_timeout }
    }

    fn silence(&self, now: Moment) -> Duration {
        self.beats.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }
}

impl Beats {
    fn good(&mut self, settings: &HealthSettings) {
        self.goods += 1;
        if !self.is_silent || self.goods >= settings.rise {
            *self = Self::default();
        }
        self.since = None;
    }

    fn missed(&mut self, settings: &HealthSettings, now: Moment) {
        self.misses = self.misses.saturating_add(1);
        self.goods = 0;
        self.since.get_or_insert(now);
        self.is_silent |= self.misses - self.excused >= settings.misses;
    }
}
