//! The head of a request, and what it says about the way of the request.

use std::ops::Range;

use crate::characters::is_whole_token;
use crate::connection::{ConnectionOptions, is_named};
use crate::length::declared;
use crate::target::{Target, is_valid_host};
use crate::{BadHead, BodyLength, FieldName, Fields, HeadLimits, Method, Version, request_line, target};

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
    line: Vec<u8>,
    method: Method,
    method_end: usize,
    target_start: usize,
    target: Target,
    version: Version,
    /// The host if it is not in the target: the value of the field, or HTTP/2's `:authority`.
    host: Option<Vec<u8>>,
    fields: Fields,
    body: Option<BodyLength>,
    options: ConnectionOptions,
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

    /// Takes a head over from HTTP/2, whose library has read the fields: method, target in origin-form,
    /// authority. The fields follow with [`RequestHead::push`]; they hold no `Host`.
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

    /// Nothing of the last head is left but its memory.
    pub fn clear(&mut self) {
        let (mut line, mut fields) = (std::mem::take(&mut self.line), std::mem::take(&mut self.fields));
        line.clear();
        fields.clear();
        *self = Self { line, fields, ..Self::default() };
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

    /// The protocol that it wants to change to. Not HTTP/2, which is chosen in other ways.
    pub fn upgrade(&self) -> Option<&[u8]> {
        if !self.options.upgrade || self.version != Version::Http11 {
            return None;
        }
        let mut protocols = self.fields.all(FieldName::Upgrade);
        let protocol = protocols.next().filter(|_| protocols.next().is_none())?;
        let is_http2 = |name: &[u8]| name.len() >= 2 && name[..2].eq_ignore_ascii_case(b"h2");
        let mut parts = protocol.splitn(2, |byte| *byte == b'/');
        (parts.all(is_whole_token) && !is_http2(protocol)).then_some(protocol)
    }

    /// Whether a `Connection` field takes this field off.
    pub fn is_named_by_connection(&self, name: &[u8]) -> bool {
        self.options.others && is_named(&self.fields, name)
    }

    fn in_target(&self, place: &Range<usize>) -> &[u8] {
        &self.line[self.target_start + place.start..self.target_start + place.end]
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
            (Some(authority), Some(host)) if !self.in_target(authority).eq_ignore_ascii_case(host) => {
                Err(BadHead::HostDisagrees)
            }
            _ => Ok(()),
        }
    }

    fn check_expectation(&self) -> Result<(), BadHead> {
        let mut expectations = self.fields.all(FieldName::Expect);
        let is_known = expectations.all(|value| value.eq_ignore_ascii_case(b"100-continue"));
        if is_known || self.version == Version::Http10 { Ok(()) } else { Err(BadHead::Expectation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeadEnd;

    fn parse(text: &str) -> Result<RequestHead, BadHead> {
        let limits = HeadLimits::default();
        let end = HeadEnd::default().find(text.as_bytes(), &limits)?.expect("the head is whole");
        let mut head = RequestHead::default();
        head.parse(&text.as_bytes()[..end], &limits)?;
        Ok(head)
    }

    fn fault(text: &str) -> Option<BadHead> {
        parse(text).err()
    }

    #[test]
    fn request_lines() {
        for line in [
            "GET  / HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "GET",
            "GET / HTTP/11",
            "GET / http/1.1",
        ] {
            assert_eq!(fault(&format!("{line}\r\nHost: h\r\n\r\n")), Some(BadHead::RequestLine), "{line}");
        }
        assert_eq!(fault("G(T / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::RequestLine));
        assert_eq!(fault("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), Some(BadHead::Version));
        assert_eq!(fault("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::ControlCharacter));
        assert_eq!(fault("GET /\rHTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::ControlCharacter));
        let head = parse("get /a?b HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(
            (head.method(), head.method_name(), head.version()),
            (Method::Other, &b"get"[..], Version::Http10)
        );
    }

    #[test]
    fn hosts_are_one_and_agree() {
        let with = |target: &str, hosts: &str| fault(&format!("GET {target} HTTP/1.1\r\n{hosts}\r\n"));
        assert_eq!(with("/", "Host: h\r\n"), None);
        assert_eq!(with("/", "Host:\r\n"), None);
        assert_eq!(with("/", ""), Some(BadHead::Host));
        assert_eq!(with("/", "Host: h\r\nHost: h\r\n"), Some(BadHead::Host));
        assert_eq!(with("/", "Host: a b\r\n"), Some(BadHead::Host));
        assert_eq!(with("http://h:80/", "Host: H:80\r\n"), None);
        assert_eq!(with("http://h:80/", "Host: h\r\n"), Some(BadHead::HostDisagrees));
    }

    #[test]
    fn absolute_targets_become_origin_form() {
        let cases = [
            ("GET http://h", "/"),
            ("GET http://h?a", "/?a"),
            ("GET http://h/b?c", "/b?c"),
            ("OPTIONS http://h", "*"),
            ("OPTIONS *", "*"),
        ];
        for (line, origin) in cases {
            let head = parse(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
            let mut out = Vec::new();
            head.write_origin(&mut out);
            assert_eq!(out, origin.as_bytes());
        }
    }

    #[test]
    fn what_is_routed_is_what_is_written() {
        let cases = [
            ("OPTIONS *", "*"),
            ("OPTIONS http://h", "*"),
            ("OPTIONS http://h/", "/"),
            ("OPTIONS http://h?a", "/?a"),
            ("GET http://h", "/"),
            ("GET //b?", "//b?"),
        ];
        for (start, expected) in cases {
            let head = parse(&format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
            let mut written = Vec::new();
            head.write_origin(&mut written);
            let query = head.query().map_or(Vec::new(), |query| [b"?", query].concat());
            assert_eq!(written, expected.as_bytes(), "{start}");
            assert_eq!(written, [head.path(), &query].concat(), "{start}");
        }
    }

    #[test]
    fn an_empty_line_before_a_request_is_passed_over_and_no_second_one() {
        assert_eq!(parse("\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().path(), b"/a");
        assert_eq!(fault("\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"), Some(BadHead::RequestLine));
    }

    #[test]
    fn a_head_that_failed_can_be_asked_and_holds_nothing_of_the_one_before() {
        let limits = HeadLimits::default();
        let wrong = [
            "GET /a/longer/path/than/before?q HTTP/1.1\r\nHost h\r\n\r\n",
            "GET http://longer.than.before HTTP/1.1\r\n\0\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ];
        for text in wrong {
            let mut head = parse("POST /old HTTP/1.1\r\nHost: old\r\n\r\n").unwrap();
            assert!(head.parse(text.as_bytes(), &limits).is_err());
            let (host, mut origin) = (head.host(), Vec::new());
            head.write_origin(&mut origin);
            for part in [head.method_name(), head.path(), host.unwrap_or_default(), &origin] {
                assert!(!part.ends_with(b"old") && part != b"POST", "{text:?}");
            }
            assert_eq!(head.query().unwrap_or(b"q"), b"q");
        }
        let mut head = parse("GET /old HTTP/1.1\r\nHost: old\r\n\r\n").unwrap();
        assert!(head.start(b"GET", b"x", None).is_err());
        assert_eq!((head.path(), head.host()), (&b"/"[..], None));
    }

    #[test]
    fn a_connection_field_that_would_take_long_to_search_is_refused() {
        let with = |names: &str| fault(&format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {names}\r\n\r\n"));
        assert_eq!(with(&"a,".repeat(500)), None);
        assert_eq!(with(&"a,".repeat(600)), Some(BadHead::TooLarge));
        let twice = format!("{0}\r\nConnection: {0}", "a".repeat(600));
        assert_eq!(with(&twice), Some(BadHead::TooLarge));
    }

    #[test]
    fn connections_are_kept_as_versions_say() {
        let keeps = |version: &str, option: &str| {
            parse(&format!("GET / HTTP/{version}\r\nHost: h\r\nConnection: {option}\r\n\r\n"))
                .unwrap()
                .keeps_alive()
        };
        assert!(keeps("1.1", "x") && !keeps("1.1", "x, CLOSE") && !keeps("1.1", "keep-alive, close"));
        assert!(!keeps("1.0", "x") && keeps("1.0", "Keep-Alive"));
    }

    #[test]
    fn upgrades_are_asked_for_twice_and_never_to_http_2() {
        let wants = |lines: &str| {
            let head = parse(&format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).unwrap();
            head.upgrade().map(<[u8]>::to_vec)
        };
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: websocket\r\n"), Some(b"websocket".to_vec()));
        assert_eq!(wants("Upgrade: websocket\r\n"), None);
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: h2c\r\n"), None);
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), None);
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n"), None);
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n"), Some(b"TLS/1.3".to_vec()));
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: a/b c\r\n"), None);
        assert_eq!(wants("Connection: Upgrade\r\nUpgrade: a/b/c\r\n"), None);
    }
}
