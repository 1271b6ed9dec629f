//! What the `Connection` fields of a message say about the connection, and which fields they take off.

use crate::{BadHead, FieldName, Fields};

/// The most bytes in `Connection` fields. Whoever forwards a message looks for each of its fields in
/// there, and what is short is searched fast.
const CONNECTION_MAX: usize = 1 << 10;

/// What a `Connection` field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// It names fields.
    pub(crate) others: bool,
}

impl ConnectionOptions {
    pub(crate) fn of(fields: &Fields) -> Result<Self, BadHead> {
        let length: usize = fields.all(FieldName::Connection).map(<[u8]>::len).sum();
        if length > CONNECTION_MAX {
            return Err(BadHead::TooLarge);
        }
        let mut options = Self::default();
        for element in fields.elements(FieldName::Connection) {
            if element.eq_ignore_ascii_case(b"close") {
                options.close = true;
            } else if element.eq_ignore_ascii_case(b"keep-alive") {
                options.keep_alive = true;
            } else if element.eq_ignore_ascii_case(b"upgrade") {
                options.upgrade = true;
            } else {
                options.others |= !element.is_empty();
            }
        }
        Ok(options)
    }
}

/// Whether an element of `Connection` is this name.
pub(crate) fn is_named(fields: &Fields, name: &[u8]) -> bool {
    fields.elements(FieldName::Connection).any(|element| element.eq_ignore_ascii_case(name))
}
