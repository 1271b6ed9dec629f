//! The version of a message.

use crate::BadHead;

/// The version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2, whose heads are written in another way and mean the same.
    Http2,
}

impl Version {
    /// `HTTP/1.1` or `HTTP/1.0`; other versions, if they are written like one, are a fault of their own.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, BadHead> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Err(BadHead::Version)
            }
            _ => Err(BadHead::RequestLine),
        }
    }
}
