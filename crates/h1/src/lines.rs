//! The lines of a request's head that has not ended: what is wrong with one is known when the line is there,
//! or even its beginning, and nobody need wait for the rest.
//!
//! A head that came at once is read without this, and the same is found wrong with it: of several faults the
//! first one, by its place.

use crate::characters::is_token;
use crate::fields::check_line;
use crate::{BadHead, HeadLimits, request_line};

/// How far the lines were looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// Where the first line begins that was not looked at.
    checked: usize,
    /// Whether that is no longer the request line.
    has_request_line: bool,
    /// How far the name at the beginning of the last line has come.
    named: usize,
}

impl Lines {
    /// Looks at what is new. The last line, which has not ended, begins here.
    pub(crate) fn check(
        &mut self,
        bytes: &[u8],
        last_line: usize,
        limits: &HeadLimits,
    ) -> Result<(), BadHead> {
        while self.checked < last_line {
            let rest = &bytes[self.checked..last_line];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |length| length + 1);
            let line = rest[..length].strip_suffix(b"\r\n").unwrap_or(rest);
            self.checked += length;
            if self.has_request_line {
                check_line(line, limits)?;
            } else if !line.is_empty() {
                request_line::check(line)?;
                self.has_request_line = true;
            }
        }
        self.check_name(bytes)
    }

    /// A method, or the name of a field, as far as it has come.
    fn check_name(&mut self, bytes: &[u8]) -> Result<(), BadHead> {
        self.named = self.named.max(self.checked);
        let token = bytes[self.named..].iter().take_while(|byte| is_token(**byte)).count();
        self.named += token;
        let is_empty = self.named == self.checked;
        match bytes[self.named..] {
            // Line ends and other control characters are looked at elsewhere.
            [] | [b'\r'] | [b'\r', b'\n', ..] => Ok(()),
            [b'\r', ..] => Err(BadHead::ControlCharacter),
            [byte, ..] if byte.is_ascii_control() && byte != b'\t' => Ok(()),
            [b' ', ..] if !self.has_request_line && !is_empty => Ok(()),
            _ if !self.has_request_line => Err(BadHead::RequestLine),
            [b':', ..] if !is_empty => Ok(()),
            [b' ' | b'\t', ..] if is_empty => Err(BadHead::Folded),
            _ => Err(BadHead::FieldName),
        }
    }
}
