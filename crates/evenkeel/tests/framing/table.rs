//! The tables: text files that a person can scan, one case a line. This reads them; it judges
//! nothing.
//!
//! ```text
//! ## A group: its rule of the policy, and the sections of the RFCs behind it
//! ask GET / HTTP/1.1¶Host: h¶~¶¶
//! answer
//! white space before the colon | X-A : 1 | 400
//! an empty value               | X-A:    | 200 | > X-A:
//! ```
//!
//! `ask` is what the client sends and `answer` what the replica says to each request; what a case
//! has in its second column stands for the `~` in either. Without an `answer`, the replica says 200
//! and sends the request line back. A line that is indented continues the one before. `[any 00-1f,7f]`
//! makes a case of each of these bytes. For what else bytes are made of, see `notation`.
//!
//! The third column is the outcome: the statuses that the client sees in their order, and what
//! becomes of the connections.
//!
//! | written | means |
//! |---|---|
//! | `200/400` | either of the two |
//! | `-` | the connection ends without an answer |
//! | `200-cut` | the connection ends within the body |
//! | `200-head` | an answer to HEAD: there is no body, whatever its head says |
//! | `200*3` | three of them |
//! | `kept` | the client's connection serves another request; so it is after an answer of the replica |
//! | `closed` | it says so, and serves no other; so it is after 400, 408, 413, 414, 431, 501 and 505 |
//! | `either` | it may do both; so it is after other failures |
//! | `unfinished` | the replica may have got the beginning of the last request, but never all of it |
//! | `once` | the request reached the replica once |
//! | `reused` `fresh` | the next request comes to the replica on the same, on another connection |
//!
//! Further columns begin with `>` for what the replica got, request by request, or with `<` for what
//! the client got, answer by answer. `X-A: 1` is there, and no other of its name but those that the
//! column has, too; `?X-A` is there once; `!X-A` is not there; `!X-A: 1` is not there with this value;
//! `=hello` is the body; anything else is the first line.

use super::notation::{Step, bytes, steps};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its place in the tables; tells its requests from those of others.
    pub(crate) number: usize,
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) ask: Vec<Step>,
    pub(crate) answer: Option<Vec<Step>>,
    pub(crate) slots: Vec<Vec<Slot>>,
    pub(crate) flags: Vec<String>,
    pub(crate) at_replica: Vec<Vec<Wanted>>,
    pub(crate) at_client: Vec<Vec<Wanted>>,
}

/// One answer, as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Zero when there is none.
    pub(crate) status: u16,
    pub(crate) is_cut: bool,
    pub(crate) is_head: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Line(Vec<u8>),
    Present(String, Vec<u8>),
    Once(String),
    Absent(String, Option<Vec<u8>>),
    Body(Vec<u8>),
}

impl Case {
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|other| other == flag)
    }

    /// How many bytes are sent, both ways together.
    pub(crate) fn size(&self) -> usize {
        let steps = self.ask.iter().chain(self.answer.iter().flatten());
        steps.map(|step| if let Step::Write(bytes) = step { bytes.len() } else { 0 }).sum()
    }
}

const FLAGS: [&str; 7] = ["kept", "closed", "either", "unfinished", "once", "reused", "fresh"];

/// What the lines of a group have in common: a request and an answer, with a gap for a line's own part.
#[derive(Default)]
struct Frame {
    ask: String,
    answer: String,
}

/// The cases of a table.
pub(crate) fn read(text: &str) -> Vec<Case> {
    let (mut cases, mut group, mut frame) = (Vec::new(), String::new(), Frame::default());
    for line in joined(text) {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "##" => (group, frame.answer) = (rest.to_string(), String::new()),
            "#" => {}
            "ask" => frame.ask = rest.to_string(),
            "answer" => frame.answer = rest.to_string(),
            _ => {
                for line in each_byte(&line) {
                    cases.push(case(&line, &group, &frame, cases.len()));
                }
            }
        }
    }
    cases
}

/// Lines that are not empty, each with those that continue it.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') => {
                // A column of its own, or more of the last one.
                last.push_str(if line.trim_start().starts_with('|') { " " } else { "" });
                last.push_str(line.trim());
            }
            _ => lines.push(line.trim_end().to_string()),
        }
    }
    lines
}

fn each_byte(line: &str) -> Vec<String> {
    let Some((before, rest)) = line.split_once("[any ") else { return vec![line.to_string()] };
    let (ranges, _) = rest.split_once(']').unwrap();
    let token = format!("[any {ranges}]");
    let (name, _) = before.split_once(" | ").unwrap();
    let byte = |text: &str| u8::from_str_radix(text, 16).unwrap();
    let bytes = ranges.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        byte(first)..=byte(last)
    });
    let make = |byte| {
        let text = line.replace(&token, &format!("\\x{byte:02x}"));
        text.replacen(name, &format!("{} {byte:#04x}", name.trim_end()), 1)
    };
    bytes.map(make).collect()
}

fn case(line: &str, group: &str, frame: &Frame, number: usize) -> Case {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [name, own, outcome, more @ ..] = &columns[..] else { panic!("three columns, please: {line}") };
    let filled = |frame: &str| steps(&frame.replacen('~', own, 1), number);
    let mut case = Case {
        number,
        group: group.to_string(),
        name: (*name).to_string(),
        ask: filled(&frame.ask),
        answer: (!frame.answer.is_empty()).then(|| filled(&frame.answer)),
        slots: Vec::new(),
        flags: Vec::new(),
        at_replica: Vec::new(),
        at_client: Vec::new(),
    };
    for word in outcome.split_whitespace() {
        if FLAGS.contains(&word) {
            case.flags.push(word.to_string());
            continue;
        }
        let (slot, count) = word.split_once('*').unwrap_or((word, "1"));
        let slot: Vec<Slot> = slot.split('/').map(one_slot).collect();
        case.slots.extend(vec![slot; count.parse().unwrap()]);
    }
    for column in more {
        let side = if column.starts_with('>') { &mut case.at_replica } else { &mut case.at_client };
        let items = column.trim_start_matches(['>', '<']).trim();
        side.push(
            items.split('¶').filter(|item| !item.is_empty()).map(|item| wanted(item, number)).collect(),
        );
    }
    case
}

fn one_slot(text: &str) -> Slot {
    let (status, kind) = text.split_once('-').unwrap_or((text, ""));
    let status =
        if text == "-" { 0 } else { status.parse().unwrap_or_else(|_| panic!("no outcome: {text}")) };
    Slot { status, is_cut: kind == "cut", is_head: kind == "head" }
}

fn wanted(item: &str, number: usize) -> Wanted {
    let value = |text: &str| bytes(text.trim(), number);
    if let Some(body) = item.strip_prefix('=') {
        return Wanted::Body(bytes(body, number));
    }
    if let Some(name) = item.strip_prefix('?') {
        return Wanted::Once(name.to_lowercase());
    }
    if let Some(absent) = item.strip_prefix('!') {
        let (name, held) = absent.split_once(": ").unzip();
        return Wanted::Absent(name.unwrap_or(absent).to_lowercase(), held.map(value));
    }
    match item.split_once(':') {
        Some((name, held)) if !name.contains(' ') => {
            let name = String::from_utf8(bytes(name, number)).unwrap();
            Wanted::Present(name.to_lowercase(), value(held))
        }
        _ => Wanted::Line(bytes(item, number)),
    }
}
