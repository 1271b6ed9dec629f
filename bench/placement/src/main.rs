//! Measures every placement in one run, and writes a table, a CSV file and two pictures.
//!
//! `cargo run --release -- FOLDER` puts `placement.csv` and the pictures into the folder and prints
//! the table as Markdown.

mod chart;
mod contenders;
mod measure;

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

use chart::Picture;
use measure::Figures;

const SIZES: [u32; 5] = [3, 10, 100, 1000, 10_000];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("usage: placement-bench FOLDER")?);
    fs::create_dir_all(&folder)?;
    let kinds = contenders::all();
    let mut rows = Vec::new();
    for members in SIZES {
        eprintln!("{members} replicas");
        rows.extend(measure::measure(&kinds, members));
    }
    fs::write(folder.join("placement.csv"), csv(&rows)?)?;
    draw(&rows, &folder)?;
    print!("{}", markdown(&rows)?);
    Ok(())
}

fn csv(rows: &[Figures]) -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        "name,replicas,lookup_ns,build_us,change_us,bytes_per_replica,largest_over_fair,is_exact,\
         moved_over_unavoidable,counted_keys\n",
    );
    for row in rows {
        let Figures { name, members, lookup_ns, build_us, change_us, bytes_per_member, .. } = row;
        write!(
            text,
            "\"{name}\",{members},{lookup_ns:.1},{build_us:.1},{change_us:.1},{bytes_per_member:.1},"
        )?;
        let Figures { largest_over_fair, is_exact, moved_over_unavoidable, counted_keys, .. } = row;
        writeln!(text, "{largest_over_fair:.4},{is_exact},{moved_over_unavoidable:.4},{counted_keys}")?;
    }
    Ok(text)
}

fn markdown(rows: &[Figures]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    type Column = (&'static str, fn(&Figures) -> String);
    let columns: [Column; 6] = [
        ("Lookup", |row| time(row.lookup_ns)),
        ("Build", |row| time(row.build_us * 1000.0)),
        ("Add one", |row| time(row.change_us * 1000.0)),
        ("Bytes per replica", |row| format!("{:.0}", row.bytes_per_member)),
        ("Largest share over the fair one", share),
        ("Moved over unavoidable, one leaves", moved),
    ];
    for (title, cell) in columns {
        writeln!(text, "\n**{title}**\n\n| | 3 | 10 | 100 | 1 000 | 10 000 |\n|---|---|---|---|---|---|")?;
        for first in rows.iter().filter(|row| row.members == SIZES[0]) {
            write!(text, "| {} |", first.name)?;
            for members in SIZES {
                let row = rows.iter().find(|row| row.name == first.name && row.members == members);
                write!(text, " {} |", row.map_or("–".to_owned(), cell))?;
            }
            writeln!(text)?;
        }
    }
    Ok(text)
}

/// Counted with fewer keys for each replica, the figures would show chance and little else.
const KEYS_PER_REPLICA_MIN: usize = 500;

fn is_counted_well(row: &Figures) -> bool {
    row.counted_keys >= KEYS_PER_REPLICA_MIN * row.members as usize
}

fn share(row: &Figures) -> String {
    match (row.is_exact, is_counted_well(row)) {
        (true, _) => format!("{:.2}", row.largest_over_fair),
        (false, true) => format!("≈ {:.2}", row.largest_over_fair),
        (false, false) => "–".to_owned(),
    }
}

fn moved(row: &Figures) -> String {
    // Where nothing had to move the ratio says nothing; nothing did move, of those that are here.
    let is_known = is_counted_well(row) && row.moved_over_unavoidable > 0.0;
    if is_known { format!("{:.2}", row.moved_over_unavoidable) } else { "–".to_owned() }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 100.0 => format!("{ns:.1} ns"),
        ns if ns < 1_000.0 => format!("{ns:.0} ns"),
        ns if ns < 100_000.0 => format!("{:.1} µs", ns / 1e3),
        ns if ns < 1_000_000.0 => format!("{:.0} µs", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

fn draw(rows: &[Figures], folder: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let lookup = Picture {
        title: "One lookup, hashing the key included (median)",
        axis: "nanoseconds",
        value: |row| row.lookup_ns,
        without: &["ring, ketama", "rendezvous, 7 weights"],
        shows: |_| true,
        range: 5.0..2_000_000.0,
    };
    chart::draw_logarithmic(&lookup, rows, &folder.join("placement-lookup.svg"))?;
    let balance = Picture {
        title: "Largest share over the fair one (1 is perfect)",
        axis: "largest share / fair share",
        value: |row| row.largest_over_fair,
        // The classic functions leave most slots to few replicas: it would need an axis of its own.
        without: &["classic", "rendezvous, 7 weights", "pingora-ketama"],
        shows: |row| row.is_exact || is_counted_well(row),
        range: 0.95..1.55,
    };
    chart::draw_linear(&balance, rows, &folder.join("placement-balance.svg"))
}
