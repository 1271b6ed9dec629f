//! The answers of `place` and `simulate`: columns for people, JSON for programs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufWriter, StdoutLock, Write};

use fleet::{harmless, harmless_json};
use placement::{Movement, Seat, Shares};
use serde::Serialize;

use super::members::{Label, Members};
use crate::say;

/// The first choices of keys and the orders behind them, written as they come.
pub(super) struct Choices<'a> {
    members: &'a Members,
    is_json: bool,
    /// How wide the columns are: every order names every member, so all orders are equally long.
    replica_width: usize,
    order_width: usize,
    output: BufWriter<StdoutLock<'static>>,
}

#[derive(Serialize)]
struct ChoiceShape<'a> {
    key: Cow<'a, str>,
    replica: Option<&'a Label>,
    order: Vec<&'a Label>,
}

impl<'a> Choices<'a> {
    /// Writes the head, if there is one.
    pub(super) fn begin(members: &'a Members, is_json: bool) -> io::Result<Self> {
        let widths: Vec<usize> =
            members.present().map(|(_, label)| label.to_string().chars().count()).collect();
        let replica_width = widths.iter().copied().max().unwrap_or(0).max("REPLICA".len());
        let order_width = (widths.iter().sum::<usize>() + widths.len().saturating_sub(1)).max("ORDER".len());
        let output = BufWriter::new(io::stdout().lock());
        let mut choices = Self { members, is_json, replica_width, order_width, output };
        if !is_json {
            choices.row("REPLICA", "ORDER", "KEY")?;
        }
        Ok(choices)
    }

    /// Writes who serves this key; bytes that are no text are shown as `�`.
    pub(super) fn add(&mut self, key: &[u8]) -> io::Result<()> {
        let placement = self.members.placement();
        let order = placement.order(placement.key_hash().key(key));
        let order: Vec<&Label> = order.filter_map(|seat| self.members.label(seat)).collect();
        let key = String::from_utf8_lossy(key);
        if self.is_json {
            let shape = ChoiceShape { key, replica: order.first().copied(), order };
            return writeln!(self.output, "{}", harmless_json(&serde_json::to_string(&shape)?));
        }
        let words: Vec<String> = order.iter().map(|label| label.to_string()).collect();
        self.row(words.first().map_or("-", String::as_str), &words.join(" "), &harmless(&key))
    }

    /// Hands on what was written so far.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    // The key stands last: how long the longest is, nobody knows before the end of the file.
    fn row(&mut self, replica: &str, order: &str, key: &str) -> io::Result<()> {
        let (replica_width, order_width) = (self.replica_width, self.order_width);
        writeln!(self.output, "{replica:<replica_width$}  {order:<order_width$}  {key}")
    }
}

/// The slot table; always JSON.
pub(super) fn table(algorithm: &str, members: &Members, slots: &[Option<Seat>]) -> io::Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        algorithm: &'a str,
        size: usize,
        slots: Vec<Option<&'a Label>>,
    }
    let owner = |slot: &Option<Seat>| slot.and_then(|seat| members.label(seat));
    print_json(&Shape { algorithm, size: slots.len(), slots: slots.iter().map(owner).collect() })
}

/// Each member's part of the keys.
pub(super) fn shares(members: &Members, shares: &Shares, is_json: bool) -> io::Result<()> {
    #[derive(Serialize)]
    struct Part<'a> {
        replica: &'a Label,
        share: f64,
    }
    #[derive(Serialize)]
    struct Shape<'a> {
        shares: Vec<Part<'a>>,
        sampled_keys: Option<u32>,
        largest_over_mean: f64,
    }
    let by_seat: HashMap<Seat, f64> = shares.parts.iter().copied().collect();
    let part = |(seat, replica)| Part { replica, share: by_seat.get(&seat).copied().unwrap_or(0.0) };
    let parts: Vec<Part<'_>> = members.present().map(part).collect();
    let (sampled_keys, largest_over_mean) = (shares.sampled_keys, shares.largest_over_mean());
    if is_json {
        return print_json(&Shape { shares: parts, sampled_keys, largest_over_mean });
    }
    let rows: Vec<[String; 2]> =
        parts.iter().map(|part| [part.replica.to_string(), format!("{:.6}", part.share)]).collect();
    say::table(["REPLICA", "SHARE"], &rows);
    let source = sampled_keys.map_or("exact".to_owned(), |keys| format!("counted over {keys} sampled keys"));
    say!("\n{source}; the largest is {largest_over_mean:.4} times the mean");
    Ok(())
}

/// What a change moves, and from where to where.
pub(super) fn movement<'a>(
    movement: &Movement,
    label: impl Fn(Seat) -> Option<&'a Label>,
    is_json: bool,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct FlowShape<'a> {
        from: Option<&'a Label>,
        to: Option<&'a Label>,
        keys: u64,
    }
    #[derive(Serialize)]
    struct Shape<'a> {
        keys: u64,
        moved: u64,
        moved_share: f64,
        unavoidable: u64,
        unavoidable_share: f64,
        flows: Vec<FlowShape<'a>>,
    }
    let Movement { keys, moved, unavoidable, .. } = *movement;
    let (moved_share, unavoidable_share) = (movement.moved_share(), movement.unavoidable_share());
    let flows = movement.flows.iter().map(|flow| FlowShape {
        from: flow.from.and_then(&label),
        to: flow.to.and_then(&label),
        keys: flow.keys,
    });
    if is_json {
        let flows = flows.collect();
        return print_json(&Shape { keys, moved, moved_share, unavoidable, unavoidable_share, flows });
    }
    say!("of {keys} keys");
    let row = |what: &str, count: u64, share: f64| [what.into(), count.to_string(), format!("{share:.6}")];
    let rows = [row("moved", moved, moved_share), row("unavoidable", unavoidable, unavoidable_share)];
    say::table(["", "KEYS", "SHARE"], &rows);
    let word = |label: Option<&Label>| label.map_or("nobody".to_owned(), Label::to_string);
    let rows: Vec<[String; 4]> = flows
        .map(|flow| {
            let share = flow.keys as f64 / keys.max(1) as f64;
            [word(flow.from), word(flow.to), flow.keys.to_string(), format!("{share:.6}")]
        })
        .collect();
    if !rows.is_empty() {
        say!("");
        say::table(["FROM", "TO", "KEYS", "SHARE"], &rows);
    }
    Ok(())
}

fn print_json(shown: &impl Serialize) -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    writeln!(output, "{}", harmless_json(&serde_json::to_string(shown)?))?;
    output.flush()
}
