//! The head of a request, and what it says about the way of the request.

use std::ops::Range;

use crate::characters::is_whole_token;
use crate::connection::{ConnectionOptions, is_named};
use crate::length::declared;
use crate::target::{Target, are_same_host, is_valid_host};
use crate::{
    BadHead, BodyLength, FieldName, Fields, HeadLimits, Method, Version, path, request_line, target,
};

/// The head of a request, with its bytes. It can be filled again and again without new memory.
///
/// ```
/// use h1::{HeadLimits, Method, RequestHead};
///
/// let mut head = RequestHead::default();
/// let limits = HeadLimits::default();
/// head.parse(b"GET /home?id=7 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n", &limits)?;
/// assert_eq!((head.method(), head.path(), head.query()), (Method::Get, &b"/home"[..], Some(&b"id=7"[..])));
/// assert!(!head.keeps_alive());
///
/// // Two hosts could be understood differently by two readers.
/// assert!(head.parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &limits).is_err());
/// # Ok::<(), h1::BadHead>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(crate) line: Vec<u8>,
    pub(crate) method: Method,
    pub(crate) method_end: usize,
    pub(crate) target_start: usize,
    pub(crate) target: Target,
    pub(crate) version: Version,
    /// The host if it is not in the target: the value of the field, or HTTP/2's `:authority`.
    pub(crate) host: Option<Vec<u8>>,
    pub(crate) fields: Fields,
    pub(crate) body: Option<BodyLength>,
    pub(crate) options: ConnectionOptions,
}

impl RequestHead {
    /// Reads a head that [`HeadEnd`](crate::HeadEnd) has found: all its bytes, and none behind it. After
    /// an error this is a part of what was read, of use to nobody but a log.
    pub fn parse(&mut self, head: &[u8], limits: &HeadLimits) -> Result<(), BadHead> {
        self.clear();
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let line_end = memchr::memchr(b'\n', head).ok_or(BadHead::RequestLine)?;
        let line = head[..line_end].strip_suffix(b"\r").ok_or(BadHead::BareLineFeed)?;
        if line.len() > limits.request_line_max {
            return Err(BadHead::RequestLineTooLong);
        }
        let parts = request_line::parse(line)?;
        self.target = target::parse(parts.method, &line[parts.target.clone()])?;
        self.line.extend_from_slice(line);
        (self.method, self.method_end) = (parts.method, parts.method_end);
        (self.target_start, self.version) = (parts.target.start, parts.version);
        self.fields.parse(&head[line_end + 1..], limits)?;
        self.check_host()?;
        self.body = declared(&self.fields, self.version == Version::Http10)?;
        self.options = ConnectionOptions::of(&self.fields)?;
        self.check_expectation()
    }

    /// Begins a head as HTTP/2 has them: method, target in origin-form, authority. The fields follow with
    /// [`RequestHead::push`]; they hold no `Host`.
    pub fn start(&mut self, method: &[u8], origin: &[u8], authority: Option<&[u8]>) -> Result<(), BadHead> {
        self.clear();
        self.version = Version::Http2;
        self.target = target::parse(Method::of(method), origin)?;
        self.line.extend_from_slice(method);
        self.line.push(b' ');
        self.line.extend_from_slice(origin);
        (self.method, self.method_end) = (Method::of(method), method.len());
        self.target_start = method.len() + 1;
        if authority.is_some_and(|authority| !is_valid_host(authority)) || self.target.authority.is_some() {
            return Err(BadHead::Host);
        }
        self.host = authority.map(<[u8]>::to_vec);
        Ok(())
    }

    /// Takes what can be made out of bytes that are no head, for a log: a method and a target, whatever they
    /// hold.
    pub fn sketch(&mut self, bytes: &[u8], limits: &HeadLimits) {
        self.clear();
        let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        let line = &bytes[..end.min(limits.request_line_max)];
        let (line, version) = match line.strip_suffix(b" HTTP/1.0") {
            Some(line) => (line, Version::Http10),
            None => (line.strip_suffix(b" HTTP/1.1").unwrap_or(line), Version::Http11),
        };
        let method_end = memchr::memchr(b' ', line).unwrap_or(line.len());
        let (method, rest) = line.split_at(method_end);
        let (method, target) =
            if is_whole_token(method) { (method, rest.trim_ascii_start()) } else { (&[][..], line) };
        self.line.extend_from_slice(method);
        self.line.push(b' ');
        self.line.extend_from_slice(target);
        (self.method_end, self.target_start, self.version) = (method.len(), method.len() + 1, version);
        self.method = if method.is_empty() { Method::Other } else { Method::of(method) };
        self.target = Target { origin: 0..target.len(), path_end: target.len(), ..Target::default() };
    }

    /// Nothing of the last head is left but its memory.
    pub fn clear(&mut self) {
        let (mut line, mut fields) = (std::mem::take(&mut self.line), std::mem::take(&mut self.fields));
        line.clear();
        fields.clear();
        *self = Self { line, fields, ..Self::default() };
    }

    /// How much memory it has, in bytes.
    pub fn capacity(&self) -> usize {
        self.line.capacity() + self.fields.capacity()
    }

    /// Adds a field to a head that was [started](RequestHead::start).
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fields.push(name, value);
    }

    /// Says how long the body of a head is that was [started](RequestHead::start).
    pub fn set_body(&mut self, body: BodyLength) {
        self.body = Some(body);
    }

    /// What is to be done.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The name of what is to be done.
    pub fn method_name(&self) -> &[u8] {
        &self.line[..self.method_end]
    }

    /// Path and query, as they came; [what stands for the path](RequestHead::path) if there is none.
    pub fn write_origin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.path());
        out.extend_from_slice(self.in_target(&(self.target.path_end..self.target.origin.end)));
    }

    /// The path, as it came; a slash if there is none.
    pub fn path(&self) -> &[u8] {
        let path = self.in_target(&(self.target.origin.start..self.target.path_end));
        match path {
            // OPTIONS with an absolute target without a path is about the server as a whole.
            [] if self.method == Method::Options && self.target.origin.is_empty() => b"*",
            [] => b"/",
            path => path,
        }
    }

    /// Whether there is only one way to read the path.
    pub fn has_plain_path(&self) -> bool {
        path::is_plain(self.path())
    }

    /// Puts another path in the place of the one that came; it begins with a slash. The query stays.
    pub fn replace_path(&mut self, path: &[u8]) {
        let (start, end) = (self.target.origin.start, self.target.path_end);
        let length = self.target.origin.end - end;
        self.line.splice(self.target_start + start..self.target_start + end, path.iter().copied());
        self.target.path_end = start + path.len();
        self.target.origin.end = self.target.path_end + length;
    }

    /// What stands behind the question mark, if there is one.
    pub fn query(&self) -> Option<&[u8]> {
        self.in_target(&(self.target.path_end..self.target.origin.end)).strip_prefix(b"?")
    }

    /// The version that it came in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Host and port that it is for, if it says so. Never two different ones.
    pub fn host(&self) -> Option<&[u8]> {
        match &self.target.authority {
            Some(place) => Some(self.in_target(place)),
            None => self.host.as_deref().or_else(|| self.fields.all(FieldName::Host).next()),
        }
    }

    /// All its fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// How long its body is.
    pub fn body(&self) -> BodyLength {
        self.body.unwrap_or(BodyLength::None)
    }

    /// Whether the client would send another request on the same connection.
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http10 => self.options.keep_alive && !self.options.close,
            Version::Http11 => !self.options.close,
            Version::Http2 => true,
        }
    }

    /// Whether it waits for a `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.version != Version::Http10 && self.fields.all(FieldName::Expect).next().is_some()
    }

    /// Whether the client understands trailers.
    pub fn takes_trailers(&self) -> bool {
        self.fields.elements(FieldName::Te).any(|element| element.eq_ignore_ascii_case(b"trailers"))
    }

    /// The protocols that it would change to, the dearest first. Not HTTP/2, which is chosen in other ways.
    pub fn upgrades(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let is_asked = self.options.upgrade && self.version != Version::Http10;
        let protocols = is_asked.then(|| self.fields.elements(FieldName::Upgrade));
        protocols.into_iter().flatten().filter(|protocol| {
            let is_http2 = protocol.len() >= 2 && protocol[..2].eq_ignore_ascii_case(b"h2");
            protocol.splitn(2, |byte| *byte == b'/').all(is_whole_token) && !is_http2
        })
    }

    /// Whether its stream is to carry another protocol: HTTP/2's CONNECT with a protocol (RFC 8441), which is a
    /// GET with an upgrade here, as it would be in HTTP/1.
    pub fn is_tunnel(&self) -> bool {
        self.options.upgrade && self.version == Version::Http2
    }

    /// Whether a `Connection` field takes this field off.
    pub fn is_named_by_connection(&self, name: &[u8]) -> bool {
        self.options.others && is_named(&self.fields, name)
    }

    fn in_target(&self, place: &Range<usize>) -> &[u8] {
        &self.line[self.target_start + place.start..self.target_start + place.end]
    }

    /// Its method is GET, whatever it was.
    pub(crate) fn become_get(&mut self) {
        self.line.splice(..self.method_end, *b"GET");
        (self.method, self.method_end, self.target_start) = (Method::Get, 3, 4);
    }

    /// The same for what HTTP/2 has in their places, beside which there may be a field that names the host.
    pub(crate) fn check_target_and_host(
        &mut self,
        scheme_port: u32,
        field: Option<&[u8]>,
    ) -> Result<(), BadHead> {
        self.target = target::parse(self.method, self.in_target(&self.target.origin))?;
        if self.target.authority.is_some() {
            return Err(BadHead::Target);
        }
        let host = self.host.as_deref().ok_or(BadHead::Host)?;
        if !is_valid_host(host) {
            return Err(BadHead::Host);
        }
        match field {
            Some(field) if !is_valid_host(field) => Err(BadHead::Host),
            Some(field) if !are_same_host(host, field, scheme_port) => Err(BadHead::HostDisagrees),
            _ => Ok(()),
        }
    }

    /// Exactly one from HTTP/1.1 on, at most one before: RFC 9112, 3.2.
    fn check_host(&self) -> Result<(), BadHead> {
        let mut hosts = self.fields.all(FieldName::Host);
        let host = hosts.next();
        let is_missing = host.is_none() && self.version == Version::Http11;
        if is_missing || hosts.next().is_some() || host.is_some_and(|host| !is_valid_host(host)) {
            return Err(BadHead::Host);
        }
        match (&self.target.authority, host) {
            (Some(authority), Some(host))
                if !are_same_host(self.in_target(authority), host, self.target.scheme_port) =>
            {
                Err(BadHead::HostDisagrees)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_expectation(&self) -> Result<(), BadHead> {
        let mut expectations = self.fields.all(FieldName::Expect);
        let is_known = expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue"));
        if is_known || self.version == Version::Http10 { Ok(()) } else { Err(BadHead::Expectation) }
    }
}

#[cfg(test)]
mod tests;
