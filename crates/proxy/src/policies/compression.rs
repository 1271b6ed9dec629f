//! Responses in fewer bytes: which of them, in which coding, and what their heads say then. Nothing is compressed
//! twice, nothing whose bytes are counted by somebody (ranges, digests), and nothing that says it must not be.

pub(crate) mod coding;
pub(crate) mod permit;
pub(crate) mod accepted;
mod encoder;
pub(crate) mod encoded;

use std::fmt;
use std::rc::Rc;

use h1::{BodyLength, FieldName, Method, RequestHead, ResponseHead, Version};

use coding::Coding;
use encoded::Encoding;
use permit::{Compressing, Permit};

/// Which responses are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressionSettings {
    /// In which codings; of those that a client likes as much, the first. None is no compression.
    pub codings: Vec<Coding>,
    /// Of which media types, in lower case: `text/html`, `text/*`, `*/*`, or an ending such as `+json`.
    pub types: Vec<String>,
    /// Those that are known to be shorter than this are sent as they are, in bytes.
    pub min_bytes: u64,
}

impl Default for CompressionSettings {
    fn default() -> Self {
        // An event stream is text, but no page is waiting for its end.
        let types = [
            "text/html",
            "text/css",
            "text/plain",
            "text/xml",
            "text/csv",
            "text/markdown",
            "text/javascript",
            "application/javascript",
            "application/json",
            "application/xml",
            "application/wasm",
            "image/svg+xml",
            "+json",
            "+xml",
        ];
        Self { codings: Vec::new(), types: types.map(str::to_owned).into(), min_bytes: 1024 }
    }
}

impl fmt::Display for CompressionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codings: Vec<&str> = self.codings.iter().map(|coding| coding.name()).collect();
        let Self { types, min_bytes, .. } = self;
        write!(f, "{} for {} of {min_bytes} bytes or more", codings.join(" or "), types.join(", "))
    }
}

impl CompressionSettings {
    /// Changes the head of a response into that of a compressed one, if it is to be that for who has asked so.
    pub(crate) fn begin(
        &self,
        asked: &RequestHead,
        response: &mut ResponseHead,
        compressing: &Rc<Compressing>,
    ) -> Option<Encoding> {
        if !self.is_worth_it(response) {
            return None;
        }
        let coding = accepted::preferred(asked.fields(), &self.codings);
        // Who has asked in another way would get it in another form. That is also to be said where there is nothing to
        // compress, and what is said counts for what a cache has.
        add_vary(response);
        let has_body = asked.method() != Method::Head && response.status() != 304;
        let coding = coding.filter(|_| has_body && asked.version() != Version::Http10)?;
        let permit = Permit::take(compressing)?;
        let is_stream = !matches!(response.body(asked.method()), BodyLength::Exact(_));
        into_compressed(response, coding);
        Some(Encoding::new(coding, is_stream, permit))
    }

    /// Whether a response, or the one that it stands for, would be sent compressed to somebody.
    fn is_worth_it(&self, response: &ResponseHead) -> bool {
        let is_unchanged = response.status() == 304;
        let is_large = match response.body(Method::Get) {
            BodyLength::None => is_unchanged,
            BodyLength::Exact(length) => length >= self.min_bytes.max(1),
            BodyLength::Chunked | BodyLength::UntilClose => true,
        };
        is_large
            && !self.codings.is_empty()
            && !matches!(response.status(), 204..=206)
            && !is_bound_to_its_bytes(response)
            && (self.is_type(response) || is_unchanged && has_no_type(response))
    }

    fn is_type(&self, response: &ResponseHead) -> bool {
        let mut types = response.fields().all_named(b"content-type");
        let (Some(media_type), None) = (types.next(), types.next()) else { return false };
        let end = media_type.iter().position(|byte| *byte == b';').unwrap_or(media_type.len());
        let media_type = media_type[..end].trim_ascii();
        self.types.iter().any(|pattern| is_match(media_type, pattern.as_bytes()))
    }
}

fn has_no_type(response: &ResponseHead) -> bool {
    response.fields().all_named(b"content-type").next().is_none()
}

fn is_match(media_type: &[u8], pattern: &[u8]) -> bool {
    let ends_with = |end: &[u8]| {
        let start = media_type.len().saturating_sub(end.len());
        start > 0 && media_type[start..].eq_ignore_ascii_case(end)
    };
    match pattern.strip_suffix(b"*") {
        Some(b"*/") => true,
        Some(start) => {
            media_type.len() > start.len() && media_type[..start.len()].eq_ignore_ascii_case(start)
        }
        None if pattern.starts_with(b"+") => ends_with(pattern),
        None => media_type.eq_ignore_ascii_case(pattern),
    }
}

/// Whether somebody counts on the bytes as they are, or has said that they are to stay so.
fn is_bound_to_its_bytes(response: &ResponseHead) -> bool {
    let fields = response.fields();
    let has = |name: &[u8]| fields.all_named(name).next().is_some();
    let mut directives =
        fields.all_named(b"cache-control").flat_map(|value| value.split(|byte| *byte == b','));
    has(b"content-encoding")
        || [&b"content-range"[..], b"content-digest", b"repr-digest", b"digest", b"content-md5"]
            .into_iter()
            .any(has)
        || directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

pub(crate) fn add_vary(response: &mut ResponseHead) {
    let names = |value: &[u8]| {
        value.split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
        })
    };
    let is_said = response.fields().all_named(b"vary").any(names);
    if !is_said {
        response.push(b"vary", b"accept-encoding");
    }
}

/// Says that the body is compressed, and takes off what was true only before.
fn into_compressed(response: &mut ResponseHead, coding: Coding) {
    // The bytes are others now: the same page, but not byte for byte (RFC 9110, 8.8.1).
    let tags: Vec<Vec<u8>> = response.fields().all_named(b"etag").map(weak).collect();
    response.retain_fields(|name| {
        [&b"etag"[..], b"accept-ranges"].iter().all(|gone| !name.eq_ignore_ascii_case(gone))
            && FieldName::of(name) != FieldName::ContentLength
    });
    for tag in tags {
        response.push(b"etag", &tag);
    }
    response.push(b"content-encoding", coding.name().as_bytes());
    response.set_body(BodyLength::Chunked);
}

fn weak(tag: &[u8]) -> Vec<u8> {
    match tag {
        [b'W', b'/', ..] => tag.to_vec(),
        strong => [b"W/", strong].concat(),
    }
}

#[cfg(test)]
mod tests {
    use h1::HeadLimits;

    use super::permit::COMPRESSING_MAX;
    use super::*;

    fn request(fields: &str) -> RequestHead {
        asking("GET", fields)
    }

    fn asking(method: &str, fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        head
    }

    fn response(status: &str, fields: &str) -> ResponseHead {
        let mut head = ResponseHead::default();
        let text = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default()).unwrap();
        head
    }

    fn all() -> CompressionSettings {
        CompressionSettings { codings: Coding::ALL.into(), ..CompressionSettings::default() }
    }

    fn text(head: &ResponseHead) -> String {
        let line = |field: h1::Field<'_>| {
            let [name, value] = [field.name_bytes, field.value].map(String::from_utf8_lossy);
            format!("{}: {value}\n", name.to_ascii_lowercase())
        };
        head.fields().iter().map(line).collect()
    }

    const PAGE: &str = "Content-Type: text/html; charset=utf-8\r\nContent-Length: 5000\r\n";

    #[test]
    fn a_head_says_what_became_of_its_body() {
        let mut head =
            response("200 OK", &format!("{PAGE}ETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: cookie\r\n"));
        let begun = all().begin(&request("Accept-Encoding: gzip\r\n"), &mut head, &Rc::default());
        assert!(begun.is_some());
        assert_eq!(
            text(&head),
            "content-type: text/html; charset=utf-8\nvary: cookie\nvary: accept-encoding\netag: W/\"a\"\ncontent-encoding: gzip\n"
        );
        assert_eq!(head.body(Method::Get), BodyLength::Chunked);
        let mut head =
            response("200 OK", &format!("{PAGE}ETag: W/\"a\"\r\nVary: Origin, Accept-Encoding\r\n"));
        assert!(all().begin(&request("Accept-Encoding: br\r\n"), &mut head, &Rc::default()).is_some());
        assert!(text(&head).contains("\netag: W/\"a\"\n"), "{}", text(&head));
        assert_eq!(text(&head).matches("ary").count(), 1);
    }

    #[test]
    fn who_cannot_read_it_gets_it_as_it_is_and_caches_hear_why() {
        for asked in ["", "Accept-Encoding: identity\r\n", "Accept-Encoding: br;q=0, gzip;q=0\r\n"] {
            let mut head = response("200 OK", PAGE);
            assert!(all().begin(&request(asked), &mut head, &Rc::default()).is_none());
            assert!(text(&head).ends_with("vary: accept-encoding\n"), "{asked}: {}", text(&head));
            assert_eq!(head.body(Method::Get), BodyLength::Exact(5000));
        }
    }

    #[test]
    fn what_is_not_to_be_compressed_stays_as_it_is() {
        for (status, fields) in [
            ("200 OK", "Content-Type: text/html\r\nContent-Length: 1023\r\n"),
            ("200 OK", "Content-Type: text/html\r\nContent-Length: 0\r\n"),
            ("200 OK", "Content-Type: image/png\r\nContent-Length: 5000\r\n"),
            ("200 OK", "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"),
            ("200 OK", "Content-Length: 5000\r\n"),
            ("200 OK", "Content-Type: text/html\r\nContent-Type: image/png\r\nContent-Length: 5000\r\n"),
            ("200 OK", &format!("{PAGE}Content-Encoding: br\r\n")),
            ("200 OK", &format!("{PAGE}Cache-Control: public, No-Transform\r\n")),
            ("200 OK", &format!("{PAGE}Repr-Digest: sha-256=:AA==:\r\n")),
            ("206 Partial Content", &format!("{PAGE}Content-Range: bytes 0-4999/9000\r\n")),
            ("204 No Content", "Content-Type: text/html\r\n"),
        ] {
            let mut head = response(status, fields);
            let before = text(&head);
            let asked = request("Accept-Encoding: gzip, br\r\n");
            assert!(all().begin(&asked, &mut head, &Rc::default()).is_none(), "{fields}");
            assert_eq!(text(&head), before);
        }
    }

    #[test]
    fn what_stands_for_a_compressed_one_says_that_there_are_others() {
        for (method, status, fields) in [
            ("HEAD", "200 OK", PAGE),
            ("GET", "304 Not Modified", PAGE),
            ("GET", "304 Not Modified", "ETag: \"1\"\r\n"),
            ("HEAD", "304 Not Modified", ""),
        ] {
            let mut head = response(status, fields);
            let before = text(&head);
            let asked = asking(method, "Accept-Encoding: gzip\r\n");
            assert!(all().begin(&asked, &mut head, &Rc::default()).is_none());
            assert_eq!(text(&head), format!("{before}vary: accept-encoding\n"), "{method} {status} {fields}");
        }
        let mut image = response("304 Not Modified", "Content-Type: image/png\r\n");
        let before = text(&image);
        assert!(all().begin(&request("Accept-Encoding: gzip\r\n"), &mut image, &Rc::default()).is_none());
        assert_eq!(text(&image), before);
    }

    #[test]
    fn a_type_matches_its_pattern() {
        for (media_type, pattern, is_expected) in [
            ("text/html", "text/html", true),
            ("TEXT/HTML", "text/html", true),
            ("text/htmlx", "text/html", false),
            ("text/csv", "text/*", true),
            ("text/", "text/*", false),
            ("application/problem+json", "+json", true),
            ("+json", "+json", false),
            ("application/json", "+json", false),
            ("image/png", "*/*", true),
        ] {
            assert_eq!(
                is_match(media_type.as_bytes(), pattern.as_bytes()),
                is_expected,
                "{media_type} {pattern}"
            );
        }
    }

    #[test]
    fn beyond_so_many_at_a_time_responses_are_sent_as_they_are() {
        let compressing = Rc::default();
        let begin = || {
            let mut head = response("200 OK", PAGE);
            let begun = all().begin(&request("Accept-Encoding: gzip\r\n"), &mut head, &compressing);
            assert_eq!(begun.is_some(), text(&head).contains("content-encoding"));
            begun
        };
        let mut begun: Vec<_> = (0..COMPRESSING_MAX).map(|_| begin()).collect();
        assert!(begun.iter().all(Option::is_some));
        assert!(begin().is_none());
        begun.pop();
        assert!(begin().is_some());
    }
}
