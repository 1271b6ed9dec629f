//! What came of a drill: figures, the objective, and whether it was kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::fault::Fault;
use super::watch::Watched;
use crate::tally::{Example, Loss, Step, Tally};

/// What has to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objective {
    /// The most requests that may be lost.
    pub lost_max: u64,
    /// The longest that 99 of 100 requests may take while the fault shows.
    pub p99_max: Duration,
    /// The longest until as many replicas take traffic as should.
    pub recover_within: Duration,
}

impl Objective {
    pub(super) fn in_words(&self, fault: Fault) -> String {
        let eject = if fault.has_to_eject() { ", the replica out of the table" } else { "" };
        format!(
            "at most {} lost, p99 at most {} meanwhile{eject}, whole again within {}",
            self.lost_max,
            shown(self.p99_max),
            shown(self.recover_within)
        )
    }
}

/// A part of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// Requests that were meant to begin in it.
    pub requests: u64,
    /// Those that got no right response.
    pub lost: u64,
    /// Half of the right responses took no longer, in milliseconds.
    pub p50_ms: u64,
    /// 99 of 100 right responses took no longer, in milliseconds.
    pub p99_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u64,
    #[serde(skip)]
    p99: Duration,
}

/// Times in milliseconds since the begin of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Until the balancer said something about it.
    pub detected_ms: Option<u64>,
    /// Until no new requests went to the replica.
    pub ejected_ms: Option<u64>,
    /// Until as many replicas took traffic as should.
    pub recovered_ms: Option<u64>,
}

/// What came of a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was done.
    pub fault: Fault,
    /// To whom.
    pub replica: String,
    /// Requests, and those that got no right response.
    pub requests: u64,
    /// Requests that got no right response.
    pub lost: u64,
    /// How they were lost.
    pub failures: BTreeMap<Loss, u64>,
    /// Requests that the balancer sent to a replica once more, and which may so have been done twice; its
    /// own count, and nothing if it cannot be read.
    pub sent_again: Option<u64>,
    /// Answers that nobody had asked for.
    pub unasked_answers: u64,
    /// The calm before.
    pub before: Period,
    /// While the fault showed.
    pub during: Period,
    /// The calm after.
    pub after: Period,
    /// How fast it was noticed and healed.
    pub times: Times,
    /// When the fault began, in milliseconds since the load began.
    pub fault_at_ms: u64,
    /// Who answered, as far as the responses say. An empty name stands for nobody knows who.
    pub answered_by: Vec<String>,
    /// The load in tenths of a second; answers are in the order of `answered_by`.
    pub timeline: Vec<Step>,
    /// How far the load was behind its own schedule at most, in milliseconds: what of a latency is ours.
    pub load_lag_max_ms: u64,
    /// The first failures.
    pub examples: Vec<Example>,
    /// What of the objective was not kept; empty if all was.
    pub missed: Vec<String>,
}

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) fault: Fault,
    /// The name of the victim.
    pub(super) replica: &'a str,
    pub(super) tally: &'a Tally,
    /// When the fault began, since the load began.
    pub(super) fault_at: Duration,
    pub(super) watched: &'a Watched,
    /// Requests that the balancer sent to a replica once more, if it tells.
    pub(super) sent_again: Option<u64>,
}

impl Report {
    pub(super) fn new(facts: &Facts<'_>, objective: &Objective) -> Self {
        let Facts { fault, replica, tally, fault_at, watched, sent_again } = *facts;
        // A fault shows until the fleet is whole, and where the replica stays, until it ends.
        let shown_for = watched.whole_after.max(watched.undone_after.filter(|_| !watched.is_gone));
        let shown_until = shown_for.map_or(Duration::MAX, |shown_for| fault_at + shown_for);
        let times = Times {
            detected_ms: watched.sign_after.map(milliseconds),
            ejected_ms: watched.out_after.map(milliseconds),
            recovered_ms: watched.whole_after.map(milliseconds),
        };
        let mut report = Self {
            fault,
            replica: replica.to_owned(),
            requests: tally.requests(),
            lost: tally.failed(),
            failures: tally.failures(),
            sent_again,
            unasked_answers: tally.unasked_answers,
            before: Period::new(tally, Duration::ZERO..fault_at),
            during: Period::new(tally, fault_at..shown_until),
            after: Period::new(tally, shown_until..Duration::MAX),
            times,
            fault_at_ms: milliseconds(fault_at),
            answered_by: tally.replicas.clone(),
            timeline: tally.timeline(),
            load_lag_max_ms: milliseconds(tally.lag_max),
            examples: tally.examples.clone(),
            missed: Vec::new(),
        };
        report.missed = report.missed(objective, watched);
        report
    }

    /// Whether the objective was kept.
    pub fn is_kept(&self) -> bool {
        self.missed.is_empty()
    }

    fn missed(&self, objective: &Objective, watched: &Watched) -> Vec<String> {
        let mut missed = Vec::new();
        if self.lost > objective.lost_max {
            missed.push(format!("{} requests were lost, {} may be", self.lost, objective.lost_max));
        }
        if self.during.p99 > objective.p99_max {
            let (p99, max) = (shown(self.during.p99), shown(objective.p99_max));
            missed.push(format!("p99 was {p99} while the fault showed, it may be {max}"));
        }
        if self.fault.has_to_eject() && watched.out_after.is_none() {
            missed.push("the replica stayed in the table".into());
        }
        match watched.whole_after {
            Some(after) if after <= objective.recover_within => {}
            Some(after) => missed.push(format!(
                "the fleet was whole again after {}, it should be within {}",
                shown(after),
                shown(objective.recover_within)
            )),
            None => missed.push("the fleet was not whole again while the drill looked".into()),
        }
        missed
    }

    /// For people.
    pub fn in_words(&self) -> String {
        let mut text = String::new();
        let failures: Vec<String> =
            self.failures.iter().map(|(failure, count)| format!("{count} {}", failure.as_str())).collect();
        let kinds = if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  requests    {} sent, {} lost{kinds}", self.requests, self.lost);
        let sent_again = self.sent_again.map_or_else(|| "unknown".into(), |count| count.to_string());
        let _ = writeln!(
            text,
            "  repeated    {sent_again} sent to a second replica by the balancer; {} answers that nobody asked for",
            self.unasked_answers
        );
        for (name, period) in [("before", &self.before), ("during", &self.during), ("after", &self.after)] {
            let Period { requests, lost, p50_ms, p99_ms, max_ms, .. } = period;
            let _ = writeln!(
                text,
                "  {name:<11} {requests} requests, {lost} lost, p50 {p50_ms} ms, p99 {p99_ms} ms, longest {max_ms} ms"
            );
        }
        let time = |ms: Option<u64>| ms.map_or_else(|| "never".into(), |ms| format!("after {ms} ms"));
        let Times { detected_ms, ejected_ms, recovered_ms } = self.times;
        let _ = writeln!(
            text,
            "  noticed {}, out of the table {}, whole again {}",
            time(detected_ms),
            time(ejected_ms),
            time(recovered_ms)
        );
        let _ = match self.is_kept() {
            true => write!(text, "  kept: {} is survived", self.fault.as_str()),
            false => write!(text, "  NOT kept: {}", self.missed.join("; ")),
        };
        text
    }
}

impl Period {
    fn new(tally: &Tally, period: std::ops::Range<Duration>) -> Self {
        let latencies = tally.latencies_within(&period);
        let lost = tally.failures_within(&period).values().sum();
        Self {
            requests: latencies.count + lost,
            lost,
            p50_ms: latencies.p50_us.div_ceil(1000),
            p99_ms: latencies.p99_us.div_ceil(1000),
            max_ms: latencies.max_us.div_ceil(1000),
            p99: Duration::from_micros(latencies.p99_us),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn shown(duration: Duration) -> String {
    format!("{:?}", Duration::from_millis(milliseconds(duration)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::tally::Outcome;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const OBJECTIVE: Objective = Objective { lost_max: 0, p99_max: ms(2000), recover_within: ms(1000) };

    /// A request every 10 ms for 3 s; those of the second second take so long.
    fn tally(slow: Duration) -> Tally {
        let mut tally = Tally::new(Instant::now());
        let replica = tally.replica_number("a");
        for at in (0..3000).step_by(10) {
            let latency = if (1000..2000).contains(&at) { slow } else { ms(1) };
            tally.record(ms(at), latency, Outcome::Answered(replica));
        }
        tally
    }

    fn report(fault: Fault, tally: &Tally, watched: Watched) -> Report {
        let (replica, fault_at, sent_again) = ("a", ms(1000), Some(0));
        let facts = Facts { fault, replica, tally, fault_at, watched: &watched, sent_again };
        Report::new(&facts, &OBJECTIVE)
    }

    const HEALED: Watched = Watched {
        sign_after: Some(ms(10)),
        out_after: Some(ms(20)),
        whole_after: Some(ms(900)),
        undone_after: Some(ms(0)),
        is_gone: true,
    };

    #[test]
    fn periods_lie_between_the_begin_of_the_fault_and_the_whole_fleet() {
        let report = report(Fault::Kill, &tally(ms(50)), HEALED);
        let requests = [&report.before, &report.during, &report.after].map(|period| period.requests);
        assert_eq!(requests, [100, 90, 110]);
        assert_eq!((report.before.p99_ms, report.during.p50_ms), (1, 51), "cut up to the next millisecond");
        assert!(report.is_kept(), "{:?}", report.missed);
    }

    #[test]
    fn each_part_of_the_objective_can_be_missed_alone() {
        let good = tally(ms(50));
        let mut lossy = tally(ms(50));
        lossy.record(ms(1500), ms(5), Outcome::Failed(Loss::Reset));
        let late = Watched { whole_after: Some(ms(1001)), ..HEALED };
        let never = Watched { whole_after: None, ..HEALED };
        let in_table = Watched { out_after: None, ..HEALED };
        for (fault, tally, watched, word) in [
            (Fault::Kill, &lossy, HEALED, "1 requests were lost"),
            (Fault::Kill, &tally(ms(2100)), HEALED, "p99 was 2.1"),
            (Fault::Kill, &good, late, "whole again after 1.001s"),
            (Fault::Kill, &good, never, "not whole again"),
            (Fault::Freeze, &good, in_table, "stayed in the table"),
        ] {
            let report = report(fault, tally, watched);
            assert!(matches!(report.missed.as_slice(), [only] if only.contains(word)), "{:?}", report.missed);
            assert!(report.in_words().contains("NOT kept"));
        }
        assert!(report(Fault::Slow, &good, in_table).is_kept(), "one that is only slow may stay");
    }
}
