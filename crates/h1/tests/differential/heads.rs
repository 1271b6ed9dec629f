//! Heads, read by h1 and by httparse.

use h1::{BadHead, Fields, HeadEnd, HeadLimits, Method, RequestHead, ResponseHead, Underscores, Version};

use crate::rules::{
    Header, has_bare_line_feed, is_over_limits, split_absolute, wrong_lengths, wrong_request,
};
use crate::tally::{Class, Tally, unexplained};

/// More fields than h1 lets pass.
const SLOTS: usize = 256;

type Find = fn(&mut HeadEnd, &[u8], &HeadLimits) -> Result<Option<usize>, BadHead>;

/// How heads of a kind are read.
#[derive(Clone, Copy)]
struct Reading {
    find: Find,
    parse: fn(&[u8], &HeadLimits) -> Result<(), BadHead>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Whole(usize),
    Unfinished,
    Fault(BadHead),
}

/// What httparse says of a message, and what is wrong with it nevertheless.
struct Other<'a> {
    result: httparse::Result<usize>,
    headers: Vec<Header<'a>>,
    wrong: Vec<Class>,
}

/// Reads the beginning of these bytes as the head of a request, twice; panics at a difference that is
/// not in the list.
pub(crate) fn check_request(bytes: &[u8], tally: &mut Tally) {
    let reading = Reading {
        find: HeadEnd::find_in_request,
        parse: |head, limits| RequestHead::default().parse(head, limits),
    };
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut view = httparse::Request::new(&mut slots);
    let result = view.parse(bytes);
    let headers = pairs(view.headers);
    let (method, target) = (view.method.unwrap_or_default(), view.path.unwrap_or_default().as_bytes());
    let is_http10 = view.version == Some(0);
    let mut wrong = Vec::new();
    if result.is_ok_and(|status| status.is_complete()) {
        wrong = wrong_request(method, target, is_http10, &headers);
    }
    if bytes.starts_with(b"\r\n\r\n") {
        wrong.push(Class::EmptyLines);
    }
    // What is refused before its end must be wrong also with one.
    let ended = [bytes, b"\r\n\r\n"].concat();
    if is_partial(bytes) && !is_partial(&ended) && matches!(read(bytes, reading), Outcome::Fault(_)) {
        return check_request(&ended, tally);
    }
    let other = Other { result, headers, wrong };
    let Some(end) = judge(bytes, reading, &other, tally) else { return };

    let mut fresh = RequestHead::default();
    fresh.parse(&bytes[..end], &limits()).expect("it passed before");
    let mut head = used_request();
    head.parse(&bytes[..end], &limits()).expect("it passed before");
    let (mut origin, mut path_and_query) = (Vec::new(), head.path().to_vec());
    head.write_origin(&mut origin);
    if let Some(query) = head.query() {
        path_and_query.extend([b"?", query].concat());
    }
    let is_connect = method == "CONNECT";
    let host = split_absolute(target).filter(|_| !is_connect).map(|(authority, _)| authority);
    let host = host.or_else(|| other.headers.iter().find(|(name, _)| is_host(name)).map(|(_, value)| *value));
    let is_same = head.method_name() == method.as_bytes()
        && head.method() == Method::of(method.as_bytes())
        && (is_connect || origin == expected_origin(method, target))
        && origin == path_and_query
        && head.host() == host
        && (head.version() == Version::Http10) == is_http10
        && head.body() == fresh.body()
        && head.upgrades().eq(fresh.upgrades())
        && (head.keeps_alive(), head.expects_continue()) == (fresh.keeps_alive(), fresh.expects_continue())
        && has_same_fields(head.fields(), &other.headers);
    if !is_same {
        unexplained(bytes, &format!("accepted by both and different: {head:?}"));
    }
}

/// Whether httparse waits for more of a request.
fn is_partial(bytes: &[u8]) -> bool {
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    httparse::Request::new(&mut slots).parse(bytes).is_ok_and(|status| status.is_partial())
}

/// Reads the beginning of these bytes as the head of an answer, twice, in the same way.
pub(crate) fn check_response(bytes: &[u8], tally: &mut Tally) {
    let reading =
        Reading { find: HeadEnd::find, parse: |head, limits| ResponseHead::default().parse(head, limits) };
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut view = httparse::Response::new(&mut slots);
    let result = view.parse(bytes);
    let headers = pairs(view.headers);
    let mut wrong = Vec::new();
    if result.is_ok_and(|status| status.is_complete()) {
        wrong = wrong_lengths(&headers, view.version == Some(0));
    }
    if view.code.is_some_and(|code| !(100..1000).contains(&code)) {
        wrong.push(Class::StatusOutOfRange);
    }
    if bytes.starts_with(b"\r\n") {
        wrong.push(Class::EmptyLines);
    }
    let other = Other { result, headers, wrong };
    let Some(end) = judge(bytes, reading, &other, tally) else { return };

    let mut fresh = ResponseHead::default();
    fresh.parse(&bytes[..end], &limits()).expect("it passed before");
    let mut head = ResponseHead::default();
    head.parse(b"HTTP/1.0 404 No\r\nContent-Length: 5\r\nConnection: upgrade, x\r\n\r\n", &limits())
        .expect("this is an answer");
    head.parse(&bytes[..end], &limits()).expect("it passed before");
    let reason = view.reason.unwrap_or_default().as_bytes();
    let is_left_out = reason.is_empty() && !head.reason().is_ascii();
    if is_left_out {
        tally.count(Class::ReasonLeftOut);
    }
    let is_same = Some(head.status()) == view.code
        && (head.reason() == reason || is_left_out)
        && (head.version() == Version::Http10) == (view.version == Some(0))
        && head.declared_length() == fresh.declared_length()
        && (head.keeps_alive(), head.upgrades()) == (fresh.keeps_alive(), fresh.upgrades())
        && has_same_fields(head.fields(), &other.headers);
    if !is_same {
        unexplained(bytes, &format!("accepted by both and different: {head:?}"));
    }
}

/// A head that held another request before: nothing of it may be left.
fn used_request() -> RequestHead {
    let mut head = RequestHead::default();
    let lines = [
        &b"PUT http://old/old?old HTTP/1.0\r\nHost: old\r\nContent-Length: 5\r\n"[..],
        b"Connection: upgrade, keep-alive, x\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\n",
    ];
    head.parse(&lines.concat(), &limits()).expect("this is a request");
    head
}

/// Where the head ends, if both accept it.
fn judge(bytes: &[u8], reading: Reading, other: &Other<'_>, tally: &mut Tally) -> Option<usize> {
    let ours = read(bytes, reading);
    let head = match other.result {
        Ok(httparse::Status::Complete(end)) => &bytes[..end],
        _ => bytes,
    };
    match (ours, other.result) {
        (Outcome::Whole(end), Ok(httparse::Status::Complete(other_end))) => {
            let is_wrong =
                !other.wrong.is_empty() || has_bare_line_feed(head) || is_over_limits(head, &other.headers);
            if end != other_end || is_wrong {
                unexplained(bytes, &format!("accepted up to {end}, {other_end}: {:?}", other.wrong));
            }
            tally.accepted += 1;
            return Some(end);
        }
        (Outcome::Unfinished, Ok(httparse::Status::Partial)) => tally.unfinished += 1,
        (Outcome::Fault(_), Err(_)) => tally.refused += 1,
        (Outcome::Unfinished, Err(_)) => {
            let ended = [bytes, b"\r\n\r\n"].concat();
            if !matches!(read(&ended, reading), Outcome::Fault(_)) {
                unexplained(bytes, "refused by httparse, and could still pass here");
            }
            tally.count(Class::HeldBack);
        }
        (Outcome::Fault(fault), Ok(_)) => {
            let is_explained = |class: &Class| match class {
                Class::BareLineFeed => has_bare_line_feed(head),
                Class::Limit => is_over_limits(head, &other.headers),
                class => other.wrong.contains(class),
            };
            match classes_of(fault).iter().copied().find(is_explained) {
                Some(class) => tally.count(class),
                None => unexplained(bytes, &format!("only h1 refuses it: {fault:?}, {:?}", other.wrong)),
            }
        }
        (ours, theirs) => unexplained(bytes, &format!("{ours:?}, but {theirs:?}")),
    }
    None
}

/// What a fault can mean in a head that httparse accepts.
fn classes_of(fault: BadHead) -> &'static [Class] {
    match fault {
        BadHead::BareLineFeed => &[Class::BareLineFeed],
        BadHead::RequestLine => &[Class::EmptyLines],
        BadHead::StatusLine => &[Class::EmptyLines, Class::StatusOutOfRange],
        BadHead::RequestLineTooLong | BadHead::TooLarge | BadHead::TooManyFields => &[Class::Limit],
        BadHead::Host => &[Class::Host],
        BadHead::HostDisagrees => &[Class::HostDisagrees],
        BadHead::Target => &[Class::Target],
        BadHead::ContentLength => &[Class::ContentLength],
        BadHead::TwoLengths => &[Class::TwoLengths],
        BadHead::TransferEncodingInHttp10 => &[Class::CodingInHttp10],
        BadHead::TransferEncoding | BadHead::ChunkedNotLast => &[Class::Coding],
        BadHead::Expectation => &[Class::Expectation],
        BadHead::ControlCharacter | BadHead::Folded | BadHead::FieldName => &[],
        BadHead::Version | BadHead::Underscore => &[],
        // Of HTTP/2 only.
        BadHead::PseudoFields | BadHead::ConnectionField => &[],
    }
}

/// All fields are compared, so none may be left out.
fn limits() -> HeadLimits {
    HeadLimits { underscores: Underscores::Keep, ..HeadLimits::default() }
}

/// What h1 makes of the bytes; their cut makes no difference.
fn read(bytes: &[u8], reading: Reading) -> Outcome {
    let outcome = read_in_pieces(bytes, reading, bytes.len());
    let in_pieces = read_in_pieces(bytes, reading, if bytes.len() < 1000 { 1 } else { 997 });
    if in_pieces != outcome {
        unexplained(bytes, &format!("{outcome:?}, but in pieces {in_pieces:?}"));
    }
    outcome
}

fn read_in_pieces(bytes: &[u8], reading: Reading, piece: usize) -> Outcome {
    let limits = limits();
    let mut end = HeadEnd::default();
    let cuts = (piece..bytes.len()).step_by(piece.max(1)).chain([bytes.len()]);
    let mut found = cuts.map(|cut| (reading.find)(&mut end, &bytes[..cut], &limits));
    match found.find(|found| *found != Ok(None)).unwrap_or(Ok(None)) {
        Ok(Some(end)) => {
            (reading.parse)(&bytes[..end], &limits).map_or_else(Outcome::Fault, |()| Outcome::Whole(end))
        }
        Ok(None) => Outcome::Unfinished,
        Err(fault) => Outcome::Fault(fault),
    }
}

fn expected_origin(method: &str, target: &[u8]) -> Vec<u8> {
    match split_absolute(target) {
        Some((_, b"")) if method == "OPTIONS" => b"*".to_vec(),
        Some((_, rest)) if rest.starts_with(b"/") => rest.to_vec(),
        Some((_, rest)) => [b"/", rest].concat(),
        None => target.to_vec(),
    }
}

fn is_host(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"host")
}

fn pairs<'a>(headers: &[httparse::Header<'a>]) -> Vec<Header<'a>> {
    let used = headers.iter().take_while(|header| !header.name.is_empty());
    used.map(|header| (header.name.as_bytes(), header.value)).collect()
}

fn has_same_fields(fields: &Fields, headers: &[Header<'_>]) -> bool {
    let ours = fields.iter().map(|field| (field.name_bytes, field.value));
    ours.eq(headers.iter().copied())
}
