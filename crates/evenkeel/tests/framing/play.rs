//! Plays one case against a balancer and says what came of it. What should have come of it is
//! `judge`'s.

use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use super::message::{Body, Framing, Head, Unread, Wire};
use super::notation::{Step, shown};
use super::replica::{AFTER, Reached, Replica};
use super::table::Case;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Body,
}

/// What the client's connection does once the answers of the case are read.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    Ends,
    Answers(Box<Answer>),
    Stays,
    Garbled(String),
}

impl fmt::Display for Next {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends => write!(out, "it ends"),
            Self::Stays => write!(out, "it stays open, and silent"),
            Self::Garbled(what) => write!(out, "it cannot be read: {what}"),
            Self::Answers(answer) => {
                write!(out, "it answers {}: {}", answer.status, shown(&answer.body.bytes))
            }
        }
    }
}

/// Everything that was seen of a case.
pub(crate) struct Seen {
    pub(crate) answers: Vec<Answer>,
    /// Why there was no further answer where one was expected.
    pub(crate) broken: Option<Next>,
    /// Asked again on the same connection, or nothing said, if it should be closed.
    pub(crate) next: Option<Next>,
    /// Asked again on a new connection.
    pub(crate) elsewhere: Option<Next>,
    pub(crate) is_settled: bool,
    pub(crate) reached: Vec<Reached>,
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
}

/// What the client expects of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Closed,
    Either,
}

pub(crate) fn play(case: &Case, balancer: SocketAddr, replica: &Replica, is_bytewise: bool) -> Seen {
    replica.begin(case.answer.as_deref(), is_bytewise);
    let mut client = Wire::connect(balancer, LIMIT);
    let (mut answers, mut broken) = (Vec::new(), None);
    ask(case, &mut client, &mut answers, is_bytewise);
    while answers.len() < case.slots.len() && broken.is_none() {
        let slot = case.slots[answers.len()][0];
        match answer(&mut client, slot.is_head) {
            Next::Answers(answer) => answers.push(*answer),
            other => broken = Some(other),
        }
        if answers.last().is_some_and(|answer: &Answer| answer.body.is_cut || answer.status == 101) {
            break;
        }
    }
    if let Some(answer) = answers.last_mut().filter(|answer| answer.status == 101) {
        // From here on there are bytes only.
        answer.body = client.body(Framing::UntilClose).unwrap_or_default();
    }
    let fate = fate(case, answers.last());
    let is_settled = replica.is_settled_within(LIMIT);
    let next = broken.is_none().then(|| match fate {
        Fate::Closed => answer(&mut client, false),
        Fate::Kept | Fate::Either => ask_again(&mut client),
    });
    let is_answered = matches!(next, Some(Next::Answers(_)));
    let elsewhere =
        (!is_answered || fate == Fate::Closed).then(|| ask_again(&mut Wire::connect(balancer, LIMIT)));
    let (sent, received) = (client.sent, client.received);
    Seen { answers, broken, next, elsewhere, is_settled, reached: replica.reached(), sent, received }
}

/// Whether the connection should be closed after this answer.
pub(crate) fn fate(case: &Case, last: Option<&Answer>) -> Fate {
    if case.has("kept") {
        return Fate::Kept;
    }
    if case.has("either") {
        return Fate::Either;
    }
    match last {
        _ if case.has("closed") => Fate::Closed,
        Some(answer) if answer.body.is_cut || answer.status == 101 => Fate::Closed,
        Some(answer) if answer.is_own() => fate_of_own(answer.status),
        Some(_) => Fate::Kept,
        None => Fate::Closed,
    }
}

fn fate_of_own(status: u16) -> Fate {
    match status {
        400 | 408 | 413 | 414 | 431 | 501 | 505 => Fate::Closed,
        _ => Fate::Either,
    }
}

impl Answer {
    /// Whether the balancer gave it, and not the replica: what a replica of these tests says has a
    /// mark when it is a failure.
    pub(crate) fn is_own(&self) -> bool {
        self.status >= 400 && self.head.values("x-backend").is_empty()
    }

    pub(crate) fn is_final(&self) -> bool {
        self.status >= 200 || self.status == 101
    }
}

fn ask(case: &Case, client: &mut Wire, answers: &mut Vec<Answer>, is_bytewise: bool) {
    let mut has_waited = false;
    for step in &case.ask {
        match step {
            // Not all of it may be taken: a refusal need not read to the end.
            Step::Write(bytes) => _ = client.write(bytes, is_bytewise),
            Step::Close => client.finish(Shutdown::Write),
            Step::Await(status) => loop {
                match answer(client, false) {
                    Next::Answers(answer) => answers.push(*answer),
                    _ => return,
                }
                if answers.last().is_some_and(|answer| answer.status == *status || answer.is_final()) {
                    break;
                }
            },
            other => panic!("a client does not {other:?}"),
        }
        has_waited |= matches!(step, Step::Await(_) | Step::Close);
    }
    // What follows a refused request on its connection must not be served. Byte by byte nothing
    // follows, so that a refusal cannot hang on it.
    let is_refused = case.slots.last().is_some_and(|slot| {
        slot.iter().all(|slot| slot.status >= 400 && fate_of_own(slot.status) == Fate::Closed)
    });
    let is_last = case.has("closed") || (is_refused && !case.has("either"));
    if is_last && !has_waited && !is_bytewise {
        client.write(b"GET /too-late HTTP/1.1\r\nHost: h\r\n\r\n", false);
    }
}

fn ask_again(client: &mut Wire) -> Next {
    let request = format!("GET {AFTER} HTTP/1.1\r\nHost: after\r\nConnection: close\r\n\r\n");
    client.write(request.as_bytes(), false);
    let next = answer(client, false);
    match (&next, client.head()) {
        (Next::Answers(_), Err(Unread::End)) => next,
        (Next::Answers(_), Err(Unread::Late)) => Next::Garbled("open after Connection: close".to_string()),
        (Next::Answers(_), Ok(head)) => {
            Next::Garbled(format!("{} behind the last answer", shown(&head.line)))
        }
        (Next::Answers(_), Err(Unread::Bad(what))) => Next::Garbled(what),
        _ => next,
    }
}

fn answer(client: &mut Wire, is_to_head: bool) -> Next {
    let read = client.head().and_then(|head| {
        let line = String::from_utf8_lossy(&head.line).into_owned();
        let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
        let status = rest.and_then(|rest| rest.split_once(' ')).map(|(status, _)| status);
        let Some(Ok(status @ 100..=999)) = status.map(str::parse) else {
            return Err(Unread::Bad(format!("not a status line: {line}")));
        };
        let framing = head.framing(Framing::UntilClose)?;
        let body = match status {
            100..=199 | 204 | 304 => Framing::Empty,
            _ if is_to_head => Framing::Empty,
            _ => framing,
        };
        Ok(Answer { status, body: client.body(body)?, head })
    });
    match read {
        Ok(answer) => Next::Answers(Box::new(answer)),
        Err(Unread::End) => Next::Ends,
        Err(Unread::Late) => Next::Stays,
        Err(Unread::Bad(what)) => Next::Garbled(what),
    }
}
