//! the same requests on two to six replicas, and what the mean hides.

use serde_json::json;

use super::scaled::{self, Size};
use super::{ExperimentError, Order, Stage, UNBOUND};
use crate::paper::{Axes, Chart, Line, Section, Table};
use crate::plan::Keys;
use crate::variant::Variant;

/// Carries it out: under the original's formulas and under the default, or on the one that runs.
pub fn a2(order: &Order, stage: &mut Stage<'_>) -> Result<Section, ExperimentError> {
    let (least, most) = order.replicas;
    let mut section = Section {
        id: "a2".into(),
        title: format!("A-2: {} requests on {least} to {most} replicas", order.requests),
        text: Vec::new(),
        misses: Vec::new(),
        tables: Vec::new(),
        charts: Vec::new(),
        data: json!([]),
    };
    let variants: &[Variant] =
        if order.is_own() { &[Variant::Classic, Variant::Rendezvous] } else { &[Variant::Classic] };
    let mut table = Table::new("a2", "A-2: load by number of replicas", &HEAD);
    let (mut data, mut means, mut spreads) = (Vec::new(), Vec::new(), Vec::new());
    for variant in variants {
        let name = if order.is_own() { variant.name() } else { "as it runs" };
        (stage.say)(&format!("  A-2, {name}: {least} to {most} replicas, {} requests each", order.requests));
        let subject = order.subject(order.replicas.0, *variant, UNBOUND)?;
        let sizes = scaled::walk(order, stage, &subject, Keys::None)?;
        section.misses.extend(scaled::misses_of(&sizes, order.is_own().then_some(*variant)));
        section.text.push(in_words(name, &sizes));
        table.rows.extend(sizes.iter().map(|size| row(name, size)));
        if means.is_empty() {
            // It is the same for all: the requests by the number of replicas.
            means.push(line("mean", &sizes, |size| size.counts.mean()));
        }
        means.push(line(&format!("{name}: deviation"), &sizes, |size| size.counts.deviation()));
        spreads.push(line(name, &sizes, |size| size.counts.largest_over_mean()));
        data.push(json!({"placement": name, "sizes": sizes}));
    }
    section.tables.push(table);
    let axes = |what: &str| Axes::new("replicas", what);
    section.charts.push(Chart::Lines {
        id: "a2-mean".into(),
        title: "A-2: mean load of a replica, and its standard deviation".into(),
        axes: axes("answers"),
        lines: means,
        marks: Vec::new(),
    });
    section.charts.push(Chart::Lines {
        id: "a2-largest".into(),
        title: "A-2: load of the busiest replica over the mean (1 is even)".into(),
        axes: axes("largest / mean"),
        lines: spreads,
        marks: Vec::new(),
    });
    section.data = json!(data);
    Ok(section)
}

const HEAD: [&str; 9] = [
    "placement",
    "replicas",
    "mean",
    "deviation",
    "largest / mean",
    "requests/s",
    "failed",
    "scaling ms",
    "failed while scaling",
];

fn row(name: &str, size: &Size) -> Vec<String> {
    let counts = &size.counts;
    vec![
        name.to_owned(),
        size.replicas.to_string(),
        format!("{:.1}", counts.mean()),
        format!("{:.1}", counts.deviation()),
        format!("{:.3}", counts.largest_over_mean()),
        format!("{:.0}", counts.rate),
        counts.failed.to_string(),
        size.scaling_ms.to_string(),
        size.scaling.failed.to_string(),
    ]
}

fn line(label: &str, sizes: &[Size], value: impl Fn(&Size) -> f64) -> Line {
    let points = sizes.iter().map(|size| (size.replicas as f64, value(size))).collect();
    Line { label: label.to_owned(), points, is_failure: false }
}

fn in_words(name: &str, sizes: &[Size]) -> String {
    let deviations: Vec<f64> = sizes.iter().map(|size| size.counts.deviation()).collect();
    let (least, most) = extremes(&deviations);
    let spreads: Vec<f64> = sizes.iter().map(|size| size.counts.largest_over_mean()).collect();
    let (spread_least, spread_most) = extremes(&spreads);
    let failed: u64 = sizes.iter().map(|size| size.counts.failed).sum();
    let scaling: u64 = sizes.iter().map(|size| size.scaling.failed).sum();
    let during: u64 = sizes.iter().map(|size| size.scaling.answered + size.scaling.failed).sum();
    format!(
        "{name}: the mean falls with the number of replicas, as it must. The standard deviation is between {least:.0} and {most:.0}, \
         and the busiest replica has {spread_least:.2} to {spread_most:.2} times the mean. {failed} requests failed, \
         and {scaling} of {during} that were sent while replicas were added and removed."
    )
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}
