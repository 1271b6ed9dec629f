//! The first line of a request.

use std::ops::Range;

use crate::characters::is_token;
use crate::{BadHead, Method, Version};

/// The parts of a request line, by their places in it.
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) method_end: usize,
    pub(crate) target: Range<usize>,
    pub(crate) version: Version,
}

/// Reads a line without its end. Single spaces separate the parts: RFC 9112, 3.
pub(crate) fn parse(line: &[u8]) -> Result<RequestLine, BadHead> {
    if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return Err(BadHead::ControlCharacter);
    }
    let method_end = line.iter().position(|byte| !is_token(*byte)).ok_or(BadHead::RequestLine)?;
    let Some((b' ', rest)) = line[method_end..].split_first() else { return Err(BadHead::RequestLine) };
    let target_end = memchr::memrchr(b' ', rest).ok_or(BadHead::RequestLine)?;
    let version = Version::parse(&rest[target_end + 1..])?;
    let start = method_end + 1;
    if method_end == 0 || target_end == 0 || rest[..target_end].contains(&b' ') {
        return Err(BadHead::RequestLine);
    }
    let method = Method::of(&line[..method_end]);
    Ok(RequestLine { method, method_end, target: start..start + target_end, version })
}
