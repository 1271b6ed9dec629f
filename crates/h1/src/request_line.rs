//! The first line of a request.

use std::ops::Range;

use crate::characters::{is_token, is_whole_token};
use crate::request::Version;
use crate::{BadHead, Method};

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
    let version = version(&rest[target_end + 1..])?;
    let start = method_end + 1;
    if method_end == 0 || target_end == 0 || rest[..target_end].contains(&b' ') {
        return Err(BadHead::RequestLine);
    }
    let method = Method::of(&line[..method_end]);
    Ok(RequestLine { method, method_end, target: start..start + target_end, version })
}

/// `HTTP/1.1` or `HTTP/1.0`; other versions, if they are written like one, are a fault of their own.
pub(crate) fn version(text: &[u8]) -> Result<Version, BadHead> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(BadHead::Version)
        }
        _ => Err(BadHead::RequestLine),
    }
}

impl Method {
    /// The method with this name; upper and lower case are different.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            other => {
                debug_assert!(is_whole_token(other));
                Self::Other
            }
        }
    }
}
