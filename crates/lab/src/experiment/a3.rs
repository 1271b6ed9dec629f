//! the contract's calls, and a replica that is killed under load.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::{ExperimentError, Order, Stage, surface};
use crate::drill::{Drill, DrillError, Fault, Objective, Report};
use crate::http::AdminApi;
use crate::paper::{Axes, Chart, Line, Mark, Section, Table};
use crate::subject::Subject;
use crate::variant::Variant;

const REPLICAS: usize = 3;
/// Requests a second while a replica is killed.
const RATE: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
/// What is expected of a kill. The fleet is a small one and on one machine.
const OBJECTIVE: Objective =
    Objective { lost_max: 0, p99_max: Duration::from_secs(2), recover_within: Duration::from_secs(10) };

/// Carries it out.
pub fn a3(order: &Order, stage: &mut Stage<'_>) -> Result<Section, ExperimentError> {
    (stage.say)("  A-3: the contract's calls, good and bad");
    let subject = order.subject(REPLICAS, Variant::Rendezvous, "")?;
    let mut section = Section {
        id: "a3".into(),
        title: "A-3: every endpoint, and the death of a replica".into(),
        text: Vec::new(),
        misses: Vec::new(),
        tables: Vec::new(),
        charts: Vec::new(),
        data: json!({}),
    };
    let called = surface::calls(&subject, stage)?;
    let mut table =
        Table::new("a3-calls", "A-3: calls and answers", &["call", "status", "as the contract says"]);
    for call in &called {
        let verdict = call.wrong.clone().unwrap_or_else(|| "yes".into());
        table.rows.push(vec![call.call.clone(), call.status.to_string(), verdict]);
        section.misses.extend(call.wrong.iter().map(|wrong| format!("{}: {wrong}", call.call)));
    }
    let right = called.iter().filter(|call| call.wrong.is_none()).count();
    section.text.push(format!("{right} of {} calls were answered as the contract says.", called.len()));
    section.tables.push(table);
    match subject.admin.clone() {
        Some(admin) => {
            (stage.say)(&format!("  A-3: a replica is killed under {RATE} requests a second"));
            let before = subject.replicas()?;
            let report = kill(&subject, admin, stage)?;
            let after = subject.replicas()?;
            let new: Vec<String> = after.into_iter().filter(|name| !before.contains(name)).collect();
            describe(&mut section, &report, &new);
            section.data = json!({"kill": report, "replacements": new});
        }
        None => section.text.push(
            "The kill was left out: how to find a replica's process is only known for balancers that the lab has started.".into(),
        ),
    }
    Ok(section)
}

fn kill(subject: &Subject, admin: AdminApi, stage: &mut Stage<'_>) -> Result<Report, ExperimentError> {
    let drill = Drill {
        admin,
        service: None,
        replica: None,
        target: subject.target.clone(),
        path: "/home".into(),
        rate: RATE,
        length: Duration::from_secs(1),
        objective: OBJECTIVE,
        is_forced: false,
    };
    drill.run(Fault::Kill, stage.is_interrupted, &mut |_| {}).map_err(|error| match error {
        DrillError::Interrupted => ExperimentError::Interrupted,
        other => other.into(),
    })
}

fn describe(section: &mut Section, report: &Report, new: &[String]) {
    let ms = |ms: Option<u64>| ms.map_or_else(|| "never".into(), |ms| format!("after {ms} ms"));
    section.text.push(format!(
        "{} was killed under {RATE} requests a second: {} of {} requests were lost. It was out of the table {}, and {} was in its place {}. \
         99 of 100 requests took at most {} ms before, {} ms until the fleet was whole again, and {} ms after.",
        report.replica,
        report.lost,
        report.requests,
        ms(report.times.ejected_ms),
        new.first().map_or("nobody", String::as_str),
        ms(report.times.recovered_ms),
        report.before.p99_ms,
        report.during.p99_ms,
        report.after.p99_ms
    ));
    section.misses.extend(report.missed.iter().cloned());
    if !matches!(new, [_]) {
        section.misses.push(format!("{} replicas have a new name, there should be one", new.len()));
    }
    let mut head = vec!["at ms".to_owned(), "sent".into()];
    head.extend(report.answered_by.iter().cloned());
    head.extend(["failed".into(), "longest ms".into()]);
    let mut table =
        Table { id: "a3-timeline".into(), title: "A-3: tenths of a second".into(), head, rows: Vec::new() };
    for step in &report.timeline {
        let mut row = vec![step.at_ms.to_string(), step.sent.to_string()];
        row.extend(step.answered.iter().map(u64::to_string));
        row.extend([step.failed.to_string(), super::milliseconds(step.latency_max_us)]);
        table.rows.push(row);
    }
    section.tables.push(table);
    section.charts.push(timeline(report));
}

fn timeline(report: &Report) -> Chart {
    let seconds = |at_ms: u64| at_ms as f64 / 1000.0;
    let rate = |count: u64| count as f64 * 10.0;
    let mut lines = Vec::new();
    for (index, label) in report.answered_by.iter().enumerate() {
        let points = report.timeline.iter().map(|step| (seconds(step.at_ms), rate(step.answered[index])));
        lines.push(Line { label: label.clone(), points: points.collect(), is_failure: false });
    }
    let failed = report.timeline.iter().map(|step| (seconds(step.at_ms), rate(step.failed)));
    lines.push(Line { label: "failed".into(), points: failed.collect(), is_failure: true });
    let mut marks = vec![Mark { at: seconds(report.fault_at_ms), label: "killed".into() }];
    if let Some(after) = report.times.recovered_ms {
        let label = format!("whole again after {after} ms");
        marks.push(Mark { at: seconds(report.fault_at_ms + after), label });
    }
    Chart::Lines {
        id: "a3-timeline".into(),
        title: "A-3: answers by replica while one is killed".into(),
        axes: Axes::new("seconds", "answers a second"),
        lines,
        marks,
    }
}
