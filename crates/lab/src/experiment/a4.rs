//! A-4: A-1 and A-2 again for every way of placing, with a hot key and a bound on the load.

use serde_json::json;

use super::scaled::{self, Size};
use super::{Counts, ExperimentError, Order, Stage, failures, misses};
use crate::paper::{Axes, Bar, Chart, Line, Section, Table};
use crate::plan::Keys;
use crate::variant::Variant;

const REPLICAS: usize = 3;
/// The hot key's part of all requests.
const HOT: f64 = 0.3;
/// No replica gets more than this multiple of the mean at a time, where there is a bound.
const BOUND: f64 = 1.25;

/// A load that each way of placing gets.
struct KeyedLoad {
    name: &'static str,
    keys: Keys,
    /// The bound on the load of a replica; 0 is none.
    bound: f64,
}

const LOADS: [KeyedLoad; 3] = [
    KeyedLoad { name: "even keys", keys: Keys::Uniform, bound: 0.0 },
    KeyedLoad { name: "a hot key", keys: Keys::Hot(HOT), bound: 0.0 },
    KeyedLoad { name: "a hot key and a bound", keys: Keys::Hot(HOT), bound: BOUND },
];

/// Carries it out: for all ways of placing, or, on the one that runs, for its own.
pub fn a4(order: &Order, stage: &mut Stage<'_>) -> Result<Section, ExperimentError> {
    let mut section = Section {
        id: "a4".into(),
        title: "A-4: other ways of placing, side by side".into(),
        text: Vec::new(),
        misses: Vec::new(),
        tables: Vec::new(),
        charts: Vec::new(),
        data: json!({}),
    };
    let variants: &[Variant] = if order.is_own() { &Variant::ALL } else { &[Variant::Classic] };
    let loads = if order.is_own() { &LOADS[..] } else { &LOADS[..2] };
    let mut measured = Vec::new();
    for variant in variants {
        for load in loads {
            measured.push((*variant, load.name, on_three(order, stage, *variant, load)?));
        }
    }
    for (variant, load, counts) in &measured {
        section.misses.extend(failures(counts, &format!("under {} with {load}", variant.name())));
        if order.is_own() && *load == LOADS[0].name {
            let found = misses(counts, &variant.shares(REPLICAS));
            section.misses.extend(found.into_iter().map(|miss| format!("{}: {miss}", variant.name())));
        }
    }
    show_three(&mut section, order, &measured);
    let sizes = if order.is_own() { walks(order, stage, variants)? } else { Vec::new() };
    if sizes.is_empty() {
        section.text.push(
            "The other ways of placing, the bound on the load and the walk over sizes were left out: a balancer that runs already places as it does, \
             and A-2 has measured its sizes."
                .into(),
        );
    } else {
        show_walks(&mut section, &sizes);
    }
    let three: Vec<_> = measured
        .iter()
        .map(|(variant, load, counts)| json!({"placement": name_of(order, *variant), "load": load, "counts": counts}))
        .collect();
    let walks: Vec<_> =
        sizes.iter().map(|(variant, sizes)| json!({"placement": variant.name(), "sizes": sizes})).collect();
    section.data = json!({"three": three, "walks": walks});
    Ok(section)
}

fn name_of(order: &Order, variant: Variant) -> &'static str {
    if order.is_own() { variant.name() } else { "as it runs" }
}

/// The key is in the query, so that all ways of placing get the very same requests.
fn config(bound: f64) -> String {
    format!("key = \"query:id\"\nload_factor = {bound:?}\n")
}

fn on_three(
    order: &Order,
    stage: &mut Stage<'_>,
    variant: Variant,
    load: &KeyedLoad,
) -> Result<Counts, ExperimentError> {
    let KeyedLoad { name, keys, bound } = *load;
    (stage.say)(&format!("  A-4, {}, {name}: {} requests", name_of(order, variant), order.requests));
    let subject = order.subject(REPLICAS, variant, &config(bound))?;
    let names = subject.replicas()?;
    let tally = stage.run(order.clients(&subject, keys), "A-4")?;
    Ok(Counts::new(&tally, &names))
}

fn walks(
    order: &Order,
    stage: &mut Stage<'_>,
    variants: &[Variant],
) -> Result<Vec<(Variant, Vec<Size>)>, ExperimentError> {
    let mut walks = Vec::new();
    for variant in variants {
        let (least, most) = order.replicas;
        (stage.say)(&format!("  A-4, {}: {least} to {most} replicas", variant.name()));
        let subject = order.subject(least, *variant, &config(0.0))?;
        walks.push((*variant, scaled::walk(order, stage, &subject, Keys::Uniform)?));
    }
    Ok(walks)
}

fn show_three(section: &mut Section, order: &Order, measured: &[(Variant, &'static str, Counts)]) {
    let head =
        ["placement", "load", "by replica", "deviation", "largest / mean", "requests/s", "p99 ms", "failed"];
    let mut table = Table::new("a4-three", "A-4: three replicas", &head);
    for (variant, load, counts) in measured {
        let by_replica: Vec<String> = counts.by_replica.iter().map(|(_, count)| count.to_string()).collect();
        table.rows.push(vec![
            name_of(order, *variant).to_owned(),
            (*load).to_owned(),
            by_replica.join(" / "),
            format!("{:.1}", counts.deviation()),
            format!("{:.3}", counts.largest_over_mean()),
            format!("{:.0}", counts.rate),
            super::milliseconds(counts.latencies.p99_us),
            counts.failed.to_string(),
        ]);
    }
    section.tables.push(table);
    for (number, KeyedLoad { name: load, .. }) in LOADS.iter().enumerate() {
        let of_load: Vec<_> = measured.iter().filter(|(_, name, _)| name == load).collect();
        let spread = |counts: &Counts| counts.largest_over_mean();
        let by_spread = |one: &&&(Variant, &str, Counts), other: &&&(Variant, &str, Counts)| {
            spread(&one.2).total_cmp(&spread(&other.2))
        };
        let (Some(best), Some(worst)) = (of_load.iter().min_by(by_spread), of_load.iter().max_by(by_spread))
        else {
            continue;
        };
        let busiest = if of_load.len() > 1 {
            let (low, high) = (spread(&best.2), spread(&worst.2));
            let (even, uneven) = (name_of(order, best.0), name_of(order, worst.0));
            format!("between {low:.2} ({even}) and {high:.2} ({uneven})")
        } else {
            format!("{:.2}", spread(&best.2))
        };
        section
            .text
            .push(format!("With {load}, the busiest of {REPLICAS} replicas has {busiest} times the mean."));
        let bar = |(variant, _, counts): &&(Variant, &'static str, Counts)| Bar {
            label: name_of(order, *variant).replace(", ", "\n"),
            value: spread(counts),
            expected: None,
        };
        section.charts.push(Chart::Bars {
            id: format!("a4-load-{}", number + 1),
            title: format!("A-4, three replicas, {load}: busiest over mean (1 is even)"),
            unit: "largest / mean".into(),
            bars: of_load.iter().map(bar).collect(),
        });
    }
}

fn show_walks(section: &mut Section, walks: &[(Variant, Vec<Size>)]) {
    let head =
        ["placement", "replicas", "mean", "deviation", "largest / mean", "failed", "failed while scaling"];
    let mut table = Table::new("a4-sizes", "A-4: sizes, even keys", &head);
    let mut lines = Vec::new();
    for (variant, sizes) in walks {
        section.misses.extend(scaled::misses_of(sizes, Some(*variant)));
        for Size { replicas, counts, scaling, .. } in sizes {
            table.rows.push(vec![
                variant.name().to_owned(),
                replicas.to_string(),
                format!("{:.1}", counts.mean()),
                format!("{:.1}", counts.deviation()),
                format!("{:.3}", counts.largest_over_mean()),
                counts.failed.to_string(),
                scaling.failed.to_string(),
            ]);
        }
        let points = sizes.iter().map(|size| (size.replicas as f64, size.counts.largest_over_mean()));
        lines.push(Line { label: variant.name().into(), points: points.collect(), is_failure: false });
    }
    section.tables.push(table);
    section.charts.push(Chart::Lines {
        id: "a4-sizes".into(),
        title: "A-4: load of the busiest replica over the mean (1 is even)".into(),
        axes: Axes::new("replicas", "largest / mean"),
        lines,
        marks: Vec::new(),
    });
}
