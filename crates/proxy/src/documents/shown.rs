//! What a client is shown of a file: the head of the response, and of which pieces its body is put together.

use std::ops::Range;
use std::time::SystemTime;

use h1::{BodyLength, Method, RequestHead, ResponseHead};

use crate::documents::folder::Folder;
use crate::documents::ranges::Asked;
use crate::documents::search::Hit;
use crate::documents::validators::{Outcome, Validators};
use crate::policies::compression::add_vary;

/// The answer to who asks for a file that there is.
#[derive(Debug)]
pub(super) enum Shown {
    /// The file, a part of it, or that it is as the client has it.
    File(Sheet),
    /// The file is not as the client expects it.
    Outdated,
    /// It has nothing of what is asked for; this is its size.
    NoSuchPart(u64),
}

/// A response, but for the bytes of its file.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) head: ResponseHead,
    pub(super) pieces: Vec<Piece>,
}

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Vec<u8>),
    /// These bytes of the file.
    Part(Range<u64>),
}

impl Piece {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Part(part) => part.end - part.start,
        }
    }
}

impl Shown {
    /// What is shown of this file to who has asked so.
    pub(super) fn of(hit: &Hit, folder: &Folder, asked: &RequestHead, now: SystemTime) -> Self {
        let size = hit.opened.facts.size;
        let validators = Validators::of(&hit.opened.facts, hit.coding, now);
        let parts = match validators.judge(asked) {
            Outcome::Refused => return Self::Outdated,
            Outcome::Unchanged => {
                return Self::File(Sheet { head: head(304, hit, folder, &validators), pieces: Vec::new() });
            }
            Outcome::Whole => Asked::Whole,
            Outcome::Parts => Asked::of(asked.fields(), size),
        };
        let mut sheet = match parts {
            Asked::Nothing => return Self::NoSuchPart(size),
            Asked::Whole => {
                let mut head = head(200, hit, folder, &validators);
                head.push(b"content-type", folder.content_type(&hit.path).as_bytes());
                Sheet { head, pieces: vec![Piece::Part(0..size)] }
            }
            Asked::Parts(parts) => in_parts(hit, folder, head(206, hit, folder, &validators), parts),
        };
        let length = sheet.pieces.iter().map(Piece::length).sum();
        sheet.head.set_body(BodyLength::Exact(length));
        if asked.method() == Method::Head {
            sheet.pieces.clear();
        }
        Self::File(sheet)
    }
}

/// What is said of a file, however much of it is sent.
fn head(status: u16, hit: &Hit, folder: &Folder, validators: &Validators) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.start(status);
    head.push(b"etag", validators.tag.as_bytes());
    if let Some(modified) = validators.modified {
        head.push(b"last-modified", httpdate::fmt_http_date(modified).as_bytes());
    }
    if let Some(value) = folder.cache_control(&[b"/", &hit.path[..]].concat()) {
        head.push(b"cache-control", value.as_bytes());
    }
    if !folder.precompressed.is_empty() {
        // Who has asked in another way would get it in another form.
        add_vary(&mut head);
    }
    if let (Some(coding), 200..=206) = (hit.coding, status) {
        head.push(b"content-encoding", coding.name().as_bytes());
    }
    if status != 304 {
        head.push(b"accept-ranges", b"bytes");
    }
    head
}

/// One part by itself, or several with a head for each: RFC 9110, 14.6.
fn in_parts(hit: &Hit, folder: &Folder, mut head: ResponseHead, parts: Vec<Range<u64>>) -> Sheet {
    let media_type = folder.content_type(&hit.path);
    let size = hit.opened.facts.size;
    let place = |part: &Range<u64>| format!("bytes {}-{}/{size}", part.start, part.end - 1);
    if let [part] = &parts[..] {
        head.push(b"content-type", media_type.as_bytes());
        head.push(b"content-range", place(part).as_bytes());
        return Sheet { head, pieces: parts.into_iter().map(Piece::Part).collect() };
    }
    let boundary = format!("{:032x}", fastrand::u128(..));
    head.push(b"content-type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        let place = place(&part);
        let text =
            format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {place}\r\n\r\n");
        pieces.extend([Piece::Text(text.into_bytes()), Piece::Part(part)]);
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into_bytes()));
    Sheet { head, pieces }
}
