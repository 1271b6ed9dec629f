//! Who may come by the word of another service: it is asked about each request before a replica gets it, and says yes
//! (2xx), or what the client gets instead. No word is no. Nothing is sent here.

use std::fmt;
use std::time::Duration;

use h1::{FieldName, RequestHead};

use crate::policies::mark::Mark;
use crate::policies::refusal::{AnswerField, PolicyAnswer};

/// What the service hears of the request beside its fields; nobody else may write these.
pub(crate) const METHOD_NAME: &str = "x-forwarded-method";
pub(crate) const URI_NAME: &str = "x-forwarded-uri";

/// Fields that are about the body of a request, or about an answer that is not the one asked for here. Those that
/// begin with `if-` and `content-` are, too.
const NOT_PASSED: [&[u8]; 2] = [b"range", b"accept-encoding"];

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardAuth {
    /// The name of the service.
    pub service: String,
    /// What it is asked for: a path, and maybe a query.
    pub path: String,
    /// The fields of its answer that replicas get, in lower case; nobody else may write them.
    pub copy: Vec<String>,
    /// How long it may take, all tries together.
    pub timeout: Duration,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The request may pass.
    Yes,
    /// The client gets this answer.
    No,
    /// It says nothing about the request.
    None,
}

impl Word {
    /// That of a status. Errors of the service are no answers to clients.
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Yes,
            // What a client has already, or is to take in another protocol, is nothing here.
            304..=306 => Self::None,
            300..=399 | 401 | 403 | 429 => Self::No,
            _ => Self::None,
        }
    }
}

impl ForwardAuth {
    /// The request that asks about this one.
    pub(crate) fn question(&self, head: &RequestHead) -> Option<RequestHead> {
        let mut question = RequestHead::default();
        question.start(b"GET", self.path.as_bytes(), head.host()).ok()?;
        for field in head.fields().iter() {
            let is_passed = match field.name {
                FieldName::Host | FieldName::ContentLength | FieldName::Expect => false,
                name if name.is_hop_by_hop() => false,
                FieldName::Other => is_about_who_asks(head, field.name_bytes),
                _ => true,
            };
            if is_passed {
                question.push(field.name_bytes, field.value);
            }
        }
        Some(question)
    }

    /// For a request that nobody could say anything of.
    pub(crate) fn unanswered(&self) -> PolicyAnswer {
        let fields = vec![AnswerField { name: "retry-after", value: b"1".into() }];
        let text = Some("whether this may pass could not be found out".into());
        PolicyAnswer { mark: Mark::NotVouchedFor, status: 503, text, fields }
    }

    /// For one that it was answered about with something that is none.
    pub(crate) fn misunderstood(&self) -> PolicyAnswer {
        PolicyAnswer { status: 502, fields: Vec::new(), ..self.unanswered() }
    }
}

fn is_about_who_asks(head: &RequestHead, name: &[u8]) -> bool {
    let begins = |start: &[u8]| name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    let is_named = NOT_PASSED.iter().any(|known| name.eq_ignore_ascii_case(known));
    !is_named && !begins(b"content-") && !begins(b"if-") && !head.is_named_by_connection(name)
}

/// What is set, in words.
impl fmt::Display for ForwardAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, path, copy, .. } = self;
        write!(f, "asks service '{service}' for {path}")?;
        if copy.is_empty() { Ok(()) } else { write!(f, ", and passes its {}", copy.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_hears_who_asks_and_nothing_of_the_body() {
        let text = "POST /upload?x HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\nAuthorization: Bearer x\r\n\
            Content-Length: 9\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nExpect: 100-continue\r\n\
            Range: bytes=0-\r\nIf-None-Match: \"a\"\r\nAccept-Encoding: gzip\r\nConnection: X-Hop, upgrade\r\nX-Hop: 1\r\n\
            Upgrade: websocket\r\nX-Kept: 2\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
        let mut head = RequestHead::default();
        head.parse(text.as_bytes(), &h1::HeadLimits::default()).unwrap();
        let auth = ForwardAuth {
            service: "auth".into(),
            path: "/verify?a=1".into(),
            copy: vec!["x-user".into()],
            timeout: Duration::from_secs(5),
        };
        let question = auth.question(&head).unwrap();
        let mut target = Vec::new();
        question.write_origin(&mut target);
        assert_eq!((question.method_name(), &*target), (&b"GET"[..], &b"/verify?a=1"[..]));
        assert_eq!((question.host(), question.body()), (Some(&b"shop.example"[..]), h1::BodyLength::None));
        let names: Vec<_> =
            question.fields().iter().map(|field| String::from_utf8_lossy(field.name_bytes)).collect();
        assert_eq!(names, ["Cookie", "Authorization", "X-Kept", "X-Forwarded-For"]);
        assert_eq!(question.upgrades().count(), 0);
        assert_eq!(auth.to_string(), "asks service 'auth' for /verify?a=1, and passes its x-user");
    }

    #[test]
    fn only_a_clear_word_is_one() {
        for (status, word) in [
            (200, Word::Yes),
            (204, Word::Yes),
            (302, Word::No),
            (307, Word::No),
            (401, Word::No),
            (403, Word::No),
            (429, Word::No),
            (101, Word::None),
            (304, Word::None),
            (400, Word::None),
            (404, Word::None),
            (500, Word::None),
            (503, Word::None),
        ] {
            assert_eq!(Word::of(status), word, "{status}");
        }
    }
}
