//! Compares what a case saw with what its table says, and with what holds for every case.

use super::message::{Field, Head};
use super::notation::shown;
use super::play::{Answer, Fate, Next, Seen, fate};
use super::replica::{AFTER, Reached};
use super::table::{Case, Slot, Wanted};

/// Fields that are never forwarded behind a body: framing, routing, and who somebody is.
const NO_TRAILERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "forwarded",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-real-ip",
];

/// Everything that is wrong with a case.
pub(crate) fn faults(case: &Case, seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    // A request that was broken off may reach the replica when the next case has begun.
    let of_another = |reached: &&Reached| !reached.is_whole && is_of_another(&reached.head, case.number);
    let (after, reached): (Vec<&Reached>, Vec<&Reached>) = seen
        .reached
        .iter()
        .filter(|reached| !of_another(reached))
        .partition(|reached| reached.head.target() == AFTER.as_bytes());
    judge_answers(case, seen, &mut faults);
    if !faults.is_empty() {
        // The rest follows from it.
        return faults;
    }
    judge_connection(case, seen, &mut faults);
    judge_count(case, seen, &reached, &mut faults);
    judge_reuse(case, &reached, &after, &mut faults);
    for reached in reached.iter().chain(&after) {
        judge_forwarded(reached, &mut faults);
    }
    for (wanted, reached) in case.at_replica.iter().zip(&reached) {
        // Of what was broken off, the body says nothing.
        if !reached.is_whole && case.has("unfinished") {
            continue;
        }
        faults.extend(differences("the replica", wanted, &reached.head, &reached.body));
    }
    let wanting_answer = !case.at_replica.is_empty() && reached.len() < case.at_replica.len();
    if wanting_answer && case.slots.last().is_some_and(|slot| slot.len() == 1) {
        faults.push(format!("{} of {} requests came", reached.len(), case.at_replica.len()));
    }
    faults
}

fn is_of_another(head: &Head, number: usize) -> bool {
    let target = String::from_utf8_lossy(head.target()).into_owned();
    target.strip_prefix('/').and_then(|rest| rest.parse().ok()).is_some_and(|other: usize| other != number)
}

fn judge_answers(case: &Case, seen: &Seen, faults: &mut Vec<String>) {
    for (index, slot) in case.slots.iter().enumerate() {
        let allows = |status, is_cut| slot.iter().any(|one| (one.status, one.is_cut) == (status, is_cut));
        match (seen.answers.get(index), &seen.broken) {
            (Some(answer), _) if allows(answer.status, answer.body.is_cut) => {}
            (None, Some(Next::Ends)) if allows(0, false) => return,
            (Some(answer), _) => {
                let cut = if answer.body.is_cut { ", cut" } else { "" };
                faults.push(format!("answer {}: {}{cut}, not {}", index + 1, answer.status, listed(slot)));
                return;
            }
            (None, broken) => {
                let what = broken.as_ref().map_or("nothing".to_string(), Next::to_string);
                faults.push(format!("answer {}: not {}, {what}", index + 1, listed(slot)));
                return;
            }
        }
    }
    let finals: Vec<&Answer> = seen.answers.iter().filter(|answer| answer.is_final()).collect();
    // Where a refusal is as good, what is wanted of the answer is not wanted of the refusal.
    let may_refuse = case.slots.last().is_some_and(|slot| slot.len() > 1);
    for (wanted, answer) in case.at_client.iter().zip(&finals) {
        if may_refuse && answer.is_own() {
            continue;
        }
        faults.extend(differences("the client", wanted, &answer.head, &answer.body.bytes));
    }
    for answer in &seen.answers {
        let trailers = answer.body.trailers.iter().map(|field| &field.name);
        faults.extend(trailers.filter(|name| is_no_trailer(name)).map(|name| format!("trailer {name}")));
        let has_length = answer.status < 200 || answer.status == 204;
        let framing = ["content-length", "transfer-encoding"];
        if has_length && framing.iter().any(|name| !answer.head.values(name).is_empty()) {
            faults.push(format!("{} with a length", answer.status));
        }
    }
}

fn listed(slot: &[Slot]) -> String {
    let one = |slot: &Slot| match slot {
        Slot { status: 0, .. } => "-".to_string(),
        Slot { status, is_cut, .. } => format!("{status}{}", if *is_cut { "-cut" } else { "" }),
    };
    slot.iter().map(one).collect::<Vec<_>>().join("/")
}

fn judge_connection(case: &Case, seen: &Seen, faults: &mut Vec<String>) {
    let last = seen.answers.last();
    match (fate(case, last), &seen.next) {
        (Fate::Closed, Some(Next::Ends)) => {
            let says_close = |answer: &Answer| {
                answer.head.values("connection").iter().any(|value| value.eq_ignore_ascii_case(b"close"))
            };
            if last.is_some_and(|answer| answer.is_own() && !says_close(answer)) {
                faults.push("closed without Connection: close".to_string());
            }
        }
        (Fate::Kept, Some(next @ Next::Answers(_))) => judge_after(next, faults),
        (Fate::Either, Some(next @ Next::Answers(_))) => judge_after(next, faults),
        (Fate::Either, Some(Next::Ends)) | (_, None) => {}
        (fate, Some(next)) => faults.push(format!("the connection should be {fate:?}, and {next}")),
    }
    if let Some(elsewhere) = &seen.elsewhere {
        judge_after(elsewhere, faults);
    }
    if !seen.is_settled {
        faults.push("the replica is still busy".to_string());
    }
}

fn judge_after(next: &Next, faults: &mut Vec<String>) {
    let expected = format!("GET {AFTER} HTTP/1.1");
    let is_good = matches!(next, Next::Answers(answer)
        if answer.status == 200 && answer.body.bytes == expected.as_bytes());
    if !is_good {
        faults.push(format!("to the next request {next}"));
    }
}

fn judge_count(case: &Case, seen: &Seen, reached: &[&Reached], faults: &mut Vec<String>) {
    let finals = seen.answers.iter().filter(|answer| answer.is_final());
    let forwarded = finals.filter(|answer| !answer.is_own()).count();
    let whole = reached.iter().filter(|reached| reached.is_whole).count();
    let last_own = seen.answers.last().filter(|answer| answer.is_own()).map(|answer| answer.status);
    let is_at_least = last_own.is_some_and(|status| status >= 502 && status != 505);
    let is_partial = case.has("unfinished");
    let expected = forwarded + usize::from(case.has("once") && last_own.is_some());
    // A client that left may have left a request behind.
    let may_leave = seen.broken.is_some() && case.slots.iter().flatten().any(|slot| slot.status == 200);
    if may_leave || (is_at_least && !case.has("once")) {
        return;
    }
    let early = case.answer.is_some();
    if (whole != expected && !early) || (!is_partial && reached.len() != expected) {
        faults.push(format!("{whole} whole of {} requests came, not {expected}", reached.len()));
    }
    if case.answer.is_none() {
        let bodies = seen.answers.iter().filter(|answer| answer.is_final() && !answer.is_own());
        for (answer, reached) in bodies.zip(reached) {
            if answer.body.bytes != reached.head.line && !reached.head.line.starts_with(b"HEAD ") {
                faults.push(format!("an answer to another request: {}", shown(&answer.body.bytes)));
            }
        }
    }
}

fn judge_reuse(case: &Case, reached: &[&Reached], after: &[&Reached], faults: &mut Vec<String>) {
    let (Some(last), Some(next)) = (reached.last(), after.first()) else { return };
    let is_same = last.connection == next.connection;
    if case.has("reused") && !is_same {
        faults.push("the replica's connection was not reused".to_string());
    }
    if case.has("fresh") && is_same {
        faults.push("the replica's connection was reused".to_string());
    }
}

/// What holds for each request that a replica gets.
fn judge_forwarded(reached: &Reached, faults: &mut Vec<String>) {
    let head = &reached.head;
    if let Some(fault) = &reached.fault {
        faults.push(format!("the replica cannot read it: {fault}"));
        return;
    }
    if !head.line.ends_with(b" HTTP/1.1") {
        faults.push(format!("the replica got {}", shown(&head.line)));
    }
    let forwarded =
        [("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("x-forwarded-proto", "http")];
    for (name, value) in forwarded {
        if head.values(name) != [value.as_bytes()] {
            faults.push(format!("the replica got {name}: {}", joined(&head.values(name))));
        }
    }
    if head.values("host").len() != 1 {
        faults.push(format!("the replica got {} hosts", head.values("host").len()));
    }
    for name in ["keep-alive", "proxy-connection", "te", "trailer"] {
        if !head.values(name).is_empty() && reached.trailers.is_empty() {
            faults.push(format!("the replica got {name}"));
        }
    }
    let trailers = reached.trailers.iter().map(|field: &Field| &field.name);
    faults.extend(trailers.filter(|name| is_no_trailer(name)).map(|name| format!("trailer {name} went on")));
    faults.extend(
        head.fields
            .iter()
            .filter(|field| field.name.contains('_'))
            .map(|field| format!("the replica got {}", field.name)),
    );
}

fn is_no_trailer(name: &str) -> bool {
    NO_TRAILERS.contains(&name) || name.contains('_')
}

/// What of a message is not as it is wanted.
fn differences(who: &str, wanted: &[Wanted], head: &Head, body: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    for one in wanted {
        let fault = match one {
            Wanted::Line(line) => {
                (head.line != *line).then(|| format!("the line {}, not {}", shown(&head.line), shown(line)))
            }
            Wanted::Body(bytes) => {
                (body != bytes).then(|| format!("the body {}, not {}", shown(body), shown(bytes)))
            }
            Wanted::Present(name, _) => {
                let values: Vec<&[u8]> = wanted.iter().filter_map(|other| value_of(other, name)).collect();
                let got = head.values(name);
                (got != values).then(|| format!("{name}: {}, not {}", joined(&got), joined(&values)))
            }
            Wanted::Once(name) => {
                (head.values(name).len() != 1).then(|| format!("{name}: {}", joined(&head.values(name))))
            }
            Wanted::Absent(name, None) => {
                (!head.values(name).is_empty()).then(|| format!("{name}: {}", joined(&head.values(name))))
            }
            Wanted::Absent(name, Some(value)) => {
                head.values(name).contains(&value.as_slice()).then(|| format!("{name}: {}", shown(value)))
            }
        };
        faults.extend(fault.map(|fault| format!("{who} got {fault}")));
    }
    faults
}

fn value_of<'a>(wanted: &'a Wanted, name: &str) -> Option<&'a [u8]> {
    match wanted {
        Wanted::Present(other, value) if other == name => Some(value),
        _ => None,
    }
}

fn joined(values: &[&[u8]]) -> String {
    let values: Vec<String> = values.iter().map(|value| shown(value)).collect();
    if values.is_empty() { "nothing".to_string() } else { values.join(" and ") }
}

/// What is wrong with the shape of our own answers (RFC 9457, RFC 9209, RFC 9110 6.6.1).
pub(crate) fn shape_faults(seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    for answer in seen.answers.iter().filter(|answer| answer.is_own()) {
        let one = |name: &str| match answer.head.values(name)[..] {
            [value] => String::from_utf8_lossy(value).into_owned(),
            _ => String::new(),
        };
        if one("content-type") != "application/problem+json" {
            faults.push(format!("Content-Type: {}", one("content-type")));
        }
        if one("content-length").is_empty() {
            faults.push("no Content-Length".to_string());
        }
        if !one("date").ends_with(" GMT") {
            faults.push(format!("Date: {}", one("date")));
        }
        if one("proxy-status").split(';').next().map(str::trim) != Some("evenkeel") {
            faults.push(format!("Proxy-Status: {}", one("proxy-status")));
        }
        let body = serde_json::from_slice::<serde_json::Value>(&answer.body.bytes);
        let is_empty = answer.body.bytes.is_empty() && seen.sent.starts_with(b"HEAD ");
        if !is_empty && body.map_or(true, |body| body["status"] != answer.status) {
            faults.push(format!("the body {}", shown(&answer.body.bytes)));
        }
    }
    faults
}
