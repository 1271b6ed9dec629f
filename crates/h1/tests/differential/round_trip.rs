//! What h1 has read, written with h1's writers as a proxy would, and read again.

use h1::{BodyLength, CHUNK_END, Fields, HeadEnd, HeadLimits, RequestHead, ResponseHead, Version};
use h1::{write_chunk_size, write_decimal, write_field};

use crate::chunks::{Decoded, Fate, decode};
use crate::tally::{Tally, unexplained};

const SLOTS: usize = 256;

/// A request or an answer with its body: what comes out at the other side is what went in, nothing
/// follows it, and httparse reads the same.
pub(crate) fn check_round_trip(bytes: &[u8], tally: &mut Tally) {
    let result = if bytes.starts_with(b"HTTP/") { response(bytes) } else { request(bytes) };
    match result {
        Ok(true) => tally.accepted += 1,
        Ok(false) => tally.unfinished += 1,
        Err(()) => tally.refused += 1,
    }
}

fn request(bytes: &[u8]) -> Result<bool, ()> {
    let Some(end) = find(bytes)? else { return Ok(false) };
    let mut head = RequestHead::default();
    head.parse(&bytes[..end], &HeadLimits::default()).map_err(drop)?;
    let body = decode(head.body(), &bytes[end..], &[], usize::MAX);
    let Fate::Ended(_) = body.fate else { return Ok(false) };

    let mut line = [head.method_name(), b" "].concat();
    head.write_origin(&mut line);
    line.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(&mut line, b"Host", head.host().unwrap_or(b"none"));
    let is_named = |name: &[u8]| head.is_named_by_connection(name);
    let written = write(line, head.fields(), is_named, Framed { length: head.body(), body: &body });

    let Ok(Some(end)) = HeadEnd::default().find(&written, &HeadLimits::default()) else {
        unexplained(bytes, "what was written is no head")
    };
    let mut again = RequestHead::default();
    if let Err(fault) = again.parse(&written[..end], &HeadLimits::default()) {
        unexplained(bytes, &format!("what was written fails: {fault}, {}", written.escape_ascii()));
    }
    let is_same = again.method_name() == head.method_name()
        && (again.path(), again.query()) == (head.path(), head.query())
        && again.host() == Some(head.host().unwrap_or(b"none"))
        && again.version() == Version::Http11
        && again.body() == head.body()
        && passing(again.fields(), &is_named) == passing(head.fields(), &is_named);
    if !is_same {
        unexplained(bytes, &format!("sent on as {}", written.escape_ascii()));
    }
    check_body(bytes, &written[end..], &body, again.body());
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut view = httparse::Request::new(&mut slots);
    let is_same = view.parse(&written) == Ok(httparse::Status::Complete(end))
        && view.method.map(str::as_bytes) == Some(again.method_name())
        && view.path.is_some_and(|path| line_of(&written).contains(&format!(" {path} ")))
        && is_as_read(view.headers, again.fields());
    if !is_same {
        unexplained(bytes, &format!("httparse differs on {}", written.escape_ascii()));
    }
    Ok(true)
}

fn response(bytes: &[u8]) -> Result<bool, ()> {
    let Some(end) = find(bytes)? else { return Ok(false) };
    let mut head = ResponseHead::default();
    head.parse(&bytes[..end], &HeadLimits::default()).map_err(drop)?;
    let length = head.body(h1::Method::Get);
    let mut body = decode(length, &bytes[end..], &[], usize::MAX);
    if length == BodyLength::UntilClose {
        body.fate = Fate::Ended(bytes.len() - end);
    }
    let Fate::Ended(_) = body.fate else { return Ok(false) };

    let mut line = b"HTTP/1.1 ".to_vec();
    write_decimal(&mut line, u64::from(head.status()));
    line.extend_from_slice(b" ");
    line.extend_from_slice(head.reason());
    line.extend_from_slice(b"\r\n");
    let is_named = |name: &[u8]| head.is_named_by_connection(name);
    // Whoever reads it again must find an end.
    let framing = if length == BodyLength::UntilClose { BodyLength::Chunked } else { length };
    let written = write(line, head.fields(), is_named, Framed { length: framing, body: &body });

    let Ok(Some(end)) = HeadEnd::default().find(&written, &HeadLimits::default()) else {
        unexplained(bytes, "what was written is no head")
    };
    let mut again = ResponseHead::default();
    if let Err(fault) = again.parse(&written[..end], &HeadLimits::default()) {
        unexplained(bytes, &format!("what was written fails: {fault}, {}", written.escape_ascii()));
    }
    let is_same = (again.status(), again.reason()) == (head.status(), head.reason())
        && again.body(h1::Method::Get) == framing
        && passing(again.fields(), &is_named) == passing(head.fields(), &is_named);
    if !is_same {
        unexplained(bytes, &format!("sent on as {}", written.escape_ascii()));
    }
    check_body(bytes, &written[end..], &body, framing);
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut view = httparse::Response::new(&mut slots);
    let is_same = view.parse(&written) == Ok(httparse::Status::Complete(end))
        && view.code == Some(again.status())
        && is_as_read(view.headers, again.fields());
    if !is_same {
        unexplained(bytes, &format!("httparse differs on {}", written.escape_ascii()));
    }
    Ok(true)
}

/// With limits that leave room for the framing that a proxy adds.
fn find(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let limits = HeadLimits { head_max: 60 << 10, fields_max: 90, ..HeadLimits::default() };
    HeadEnd::default().find(bytes, &limits).map_err(drop)
}

/// A body, and how it is framed when it goes on.
#[derive(Clone, Copy)]
struct Framed<'a> {
    length: BodyLength,
    body: &'a Decoded,
}

/// The start line, the fields that go on, the framing, the body.
fn write(mut out: Vec<u8>, fields: &Fields, is_named: impl Fn(&[u8]) -> bool, body: Framed<'_>) -> Vec<u8> {
    for (name, value) in passing(fields, &is_named) {
        write_field(&mut out, name, value);
    }
    let Framed { length, body } = body;
    match length {
        BodyLength::Exact(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(&mut out, length);
            out.extend_from_slice(b"\r\n\r\n");
            out.extend_from_slice(&body.body);
        }
        BodyLength::Chunked => {
            write_field(&mut out, b"Transfer-Encoding", b"chunked");
            out.extend_from_slice(b"\r\n");
            for piece in body.body.chunks(17) {
                write_chunk_size(&mut out, piece.len());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            if body.trailers.is_empty() {
                out.extend_from_slice(CHUNK_END);
            } else {
                out.extend_from_slice(b"0\r\n");
                body.trailers.iter().for_each(|(name, value)| write_field(&mut out, name, value));
                out.extend_from_slice(b"\r\n");
            }
        }
        BodyLength::None | BodyLength::UntilClose => out.extend_from_slice(b"\r\n"),
    }
    out
}

/// The fields that a proxy sends on: none about the connection, the framing or the host, which it
/// writes itself, and no `Expect`: from an HTTP/1.0 client it means nothing, and would in HTTP/1.1.
fn passing<'a>(fields: &'a Fields, is_named: &impl Fn(&[u8]) -> bool) -> Vec<(&'a [u8], &'a [u8])> {
    let own = [h1::FieldName::Host, h1::FieldName::ContentLength, h1::FieldName::Expect];
    let passes = |field: &h1::Field<'_>| {
        !field.name.is_hop_by_hop()
            && !own.contains(&field.name)
            && (field.name != h1::FieldName::Other || !is_named(field.name_bytes))
    };
    fields.iter().filter(passes).map(|field| (field.name_bytes, field.value)).collect()
}

/// The body is the same, and it is all that was written: a second message would be a smuggled one.
fn check_body(bytes: &[u8], written: &[u8], body: &Decoded, length: BodyLength) {
    let again = decode(length, written, &[], usize::MAX);
    let expected = Decoded { fate: Fate::Ended(written.len()), ..body.clone() };
    if again != expected {
        unexplained(bytes, &format!("{again:?} instead of {expected:?}"));
    }
}

fn line_of(written: &[u8]) -> String {
    String::from_utf8_lossy(written.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned()
}

fn is_as_read(headers: &[httparse::Header<'_>], fields: &Fields) -> bool {
    let headers = headers.iter().map(|header| (header.name.as_bytes(), header.value));
    headers.eq(fields.iter().map(|field| (field.name_bytes, field.value)))
}
