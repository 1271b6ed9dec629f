//! The page: one HTML file with everything in it, for light and dark, for the screen and for paper.

use std::fmt::Write as _;

use super::{Paper, Section, Table, canvas};

/// The pictures are drawn in the light theme's colours; these rules give them the dark theme's.
const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--soft:#59636e;--grid:#d0d7de;--good:#1a7f37;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e6edf3;--soft:#9198a1;--grid:#3d444d;--good:#57ab5a;--bad:#ff7b72}}
@media print{:root{--paper:#fff;--ink:#1f2328;--soft:#59636e;--grid:#d0d7de;--good:#1a7f37;--bad:#b3261e}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:2rem 1rem;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,\"Noto Sans Lab\",sans-serif}
h1,h2{line-height:1.25}h2{margin-top:3rem;border-bottom:1px solid var(--grid);padding-bottom:.3rem}
figure{margin:1.5rem 0;break-inside:avoid}
figure svg{display:block;width:100%;height:auto;border:1px solid var(--grid);border-radius:6px}
figure svg text{font-family:\"Noto Sans Lab\",sans-serif}
figure svg [fill=\"#FFFFFF\"]{fill:var(--paper)}
figure svg [fill=\"#1F2328\"]{fill:var(--ink)}
figure svg [stroke=\"#1F2328\"]{stroke:var(--ink)}
figure svg [stroke=\"#D0D7DE\"]{stroke:var(--grid)}
.wide{overflow-x:auto;margin:1.5rem 0}
table{border-collapse:collapse;font-size:.85rem;width:100%}
caption{text-align:left;font-weight:600;padding-bottom:.3rem}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--grid);text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}
tr{break-inside:avoid}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.9rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}
footer{margin-top:3rem;color:var(--soft);font-size:.85rem}
";

/// The page of a paper with these pictures, each an SVG by its name.
pub(super) fn html(paper: &Paper, pictures: &[(String, String)]) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n";
    // Without this, a browser asks for an icon that is not there.
    page += "<link rel=\"icon\" href=\"data:,\">\n<title>Evenkeel lab</title>\n<style>\n";
    page += STYLE;
    // The pictures are laid out for this font, and a machine may have none at all.
    if let Some(letters) = canvas::letters() {
        page +=
            &format!("@font-face{{font-family:\"Noto Sans Lab\";src:url(data:font/ttf;base64,{letters})}}\n");
    }
    page += "</style>\n</head>\n<body>\n<h1>Evenkeel lab</h1>\n<dl>\n";
    let command = ("command".to_owned(), paper.setting.command.clone());
    let seed = ("seed".to_owned(), paper.setting.seed.to_string());
    // Writing to a string cannot fail.
    for (name, value) in [command, seed].iter().chain(&paper.setting.facts) {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    page += "</dl>\n";
    for section in &paper.sections {
        write_section(&mut page, section, pictures);
    }
    page += "<footer>The figures are in <code>data.json</code> and in the CSV files next to this page";
    page += match pictures {
        [] => ". This program was built without what draws pictures (the feature <code>drawing</code>).",
        _ => {
            "; each picture is there as SVG and PNG. The letters of the pictures are Noto Sans, SIL Open Font License 1.1."
        }
    };
    page += "</footer>\n</body>\n</html>\n";
    page
}

fn write_section(page: &mut String, section: &Section, pictures: &[(String, String)]) {
    let _ = writeln!(page, "<section id=\"{}\">\n<h2>{}</h2>", escaped(&section.id), escaped(&section.title));
    for sentence in &section.text {
        let _ = writeln!(page, "<p>{}</p>", escaped(sentence));
    }
    if section.misses.is_empty() {
        *page += "<p class=\"good\">Everything that was expected came true.</p>\n";
    }
    for miss in &section.misses {
        let _ = writeln!(page, "<p class=\"bad\">Not as expected: {}</p>", escaped(miss));
    }
    for chart in &section.charts {
        let picture = pictures.iter().find(|(id, _)| id == chart.id());
        if let Some((id, svg)) = picture {
            let (id, label) = (escaped(id), escaped(chart.title()));
            let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1);
            let _ = writeln!(page, "<figure id=\"{id}\">\n{svg}\n</figure>");
        }
    }
    section.tables.iter().for_each(|table| write_table(page, table));
    *page += "</section>\n";
}

fn write_table(page: &mut String, table: &Table) {
    let _ = writeln!(page, "<div class=\"wide\"><table>\n<caption>{}</caption>", escaped(&table.title));
    let row = |cells: &[String], tag: &str| -> String {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
    let _ =
        writeln!(page, "<thead>{}</thead>\n<tbody>{body}</tbody>\n</table></div>", row(&table.head, "th"));
}

/// Text for a place where HTML is expected. What targets answer gets here, too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            other => safe.push(other),
        }
    }
    safe
}
