//! The head of a response.

use crate::characters::is_value;
use crate::connection::{ConnectionOptions, is_named};
use crate::length::declared;
use crate::{BadHead, BodyLength, Fields, HeadLimits, Method, Underscores, Version};

/// The head of a response, with its bytes. It can be filled again and again without new memory.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    status: u16,
    reason: Vec<u8>,
    version: Version,
    fields: Fields,
    declared: Option<BodyLength>,
    options: ConnectionOptions,
}

impl ResponseHead {
    /// Reads a head that [`HeadEnd`](crate::HeadEnd) has found: all its bytes, and none behind it. After
    /// an error what is here means nothing. Names with underscores pass: nobody upstream has to be kept
    /// from guessing.
    pub fn parse(&mut self, head: &[u8], limits: &HeadLimits) -> Result<(), BadHead> {
        let line_end = memchr::memchr(b'\n', head).ok_or(BadHead::StatusLine)?;
        let line = head[..line_end].strip_suffix(b"\r").ok_or(BadHead::BareLineFeed)?;
        self.parse_line(line)?;
        let limits = HeadLimits { underscores: Underscores::Keep, ..*limits };
        self.fields.parse(&head[line_end + 1..], &limits)?;
        self.options = ConnectionOptions::of(&self.fields)?;
        self.declared = declared(&self.fields, self.version == Version::Http10)?;
        Ok(())
    }

    /// How much memory it has, in bytes.
    pub fn capacity(&self) -> usize {
        self.reason.capacity() + self.fields.capacity()
    }

    /// How large it is, about, in bytes.
    pub fn size(&self) -> usize {
        self.reason.len() + self.fields.size()
    }

    /// Begins a response that came in another way than HTTP/1; its fields follow with
    /// [`ResponseHead::push`].
    pub fn start(&mut self, status: u16) {
        *self = Self { status, version: Version::Http2, ..Self::default() };
    }

    /// Adds a field to a head that was [started](ResponseHead::start), or one to those that were read. It must
    /// be none that says where the message ends or what becomes of its connection.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.fields.push(name, value);
    }

    /// Forgets all fields but those with such names. What was read out of them before stays.
    pub fn retain_fields(&mut self, is_kept: impl Fn(&[u8]) -> bool) {
        self.fields.retain(is_kept);
    }

    /// Says how long the body of a head is that was [started](ResponseHead::start).
    pub fn set_body(&mut self, body: BodyLength) {
        self.declared = Some(body);
    }

    /// The status code, from 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What stands behind the status code.
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// The version that it came in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// All its fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether the final response is still to come.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// What the head says about the length of a body, be there one or not.
    pub fn declared_length(&self) -> Option<BodyLength> {
        self.declared
    }

    /// How long the body of this response to such a request is: RFC 9112, 6.3.
    pub fn body(&self, asked: Method) -> BodyLength {
        if asked == Method::Head || matches!(self.status, 100..=199 | 204 | 304) {
            return BodyLength::None;
        }
        self.declared.unwrap_or(BodyLength::UntilClose)
    }

    /// Whether the connection may carry another response, as far as the head says.
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http10 => self.options.keep_alive && !self.options.close,
            Version::Http11 => !self.options.close,
            Version::Http2 => true,
        }
    }

    /// Whether it says that the connection changes its protocol.
    pub fn upgrades(&self) -> bool {
        self.status == 101 && self.options.upgrade
    }

    /// Whether a `Connection` field takes this field off.
    pub fn is_named_by_connection(&self, name: &[u8]) -> bool {
        self.options.others && is_named(&self.fields, name)
    }

    /// `HTTP/1.1 200 reason`. The reason may be empty, and for servers that have none the space before it may
    /// be missing (RFC 9112, 4, has it); a status of no known class is its sender's affair. Nothing of that
    /// says where a message ends.
    fn parse_line(&mut self, line: &[u8]) -> Result<(), BadHead> {
        let (version, rest) = line.split_at_checked(8).ok_or(BadHead::StatusLine)?;
        self.version = Version::parse(version).map_err(|_| BadHead::StatusLine)?;
        let (code, reason) = match rest.strip_prefix(b" ").and_then(|rest| rest.split_at_checked(3)) {
            Some((code, [])) => (code, &[][..]),
            Some((code, [b' ', reason @ ..])) => (code, reason),
            _ => return Err(BadHead::StatusLine),
        };
        let [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] = code else { return Err(BadHead::StatusLine) };
        if !is_value(reason) {
            return Err(BadHead::ControlCharacter);
        }
        self.status = code.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        self.reason.clear();
        self.reason.extend_from_slice(reason);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeadEnd;

    fn parse(text: &str) -> Result<ResponseHead, BadHead> {
        let limits = HeadLimits::default();
        let end = HeadEnd::default().find(text.as_bytes(), &limits)?.expect("the head is whole");
        let mut head = ResponseHead::default();
        head.parse(&text.as_bytes()[..end], &limits)?;
        Ok(head)
    }

    #[test]
    fn status_lines() {
        let head = parse("HTTP/1.1 299 Fine by us\r\n\r\n").unwrap();
        assert_eq!((head.status(), head.reason()), (299, &b"Fine by us"[..]));
        assert_eq!(parse("HTTP/1.0 404 \r\n\r\n").unwrap().reason(), b"");
        let head = parse("HTTP/1.1 200\r\n\r\n").unwrap();
        assert_eq!((head.status(), head.reason()), (200, &b""[..]));
        assert_eq!(parse("HTTP/1.1 999 Request denied\r\n\r\n").unwrap().status(), 999);
        let wrong = [
            "HTTP/1.1 200OK",
            "HTTP/1.1 200\t",
            "HTTP/1.1 20",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 000 OK",
            "HTTP/2 200 OK",
            "HTTP/1.2 200 OK",
            "http/1.1 200 OK",
            " HTTP/1.1 200 OK",
            "ICY 200 OK",
            "HTTP/1.1 +20 OK",
            "HTTP/1.1\t200 OK",
            "HTTP/1.1 200\tOK",
            "",
        ];
        for line in wrong {
            assert_eq!(parse(&format!("{line}\r\n\r\n")).err(), Some(BadHead::StatusLine), "{line}");
        }
        assert_eq!(parse("HTTP/1.1 200 a\0b\r\n\r\n").err(), Some(BadHead::ControlCharacter));
    }

    #[test]
    fn names_with_underscores_pass() {
        let head = parse("HTTP/1.1 200 OK\r\nx_a: b\r\n\r\n").unwrap();
        assert_eq!(head.fields().all_named(b"x_a").collect::<Vec<_>>(), [b"b"]);
    }

    #[test]
    fn bodies_are_as_long_as_request_and_status_allow() {
        let body = |asked, text: &str| parse(text).unwrap().body(asked);
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(body(Method::Get, sized), BodyLength::Exact(5));
        assert_eq!(body(Method::Head, sized), BodyLength::None);
        assert_eq!(body(Method::Get, "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"), BodyLength::None);
        assert_eq!(body(Method::Get, "HTTP/1.1 204 No\r\n\r\n"), BodyLength::None);
        assert_eq!(body(Method::Get, "HTTP/1.0 200 OK\r\n\r\n"), BodyLength::UntilClose);
        assert_eq!(
            body(Method::Get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            BodyLength::Chunked
        );
    }
}
