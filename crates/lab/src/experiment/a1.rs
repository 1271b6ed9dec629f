//! many requests on three replicas, counted by who answered.

use serde_json::json;

use super::{Counts, ExperimentError, Order, Stage, UNBOUND, expectation, failures, milliseconds, misses};
use crate::paper::{Bar, Chart, Section, Table};
use crate::plan::Keys;
use crate::variant::Variant;

/// As in the original.
const REPLICAS: usize = 3;

/// Carries it out: under the original's formulas and under the default, or on the one that runs.
pub fn a1(order: &Order, stage: &mut Stage<'_>) -> Result<Section, ExperimentError> {
    let mut section = Section {
        id: "a1".into(),
        title: format!("A-1: {} requests on {REPLICAS} replicas", order.requests),
        text: Vec::new(),
        misses: Vec::new(),
        tables: vec![Table::new(
            "a1",
            "A-1: answers by replica",
            &["placement", "replica", "answered", "expected", "± four sigma"],
        )],
        charts: Vec::new(),
        data: json!([]),
    };
    let mut speed = Table::new(
        "a1-speed",
        "A-1: speed",
        &["placement", "requests/s", "p50 ms", "p90 ms", "p99 ms", "longest ms", "failed"],
    );
    let variants: &[Variant] =
        if order.is_own() { &[Variant::Classic, Variant::Rendezvous] } else { &[Variant::Classic] };
    let mut data = Vec::new();
    for variant in variants {
        (stage.say)(&format!("  A-1, {}: {} requests", name_of(order, *variant), order.requests));
        let subject = order.subject(REPLICAS, *variant, UNBOUND)?;
        let names = subject.replicas()?;
        let tally = stage.run(order.clients(&subject, Keys::None), "A-1")?;
        let counts = Counts::new(&tally, &names);
        data.push(json!({"placement": name_of(order, *variant), "counts": counts.data()}));
        let shares = if order.is_own() { Some(variant.shares(REPLICAS)) } else { fitting(&counts) };
        describe(&mut section, &name_of(order, *variant), &counts, shares.as_deref());
        let latencies = counts.latencies;
        speed.rows.push(vec![
            name_of(order, *variant),
            format!("{:.0}", counts.rate),
            milliseconds(latencies.p50_us),
            milliseconds(latencies.p90_us),
            milliseconds(latencies.p99_us),
            milliseconds(latencies.max_us),
            counts.failed.to_string(),
        ]);
    }
    section.tables.push(speed);
    section.data = json!(data);
    Ok(section)
}

fn name_of(order: &Order, variant: Variant) -> String {
    if order.is_own() { variant.name().into() } else { "as it runs".into() }
}

/// The promise that a stranger keeps, if it is one that we know: even, or the original's formulas.
fn fitting(counts: &Counts) -> Option<Vec<f64>> {
    let known = [Variant::Rendezvous, Variant::Classic];
    known.iter().map(|variant| variant.shares(REPLICAS)).find(|shares| misses(counts, shares).is_empty())
}

fn describe(section: &mut Section, name: &str, counts: &Counts, shares: Option<&[f64]>) {
    let mut bars = Vec::new();
    for (index, (replica, count)) in counts.by_replica.iter().enumerate() {
        let expected = shares.and_then(|shares| shares.get(index));
        let expected = expected.map(|share| expectation(counts.answered, *share));
        let cell = |value: Option<f64>| value.map_or_else(|| "unknown".into(), |value| format!("{value:.1}"));
        section.tables[0].rows.push(vec![
            name.to_owned(),
            replica.clone(),
            count.to_string(),
            cell(expected.map(|(middle, _)| middle)),
            cell(expected.map(|(_, band)| band)),
        ]);
        bars.push(Bar { label: replica.clone(), value: *count as f64, expected });
    }
    let promise = match shares {
        Some(shares) => {
            let found = misses(counts, shares);
            let words = if found.is_empty() { "as chance allows" } else { "NOT as chance allows" };
            section.misses.extend(found.into_iter().map(|miss| format!("{name}: {miss}")));
            format!("the counts differ from the exact shares {words} (four sigma)")
        }
        None => "the counts are neither even nor those of the original's formulas".into(),
    };
    section.misses.extend(failures(counts, &format!("under {name}")));
    section.text.push(format!(
        "{name}: {} of {} requests were answered, {:.0} a second, half of them within {} ms and 99 of 100 within {} ms; {promise}. \
         The busiest replica has {:.2} times the mean.",
        counts.answered,
        counts.answered + counts.failed,
        counts.rate,
        milliseconds(counts.latencies.p50_us),
        milliseconds(counts.latencies.p99_us),
        counts.largest_over_mean()
    ));
    section.charts.push(Chart::Bars {
        id: format!("a1-{}", name.replace(' ', "-")),
        title: format!("A-1, {name}: answers by replica, and what is expected within four sigma"),
        unit: "answers".into(),
        bars,
    });
}
