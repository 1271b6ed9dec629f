//! Requests as HTTP/2 brings them, field by field, under the rules of HTTP/1: they may go to somebody who
//! speaks that. RFC 9113, 8.

use std::ops::Range;

use crate::characters::{is_token, is_value, is_whole_token, trim};
use crate::length::declared;
use crate::target::Target;
use crate::{BadHead, BodyLength, FieldName, Fields, HeadLimits, Method, RequestHead, Underscores, Version};

/// What a field takes beside its bytes, as HTTP/2 counts it: RFC 9113, 6.5.2.
const FIELD: usize = 32;

/// What method, scheme, path and host take in most requests, in bytes.
const USUAL_LINE: usize = 128;

/// Fills the head of a request with the fields of HTTP/2.
///
/// ```
/// use h1::{HeadLimits, Http2Head, RequestHead};
///
/// let (limits, mut head) = (HeadLimits::default(), RequestHead::default());
/// let mut reader = Http2Head::new(&mut head, &limits, 32 << 10);
/// for (name, value) in [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "h")] {
///     reader.take(name.as_bytes(), value.as_bytes());
/// }
/// reader.finish(true)?;
/// assert_eq!((head.path(), head.host()), (&b"/a"[..], Some(&b"h"[..])));
/// # Ok::<(), h1::BadHead>(())
/// ```
#[derive(Debug)]
pub struct Http2Head<'a> {
    head: &'a mut RequestHead,
    rules: Rules<'a>,
    pseudo: Pseudo,
    cookies: Vec<u8>,
    host: Option<Vec<u8>>,
}

/// Reads the trailers of HTTP/2.
#[derive(Debug)]
pub struct Http2Trailers<'a> {
    fields: Fields,
    rules: Rules<'a>,
}

/// What holds for all fields together, before and behind a body.
#[derive(Debug)]
struct Rules<'a> {
    limits: &'a HeadLimits,
    size: usize,
    size_max: usize,
    count: usize,
    fault: Option<BadHead>,
}

/// The fields that stand for a request line.
#[derive(Debug, Default)]
struct Pseudo {
    bytes: Vec<u8>,
    method: Option<Range<usize>>,
    scheme: Option<Range<usize>>,
    path: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    protocol: Option<Range<usize>>,
    /// Another field has come, behind which there may be none.
    is_over: bool,
}

impl<'a> Http2Head<'a> {
    /// One for this head, of which nothing is left but its memory. Its fields may have this size in all, as
    /// HTTP/2 counts it.
    pub fn new(head: &'a mut RequestHead, limits: &'a HeadLimits, size_max: usize) -> Self {
        head.clear();
        head.version = Version::Http2;
        let rules = Rules::new(limits, size_max);
        let pseudo = Pseudo { bytes: Vec::with_capacity(USUAL_LINE), ..Pseudo::default() };
        Self { head, rules, pseudo, cookies: Vec::new(), host: None }
    }

    /// The next field. Also behind a fault all of them may come; they take no memory then.
    pub fn take(&mut self, name: &[u8], value: &[u8]) {
        if !self.rules.has_room(name, value) {
            return;
        }
        let taken =
            if name.starts_with(b":") { self.pseudo.take(name, value) } else { self.take_field(name, value) };
        self.rules.note(taken);
    }

    /// How large it is, as HTTP/2 counts it.
    pub fn size(&self) -> usize {
        self.rules.size
    }

    /// All have come; `has_ended` says that no body follows. After an error the head is of use to nobody but a
    /// log.
    pub fn finish(mut self, has_ended: bool) -> Result<(), BadHead> {
        self.write_line();
        if !self.cookies.is_empty() {
            self.head.push(b"cookie", &self.cookies);
        }
        if let Some(fault) = self.rules.fault {
            return Err(fault);
        }
        self.check_line()?;
        self.head.check_expectation()?;
        if self.head.is_tunnel() {
            // What comes behind it is the other protocol's.
            self.head.body = Some(BodyLength::None);
            return Ok(());
        }
        let length = declared(&self.head.fields, false)?;
        let is_lacking = has_ended && matches!(length, Some(BodyLength::Exact(1..)));
        if is_lacking {
            return Err(BadHead::ContentLength);
        }
        let unsaid = if has_ended { BodyLength::None } else { BodyLength::Chunked };
        self.head.body = Some(length.unwrap_or(unsaid));
        Ok(())
    }

    fn take_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.pseudo.is_over = true;
        let Some(Checked { meaning, value }) = self.rules.check(name, value)? else { return Ok(()) };
        if name == b"cookie" {
            // Browsers send each cookie by itself; it is one field all the same: RFC 9113, 8.2.3.
            if self.cookies.is_empty() {
                self.rules.count()?;
            } else {
                self.cookies.extend_from_slice(b"; ");
            }
            self.cookies.extend_from_slice(value);
            return Ok(());
        }
        self.rules.count()?;
        match meaning {
            FieldName::Host if self.host.is_some() => return Err(BadHead::Host),
            FieldName::Host => self.host = Some(value.to_vec()),
            meaning => self.head.fields.push_known(meaning, name, value),
        }
        Ok(())
    }

    /// Writes what would be the request line, whatever is in it.
    fn write_line(&mut self) {
        let Pseudo { bytes, method, path, authority, .. } = &self.pseudo;
        let part = |place: &Option<Range<usize>>| place.as_ref().map(|place| &bytes[place.clone()]);
        let method = part(method).unwrap_or_default();
        let target = part(path).or_else(|| part(authority)).unwrap_or_default();
        let head = &mut *self.head;
        head.line.extend_from_slice(method);
        head.line.push(b' ');
        head.line.extend_from_slice(target);
        head.method = if is_whole_token(method) { Method::of(method) } else { Method::Other };
        (head.method_end, head.target_start) = (method.len(), method.len() + 1);
        let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
        head.target = Target { origin: 0..target.len(), path_end, ..Target::default() };
        head.host = part(authority).map(<[u8]>::to_vec).or_else(|| self.host.clone());
    }

    /// Method, target and host: RFC 9113, 8.3.1 and 8.5; RFC 8441, 4.
    fn check_line(&mut self) -> Result<(), BadHead> {
        let Pseudo { bytes, method, scheme, path, authority, protocol, .. } = &self.pseudo;
        if method.is_none() {
            return Err(BadHead::PseudoFields);
        }
        if !is_whole_token(self.head.method_name()) {
            return Err(BadHead::RequestLine);
        }
        let is_connect = self.head.method == Method::Connect;
        if let Some(protocol) = protocol {
            let protocol = &bytes[protocol.clone()];
            if !is_connect || !is_whole_token(protocol) || authority.is_none() {
                return Err(BadHead::PseudoFields);
            }
            self.head.fields.push_known(FieldName::Upgrade, b"upgrade", protocol);
            self.head.options.upgrade = true;
        }
        let scheme = scheme.as_ref();
        let scheme_is =
            |name: &[u8]| scheme.is_some_and(|place| bytes[place.clone()].eq_ignore_ascii_case(name));
        let is_known = scheme_is(b"http") || scheme_is(b"https");
        let scheme_port = if scheme_is(b"https") { 443 } else { 80 };
        let is_whole = if is_connect && protocol.is_none() {
            scheme.is_none() && path.is_none() && authority.is_some()
        } else {
            is_known && path.as_ref().is_some_and(|path| !path.is_empty())
        };
        if !is_whole {
            return Err(BadHead::PseudoFields);
        }
        if self.head.target.origin.len() > self.rules.limits.request_line_max {
            return Err(BadHead::RequestLineTooLong);
        }
        if self.head.is_tunnel() {
            self.head.become_get();
        }
        self.head.check_target_and_host(scheme_port, self.host.as_deref())
    }
}

impl<'a> Http2Trailers<'a> {
    /// Trailers of this size in all, as HTTP/2 counts it.
    pub fn new(limits: &'a HeadLimits, size_max: usize) -> Self {
        Self { fields: Fields::default(), rules: Rules::new(limits, size_max) }
    }

    /// The next field.
    pub fn take(&mut self, name: &[u8], value: &[u8]) {
        if self.rules.has_room(name, value) {
            let taken = self.take_field(name, value);
            self.rules.note(taken);
        }
    }

    /// How large they are, as HTTP/2 counts it.
    pub fn size(&self) -> usize {
        self.rules.size
    }

    /// All of them, if each is fine.
    pub fn finish(self) -> Result<Fields, BadHead> {
        self.rules.fault.map_or(Ok(self.fields), Err)
    }

    fn take_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        let Some(Checked { meaning, value }) = self.rules.check(name, value)? else { return Ok(()) };
        self.rules.count()?;
        self.fields.push_known(meaning, name, value);
        Ok(())
    }
}

/// A field that passes.
struct Checked<'a> {
    meaning: FieldName,
    value: &'a [u8],
}

impl<'a> Rules<'a> {
    fn new(limits: &'a HeadLimits, size_max: usize) -> Self {
        Self { limits, size: 0, size_max, count: 0, fault: None }
    }

    /// Whether one more has room. What is too large is so whatever else is wrong with it.
    fn has_room(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.size += name.len() + value.len() + FIELD;
        if self.size > self.size_max {
            self.fault = Some(BadHead::TooLarge);
        }
        self.size <= self.size_max
    }

    fn count(&mut self) -> Result<(), BadHead> {
        self.count += 1;
        if self.count > self.limits.fields_max { Err(BadHead::TooManyFields) } else { Ok(()) }
    }

    fn note(&mut self, taken: Result<(), BadHead>) {
        self.fault = self.fault.or(taken.err());
    }

    /// Meaning and value of a field; nothing if it is left out, or if something was wrong before.
    fn check<'b>(&self, name: &[u8], value: &'b [u8]) -> Result<Option<Checked<'b>>, BadHead> {
        if self.fault.is_some() {
            return Ok(None);
        }
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte) && !byte.is_ascii_uppercase()) {
            return Err(BadHead::FieldName);
        }
        let value = trim(value);
        if !is_value(value) {
            return Err(BadHead::ControlCharacter);
        }
        let meaning = FieldName::of(name);
        let is_of_connection = match meaning {
            FieldName::Connection | FieldName::KeepAlive | FieldName::ProxyConnection => true,
            FieldName::TransferEncoding | FieldName::Upgrade => true,
            FieldName::Te => !value.eq_ignore_ascii_case(b"trailers"),
            _ => false,
        };
        if is_of_connection {
            return Err(BadHead::ConnectionField);
        }
        match self.limits.underscores {
            Underscores::Reject if name.contains(&b'_') => Err(BadHead::Underscore),
            Underscores::Drop if name.contains(&b'_') => Ok(None),
            _ => Ok(Some(Checked { meaning, value })),
        }
    }
}

impl Pseudo {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        let place = self.bytes.len()..self.bytes.len() + value.len();
        let kept = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            _ => return Err(BadHead::PseudoFields),
        };
        if self.is_over || kept.is_some() {
            return Err(BadHead::PseudoFields);
        }
        *kept = Some(place);
        self.bytes.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
