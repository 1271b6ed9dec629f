//! A paper becomes files that stand alone: pictures, tables, a page that fetches nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{Axes, Bar, Chart, Line, Mark, Paper, Section, Setting, Table};

fn bars() -> Chart {
    let bar = |label: &str, value, expected| Bar { label: label.into(), value, expected };
    Chart::Bars {
        id: "bars".into(),
        title: "Answers & what is expected".into(),
        unit: "answers".into(),
        bars: vec![
            bar("server_1", 8421.0, Some((8437.5, 145.2))),
            bar("classic\nquadratic probe", 469.0, Some((468.8, 84.6))),
            bar("server_3", 1110.0, Some((1093.8, 124.9))),
        ],
    }
}

fn lines() -> Chart {
    let line = |label: &str, height: f64, is_failure| Line {
        label: label.into(),
        points: (0..50).map(|x| (f64::from(x) / 10.0, height + f64::from(x % 7))).collect(),
        is_failure,
    };
    Chart::Lines {
        id: "lines".into(),
        title: "Answers by replica while one is killed".into(),
        axes: Axes::new("seconds", "answers a second"),
        lines: vec![
            line("server_1", 330.0, false),
            line("server_2", 310.0, false),
            line("failed", 0.0, true),
        ],
        marks: vec![
            Mark { at: 2.0, label: "killed".into() },
            Mark { at: 2.1, label: "whole again after 95 ms".into() },
        ],
    }
}

fn paper() -> Paper {
    let mut table = Table::new("table", "A table", &["call", "verdict"]);
    table.rows.push(vec!["GET /<script>alert(1)</script>".into(), "yes, really".into()]);
    let section = Section {
        id: "s1".into(),
        title: "A <section>".into(),
        text: vec!["5 < 6 & 7 > 6".into()],
        misses: vec!["something".into()],
        tables: vec![table],
        charts: vec![bars(), lines()],
        data: serde_json::json!({"a": 1}),
    };
    let facts = vec![("kernel".to_owned(), "6".to_owned())];
    Paper { setting: Setting { command: "evenkeel lab all".into(), seed: 7, facts }, sections: vec![section] }
}

#[test]
fn a_paper_is_whole_and_fetches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = std::env::var_os("LAB_PAPER").map_or_else(|| folder.path().join("new"), Into::into);
    let page = lab::write(&paper(), &out).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected =
        ["bars.png", "bars.svg", "data.json", "lines.png", "lines.svg", "report.html", "table.csv"];
    assert_eq!(names, expected, "nothing temporary stays");

    let html = std::fs::read_to_string(page).unwrap();
    assert_eq!(html.matches("<svg ").count(), 2, "the pictures are in it");
    for fetching in ["<script", "<img", "<iframe", "@import", "href=\"http", "src="] {
        assert!(!html.contains(fetching), "{fetching}");
    }
    assert_eq!(html.matches("url(").count(), html.matches("url(data:font/ttf;base64,").count());
    assert!(html.contains("5 &lt; 6 &amp; 7 &gt; 6") && html.contains("&lt;script&gt;"), "text is text");
    assert!(html.contains("Not as expected: something"));
    // The page's colours for the dark rest on those that the pictures are drawn in.
    for rule in ["fill=\"#FFFFFF\"", "fill=\"#1F2328\"", "stroke=\"#D0D7DE\""] {
        let count = html.matches(rule).count();
        assert!(count >= 2, "{rule} is in the style and in the pictures: {count}");
    }
    assert_eq!(std::fs::read_to_string(out.join("table.csv")).unwrap().lines().count(), 2);
}

#[test]
fn a_picture_has_its_words_and_its_pixels() {
    let folder = tempfile::tempdir().unwrap();
    lab::write(&paper(), folder.path()).unwrap();
    let svg = std::fs::read_to_string(folder.path().join("lines.svg")).unwrap();
    for word in ["server_1", "failed", "killed", "whole again after 95 ms", "seconds"] {
        assert!(svg.contains(word), "{word}");
    }
    let (width, pixels) = pixels(&folder.path().join("bars.png"));
    assert_eq!((width, pixels.len()), (1720, 1720 * 840));
    // Letters: dark pixels where the title is, which is above all bars.
    let dark = pixels[..width * 80].iter().filter(|pixel| pixel.iter().all(|value| *value < 90)).count();
    assert!(dark > 500, "the title is there: {dark} dark pixels");
}

/// A browser, if there is one; `EVENKEEL_BROWSER` names another.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("EVENKEEL_BROWSER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| {
            std::env::split_paths(&path).map(move |folder| folder.join(name)).collect::<Vec<_>>()
        })
        .find(|program| program.is_file());
    named.or(found)
}

#[test]
fn a_browser_shows_the_page_and_has_nothing_to_complain_of() {
    let Some(browser) = browser() else {
        assert!(std::env::var_os("EVENKEEL_REQUIRE_BROWSER").is_none(), "there is no Chromium");
        println!("skipped: there is no Chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = lab::write(&paper(), folder.path()).unwrap();
    let shot = folder.path().join("shot.png");
    for theme in ["", "--force-dark-mode"] {
        let mut command = Command::new(&browser);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--window-size=900,2000",
        ]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        command
            .arg(format!("--screenshot={}", shot.display()))
            .args(Some(theme).filter(|theme| !theme.is_empty()));
        let output = command.arg(format!("file://{}", page.display())).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("CONSOLE"), "{said}");
        let (width, pixels) = pixels(&shot);
        // The bars of the first picture are there, in their colour, whatever the theme.
        let blue = pixels.iter().filter(|pixel| **pixel == [0, 114, 178]).count();
        assert!(blue > 10_000, "{theme}: {blue} blue pixels");
        let paper = if theme.is_empty() { [255, 255, 255] } else { [20, 24, 29] };
        assert_eq!(pixels[width * 5 + 5], paper, "{theme}");
    }
}

/// The width of a picture and its pixels.
fn pixels(path: &Path) -> (usize, Vec<[u8; 3]>) {
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut bytes).unwrap();
    let samples = frame.color_type.samples();
    let pixel = |sample: &[u8]| [sample[0], sample[1], sample[2]];
    let pixels = bytes[..frame.buffer_size()].chunks(samples).map(pixel);
    (frame.width as usize, pixels.collect())
}
