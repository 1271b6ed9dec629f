//! The first line of a request.

use std::ops::Range;

use crate::characters::is_token;
use crate::{BadHead, Method, Version, target};

/// The parts of a request line, by their places in it.
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) method_end: usize,
    pub(crate) target: Range<usize>,
    pub(crate) version: Version,
}

/// Whether a line without its end can be read, its target included.
pub(crate) fn check(line: &[u8]) -> Result<(), BadHead> {
    let parts = parse(line)?;
    target::parse(parts.method, &line[parts.target]).map(drop)
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Reads a line without its end. Single spaces separate the parts: RFC 9112, 3.
pub(crate) fn parse(line: &[u8]) -> Result<RequestLine, BadHead> {
    let method_end = line.iter().position(|byte| !is_token(*byte)).ok_or(BadHead::RequestLine)?;
    let rest = match &line[method_end..] {
        [b' ', rest @ ..] if method_end > 0 => rest,
        [byte, ..] if is_control(*byte) => return Err(BadHead::ControlCharacter),
        _ => return Err(BadHead::RequestLine),
    };
    if rest.iter().any(|byte| is_control(*byte)) {
        return Err(BadHead::ControlCharacter);
    }
    let target_end = memchr::memrchr(b' ', rest).ok_or(BadHead::RequestLine)?;
    let version = Version::parse(&rest[target_end + 1..])?;
    let start = method_end + 1;
    if target_end == 0 || rest[..target_end].contains(&b' ') {
        return Err(BadHead::RequestLine);
    }
    let method = Method::of(&line[..method_end]);
    Ok(RequestLine { method, method_end, target: start..start + target_end, version })
}
